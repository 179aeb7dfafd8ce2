// A client made of one blocking socket, which can be as slow, rude and sudden as a test needs.
import Glibc
import Synchronization
import TestSupport

struct SystemError: Error, Equatable {
    let code: CInt
    init(_ code: CInt = errno) { self.code = code }
}

/// Every call blocks for at most 20 s: use it inside `onThread`.
final class Client: Sendable {
    enum End: Equatable, Sendable {
        case closed
        case reset
        case timeout
    }

    struct Reply: Sendable {
        var status = 0
        var fields: [String: String] = [:]
        var body: [UInt8] = []
        var text: String { String(decoding: body, as: UTF8.self) }
    }

    private let descriptor: Mutex<CInt>
    /// Received and not consumed.
    private let pending = Mutex<ArraySlice<UInt8>>([])

    /// - Parameter receiveBuffer: the socket's own buffer in bytes; small ones make slow readers.
    init(port: Int, receiveBuffer: CInt? = nil) throws {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw SystemError() }
        self.descriptor = Mutex(descriptor)
        if var size = receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<CInt>.size))
        }
        var timeout = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        let result = withLoopback(port) { connect(descriptor, $0, $1) }
        guard result == 0 else { throw SystemError() }
    }

    deinit {
        close()
    }

    private var socketDescriptor: CInt { descriptor.withLock { $0 } }

    func send(_ text: String) throws {
        try send(Array(text.utf8))
    }

    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes {
                Glibc.send(socketDescriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            guard sent > 0 else { throw SystemError() }
            rest = rest.dropFirst(sent)
        }
    }

    /// `GET` with the fields every request needs.
    func get(_ path: String, _ method: String = "GET", fields: String = "") throws {
        try send("\(method) \(path) HTTP/1.1\r\nHost: test\r\n\(fields)\r\n")
    }

    /// Some bytes, at least one; or how the connection ended.
    func receive(upTo count: Int = 64 * 1024) -> (bytes: [UInt8], end: End?) {
        let held = pending.withLock { pending in
            let held = Array(pending.prefix(count))
            pending.removeFirst(held.count)
            return held
        }
        guard held.isEmpty else { return (held, nil) }
        var buffer = [UInt8](repeating: 0, count: count)
        let received = recv(socketDescriptor, &buffer, count, 0)
        guard received <= 0 else { return (Array(buffer.prefix(received)), nil) }
        if received == 0 { return ([], .closed) }
        return ([], errno == EAGAIN ? .timeout : .reset)
    }

    /// Everything up to the end.
    func receiveAll() -> (bytes: [UInt8], end: End) {
        var bytes: [UInt8] = []
        while true {
            let (more, end) = receive()
            bytes += more
            if let end { return (bytes, end) }
        }
    }

    /// One response, its body delimited by its own fields.
    func reply(isHEAD: Bool = false) throws -> Reply {
        let head = try line(until: [13, 10, 13, 10])
        var reply = Reply()
        let lines = head.split(separator: "\r\n")
        reply.status = lines.first.flatMap { Int($0.split(separator: " ")[1]) } ?? 0
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            reply.fields[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
        }
        if isHEAD || reply.status == 204 || reply.status == 304 || reply.status < 200 { return reply }
        if reply.fields["transfer-encoding"] == "chunked" {
            while let size = Int(try line(until: [13, 10]), radix: 16), size > 0 {
                reply.body += try exactly(size)
                _ = try line(until: [13, 10])
            }
            _ = try line(until: [13, 10])
        } else if let length = reply.fields["content-length"].flatMap({ Int($0) }) {
            reply.body = try exactly(length)
        } else {
            let (bytes, end) = receiveAll()
            guard end == .closed else { throw SystemError(ECONNRESET) }
            reply.body = bytes
        }
        return reply
    }

    /// FIN, and still listening.
    func shutdownOutput() {
        shutdown(socketDescriptor, CInt(SHUT_WR))
    }

    /// Whether the server has reset the connection; does not wait.
    var hasBeenReset: Bool {
        var state = pollfd(fd: socketDescriptor, events: Int16(POLLIN), revents: 0)
        return poll(&state, 1, 0) > 0 && state.revents & Int16(POLLHUP) != 0
    }

    func close() {
        descriptor.withLock { descriptor in
            if descriptor >= 0 { Glibc.close(descriptor) }
            descriptor = -1
        }
    }

    /// RST.
    func reset() {
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socketDescriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    private func line(until mark: [UInt8]) throws -> String {
        var bytes: [UInt8] = []
        while !bytes.suffix(mark.count).elementsEqual(mark) {
            bytes += try exactly(1)
        }
        return String(decoding: bytes.dropLast(mark.count), as: UTF8.self)
    }

    private func exactly(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            if pending.withLock({ $0.isEmpty }) {
                let (more, end) = receive()
                guard end == nil else {
                    throw SystemError(end == .reset ? ECONNRESET : end == .timeout ? EAGAIN : EPIPE)
                }
                pending.withLock { $0 = more[...] }
            }
            bytes += receive(upTo: count - bytes.count).bytes
        }
        return bytes
    }
}
