// One question put to one endpoint: authorised, led from redirect to redirect, counted.
import HTTPSemantics
import HTTPTypes
import Logging
import OCI

/// Who sends an answer, and on behalf of which endpoint.
struct Hop: Sendable {
    let endpoint: UpstreamEndpoint
    let origin: UpstreamURL.Origin
}

/// One question of the distribution API.
struct Question: Sendable {
    let endpoint: Endpoint
    let name: RepositoryName
    var method = HTTPRequest.Method.get
    var query: String?
    /// `Accept` and `Range`, where the question has them.
    var fields = HTTPFields()
    /// Of a blob: what a host is told of what it sent before.
    var blob: BlobRequest?
    var version = TransferRequest.Version.http2
    /// Whether the body's bytes count as received from the upstream, and for its bandwidth: blobs and manifests.
    var isCounted = false
    /// Whether "not by this method" is an answer: 405, or 403 from a host that was redirected to.
    var isTentative = false
    /// What to do with a 2xx that broke no general rule.
    var plan: @Sendable (ResponseHead, Hop, Exchange) -> Exchange.Plan
}

/// Asks one endpoint, and remembers what that endpoint is like.
final class EndpointAsker: Sendable {
    let endpoint: UpstreamEndpoint
    let ledger: EndpointLedger
    private let configuration: UpstreamConfiguration
    private let wire: Wire
    private let authorizer: EndpointAuthorizer

    /// What all endpoints of a registry share.
    struct Wire: Sendable {
        let transport: any Transport
        let clock: any Clock<Duration>
        let uptime: @Sendable () -> Duration
        let now: @Sendable () -> Int64
        let logger: Logger
        let rules: AnswerRules
        let bandwidth: Bandwidth?
    }

    init(_ endpoint: UpstreamEndpoint, _ configuration: UpstreamConfiguration, _ wire: Wire) {
        self.endpoint = endpoint
        self.configuration = configuration
        self.wire = wire
        ledger = EndpointLedger(url: "\(endpoint)", uptime: wire.uptime)
        authorizer = EndpointAuthorizer(endpoint: endpoint, configuration: configuration, uptime: wire.uptime) {
            request async throws(UpstreamError) in
            try await Self.fetch(request, configuration, wire)
        }
    }

    /// The 2xx answer, or why there is none. Hop by hop: at most five redirects, and one retry with a fresh token
    /// after a 401 of the endpoint's own.
    func answer(to question: Question) async throws(UpstreamError) -> Answer {
        guard endpoint.origin.isSecure || configuration.allowHTTP else {
            throw .refused("\(endpoint) is http, and allow-http is not set")
        }
        var way = Redirects(from: endpoint.url(question.endpoint, query: question.query))
        var authorization = try await authorizer.authorization(for: question.name)
        var hasRetried = false
        while true {
            let answer = try await hop(question, way, authorization)
            switch answer.head.status {
            case 200...299:
                return answer
            case 405 where question.isTentative, 403 where question.isTentative && !way.isHome:
                return answer
            case let status where Redirects.isRedirect(status):
                try way.follow(answer.head)
            case 401 where way.isHome && !hasRetried:
                hasRetried = true
                authorization = try await authorizer.answer(
                    to: answer.head, for: question.name, refused: authorization)
                if authorization == nil { throw error(of: answer, to: question, way) }
            default:
                throw error(of: answer, to: question, way)
            }
        }
    }

    private func error(of answer: Answer, to question: Question, _ way: Redirects) -> UpstreamError {
        AnswerRules.error(
            of: answer, from: way.url.origin, isHome: way.isHome, hasRange: question.fields[.range] != nil,
            now: wire.now())
    }

    private func hop(
        _ question: Question, _ way: Redirects, _ authorization: Authorization?
    ) async throws(UpstreamError) -> Answer {
        let origin = way.url.origin
        var fields = Self.fields(pseudonym: wire.rules.pseudonym)
        for field in question.fields { fields.append(field) }
        fields[.ifRange] = question.blob?.condition(for: origin.authority)
        if way.isHome {
            ledger.requested()
            if let authorization { fields[.authorization] = authorization.fieldValue }
        }
        let exchange = Exchange(
            hasBody: question.method != .head,
            // Not the question itself: its plan may hold a sink, which will hold this exchange.
            counted: { [ledger, isCounted = question.isCounted] in if isCounted { ledger.received($0) } },
            began: { [ledger] in ledger.answered() }, broke: { [ledger] in ledger.failed($0) },
            bandwidth: question.isCounted ? wire.bandwidth : nil,
            plan: { [endpoint, rules = wire.rules] head, exchange in
                if let refusal = rules.refusal(of: head, from: origin) { return .refuse(refusal) }
                guard (200...299).contains(head.status) else {
                    return .collect(limit: AnswerRules.errorBodyLimit, beyond: nil)
                }
                return question.plan(head, Hop(endpoint: endpoint, origin: origin), exchange)
            })
        let answer = try await exchange.answer(
            to: request(question.method, way.url, fields, question.version), over: wire.transport)
        if way.isHome, let limit = RateLimit(answer.head.fields) { ledger.saw(limit) }
        wire.logger.debug(
            "upstream answered",
            metadata: [
                "method": "\(question.method)", "url": "\(way.url)", "status": "\(answer.head.status)",
            ])
        return answer
    }

    /// One request to a token service, redirects not followed: its answer is a secret and its asker may show one.
    private static func fetch(
        _ request: TokenRequest, _ configuration: UpstreamConfiguration, _ wire: Wire
    ) async throws(UpstreamError) -> Token {
        var fields = fields(pseudonym: wire.rules.pseudonym)
        if let credentials = configuration.credentials { fields[.authorization] = credentials.basic }
        let sent = TransferRequest(
            method: .get, url: request.url, fields: fields, version: .http2,
            connectTimeout: configuration.connectTimeout, stallTimeout: configuration.stallTimeout)
        let origin = request.realm.origin
        let askedAt = wire.uptime()
        let answer = try await Deadline(configuration.firstByteTimeout, clock: wire.clock).bound {
            () async throws(UpstreamError) in
            let exchange = Exchange(hasBody: true) { [rules = wire.rules] head, _ in
                if let refusal = rules.refusal(of: head, from: origin) { return .refuse(refusal) }
                return .collect(
                    limit: TokenRequest.bodyLimit,
                    beyond: .refused("\(origin) answered more than \(TokenRequest.bodyLimit) bytes for a token"))
            }
            return try await exchange.answer(to: sent, over: wire.transport)
        }
        guard (200...299).contains(answer.head.status) else {
            wire.logger.debug(
                "no token", metadata: ["realm": "\(request.realm)", "status": "\(answer.head.status)"])
            let error = AnswerRules.error(of: answer, from: origin, isHome: true, now: wire.now())
            if case .unknown(let message) = error { throw .failed(status: answer.head.status, message: message) }
            throw error
        }
        return try TokenRequest.token(in: answer.body, askedAt: askedAt)
    }

    private func request(
        _ method: HTTPRequest.Method, _ url: UpstreamURL, _ fields: HTTPFields, _ version: TransferRequest.Version
    ) -> TransferRequest {
        TransferRequest(
            method: method, url: url, fields: fields, version: version,
            connectTimeout: configuration.connectTimeout, stallTimeout: configuration.stallTimeout)
    }

    /// What every request carries. Bytes are never decoded, so no content coding is asked for.
    private static func fields(pseudonym: String) -> HTTPFields {
        var fields = HTTPFields()
        fields[.acceptEncoding] = "identity"
        fields[.userAgent] = "wharf/0.1.0"
        fields[.via] = "1.1 \(pseudonym)"
        return fields
    }
}
