// Proxies for tests: they take every name for the one port they were given, since names are theirs to look up.
import TestSupport

extension ListenerConnection {
    /// An HTTP proxy: CONNECT is tunnelled to the port, another request answered with its first line.
    /// - Parameter refusal: the status line with which CONNECT is refused.
    func proxyHTTP(to port: Int, refusal: String? = nil) {
        guard let head = readHead() else { return }
        guard head.hasPrefix("CONNECT ") else {
            let line = head.prefix { $0 != "\r\n" }
            return write("HTTP/1.1 200 OK\r\nContent-Length: \(line.utf8.count)\r\nConnection: close\r\n\r\n\(line)")
        }
        if let refusal { return write("HTTP/1.1 \(refusal)\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno") }
        write("HTTP/1.1 200 Connection established\r\nX-Of: the proxy\r\n\r\n")
        relay(to: port)
    }

    /// A SOCKS 5 server: RFC 1928, with the login of RFC 1929 if one is demanded.
    /// - Parameter reply: what is said to the CONNECT; 0 is yes.
    func proxySOCKS(to port: Int, demandsLogin: Bool = false, reply: UInt8 = 0) {
        guard let greeting = read(2), let methods = read(Int(greeting[1])) else { return }
        let method: UInt8 = demandsLogin ? 2 : 0
        guard methods.contains(method) else { return write([5, 0xFF]) }
        write([5, method])
        if demandsLogin {
            guard let user = readText(after: 1), let password = readText(after: 0) else { return }
            log.change { $0.logins.append("\(user):\(password)") }
            write([1, user == "user" ? 0 : 1])
            guard user == "user" else { return }
        }
        guard let request = read(4) else { return }
        var host = "an address"
        switch request[3] {
        case 1: _ = read(4)
        case 4: _ = read(16)
        default: host = readText(after: 0) ?? ""
        }
        guard let portBytes = read(2) else { return }
        log.change { $0.destinations.append("\(host):\(Int(portBytes[0]) << 8 | Int(portBytes[1]))") }
        write([5, reply, 0, 1, 0, 0, 0, 0, 0, 0])
        if reply == 0 { relay(to: port) }
    }

    /// A text with its length in one byte before it.
    private func readText(after skipped: Int) -> String? {
        guard read(skipped) != nil, let length = read(1), let bytes = read(Int(length[0])) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}
