// One TCP connection that speaks HTTP/1.1 byte for byte, so that a test sees what was really sent and how it ended.

import Foundation
import Synchronization

/// The fields of a head, in order; names compare without regard to case (RFC 9110 §5.1).
struct Fields: Sendable {
    private var lines: [(name: String, value: String)] = []

    init(_ text: some Sequence<Substring>) {
        for line in text {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            lines.append((line[..<colon].lowercased(), value))
        }
    }

    subscript(_ name: String) -> String? {
        let values = lines.filter { $0.name == name.lowercased() }.map(\.value)
        return values.isEmpty ? nil : values.joined(separator: ", ")
    }
}

struct Head: Sendable {
    let status: Int
    let fields: Fields
}

/// How a body ended, as its reader saw it.
enum BodyEnding: Sendable {
    /// As long as announced.
    case complete
    /// A clean end (FIN) before the announced length.
    case short
    /// A reset (RST), which no client can take for the end of the body.
    case reset
}

struct Answer: Sendable {
    let status: Int
    let fields: Fields
    let body: [UInt8]
    let ending: BodyEnding

    var text: String { String(decoding: body, as: UTF8.self) }
    /// Status and body, for the report of a failure.
    var summary: String { "\(status) \(ending): \(text.prefix(400))" }
}

/// Asks once, over a connection of its own.
func ask(
    _ method: String, _ path: String, port: Int, _ fields: [String: String] = [:],
    within limit: Duration = .seconds(40), in network: OwnNetwork? = nil
) async throws -> Answer {
    try await blocking {
        let connection = try Connection(port: port, within: limit, in: network)
        try connection.send(method, path, fields.merging(["Connection": "close"]) { $1 })
        let head = try connection.readHead()
        let (body, ending) = method == "HEAD" ? ([], .complete) : try connection.readBody(after: head)
        return Answer(status: head.status, fields: head.fields, body: body, ending: ending)
    }
}

/// A connection whose calls block, each at most as long as the limit given at its opening. Closed when it goes away.
final class Connection: Sendable {
    private let descriptor: CInt
    private let port: Int
    /// What was received and not yet consumed.
    private let received = Mutex<[UInt8]>([])

    /// - Parameters:
    ///   - host: a literal address.
    ///   - receiveBuffer: bytes that the kernel may hold for a reader who is late; `nil`: as many as it likes.
    ///   - network: where it is made, if not in the tests' own.
    init(
        port: Int, at host: String = "127.0.0.1", within limit: Duration = .seconds(40), receiveBuffer: Int32? = nil,
        in network: OwnNetwork? = nil
    ) throws {
        self.port = port
        var wanted = addrinfo()
        wanted.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
        wanted.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, "\(port)", &wanted, &found) == 0, let address = found?.pointee else {
            throw HarnessError("\(host) is no literal address")
        }
        defer { freeaddrinfo(found) }
        let open = { socket(address.ai_family, address.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0) }
        descriptor = try network?.entering(open) ?? open()
        if var receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, socklen_t(MemoryLayout<Int32>.size))
        }
        var time = timeval(tv_sec: Int(limit.components.seconds), tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        guard connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 else {
            // The descriptor goes by `deinit`, since all is set by now; closed here as well, it would be another's.
            let reason = String(cString: strerror(errno))
            throw HarnessError("no connection to port \(port) of \(host): \(reason)")
        }
    }

    deinit { close(descriptor) }

    /// Lets the closing be a RST.
    func resetWhenClosed() {
        var rule = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &rule, socklen_t(MemoryLayout<linger>.size))
    }

    /// Sends a request without a body. The path goes out as it is.
    func send(_ method: String, _ path: String, _ fields: [String: String] = [:]) throws {
        var text = "\(method) \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\n"
        for (name, value) in fields { text += "\(name): \(value)\r\n" }
        try send(raw: text + "\r\n")
    }

    func send(raw text: String) throws { try send(bytes: Array(text.utf8)) }

    func send(bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { throw HarnessError("cannot send: \(String(cString: strerror(errno)))") }
            rest = rest.dropFirst(sent)
        }
    }

    func readHead() throws -> Head {
        let text = try received.withLock { bytes in
            while true {
                if let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) {
                    let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
                    bytes.removeFirst(end.upperBound)
                    return head
                }
                guard try receive(into: &bytes) == nil else {
                    throw HarnessError("the connection ended before a head: \(String(decoding: bytes, as: UTF8.self))")
                }
            }
        }
        let lines = text.split(separator: "\r\n")
        guard let first = lines.first?.split(separator: " "), first.count >= 2, let status = Int(first[1]) else {
            throw HarnessError("this is no head: \(text)")
        }
        return Head(status: status, fields: Fields(lines.dropFirst()))
    }

    /// Reads `count` bytes of the body, fewer if it ends before.
    func read(_ count: Int) throws -> (bytes: [UInt8], ending: BodyEnding?) {
        try received.withLock { bytes in
            while bytes.count < count {
                if let ending = try receive(into: &bytes) {
                    defer { bytes = [] }
                    return (bytes, ending)
                }
            }
            defer { bytes.removeFirst(count) }
            return (Array(bytes.prefix(count)), nil)
        }
    }

    /// Reads the body to its end by RFC 9112 §6.3: its length, its chunks, or the connection's end.
    func readBody(after head: Head) throws -> ([UInt8], BodyEnding) {
        if head.status == 304 || head.status == 204 { return ([], .complete) }
        if head.fields["Transfer-Encoding"]?.lowercased() == "chunked" { return try readChunks() }
        guard let length = head.fields["Content-Length"].flatMap({ Int($0) }) else {
            let (bytes, ending) = try read(.max)
            return (bytes, ending == .short ? .complete : .reset)
        }
        let (bytes, ending) = try read(length)
        return (bytes, ending ?? .complete)
    }

    private func readChunks() throws -> ([UInt8], BodyEnding) {
        var body: [UInt8] = []
        while true {
            let (chunk, ending) = try readChunk()
            body += chunk
            if let ending { return (body, ending) }
        }
    }

    /// Reads one chunk (RFC 9112 §7.1); the last, which is empty, is the complete end.
    func readChunk() throws -> ([UInt8], BodyEnding?) {
        var line: [UInt8] = []
        while !line.ends(with: "\r\n".utf8) {
            let (byte, ending) = try read(1)
            if let ending { return ([], ending) }
            line += byte
        }
        let digits = String(decoding: line, as: UTF8.self).prefix { $0.isHexDigit }
        guard let size = Int(digits, radix: 16) else { throw HarnessError("no chunk size: \(line)") }
        let (chunk, ending) = try read(size + 2)
        return (Array(chunk.prefix(size)), ending ?? (size == 0 ? .complete : nil))
    }

    /// Appends what arrives next; returns how the stream ended if it did.
    private func receive(into bytes: inout [UInt8]) throws -> BodyEnding? {
        var piece = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &piece, piece.count, 0)
        if count > 0 {
            bytes += piece.prefix(count)
            return nil
        }
        if count == 0 { return .short }
        if errno == ECONNRESET { return .reset }
        throw HarnessError("nothing received from port \(port): \(String(cString: strerror(errno)))")
    }
}

extension Array where Element == UInt8 {
    fileprivate func ends(with suffix: some BidirectionalCollection<UInt8>) -> Bool {
        self.suffix(suffix.count).elementsEqual(suffix)
    }
}
