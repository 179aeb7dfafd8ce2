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
    /// Where it is put to an endpoint.
    let url: @Sendable (UpstreamEndpoint) -> UpstreamURL
    /// Whose token it takes; nil for what belongs to no repository, which is asked without one.
    let name: RepositoryName?
    var method = HTTPRequest.Method.get
    /// `Accept` and `Range`, where the question has them.
    var fields = HTTPFields()
    /// Of a blob: what a host is told of what it sent before.
    var blob: BlobRequest?
    var version = TransferRequest.Version.http2
    /// Whether the body's bytes count as received from the upstream, and for its bandwidth: blobs and manifests.
    var isCounted = false
    /// Whether it is about a manifest, which is what registries count and limit.
    var isPull = false
    /// It is asked only for a manifest that is another than this one, so that 304 is an answer: RFC 9110 §15.4.5.
    var known: Digest?
    /// Whether "not by this method" is an answer: 405, or 403 from a host that was redirected to.
    var isTentative = false
    /// What to do with a 2xx that broke no general rule.
    var plan: @Sendable (ResponseHead, Hop, Exchange) -> Exchange.Plan
}

extension Question {
    /// A question at an endpoint of the distribution API.
    init(
        _ endpoint: Endpoint, of name: RepositoryName, query: String? = nil, method: HTTPRequest.Method = .get,
        fields: HTTPFields = HTTPFields(), plan: @escaping @Sendable (ResponseHead, Hop, Exchange) -> Exchange.Plan
    ) {
        self.init(
            url: { $0.url(endpoint, query: query) }, name: name, method: method, fields: fields, plan: plan)
    }
}

/// Makes the requests of one endpoint's questions, and of those that its tokens take.
struct RequestSender: Sendable {
    /// Who a request is for.
    enum Party: Sendable {
        /// The endpoint itself.
        case home
        /// A token service that is trusted.
        case realm
        /// Whoever it redirects to.
        case elsewhere(AddressRule)
    }

    let configuration: UpstreamConfiguration
    let wire: EndpointAsker.Wire

    /// Every request to an upstream is made here. Bytes are never decoded, so no content coding is asked for.
    func request(
        _ method: HTTPRequest.Method, _ url: UpstreamURL, _ fields: HTTPFields, body: [UInt8] = [],
        version: TransferRequest.Version, to party: Party
    ) -> TransferRequest {
        var fields = fields
        fields[.acceptEncoding] = "identity"
        fields[.userAgent] = "wharf/0.1.0"
        fields[.via] = Via.current.adding(wire.rules.pseudonym)
        return TransferRequest(
            method: method, url: url, fields: fields, body: body, version: version,
            connectTimeout: configuration.connectTimeout, stallTimeout: configuration.stallTimeout,
            way: way(to: url.origin, party))
    }

    private func way(to origin: UpstreamURL.Origin, _ party: Party) -> Way {
        var way = Way(proxy: configuration.proxies.proxy(for: origin), caFile: configuration.caFile)
        switch party {
        case .home, .realm: way.identity = configuration.identity
        case .elsewhere(let rule): way.addresses = rule
        }
        return way
    }
}

/// Asks one endpoint, and remembers what that endpoint is like.
final class EndpointAsker: Sendable {
    let endpoint: UpstreamEndpoint
    let ledger: EndpointLedger
    private let configuration: UpstreamConfiguration
    private let wire: Wire
    private let sender: RequestSender
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
        ledger = EndpointLedger(url: "\(endpoint)", uptime: wire.uptime, now: wire.now)
        sender = RequestSender(configuration: configuration, wire: wire)
        authorizer = EndpointAuthorizer(endpoint, sender)
    }

    /// Another number once the credentials are others: what was said to the earlier ones means nothing then.
    var credentialRevision: Int { authorizer.credentialRevision }

    /// The 2xx answer, or why there is none. Hop by hop: at most five redirects, and one retry with a fresh token
    /// after a 401 of the endpoint's own.
    func answer(to question: Question) async throws(UpstreamError) -> Answer {
        guard endpoint.origin.isSecure || configuration.allowHTTP else {
            throw .refused("\(endpoint) is http, and allow-http is not set")
        }
        var way = Redirects(from: question.url(endpoint), home: endpoint.origin)
        /// The class of the address at which the endpoint was met.
        var home: AddressClass?
        var authorization = try await authorizer.authorization(for: question.name)
        var hasRetried = false
        while true {
            let answer = try await hop(question, way, authorization, home)
            if way.isHome { home = answer.head.remoteAddress.flatMap { AddressClass(literal: $0) } ?? home }
            if way.isHome, answer.head.status != 401, let authorization { authorizer.accepted(authorization) }
            switch answer.head.status {
            case 200...299:
                return answer
            case 304 where question.known != nil:
                guard let named = answer.head.contentDigest, named != question.known else { return answer }
                throw .contradicted("\(way.url.origin) says that a manifest has not changed, and names another")
            case 405 where question.isTentative, 403 where question.isTentative && !way.isHome:
                return answer
            case let status where Redirects.isRedirect(status):
                try way.follow(answer.head)
            case 401 where way.isHome:
                let shown = authorization
                authorization =
                    hasRetried
                    ? nil
                    : try await authorizer.answer(to: answer.head, for: question.name, refused: shown)
                hasRetried = true
                guard authorization != nil else {
                    throw authorizer.refusal(of: shown, for: question.name) ?? error(of: answer, to: question, way)
                }
            default:
                throw error(of: answer, to: question, way)
            }
        }
    }

    private func note(_ limit: RateLimit?, of question: Question, _ status: Int) {
        if let limit {
            ledger.saw(limit)
        } else if question.isPull, (200...299).contains(status) || status == 304 {
            ledger.sawNoLimit()
        }
    }

    private func party(_ way: Redirects, _ home: AddressClass?) -> RequestSender.Party {
        if way.isHome { return .home }
        // Where we go unled, as for Docker Hub's search, the address is whatever it is.
        guard way.isRedirected else { return .elsewhere(.any) }
        return .elsewhere(configuration.addresses(of: way.url.origin, from: endpoint, at: home))
    }

    private func error(of answer: Answer, to question: Question, _ way: Redirects) -> UpstreamError {
        let proxy = configuration.proxies.proxy(for: way.url.origin)
        if let proxy, proxy.speaksForItself(to: way.url.origin),
            let error = AnswerRules.proxyError(of: answer, proxy: proxy)
        {
            return error
        }
        return AnswerRules.error(
            of: answer, from: way.url.origin, isHome: way.isHome, hasRange: question.fields[.range] != nil,
            now: wire.now())
    }

    private func hop(
        _ question: Question, _ way: Redirects, _ authorization: Authorization?, _ home: AddressClass?
    ) async throws(UpstreamError) -> Answer {
        let origin = way.url.origin
        var fields = question.fields
        fields[.ifRange] = question.blob?.condition(for: origin.authority)
        if let known = question.known { fields[.ifNoneMatch] = "\"\(known)\"" }
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
            to: sender.request(
                question.method, way.url, fields, version: question.version, to: party(way, home)),
            over: wire.transport)
        ledger.answered(with: answer.head.status)
        if way.isHome { note(RateLimit(answer.head.fields), of: question, answer.head.status) }
        wire.logger.debug(
            "upstream answered",
            metadata: [
                "method": "\(question.method)", "url": "\(way.url)", "status": "\(answer.head.status)",
            ])
        return answer
    }
}
