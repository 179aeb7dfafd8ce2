// An http or https URL, taken apart and resolved by the very parser that will connect to it.
import CCurl

/// An absolute URL of a registry, a token service or a redirect's target.
///
/// libcurl's own parser reads it, so what is checked here (scheme, host, port) is what is connected to: two
/// parsers that disagree about a `Location` are a way around every rule about hosts. User names and passwords
/// inside a URL are refused, fragments dropped, percent-encoding left as it came.
///
/// Printing it gives no query: a signed `Location` carries its secret there.
package struct UpstreamURL: Hashable, Sendable, CustomStringConvertible {
    /// A scheme, a host and a port: what credentials are bound to (RFC 6454 §4).
    package struct Origin: Hashable, Sendable, CustomStringConvertible {
        package let isSecure: Bool
        /// Lowercase; an IPv6 address is in brackets.
        package let host: String
        package let port: Int

        package var description: String { "\(isSecure ? "https" : "http")://\(authority)" }

        /// As in a `Host` field: the port only where it is not the scheme's own.
        package var authority: String { port == (isSecure ? 443 : 80) ? host : "\(host):\(port)" }
    }

    package let origin: Origin
    /// The path, beginning with "/".
    package let path: String
    package let query: String?

    /// Spaces and bytes beyond ASCII are encoded, as libcurl does with a `Location`.
    private static let flags = CURLU_DISALLOW_USER | CURLU_URLENCODE

    /// Nil unless the text is an absolute http or https URL without user name and password.
    package init?(_ text: String) {
        guard let handle = CurlURLHandle(), handle.set(text, Self.flags) else { return nil }
        self.init(parsed: handle)
    }

    package init(origin: Origin, path: String, query: String? = nil) {
        self.origin = origin
        self.path = path
        self.query = query
    }

    private init?(parsed handle: borrowing CurlURLHandle) {
        // A host that is decoded once more when it is connected to would not be the one that was judged.
        guard let scheme = handle.part(CURLUPART_SCHEME), let host = handle.part(CURLUPART_HOST), !host.isEmpty,
            !host.contains("%"),
            let port = handle.part(CURLUPART_PORT, CURLU_DEFAULT_PORT).flatMap({ Int($0) }), port > 0,
            scheme == "https" || scheme == "http"
        else { return nil }
        origin = Origin(isSecure: scheme == "https", host: host.lowercased(), port: port)
        path = handle.part(CURLUPART_PATH) ?? "/"
        query = handle.part(CURLUPART_QUERY)
    }

    /// The target of a `Location` field on an answer from here: absolute or relative (RFC 9110 §10.2.2, RFC 3986 §5).
    package func resolving(_ location: String) -> UpstreamURL? {
        guard let handle = CurlURLHandle(), handle.set(absolute, Self.flags), handle.set(location, Self.flags)
        else { return nil }
        return UpstreamURL(parsed: handle)
    }

    /// The same URL with `name=value` added to its query, both percent-encoded.
    package func adding(_ items: [(name: String, value: String)]) -> UpstreamURL {
        let added = items.map { "\($0.name.percentEncoded)=\($0.value.percentEncoded)" }
        let all = (query.map { $0.isEmpty ? [] : [$0] } ?? []) + added
        return UpstreamURL(origin: origin, path: path, query: all.isEmpty ? nil : all.joined(separator: "&"))
    }

    /// The whole URL, its query included: for the wire, never for a log or an error.
    package var absolute: String { "\(origin)\(path)" + (query.map { "?\($0)" } ?? "") }

    package var description: String { "\(origin)\(path)" }
}

extension String {
    /// RFC 3986 §2.3: everything but the unreserved characters as %XX.
    fileprivate var percentEncoded: String {
        let digits = Array("0123456789ABCDEF".unicodeScalars)
        var encoded = String.UnicodeScalarView()
        for byte in utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: encoded.append(Unicode.Scalar(byte))
            default: encoded.append(contentsOf: ["%", digits[Int(byte >> 4)], digits[Int(byte & 15)]])
            }
        }
        return String(encoded)
    }
}
