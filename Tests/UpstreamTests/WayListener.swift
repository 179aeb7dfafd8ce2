// A listener on loopback that speaks whatever a test wants spoken, with blocking calls on threads of its own.
import Foundation
import Synchronization
import TestSupport

/// Accepts connections and serves each on a thread; remembers how many came, and what the heads of requests were.
final class Listener: Sendable {
    struct Log {
        var accepted = 0
        var heads: [String] = []
        var bodies: [[UInt8]] = []
        /// What a SOCKS client asked to be connected to.
        var destinations: [String] = []
        var logins: [String] = []
    }

    let port: Int
    private let host: String
    private let descriptor: CInt
    private let log = Watched(Log())
    private let open: Mutex<Set<CInt>> = Mutex([])

    init(isIPv6: Bool = false, serve: @escaping @Sendable (ListenerConnection) -> Void) throws {
        let descriptor = socket(isIPv6 ? AF_INET6 : AF_INET, CInt(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        guard descriptor >= 0, let port = bindToLoopback(descriptor, isIPv6), listen(descriptor, 64) == 0 else {
            throw POSIXError(.EADDRNOTAVAIL)
        }
        self.descriptor = descriptor
        self.port = port
        host = isIPv6 ? "[::1]" : "127.0.0.1"
        Thread.detachNewThread { [weak self] in
            while true {
                let accepted = accept(descriptor, nil, nil)
                guard accepted >= 0 else { break }
                self?.serve(accepted, serve)
            }
            close(descriptor)
        }
    }

    deinit {
        shutdown(descriptor, CInt(SHUT_RDWR))  // ends the thread in accept
        open.withLock { open in for descriptor in open { shutdown(descriptor, CInt(SHUT_RDWR)) } }
    }

    var url: String { "http://\(host):\(port)/" }
    var authority: String { "\(host):\(port)" }
    var accepted: Int { log.value.accepted }
    var heads: [String] { log.value.heads }
    var bodies: [[UInt8]] { log.value.bodies }
    var destinations: [String] { log.value.destinations }
    var logins: [String] { log.value.logins }

    private func serve(_ descriptor: CInt, _ serve: @escaping @Sendable (ListenerConnection) -> Void) {
        log.change { $0.accepted += 1 }
        _ = open.withLock { $0.insert(descriptor) }
        let connection = ListenerConnection(descriptor: descriptor, log: log)
        Thread.detachNewThread { [weak self] in
            serve(connection)
            _ = self?.open.withLock { $0.remove(descriptor) }
            close(descriptor)
        }
    }
}

/// One accepted connection. Whatever fails reads as its end.
struct ListenerConnection: Sendable {
    let descriptor: CInt
    let log: Watched<Listener.Log>

    func read(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + filled, count - filled, 0) }
            guard got > 0 else { return nil }
            filled += got
        }
        return bytes
    }

    func write(_ text: String) { write(Array(text.utf8)) }

    func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            guard sent > 0 else { return }
            rest = rest.dropFirst(sent)
        }
    }

    /// The next request up to its empty line, and its body; nil at the end.
    func readHead() -> String? {
        var bytes: [UInt8] = []
        while !bytes.suffix(4).elementsEqual("\r\n\r\n".utf8) {
            guard let next = read(1) else { return nil }
            bytes += next
        }
        let head = String(decoding: bytes, as: UTF8.self)
        log.change { $0.heads.append(head) }
        if let field = head.firstRange(of: "\r\nContent-Length: "), case let rest = head[field.upperBound...],
            let length = Int(rest.prefix { $0.isNumber }), let body = read(length)
        {
            log.change { $0.bodies.append(body) }
        }
        return head
    }

    /// Answers each request with 200 and its first line.
    func answerAll() {
        while let head = readHead() {
            let line = head.prefix { $0 != "\r\n" }
            write("HTTP/1.1 200 OK\r\nContent-Length: \(line.utf8.count)\r\n\r\n\(line)")
        }
    }

    /// Passes bytes both ways between here and a port of 127.0.0.1 until either side ends.
    ///
    /// - Parameter isDead: from then on nothing passes, and nobody is told.
    func relay(to port: Int, unless isDead: () -> Bool = { false }) {
        let other = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        defer { close(other) }
        guard withLoopback(port, { connect(other, $0, $1) }) == 0 else { return }
        var waiting = [descriptor, other].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var bytes = [UInt8](repeating: 0, count: 65536)
        while poll(&waiting, 2, -1) > 0 {
            for (from, to) in [(0, other), (1, descriptor)] where waiting[from].revents != 0 {
                let got = recv(waiting[from].fd, &bytes, bytes.count, 0)
                guard got > 0 else { return }
                if isDead() { continue }
                ListenerConnection(descriptor: to, log: log).write(Array(bytes.prefix(got)))
            }
        }
    }
}

/// The port the kernel chose.
func bindToLoopback(_ descriptor: CInt, _ isIPv6: Bool = false) -> Int? {
    let length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let isBound =
        if isIPv6 {
            withUnsafePointer(to: sockaddr_in6.loopback) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
            }
        } else {
            withLoopback(0) { bind(descriptor, $0, $1) }
        }
    return isBound == 0 ? port(of: descriptor, getsockname) : nil
}

/// The port a socket is connected to; nil for what is no connected socket.
func peerPort(of descriptor: CInt) -> Int? { port(of: descriptor, getpeername) }

private func port(
    of descriptor: CInt, _ name: (CInt, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> CInt
) -> Int? {
    var storage = sockaddr_in6()
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let result = withUnsafeMutablePointer(to: &storage) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name(descriptor, $0, &length) }
    }
    let isAddress = [AF_INET, AF_INET6].contains(CInt(storage.sin6_family))
    return result == 0 && isAddress ? Int(in_port_t(bigEndian: storage.sin6_port)) : nil  // where IPv4 has it too
}

extension sockaddr_in6 {
    static var loopback: sockaddr_in6 {
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        inet_pton(AF_INET6, "::1", &address.sin6_addr)
        return address
    }
}
