// A request's head: its end is where it is however the bytes arrive, and whoever reads them sees the same requests.

import HTTPTypes
import Logging
import NIOCore
import NIOEmbedded
import Synchronization
import TestSupport

@testable import HTTPServer

extension FuzzTarget {
    private static let limit = 512

    /// The first byte says how the rest is cut.
    static let head = FuzzTarget(
        "head",
        seeds: [
            "aGET /v2/ HTTP/1.1\r\nHost: t\r\n\r\n",
            "bGET /a?b=c HTTP/1.1\r\nHost: t\r\nA: b\r\n\r\nHEAD /d HTTP/1.1\r\nhost: u:5000\r\n\r\n",
            "cPOST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabcGET /next HTTP/1.1\r\nHost: t\r\n\r\n",
            "dPOST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                + "GET /next HTTP/1.1\r\nHost: t\r\n\r\n",
            "ePUT /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0\r\nT: u\r\n\r\n",
            "fGET http://h/p HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
            "g\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: [::1]:1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
            "hGET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\nHost: t\r\n\r\n",
            "iCONNECT h:1 HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n",
        ],
        words: [
            "\r\n", "\r\n\r\n", "\n", "\r", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "Host: t\r\n", "Content-Length: ",
            "Transfer-Encoding: chunked\r\n", "Connection: ", "close", "keep-alive", "upgrade", "Upgrade: h2c\r\n",
            "Expect: 100-continue\r\n", "GET / HTTP/1.1\r\nHost: t\r\n\r\n", "0\r\n\r\n", " ", "\t", ":", "%2f", "/../",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "ffffffffffffffff\r\n", "Content-Length: 0\r\n", "\u{0}",
        ]
    ) { bytes in
        guard let cut = bytes.first else { return }
        let stream = Array(bytes.dropFirst())
        let pieces = Self.cut(stream, by: cut)
        let (whole, parts) = (ends([stream[...]]), ends(pieces))
        try hold(whole.ends == parts.ends, "heads end at \(whole.ends), in parts at \(parts.ends)")
        try hold(whole.hasFault == parts.hasFault, "a fault only whole, or only in parts: \(whole), \(parts)")
        try hold(whole.ends == plainEnds(stream, whole.ends.count), "heads end at \(whole.ends)")
        let (once, bitByBit) = (try read([stream[...]]), try read(pieces))
        try hold(once.requests == bitByBit.requests, "requests \(once.requests), in parts \(bitByBit.requests)")
        try hold(once.answers == bitByBit.answers, "answers \(once.answers), in parts \(bitByBit.answers)")
    }

    private static func cut(_ stream: [UInt8], by seed: UInt8) -> [ArraySlice<UInt8>] {
        var random = SplitMix(state: UInt64(seed))
        var pieces: [ArraySlice<UInt8>] = []
        var rest = stream[...]
        while !rest.isEmpty {
            let length = min(rest.count, 1 + random.below(1 << (1 + Int(seed) % 8)))
            pieces.append(rest.prefix(length))
            rest = rest.dropFirst(length)
        }
        return pieces
    }

    /// Where the meter sees heads end, if all there is are heads.
    private static func ends(_ pieces: [ArraySlice<UInt8>]) -> (ends: [Int], hasFault: Bool) {
        var meter = HeadMeter(limit: limit)
        var ends: [Int] = []
        for piece in pieces {
            var rest = piece
            while !rest.isEmpty {
                do {
                    let length = try rest.withUnsafeBytes { try meter.measure($0) }
                    rest = rest.dropFirst(length)
                } catch {
                    return (ends, true)
                }
                if !meter.isUnderWay { ends.append(rest.startIndex) }
            }
        }
        return (ends, false)
    }

    /// The same, as one would say it: a head ends with the first empty line behind a line that is not.
    private static func plainEnds(_ stream: [UInt8], _ count: Int) -> [Int] {
        var ends: [Int] = []
        var (lineStart, hasLine) = (0, false)
        for place in stream.indices where stream[place] == 0x0A && ends.count < count {
            let isEmpty = place == lineStart + 1
            if isEmpty, hasLine { ends.append(place + 1) }
            hasLine = !isEmpty
            lineStart = place + 1
        }
        return ends
    }

    // MARK: Decoder and connection

    private struct Seen: Equatable {
        var requests: [String] = []
        /// The status of each; of a refusal only that it is one, since two limits may be passed at once.
        var answers: [Int] = []
    }

    private final class Recorder: Responder {
        let requests = Mutex<[String]>([])

        func ready(_ request: Request) -> Response? {
            let query = request.query ?? "-"
            requests.withLock { $0.append("\(request.method) \(request.path) \(query) \(request.fields)") }
            return Response(status: .ok)
        }

        func respond(to request: Request) async -> Response { Response(status: .ok) }
    }

    /// What the server takes for requests where its bytes arrive in these pieces.
    private static func read(_ pieces: [ArraySlice<UInt8>]) throws -> Seen {
        var configuration = ServerConfiguration(addresses: [])
        configuration.headLimit = limit
        configuration.discardLimit = 64
        let channel = EmbeddedChannel()
        let recorder = Recorder()
        let table = ConnectionTable(
            loop: channel.embeddedEventLoop, position: (0, 1), configuration: configuration, responder: recorder,
            limits: ConnectionLimits(total: 10, perAddress: 10, refusedAtOnce: 10),
            log: nil, logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }, now: { 0 })
        Connection(table: table, channel: channel).start()
        for piece in pieces where channel.isActive {
            try channel.writeInbound(ByteBuffer(bytes: piece))
        }
        channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        channel.embeddedEventLoop.run()
        var output = ""
        while let part = try channel.readOutbound(as: IOData.self) {
            if case .byteBuffer(let buffer) = part { output += String(buffer: buffer) }
        }
        // As above: whatever was in the middle of a head is an error now.
        _ = try? channel.finish(acceptAlreadyClosed: true)
        var seen = Seen(requests: recorder.requests.withLock { $0 })
        seen.answers = output.components(of: "HTTP/1.1 ").map { Int($0.prefix(3)) ?? 0 }.map { $0 < 400 ? $0 : 400 }
        return seen
    }
}

extension String {
    /// What stands behind each of these.
    fileprivate func components(of word: String) -> [Substring] {
        var found: [Substring] = []
        var rest = self[...]
        while let place = rest.firstRange(of: word) {
            rest = rest[place.upperBound...]
            found.append(rest)
        }
        return found
    }
}
