// libcurl's URL parser, in Swift's words.
import CCurl

/// Owns a `CURLU`.
struct CurlURLHandle: ~Copyable {
    private let raw: OpaquePointer

    init?() {
        guard let raw = curl_url() else { return nil }
        self.raw = raw
    }

    deinit { curl_url_cleanup(raw) }

    /// Sets the whole URL, or resolves a relative one against it. The path stays as it came; `flags` are libcurl's.
    func set(_ text: String, _ flags: CInt) -> Bool {
        curl_url_set(raw, CURLUPART_URL, text, UInt32(CURLU_PATH_AS_IS | flags)) == CURLUE_OK
    }

    /// Nil where the URL has no such part.
    func part(_ part: CURLUPart, _ flags: CInt = 0) -> String? {
        var text: UnsafeMutablePointer<CChar>?
        guard curl_url_get(raw, part, &text, UInt32(flags)) == CURLUE_OK, let text else { return nil }
        defer { curl_free(text) }
        return String(cString: text)
    }
}

/// The parts of a proxy's URL, of whatever scheme, as the library that will connect to it understands them.
struct URLParts {
    let scheme: String
    /// Lowercase; an IPv6 address is in brackets.
    let host: String
    /// Nil where the text has none.
    let port: Int?
    /// Decoded.
    let user: String?
    let password: String?
    let path: String
    let query: String?
    let fragment: String?

    /// Nil for what is no URL with a scheme and a host, and where a user name or a password holds control characters.
    init?(ofProxy text: String) {
        guard let handle = CurlURLHandle(), handle.set(text, CURLU_NON_SUPPORT_SCHEME) else { return nil }
        guard let scheme = handle.part(CURLUPART_SCHEME), let host = handle.part(CURLUPART_HOST), !host.isEmpty,
            !host.contains("%")
        else { return nil }
        self.scheme = scheme.lowercased()
        self.host = host.lowercased()
        port = handle.part(CURLUPART_PORT).flatMap { Int($0) }
        user = handle.part(CURLUPART_USER, CURLU_URLDECODE)
        password = handle.part(CURLUPART_PASSWORD, CURLU_URLDECODE)
        if user == nil && handle.part(CURLUPART_USER) != nil { return nil }
        if password == nil && handle.part(CURLUPART_PASSWORD) != nil { return nil }
        path = handle.part(CURLUPART_PATH) ?? "/"
        query = handle.part(CURLUPART_QUERY)
        fragment = handle.part(CURLUPART_FRAGMENT)
    }
}
