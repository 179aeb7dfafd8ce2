// A way in libcurl's options: the proxy, what TLS trusts and shows, and the door at which addresses are judged.
import CCurl
import Glibc

/// Sets all that a way says but for its addresses. Where it says nothing, the environment is not heard either.
func setWay(_ way: Way, on easy: UnsafeMutableRawPointer) {
    // "" is none; nil would be what http_proxy and its like say, and NO_PROXY would be heard even beside a proxy.
    wharf_curl_set_text(easy, CURLOPT_PROXY, way.proxy.map { "\($0)" } ?? "")
    wharf_curl_set_text(easy, CURLOPT_NOPROXY, "")
    if let proxy = way.proxy {
        wharf_curl_set_text(easy, CURLOPT_PROXYUSERNAME, proxy.user)
        wharf_curl_set_text(easy, CURLOPT_PROXYPASSWORD, proxy.password)
        wharf_curl_set_long(easy, CURLOPT_SOCKS5_AUTH, wharf_curl_auth_basic())
        // The head of the answer to CONNECT is the proxy's, not the host's.
        wharf_curl_set_long(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
    }
    // Debian's libcurl goes on to trust its directory of certificates (CURLOPT_CAPATH) beside the file.
    if let file = way.caFile {
        wharf_curl_set_text(easy, CURLOPT_CAINFO, file)
        wharf_curl_set_text(easy, CURLOPT_PROXY_CAINFO, file)
        // CURLOPT_CA_CACHE_TIMEOUT, by number since libcurl has it from 7.87 on only, and keeps what a file said for a
        // day: what it says now is what counts.
        wharf_curl_set_long(easy, CURLoption(321), 0)
    }
    if let identity = way.identity {
        wharf_curl_set_text(easy, CURLOPT_SSLCERT, identity.certificateFile)
        wharf_curl_set_text(easy, CURLOPT_SSLKEY, identity.keyFile)
    }
}

/// What has happened at the door through which all connections of one transfer are made.
struct CurlDoor {
    /// A peer that acknowledges nothing for so long, in milliseconds, is gone: RFC 5482.
    private static let patience: UInt32 = 20_000

    let host: String
    let rule: AddressRule
    private var refusal: String?
    private var hasOpened = false

    init(host: String, rule: AddressRule) {
        self.host = host
        self.rule = rule
    }

    /// Why there is no connection, if addresses were refused and no other was there to be tried.
    var prohibition: String? { hasOpened ? nil : refusal }

    /// A socket for the very address that libcurl is about to connect to, or none: then it tries the host's next.
    ///
    /// It is not inherited by the programs that may be started meanwhile.
    mutating func open(_ wanted: UnsafePointer<curl_sockaddr>) -> curl_socket_t {
        guard let raw = wharf_curl_address(wanted), let address = IPAddress(socketAddress: raw) else {
            return CURL_SOCKET_BAD
        }
        if let words = rule.refusal(of: address, host: host) {
            refusal = refusal ?? words
            return CURL_SOCKET_BAD
        }
        hasOpened = true
        let kind = wanted.pointee.socktype | CInt(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(wanted.pointee.family, kind, wanted.pointee.protocol)
        var patience = Self.patience
        // Best effort: without it TCP itself gives up, a quarter of an hour later.
        setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_USER_TIMEOUT, &patience, socklen_t(MemoryLayout<UInt32>.size))
        return descriptor
    }
}
