// The table of our own errors: what each becomes, for a blob, a manifest and a name.

import HTTPSemantics
import OCI
import Testing

@testable import Frontend
@testable import PullThrough

@Suite("Errors: status and code") struct ErrorMappingTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let error: PullThroughError
        let manifest: (status: Int, code: String)
        /// The token of `Proxy-Status`; nil: none.
        let proxy: String?
        /// The upstream's own status in `Proxy-Status`.
        let received: Int?

        init(_ error: PullThroughError, _ status: Int, _ code: String, _ proxy: String?, received: Int? = nil) {
            self.error = error
            manifest = (status, code)
            self.proxy = proxy
            self.received = received
        }

        var testDescription: String { "\(error)" }
    }

    static let rows = [
        Row(.unknown("words"), 404, "MANIFEST_UNKNOWN", nil),
        Row(.schema1, 404, "MANIFEST_UNKNOWN", nil),
        Row(.denied(status: 401, "words"), 403, "DENIED", "http_request_error", received: 401),
        Row(.credentials("words"), 403, "DENIED", "proxy_configuration_error"),
        Row(.rateLimited(retryAfter: nil, "words"), 429, "TOOMANYREQUESTS", "http_request_error", received: 429),
        Row(.unreachable(.dnsError, "words"), 502, "UNAVAILABLE", "dns_error"),
        Row(.unreachable(.connectionRefused, "words"), 502, "UNAVAILABLE", "connection_refused"),
        Row(.unreachable(.tlsCertificateError, "words"), 502, "UNAVAILABLE", "tls_certificate_error"),
        Row(.unreachable(.httpResponseIncomplete, "words"), 502, "UNAVAILABLE", "http_response_incomplete"),
        Row(.unreachable(.destinationUnavailable, "words"), 503, "UNAVAILABLE", "destination_unavailable"),
        Row(.unreachable(.connectionLimitReached, "words"), 503, "UNAVAILABLE", "connection_limit_reached"),
        Row(.unreachable(.httpResponseTimeout, "words"), 504, "UNAVAILABLE", "http_response_timeout"),
        Row(.unreachable(.connectionTimeout, "words"), 504, "UNAVAILABLE", "connection_timeout"),
        Row(.unreachable(.dnsTimeout, "words"), 504, "UNAVAILABLE", "dns_timeout"),
        Row(.unreachable(.proxyInternalError, "words"), 502, "UNAVAILABLE", "proxy_internal_error"),
        Row(.unreachable(.proxyConfigurationError, "words"), 502, "UNAVAILABLE", "proxy_configuration_error"),
        Row(.unreachable(.proxyLoopDetected, "words"), 508, "UNAVAILABLE", "proxy_loop_detected"),
        Row(.failed(status: 500, "words"), 502, "UNAVAILABLE", "http_request_error", received: 500),
        Row(.failed(status: 503, "words"), 503, "UNAVAILABLE", "http_request_error", received: 503),
        Row(.failed(status: 504, "words"), 504, "UNAVAILABLE", "http_request_error", received: 504),
        Row(.failed(status: 400, "words"), 502, "UNAVAILABLE", "http_request_error", received: 400),
        Row(.unusable("words"), 502, "UNAVAILABLE", "http_protocol_error"),
        Row(.offline, 503, "UNAVAILABLE", "http_request_denied"),
        Row(.noSpace("words"), 500, "UNKNOWN", "proxy_internal_error"),
        Row(.store("words"), 500, "UNKNOWN", "proxy_internal_error"),
        Row(.noSuchUpstream("words"), 404, "NAME_UNKNOWN", nil),
        Row(.notAllowed("words"), 403, "DENIED", nil),
    ]

    @Test(arguments: rows) func `of a manifest is told as it is`(row: Row) async throws {
        let reply = Reply(ErrorMapping.response(to: row.error, about: .manifest))
        #expect(reply.status == row.manifest.status)
        #expect(try await reply.error()?.code == row.manifest.code)
        #expect(reply["Content-Type"] == "application/json")
    }

    @Test(arguments: rows) func `of a blob is always 404, unless nobody may pull it or the upstream is none`(
        row: Row
    ) async throws {
        let reply = Reply(ErrorMapping.response(to: row.error, about: .blob))
        let isOurs = [.noSuchUpstream("words"), .notAllowed("words")].contains(row.error)
        #expect(reply.status == (isOurs ? row.manifest.status : 404))
        #expect(try await reply.error()?.code == (isOurs ? row.manifest.code : "BLOB_UNKNOWN"))
        #expect(reply["Retry-After"] == nil)
    }

    @Test(arguments: rows) func `of a name is told as it is, and what is unknown is the name`(row: Row) async throws {
        let reply = Reply(ErrorMapping.response(to: row.error, about: .name))
        #expect(reply.status == row.manifest.status)
        let isUnknown = row.error == .unknown("words")
        #expect(try await reply.error()?.code == (isUnknown ? "NAME_UNKNOWN" : row.manifest.code))
    }

    @Test(arguments: rows, [ErrorMapping.Subject.blob, .manifest, .name])
    func `a failure is named in Proxy-Status and in the message, absence is not`(
        row: Row, subject: ErrorMapping.Subject
    ) async throws {
        let reply = Reply(ErrorMapping.response(to: row.error, about: subject))
        let words = row.error.message
        #expect(reply["Proxy-Status"] == row.proxy.map { error in
                    let received = row.received.map { "; received-status=\($0)" } ?? ""
                    return "wharf; error=\(error)\(received); details=\"\(words)\""
                })
        #expect(try await reply.error()?.message == words)
        // What our own cascade relies on: absence is never said with a failure's field, nor the reverse.
        #expect((reply["Proxy-Status"] != nil) == (row.error.isFailure))
    }

    @Test(
        arguments: [
            (delay: Duration?.none, field: "10"), (.seconds(30), "30"), (.milliseconds(1500), "2"), (.zero, "1"),
            (.seconds(21_600), "21600"),
        ]) func `a limit says when to come again, in whole seconds`(row: (delay: Duration?, field: String))
    {
        let error = PullThroughError.rateLimited(retryAfter: row.delay, "words")
        #expect(Reply(ErrorMapping.response(to: error, about: .manifest))["Retry-After"] == row.field)
    }

    @Test(
        arguments: [
            (error: PullThroughError.unknown(""), status: CacheStatus(forward: .miss), kind: RequestClass.miss),
            (.unknown(""), CacheStatus(detail: "negative"), .hit), (.schema1, CacheStatus(forward: .miss), .miss),
            (.unknown(""), CacheStatus(forward: .miss, isCollapsed: true), .collapsed),
            (.denied(status: 403, ""), CacheStatus(detail: "negative"), .error),
            (.denied(status: 401, ""), CacheStatus(forward: .miss), .error),
            (.rateLimited(retryAfter: nil, ""), CacheStatus(forward: .miss, isCollapsed: true), .error),
            (.offline, CacheStatus(forward: .miss), .error), (.store(""), CacheStatus(), .error),
            (.noSuchUpstream(""), CacheStatus(), .error), (.notAllowed(""), CacheStatus(), .error),
            (.credentials(""), CacheStatus(forward: .miss), .error),
        ]) func `only the upstream's own word counts as an answer`(
            row: (error: PullThroughError, status: CacheStatus, kind: RequestClass)
        )
    {
        #expect(Refusal(row.error, row.status).requestClass == row.kind)
    }
}
