// Why an upstream gave no answer that can be used.
package import HTTPSemantics

/// One failure of a verb of `UpstreamRegistry`. The texts are for people: what the upstream said or which rule of
/// ours was broken, printable and short, never holding a credential or a URL's query.
package enum UpstreamError: Error, Equatable, Sendable {
    /// The registry itself answered 404: it has no such manifest, blob or repository.
    case unknown(message: String)
    /// 401 or 403 from the registry or its token service, with what we have to show shown.
    case denied(status: Int, message: String)
    /// The credentials that we are configured with are not accepted, or cannot be had: for people to put right.
    case credentialsRefused(message: String)
    /// 429; no delay if the upstream named none.
    case rateLimited(retryAfter: Duration?, message: String)
    /// Any other status, and any refusal by a host that the registry redirected to.
    case failed(status: Int, message: String)
    /// No answer was had, or none that is HTTP.
    case unreachable(ProxyError, String)
    /// An answer that a rule of ours forbids to use: a strange realm or redirect, HTML, a range nobody asked for.
    case refused(String)
    /// An answer that contradicts what this or another upstream has said of the same bytes.
    case contradicted(String)
    /// 416 from whoever has the bytes: there are none in the range that was asked for. The blob's size in bytes, if it
    /// was told.
    case unsatisfiable(size: Int64?)
    /// The body ended early, in bytes; the rest may be asked for from `received` on.
    case incomplete(received: Int64, expected: Int64)
    /// By our own side: the task or the transfer was cancelled, or a sink said `.abort`.
    case cancelled

    /// Whether the same request may succeed if sent again unchanged.
    package var isTransient: Bool {
        switch self {
        case .unreachable(.proxyLoopDetected, _), .unreachable(.destinationIPProhibited, _),
            .unreachable(.proxyConfigurationError, _):
            false
        case .unreachable, .rateLimited, .incomplete: true
        case .failed(let status, _): status >= 500 && status != 501 || status == 408 || status == 425
        case .unknown, .denied, .credentialsRefused, .refused, .contradicted, .unsatisfiable, .cancelled: false
        }
    }

    /// The token of RFC 9209 §2.3 that tells a client of this failure.
    package var proxyError: ProxyError {
        switch self {
        case .unknown: .destinationNotFound
        case .denied, .credentialsRefused: .httpRequestDenied
        case .rateLimited: .connectionLimitReached
        case .failed, .unsatisfiable: .httpRequestError
        case .unreachable(let error, _): error
        case .refused, .contradicted: .httpProtocolError
        case .incomplete: .httpResponseIncomplete
        case .cancelled: .proxyInternalError
        }
    }

    /// Whether another endpoint of the same registry may do better. A registry's own no is final; one to credentials
    /// that it does not know is none about what was asked.
    var mayTryNextEndpoint: Bool {
        switch self {
        case .credentialsRefused, .unreachable, .rateLimited, .refused, .contradicted, .unsatisfiable: true
        case .failed: true
        case .incomplete: isTransient
        case .unknown, .denied, .cancelled: false
        }
    }

    /// Whether the endpoint has said something, be it no help.
    var isAnswer: Bool {
        switch self {
        case .unknown, .denied, .credentialsRefused, .rateLimited, .failed, .unsatisfiable: true
        case .refused, .contradicted, .unreachable, .incomplete, .cancelled: false
        }
    }

    /// Whether it counts as an error of the endpoint in its figures.
    var isEndpointError: Bool {
        switch self {
        case .credentialsRefused, .unreachable, .rateLimited, .refused, .contradicted, .unsatisfiable, .failed,
            .incomplete:
            true
        case .unknown, .denied, .cancelled: false
        }
    }

    /// Whether the endpoint is better asked after the others for a while.
    var isOutage: Bool {
        switch self {
        case .unreachable(.proxyLoopDetected, _), .unreachable(.destinationIPProhibited, _): false
        case .unreachable, .refused, .contradicted, .incomplete: true
        case .failed: isTransient
        case .unknown, .denied, .credentialsRefused, .rateLimited, .unsatisfiable, .cancelled: false
        }
    }
}

extension UpstreamError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unknown(let message): "unknown: \(message)"
        case .denied(let status, let message): "denied with \(status): \(message)"
        case .credentialsRefused(let message): "credentials refused: \(message)"
        case .rateLimited(let delay, let message):
            "rate limited" + (delay.map { ", ask again in \($0.components.seconds) s" } ?? "") + ": \(message)"
        case .failed(let status, let message): "failed with \(status): \(message)"
        case .unreachable(let error, let words): "\(error.rawValue): \(words)"
        case .refused(let rule): "refused: \(rule)"
        case .contradicted(let words): "contradiction: \(words)"
        case .unsatisfiable(let size):
            "has no byte in that range" + (size.map { ", only \($0) bytes in all" } ?? "")
        case .incomplete(let received, let expected): "ended after \(received) of \(expected) bytes"
        case .cancelled: "cancelled"
        }
    }
}
