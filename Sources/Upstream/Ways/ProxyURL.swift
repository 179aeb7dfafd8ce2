// The URL of a proxy, and how much of it may be said aloud.

/// A proxy, and who we are to it. Printed, interpolated or dumped, it shows no user name and no password.
package struct ProxyURL: Hashable, Sendable {
    package enum Scheme: String, Sendable {
        case http, https
        /// SOCKS 5 with the name looked up by the proxy (RFC 1928 §4, ATYP 3).
        case socks5h

        /// As Go's clients have it; libcurl's own would be 1080 for http too.
        fileprivate var defaultPort: Int {
            switch self {
            case .http: 80
            case .https: 443
            case .socks5h: 1080
            }
        }
    }

    package let scheme: Scheme
    /// Lowercase; an IPv6 address is in brackets.
    package let host: String
    package let port: Int
    /// RFC 7617 towards http and https, RFC 1929 towards SOCKS.
    let user: String?
    let password: String?

    /// Whether what it says itself cannot be told from what the host says: where it forwards in the clear.
    func speaksForItself(to origin: UpstreamURL.Origin) -> Bool { scheme != .socks5h && !origin.isSecure }

    /// Nil unless the text is `http`, `https` or `socks5h`, `://`, perhaps `user:password@`, a host, perhaps a port,
    /// and nothing more than a "/".
    package init?(_ text: String) {
        guard let parts = URLParts(ofProxy: text), let scheme = Scheme(rawValue: parts.scheme) else { return nil }
        guard parts.path == "/", parts.query == nil, parts.fragment == nil else { return nil }
        self.scheme = scheme
        host = parts.host
        port = parts.port ?? scheme.defaultPort
        user = parts.user
        password = parts.password
    }

    /// As it stands in `https_proxy` and its like, where a scheme may be missing, which means http, and `socks5` is
    /// how `socks5h` is written: Go's clients have the proxy look the name up.
    init?(environment text: String) {
        guard let schemeEnd = text.firstRange(of: "://") else {
            self.init("http://\(text)")
            return
        }
        let isSOCKS = text[..<schemeEnd.lowerBound].lowercased() == "socks5"
        self.init(isSOCKS ? "socks5h\(text[schemeEnd.lowerBound...])" : text)
    }
}

extension ProxyURL: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "\(scheme.rawValue)://\(host):\(port)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
