// libcurl's result codes in the words of RFC 9209.
import CCurl
import Glibc
import HTTPSemantics

/// What was known when a transfer failed.
struct CurlFailure {
    let code: CURLcode
    /// libcurl's own; they never hold a URL's query.
    let words: String
    let request: TransferRequest
    /// Why an address of the host was not connected to, if no other could be tried either.
    let prohibition: String?
    /// `errno` of the failed connect, 0 if none.
    let systemError: CInt
    /// What the proxy answered: the status to CONNECT, or libcurl's code for what SOCKS said; 0 if it said nothing.
    let connectStatus: Int
    let socksReply: CURLproxycode
    /// Whether the name was looked up, the connection made (TLS included), and the final head seen.
    let isResolved: Bool
    let isConnected: Bool
    let hasHead: Bool

    /// The token of RFC 9209 §2.3 and words for people, from the most telling fact down.
    var end: TransferEnd {
        if let prohibition { return .failed(.destinationIPProhibited, prohibition) }
        if isHeadTooLong {
            let words = "more than \(TransferState.headLimit) bytes of header fields"
            return .failed(.httpResponseHeaderSectionSize, words)
        }
        if let file = unusableFile { return .failed(.proxyConfigurationError, "\(file) cannot be used: \(words)") }
        guard let proxy = request.way.proxy, !isConnected else { return .failed(token, words) }
        guard connectStatus < 400 else {
            let target = "\(request.url.origin.host):\(request.url.origin.port)"
            let token: ProxyError = connectStatus == 407 ? .proxyConfigurationError : .destinationUnavailable
            return .failed(token, "the proxy \(proxy) answered \(connectStatus) to CONNECT \(target)")
        }
        return .failed(token, "through the proxy \(proxy): \(words)")
    }

    private var token: ProxyError {
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: .dnsError
        case CURLE_COULDNT_CONNECT: refusal
        case CURLE_PROXY: refusalBySOCKS
        case CURLE_OPERATION_TIMEDOUT: timeout
        case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CIPHER, CURLE_USE_SSL_FAILED: .tlsProtocolError
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS: .tlsCertificateError
        case CURLE_SSL_CLIENTCERT: .tlsAlertReceived
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

    /// RFC 1928 §6 and RFC 1929 §2.
    private var refusalBySOCKS: ProxyError {
        switch socksReply {
        case CURLPX_NO_AUTH, CURLPX_USER_REJECTED, CURLPX_LONG_USER, CURLPX_LONG_PASSWD: .proxyConfigurationError
        case CURLPX_REPLY_CONNECTION_REFUSED: .connectionRefused
        case CURLPX_REPLY_TTL_EXPIRED: .connectionTimeout
        default: .destinationUnavailable
        }
    }

    private var timeout: ProxyError {
        if hasHead { return .connectionReadTimeout }
        if isConnected { return .httpResponseTimeout }
        return isResolved ? .connectionTimeout : .dnsTimeout
    }

    /// libcurl has a limit of its own that one line may reach before ours: 100 KiB, told as a want of memory or, since
    /// 8.6, as error 100 (`CURLE_TOO_LARGE`).
    private var isHeadTooLong: Bool {
        isConnected && !hasHead && (code == CURLE_OUT_OF_MEMORY || code.rawValue == 100)
    }

    /// The file of our own without which there can be no connection.
    private var unusableFile: String? {
        switch code {
        case CURLE_SSL_CACERT_BADFILE: request.way.caFile.map { "the CA file \($0)" }
        case CURLE_SSL_CERTPROBLEM:
            request.way.identity.map { "the client certificate \($0.certificateFile) with the key \($0.keyFile)" }
        default: nil
        }
    }
}
