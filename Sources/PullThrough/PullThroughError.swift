// Why a pull was refused: the hands' facts restated in words of this room, so that the face needs to know no other.

package import HTTPSemantics
import Store
import Upstream

package enum PullThroughError: Error, Equatable, Sendable {
    /// The upstream has no such manifest or blob in that repository; its own words.
    case unknown(String)
    /// The upstream lets nobody in with the credentials there are: no such repository, or it is private. 401 or 403.
    case denied(status: Int, String)
    /// The upstream does not accept the credentials that this mirror is configured with.
    case credentials(String)
    /// 429; nil if the upstream named no delay.
    case rateLimited(retryAfter: Duration?, String)
    /// Nobody there, or nobody in time.
    case unreachable(ProxyError, String)
    /// It answered with a status that helps nobody.
    case failed(status: Int, String)
    /// It answered with what may not be stored or served: wrong digest, HTML, too large, a redirect we do not follow.
    case unusable(String)
    /// The upstream has it as a schema 1 manifest only.
    case schema1
    /// The host in the path or in `ns=` is no upstream of ours.
    case noSuchUpstream(String)
    /// The configuration does not allow this repository; its name.
    case notAllowed(String)
    /// Nothing stored, and the configuration says to ask nobody.
    case offline
    /// The disk or the cache's bound has no room for it.
    case noSpace(String)
    /// Our own store failed.
    case store(String)

    init(_ error: UpstreamError, of upstream: String) {
        self =
            switch error {
            case .unknown(let message): .unknown("\(upstream) says: \(message)")
            case .denied(let status, let message):
                .denied(
                    status: status, "\(upstream) says: no such repository, or it is private (\(message))")
            case .credentialsRefused(let message): .credentials("\(upstream): \(message)")
            case .rateLimited(let delay, let message): .rateLimited(retryAfter: delay, "\(upstream) says: \(message)")
            case .failed(let status, let message): .failed(status: status, "\(upstream) answered \(status): \(message)")
            case .unreachable(let kind, let message): .unreachable(kind, "\(upstream): \(message)")
            case .refused(let reason), .contradicted(let reason): .unusable("\(upstream): \(reason)")
            case .incomplete(let received, let expected):
                .unreachable(
                    .httpResponseIncomplete, "\(upstream): the body ended after \(received) of \(expected) bytes")
            case .unsatisfiable(let size):
                .unusable(
                    "\(upstream): the range asked for is beyond the end"
                        + (size.map { ", which it says is at \($0) bytes" } ?? ""))
            case .cancelled: .unreachable(.proxyInternalError, "\(upstream): the request was given up")
            }
    }

    init(_ error: StoreError) {
        self =
            switch error {
            case .noSpace: .noSpace("\(error)")
            case .digestMismatch, .sizeMismatch: .unusable("\(error)")
            case .io, .database, .inUse, .ended, .overQuota, .hostedUnread: .store("\(error)")
            }
    }

    /// Whether the upstream failed, rather than answered: then a stored tag is served although it is stale, and a 404
    /// made of it is counted as an error and never remembered.
    package var isFailure: Bool {
        switch self {
        case .unknown, .schema1, .noSuchUpstream, .notAllowed: false
        case .denied, .credentials, .rateLimited, .unreachable, .failed, .unusable, .offline, .noSpace, .store: true
        }
    }

    /// The upstream's own word that there is no such thing.
    package var isAbsence: Bool {
        switch self {
        case .unknown, .schema1: true
        case .denied, .credentials, .rateLimited, .unreachable, .failed, .unusable, .noSuchUpstream, .notAllowed,
            .offline, .noSpace, .store:
            false
        }
    }

    /// For `Proxy-Status`: what went wrong towards the upstream, if it was the upstream.
    package var proxyError: ProxyError? {
        switch self {
        case .unreachable(let error, _): error
        case .denied, .rateLimited, .failed: .httpRequestError
        case .credentials: .proxyConfigurationError
        case .unusable: .httpProtocolError
        case .unknown, .schema1, .noSuchUpstream, .notAllowed, .offline, .noSpace, .store: nil
        }
    }

    /// A question that goes on while what is stored is served.
    static func late(_ upstream: String) -> PullThroughError {
        .unreachable(.httpResponseTimeout, "\(upstream) has not answered yet")
    }

    /// What it says it has not learnt of late.
    static func staleMirror(_ upstream: String) -> PullThroughError {
        .unreachable(.destinationUnavailable, "\(upstream) is a mirror whose own upstream fails")
    }

    /// Whether what it gave may not be stored or served.
    var isUnusable: Bool {
        switch self {
        case .unusable, .schema1: true
        default: false
        }
    }

    /// Whether it is about the upstream at all, and no limit, which has a rule and an end of its own.
    var isUpstreamsFault: Bool {
        switch self {
        case .rateLimited, .offline, .noSpace, .store, .notAllowed, .noSuchUpstream: false
        case .unknown, .schema1, .denied, .credentials, .unreachable, .failed, .unusable: true
        }
    }

    /// Whether the upstream has said nothing, for as long as it was waited for.
    var isSilence: Bool {
        switch self {
        case .unreachable(.httpResponseTimeout, _), .unreachable(.connectionTimeout, _), .unreachable(.dnsTimeout, _),
            .unreachable(.connectionReadTimeout, _):
            true
        default: false
        }
    }

    package var message: String {
        switch self {
        case .unknown(let text), .denied(_, let text), .credentials(let text), .rateLimited(_, let text),
            .unreachable(_, let text), .failed(_, let text), .unusable(let text), .noSpace(let text), .store(let text):
            text
        case .schema1:
            "only a schema 1 manifest is there, and those are not served: push the image again with a current client"
        case .noSuchUpstream(let host): "\(host) is no upstream of this mirror"
        case .notAllowed(let name): "this mirror is not allowed to pull \(name): see allow and deny of its upstream"
        case .offline: "this mirror is offline and does not have it"
        }
    }
}

/// A pull refused, and how the cache came to it.
package struct Refusal: Error, Sendable {
    package let error: PullThroughError
    package let status: CacheStatus

    package init(_ error: PullThroughError, _ status: CacheStatus) {
        self.error = error
        self.status = status
    }
}
