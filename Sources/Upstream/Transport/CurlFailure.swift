// libcurl's result codes in the words of RFC 9209.
import CCurl
import Glibc
import HTTPSemantics

/// What libcurl knew when a transfer failed.
struct CurlFailure {
    let code: CURLcode
    /// `errno` of the failed connect, 0 if none.
    let systemError: CInt
    /// Whether the name was looked up, the connection made (TLS included), and the final head seen.
    let isResolved: Bool
    let isConnected: Bool
    let hasHead: Bool

    /// RFC 9209 §2.3, from the most telling fact down.
    var proxyError: ProxyError {
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: .dnsError
        case CURLE_COULDNT_CONNECT: refusal
        case CURLE_OPERATION_TIMEDOUT: timeout
        case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CIPHER, CURLE_USE_SSL_FAILED: .tlsProtocolError
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS: .tlsCertificateError
        case CURLE_PARTIAL_FILE: .httpResponseIncomplete
        case CURLE_GOT_NOTHING, CURLE_SEND_ERROR, CURLE_RECV_ERROR: .connectionTerminated
        case CURLE_HTTP2, CURLE_HTTP2_STREAM, CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL: .httpProtocolError
        default: .proxyInternalError
        }
    }

    private var refusal: ProxyError {
        switch systemError {
        case ENETUNREACH, EHOSTUNREACH, ENETDOWN: .destinationUnavailable
        case ETIMEDOUT: .connectionTimeout
        default: .connectionRefused
        }
    }

    private var timeout: ProxyError {
        if hasHead { return .connectionReadTimeout }
        if isConnected { return .httpResponseTimeout }
        return isResolved ? .connectionTimeout : .dnsTimeout
    }
}
