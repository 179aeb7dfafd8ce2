// What went wrong towards an upstream, in the words of RFC 9209, and the field that tells a client.

/// - Source: RFC 9209 §2.3; the raw values are the registered tokens.
package enum ProxyError: String, Sendable, CaseIterable {
    case dnsTimeout = "dns_timeout"
    case dnsError = "dns_error"
    case destinationNotFound = "destination_not_found"
    case destinationUnavailable = "destination_unavailable"
    case destinationIPProhibited = "destination_ip_prohibited"
    case destinationIPUnroutable = "destination_ip_unroutable"
    case connectionRefused = "connection_refused"
    case connectionTerminated = "connection_terminated"
    case connectionTimeout = "connection_timeout"
    case connectionReadTimeout = "connection_read_timeout"
    case connectionWriteTimeout = "connection_write_timeout"
    case connectionLimitReached = "connection_limit_reached"
    case tlsProtocolError = "tls_protocol_error"
    case tlsCertificateError = "tls_certificate_error"
    case tlsAlertReceived = "tls_alert_received"
    case httpRequestError = "http_request_error"
    case httpRequestDenied = "http_request_denied"
    case httpResponseIncomplete = "http_response_incomplete"
    case httpResponseHeaderSectionSize = "http_response_header_section_size"
    case httpResponseHeaderSize = "http_response_header_size"
    case httpResponseBodySize = "http_response_body_size"
    case httpResponseTransferCoding = "http_response_transfer_coding"
    case httpResponseContentCoding = "http_response_content_coding"
    case httpResponseTimeout = "http_response_timeout"
    case httpProtocolError = "http_protocol_error"
    case proxyInternalResponse = "proxy_internal_response"
    case proxyInternalError = "proxy_internal_error"
    case proxyConfigurationError = "proxy_configuration_error"
    case proxyLoopDetected = "proxy_loop_detected"

    /// The status that RFC 9209 §2.3 recommends for it.
    package var status: Int {
        switch self {
        case .dnsTimeout, .connectionTimeout, .connectionReadTimeout, .connectionWriteTimeout, .httpResponseTimeout:
            504
        case .destinationUnavailable, .connectionLimitReached: 503
        case .destinationNotFound, .proxyInternalError, .proxyConfigurationError: 500
        case .httpRequestError: 400
        case .httpRequestDenied: 403
        case .dnsError, .destinationIPProhibited, .destinationIPUnroutable, .connectionRefused,
            .connectionTerminated, .tlsProtocolError, .tlsCertificateError, .tlsAlertReceived,
            .httpResponseIncomplete, .httpResponseHeaderSectionSize, .httpResponseHeaderSize, .httpResponseBodySize,
            .httpResponseTransferCoding, .httpResponseContentCoding, .httpProtocolError, .proxyInternalResponse,
            .proxyLoopDetected:
            502
        }
    }
}

/// `wharf; error=connection_refused; next-hop="registry-1.docker.io"; details="…"`: RFC 9209 §2.
package struct ProxyStatus: Hashable, Sendable {
    package static let fieldName = "Proxy-Status"
    package static let proxyName = "wharf"

    /// `nil` where the upstream did answer, and `receivedStatus` says what.
    package var error: ProxyError?
    /// The host that was asked; never a whole URL, whose query may be a signature.
    package var nextHop: String?
    package var receivedStatus: Int?
    package var details: String?

    package init(
        error: ProxyError? = nil, nextHop: String? = nil, receivedStatus: Int? = nil, details: String? = nil
    ) {
        self.error = error
        self.nextHop = nextHop
        self.receivedStatus = receivedStatus
        self.details = details
    }
}

extension ProxyStatus: CustomStringConvertible {
    /// The field's value.
    package var description: String {
        var text = Self.proxyName
        if let error { text += "; error=\(error.rawValue)" }
        if let nextHop { text += "; next-hop=\(StructuredField.string(nextHop))" }
        if let receivedStatus { text += "; received-status=\(receivedStatus)" }
        if let details { text += "; details=\(StructuredField.string(details))" }
        return text
    }
}
