// What the mirror tells of itself while it happens: `GET /api/v1/events`, read as server-sent events.

import Foundation

/// - Source: WHATWG HTML "Server-sent events", "Interpreting an event stream".
struct ServerEvent: Sendable {
    var id = ""
    var name = ""
    var data = ""

    /// What the data say, as JSON.
    var value: JSONValue {
        get throws { try JSONDecoder().decode(JSONValue.self, from: Data(data.utf8)) }
    }

    /// - Parameter block: the lines between two empty ones; `nil` where it has no data, as a comment has none.
    init?(_ block: Substring) {
        var data: [Substring] = []
        for line in block.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count > 1 ? parts[1].drop { $0 == " " } : ""
            switch parts[0] {
            case "id": id = String(value)
            case "event": name = String(value)
            case "data": data.append(value)
            default: break
            }
        }
        guard !data.isEmpty else { return nil }
        self.data = data.joined(separator: "\n")
    }
}

extension Mirror {
    /// The first `count` events that somebody gets who connects now; what is kept comes first.
    /// - Throws: if they have not come within `limit`.
    func events(_ count: Int, within limit: Duration = .seconds(10)) async throws -> [ServerEvent] {
        let port = port
        return try await blocking {
            let connection = try Connection(port: port, within: limit)
            try connection.send("GET", "/api/v1/events", ["Accept": "text/event-stream"])
            let head = try connection.readHead()
            guard head.status == 200, head.fields["Content-Type"]?.hasPrefix("text/event-stream") == true else {
                throw HarnessError("no event stream: \(head.status) \(head.fields["Content-Type"] ?? "")")
            }
            let deadline = ContinuousClock.now + limit
            var text = ""
            while true {
                let blocks = text.split(separator: "\n\n", omittingEmptySubsequences: false).dropLast()
                let events = blocks.compactMap { ServerEvent($0) }
                if events.count >= count { return Array(events.prefix(count)) }
                let (chunk, ending) = try connection.readChunk()
                guard ending == nil, ContinuousClock.now < deadline else {
                    throw HarnessError("\(events.count) of \(count) events, then \(ending.map { "\($0)" } ?? "none")")
                }
                text += String(decoding: chunk, as: UTF8.self)
            }
        }
    }
}
