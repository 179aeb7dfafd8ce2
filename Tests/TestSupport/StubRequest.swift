// A request as the stub saw it, and all it saw so far.

/// One line of the stub's log.
package struct StubRequest: Sendable, CustomStringConvertible {
    package let door: StubDoor
    package let method: String
    package let path: String
    package let query: String?
    package let fields: [(name: String, value: String)]
    package let body: [UInt8]

    package var range: String? { self["Range"] }
    package var authorization: String? { self["Authorization"] }
    package var isAuthorized: Bool { authorization != nil }

    /// All values of a field joined by ", ", or nil.
    package subscript(_ name: String) -> String? {
        let values = fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
        return values.isEmpty ? nil : values.joined(separator: ", ")
    }

    package var description: String {
        "\(door) \(method) \(path)" + (query.map { "?\($0)" } ?? "") + (range.map { " [\($0)]" } ?? "")
    }
}

/// What has happened at a StubRegistry.
package struct StubLog: Sendable {
    package var requests: [StubRequest] = []
    /// Body bytes of blobs and manifests handed to the kernel.
    package var bytesSent = 0
    /// How many bodies have come to their `stall`, how many requests wait at a gate.
    package var stalled = 0
    package var held = 0
    /// Connections that ended before their answer was out.
    package var abandoned = 0
    package var tokensIssued = 0
    /// Bodies of blobs and manifests under way just now, and the most of them at the same time.
    package var serving = 0 {
        didSet { peakServing = max(peakServing, serving) }
    }
    package private(set) var peakServing = 0

    init(serving: Int = 0) {
        self.serving = serving
        peakServing = serving
    }

    package func requests(
        _ part: String = "", method: String? = nil, door: StubDoor? = nil
    ) -> [StubRequest] {
        requests.filter {
            $0.path.contains(part) && (method == nil || $0.method == method) && (door == nil || $0.door == door)
        }
    }
}
