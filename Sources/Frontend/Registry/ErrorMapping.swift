// The only place where an error of ours becomes an OCI code and a status.

import HTTPSemantics
import HTTPServer
import HTTPTypes
import Hosting
import OCI
import PullThrough

enum ErrorMapping {
    /// What was asked for: clients react to the same failure differently.
    enum Subject { case blob, manifest, name }

    static func response(
        _ status: HTTPResponse.Status, _ code: ErrorCode, _ message: String?, fields: HTTPFields = [:]
    ) -> Response {
        var fields = fields
        fields[.contentType] = "application/json"
        return Response(status: status, fields: fields, body: .bytes(ErrorBody.json(code, message)))
    }

    /// A refused pull, with how the cache came to it.
    static func response(to refusal: Refusal, about subject: Subject) -> Response {
        var response = response(to: refusal.error, about: subject)
        response.fields[.cacheStatus] = "\(refusal.status)"
        return response
    }

    /// A blob that cannot be had is 404 whatever the reason: Docker then goes to the registry itself at once, where a
    /// 500 or 429 would cost it 75 s of retries. A manifest's failure is told as it is: never does an outage or a
    /// limit look like absence.
    static func response(to error: PullThroughError, about subject: Subject) -> Response {
        let (status, code) = statusAndCode(error, subject)
        var fields = HTTPFields()
        if let proxyError = error.proxyError ?? ownFailure(error) {
            fields[.proxyStatus] = "\(ProxyStatus(proxyError, error))"
        }
        if status == .tooManyRequests { fields[.retryAfter] = "\(retryAfter(error))" }
        return response(status, code, error.message, fields: fields)
    }

    /// RFC 9209 §2.3 for failures on this side of the network: a 404 made of them must not pass for absence either.
    private static func ownFailure(_ error: PullThroughError) -> ProxyError? {
        switch error {
        case .offline: .httpRequestDenied  // by configuration, and nobody was asked
        case .noSpace, .store: .proxyInternalError
        case .unknown, .denied, .credentials, .rateLimited, .unreachable, .failed, .unusable, .schema1,
            .noSuchUpstream, .notAllowed:
            nil
        }
    }

    static func response(to error: EndpointError, isRead: Bool) -> Response {
        switch error {
        case .notAnEndpoint: response(.notFound, .unsupported, "there is no such endpoint")
        case .nameInvalid(let name): response(.badRequest, .nameInvalid, "\(name) is no repository name")
        case .digestInvalid(let digest): response(.badRequest, .digestInvalid, "\(digest) is no digest")
        case .tagInvalid(_, let tag):
            isRead
                ? response(.notFound, .manifestUnknown, "\(tag) is no tag, so there is no such manifest")
                : response(.badRequest, .nameInvalid, "\(tag) is no tag")
        }
    }

    /// What concerns a hosted repository. Nobody stands behind it: a blob's failure is told as it is.
    static func response(to error: HostingError) -> Response {
        let (status, code) = statusAndCode(error)
        var fields = HTTPFields()
        if status == .serviceUnavailable { fields[.retryAfter] = "5" }
        return response(status, code, error.message, fields: fields)
    }

    private static func statusAndCode(_ error: HostingError) -> (HTTPResponse.Status, ErrorCode) {
        switch error {
        case .blobUnknown: (.notFound, .blobUnknown)
        case .manifestUnknown: (.notFound, .manifestUnknown)
        case .nameUnknown: (.notFound, .nameUnknown)
        case .uploadUnknown: (.notFound, .blobUploadUnknown)
        case .uploadBusy: (.conflict, .blobUploadInvalid)
        case .chunkOutOfOrder: (.rangeNotSatisfiable, .blobUploadInvalid)
        case .sizeInvalid: (.badRequest, .sizeInvalid)
        case .bodyBroken: (.badRequest, .blobUploadInvalid)
        case .digestMismatch: (.badRequest, .digestInvalid)
        case .manifestInvalid: (.badRequest, .manifestInvalid)
        case .manifestTooLarge: (.contentTooLarge, .sizeInvalid)
        case .blobsMissing: (.notFound, .manifestBlobUnknown)
        case .denied, .overQuota: (.forbidden, .denied)
        case .noRoom: (.init(code: 507, reasonPhrase: "Insufficient Storage"), .denied)
        case .unavailable: (.serviceUnavailable, .unavailable)
        case .store: (.internalServerError, .unknown)
        }
    }

    private static func statusAndCode(
        _ error: PullThroughError, _ subject: Subject
    ) -> (HTTPResponse.Status, ErrorCode) {
        if case .noSuchUpstream = error { return (.notFound, .nameUnknown) }
        if case .notAllowed = error { return (.forbidden, .denied) }
        if subject == .blob { return (.notFound, .blobUnknown) }
        switch error {
        case .unknown: return (.notFound, subject == .name ? .nameUnknown : .manifestUnknown)
        case .schema1: return (.notFound, .manifestUnknown)
        case .denied, .credentials, .notAllowed: return (.forbidden, .denied)
        case .rateLimited: return (.tooManyRequests, .tooManyRequests)
        case .unreachable(.proxyLoopDetected, _): return (.init(code: 508, reasonPhrase: "Loop Detected"), .unavailable)
        case .unreachable(let proxyError, _):
            return (
                (502...504).contains(proxyError.status) ? .init(code: proxyError.status) : .badGateway, .unavailable
            )
        case .failed(let status, _):
            return (status == 503 || status == 504 ? .init(code: status) : .badGateway, .unavailable)
        case .unusable: return (.badGateway, .unavailable)
        case .offline: return (.serviceUnavailable, .unavailable)
        case .noSuchUpstream: return (.notFound, .nameUnknown)
        case .noSpace, .store: return (.internalServerError, .unknown)
        }
    }

    /// Seconds, rounded up; a few where the upstream named none, for clients that obey it.
    private static func retryAfter(_ error: PullThroughError) -> Int64 {
        guard case .rateLimited(let delay?, _) = error else { return 10 }
        let (seconds, rest) = delay.components
        return max(1, seconds + (rest > 0 ? 1 : 0))
    }
}

extension ProxyStatus {
    /// What went wrong, and the status that the upstream gave for it.
    init(_ proxyError: ProxyError, _ error: PullThroughError) {
        self.init(error: proxyError, receivedStatus: error.upstreamStatus, details: error.message)
    }
}

extension Refusal {
    /// Absence in the upstream's own words is an answer, and remembered absence a hit; all else is our error.
    var requestClass: RequestClass { error.isAbsence ? status.requestClass : .error }
}
