// One upstream registry: its verbs, tried endpoint by endpoint within one deadline.
import HTTPSemantics
import HTTPTypes
package import Logging
package import OCI
import Synchronization

/// Asks one upstream.
///
/// Every verb is bounded by `firstByteTimeout` before its head, tokens, redirects and further endpoints included; a
/// cancelled task cancels its transfer. Endpoints are tried in their order, those that failed of late last (`Breaker`);
/// the next one is asked after a failure to answer, a 5xx or a 429, never after the registry's own no.
package final class UpstreamRegistry: Sendable {
    package let configuration: UpstreamConfiguration
    /// Who may have one of the connections for blobs. `blob` does not ask it: whoever calls that has a ticket.
    package let budget: ConnectionBudget
    private let askers: [EndpointAsker]
    private let clock: any Clock<Duration>
    private let uptime: @Sendable () -> Duration
    private let logger: Logger
    /// When a question about freshness last went out while nothing may be pulled.
    private let askedWhileSpent = Mutex<Duration?>(nil)
    /// The credentials that the allowances are those of.
    private let allowedRevision = Mutex(0)

    /// - Parameters:
    ///   - now: wall-clock seconds since 1970, for `Retry-After` as a date.
    ///   - instance: told upstream as `Via: 1.1 wharf-<instance>`, and recognised as our own.
    ///   - memos: what `memos` gave in an earlier run.
    package init(
        _ configuration: UpstreamConfiguration, transport: any Transport, clock: any Clock<Duration>,
        now: @escaping @Sendable () -> Int64, logger: Logger, instance: String,
        memos: [String: String] = [:]
    ) {
        self.configuration = configuration
        budget = ConnectionBudget(limit: configuration.maxTransfers, clock: clock)
        self.clock = clock
        var logger = logger
        logger[metadataKey: "upstream"] = "\(configuration.name)"
        self.logger = logger
        uptime = stopwatch(clock)
        let wire = EndpointAsker.Wire(
            transport: transport, clock: clock, uptime: uptime, now: now, logger: logger,
            rules: AnswerRules(pseudonym: "wharf-\(instance)"),
            bandwidth: configuration.maxBandwidth.map { Bandwidth(bytesPerSecond: $0, clock: clock) })
        askers = configuration.endpoints.map { EndpointAsker($0, configuration, wire) }
        for asker in askers {
            if let memo = memos[memoName(of: asker)] { asker.ledger.restore(memo, of: configuration.account) }
        }
        let revision = credentialRevision
        allowedRevision.withLock { $0 = revision }
    }

    /// One an endpoint, in the configuration's order.
    package var figures: [EndpointFigures] { askers.map(\.ledger.figures) }

    /// What is to be remembered over a restart, by names that no other upstream uses.
    package var memos: [String: String] {
        forgetAllowancesOfOthers()
        return Dictionary(
            askers.map { (memoName(of: $0), $0.ledger.memo(of: configuration.account)) }, uniquingKeysWith: { $1 })
    }

    private func memoName(of asker: EndpointAsker) -> String { "endpoint \(configuration.name) \(asker.endpoint)" }

    /// Whether it takes credentials of ours to read from it.
    package var hasCredentials: Bool { !configuration.credentials.isAnonymous }

    /// Another number once the credentials are others: what was said to the earlier ones means nothing then.
    package var credentialRevision: Int { askers.reduce(0) { $0 + $1.credentialRevision } }

    // MARK: How much may be pulled

    /// Every endpoint that answers has said that no manifest may be got from it just now: what is stored must not cost
    /// one.
    package var isSpent: Bool {
        forgetAllowancesOfOthers()
        return askers.contains(where: \.ledger.isSpent) && askers.allSatisfy { $0.ledger.isSpent || $0.ledger.isMarked }
    }

    /// What was told to other credentials is void.
    private func forgetAllowancesOfOthers() {
        let revision = credentialRevision
        let isOther = allowedRevision.withLock { known in
            defer { known = revision }
            return known != revision
        }
        if isOther { for asker in askers { asker.ledger.forgetAllowance() } }
    }

    /// While that is so: whether a tag may be resolved by `HEAD`, which is not counted, to find the end of it. Once a
    /// minute the answer is yes.
    package func mayResolveWhileSpent() -> Bool {
        // Nothing else may be asked meanwhile, and an endpoint that is down may be what there is to wait for.
        if askers.count > 1 { probe() }
        let now = uptime()
        return askedWhileSpent.withLock { last in
            if let last, now - last < .seconds(60) { return false }
            last = now
            return true
        }
    }

    /// Nothing is known to be spent any more: whoever runs this mirror may have bought more.
    package func pardon() {
        for asker in askers { asker.ledger.pardon() }
        askedWhileSpent.withLock { $0 = nil }
    }

    /// The soonest end of it that was told, if any was.
    package var spentFor: Duration? { askers.compactMap(\.ledger.retryAfter).min() }

    // MARK: Verbs

    /// end-3 by `HEAD`: which manifest a reference names now. Docker Hub does not count it as a pull.
    ///
    /// - Parameter known: what it named before: asked for on condition that it is another (RFC 9110 §13.1.2).
    package func resolve(
        _ name: RepositoryName, _ reference: Reference, unless known: Digest? = nil
    ) async throws(UpstreamError) -> ManifestFacts {
        let head = try await ask(question(.head, name, reference, unless: known)).head
        let isUnchanged = head.status == 304
        return ManifestFacts(
            digest: isUnchanged ? known : head.contentDigest, mediaType: head.mediaType,
            size: isUnchanged ? nil : head.length, isUnchanged: isUnchanged, isStale: head.isStale, age: head.age)
    }

    /// end-3: the manifest that a reference names, of at most `Manifest.sizeLimit` bytes.
    package func manifest(
        _ name: RepositoryName, _ reference: Reference
    ) async throws(UpstreamError) -> FetchedManifest {
        FetchedManifest(try await ask(question(.get, name, reference, unless: nil)))
    }

    /// - Parameter known: as in `resolve`.
    /// - Returns: nil if it is still the known one.
    package func manifest(
        _ name: RepositoryName, _ reference: Reference, unless known: Digest
    ) async throws(UpstreamError) -> FetchedManifest? {
        let answer = try await ask(question(.get, name, reference, unless: known))
        return answer.head.status == 304 ? nil : FetchedManifest(answer)
    }

    private func question(
        _ method: HTTPRequest.Method, _ name: RepositoryName, _ reference: Reference, unless known: Digest?
    ) -> Question {
        var question = Question(
            .manifest(name, reference), of: name, method: method, fields: [.accept: MediaType.accepted],
            plan: method == .head ? Self.headAlone : Self.whole("manifest"))
        question.known = known
        question.isCounted = method == .get
        question.isPull = true
        return question
    }

    /// end-2 by `HEAD`: a blob's size in bytes, or nil where it exists and the upstream tells no size.
    ///
    /// A host behind a redirect that allows only GET (a signed URL is signed for its method) is asked for the first
    /// byte instead.
    package func blobSize(_ name: RepositoryName, _ digest: Digest) async throws(UpstreamError) -> Int64? {
        var question = Question(.blob(name, digest), of: name, method: .head, plan: Self.headAlone)
        question.isTentative = true
        let head = try await ask(question).head
        if head.status == 200 { return head.length }

        question.method = .get
        question.version = .http1
        question.fields[.range] = BlobRange.part(0...0).fieldValue
        question.isTentative = false
        question.plan = { head, hop, _ in
            switch AnswerRules.blobRange(of: head, asked: .part(0...0), from: hop.origin) {
            case .failure(let error): .refuse(error)
            case .success: .collect(limit: 0, beyond: nil)
            }
        }
        let first: ResponseHead
        do {
            first = try await ask(question).head
        } catch .unsatisfiable(size: 0) {
            return 0  // the empty blob has no first byte
        }
        return first.fields[.contentRange].flatMap { ContentRange($0) }.map(\.size) ?? first.length
    }

    /// end-2: streams a blob, or a part of it, into a sink.
    ///
    /// Returns when the sink has accepted a head; the bytes go on flowing on the transport's thread until the sink's
    /// `finished`, whatever becomes of the calling task. Where this throws, the sink was not called, or has refused
    /// every head it was shown.
    ///
    /// - Returns: the running transfer, also given to the sink in its `BlobHead`.
    package func blob(
        _ name: RepositoryName, _ digest: Digest, _ request: BlobRequest = BlobRequest(), into sink: any BlobSink
    ) async throws(UpstreamError) -> any Transfer {
        var fields = HTTPFields()
        if let range = request.range { fields[.range] = range.fieldValue }
        var question = Question(.blob(name, digest), of: name, fields: fields) { head, hop, exchange in
            switch AnswerRules.blobRange(of: head, asked: request.range, from: hop.origin) {
            case .failure(let error): return .refuse(error)
            case .success(let part):
                let blobHead = BlobHead(
                    size: part.map(\.size) ?? head.length, range: part?.range, entityTag: head.fields[.eTag],
                    host: hop.origin.authority, remoteAddress: head.remoteAddress, endpoint: "\(hop.endpoint)",
                    transfer: exchange)
                return .stream(blobHead, sink)
            }
        }
        question.blob = request
        question.version = .http1
        question.isCounted = true
        guard let stream = try await ask(question).stream else { throw .cancelled }
        return stream
    }

    /// The caller found that an endpoint lies, or is too slow: counted, and for 30 s asked after the others, however
    /// well it answers meanwhile.
    ///
    /// - Parameter endpoint: as in `BlobHead.endpoint`; one that is not of this registry is nobody.
    package func distrust(_ endpoint: String, _ error: UpstreamError) {
        guard let asker = askers.first(where: { "\($0.endpoint)" == endpoint }) else { return }
        asker.ledger.distrusted(error)
        logger.debug("distrusted", metadata: ["endpoint": "\(endpoint)", "error": "\(error)"])
    }

    // MARK: Endpoint by endpoint

    /// In the configuration's order, but marked ones last, and behind them those to avoid.
    private func order(_ request: BlobRequest?, isPull: Bool) -> [EndpointAsker] {
        if let only = askers.first(where: { "\($0.endpoint)" == request?.endpoint }) { return [only] }
        // Smaller goes first; the sort is stable.
        func rank(_ asker: EndpointAsker) -> Int {
            (request?.avoiding.contains("\(asker.endpoint)") == true ? 4 : 0) + (asker.ledger.isMarked ? 2 : 0)
                + (isPull && asker.ledger.isSpent ? 1 : 0)
        }
        let ranked = askers.map { (rank: rank($0), asker: $0) }
        return (0..<8).flatMap { rank in ranked.filter { $0.rank == rank }.map(\.asker) }
    }

    /// One bound for several questions, of the tasks inside `together`.
    @TaskLocal private static var deadline: Deadline?

    /// Everything that is asked inside is bounded by one `firstByteTimeout` together, as the answer to one client is.
    package func together<Value: Sendable, Failure: Error>(
        _ work: () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let deadline = Self.deadline ?? Deadline(configuration.firstByteTimeout, clock: clock)
        let result: Result<Value, Failure> = await Self.$deadline.withValue(deadline) {
            do throws(Failure) { return .success(try await work()) } catch { return .failure(error) }
        }
        return try result.get()
    }

    func ask(_ question: Question) async throws(UpstreamError) -> Answer {
        forgetAllowancesOfOthers()
        let deadline = Self.deadline ?? Deadline(configuration.firstByteTimeout, clock: clock)
        guard deadline.remaining > .zero else {
            throw .unreachable(.httpResponseTimeout, "no time is left of first-byte-timeout")
        }
        let ordered = order(question.blob, isPull: question.isPull)
        if askers.count > 1 { probe() }
        var failure = UpstreamError.unreachable(.proxyConfigurationError, "\(configuration.name) has no endpoint")
        /// Of a mirror whose own upstream fails: nothing better may be found.
        var stale: Answer?
        for (tried, asker) in ordered.enumerated() {
            // What belongs to no repository, as a search, says nothing about how repositories are served.
            let isOwn = question.name != nil
            do throws(UpstreamError) {
                let answer = try await deadline.bound(sharedBy: ordered.count - tried) {
                    () async throws(UpstreamError) in
                    try await asker.answer(to: question)
                }
                if answer.stream == nil, isOwn { asker.ledger.answered() }
                guard answer.stream == nil, answer.head.isStale else { return answer }
                stale = stale ?? answer
            } catch {
                if isOwn { asker.ledger.failed(error) }
                if question.isPull, case .rateLimited(let delay, _) = error {
                    asker.ledger.refusedPull(retryAfter: delay)
                }
                log(error, of: asker)
                guard error.mayTryNextEndpoint else { throw error }
                failure = error
            }
        }
        if let stale { return stale }
        throw failure
    }

    /// Finds out, beside whatever is asked, which endpoints that failed answer again: nobody waits for one that is
    /// still down while another is up.
    private func probe() {
        for asker in askers where asker.ledger.takeProbe() {
            Task { [clock] in
                let question = Question(url: { $0.url(.base, query: nil) }, name: nil) { _, _, _ in
                    .collect(limit: 0, beyond: nil)
                }
                do throws(UpstreamError) {
                    _ = try await Deadline(Breaker.probeLimit / 2, clock: clock).bound {
                        () async throws(UpstreamError) in
                        try await asker.answer(to: question)
                    }
                    asker.ledger.answeredProbe()
                } catch {
                    // A 401 is an answer too.
                    if error.isOutage {
                        asker.ledger.failed(error)
                    } else if error != .cancelled {
                        asker.ledger.answeredProbe()
                    }
                }
            }
        }
    }

    /// Who breaks a rule or contradicts is named; that somebody cannot be reached is told by whoever asked.
    private func log(_ error: UpstreamError, of asker: EndpointAsker) {
        let metadata: Logger.Metadata = ["endpoint": "\(asker.endpoint)", "error": "\(error)"]
        switch error {
        case .refused, .contradicted, .unsatisfiable: logger.warning("an answer is not used", metadata: metadata)
        case .unknown, .denied, .credentialsRefused, .rateLimited, .failed, .unreachable, .incomplete, .cancelled:
            logger.debug("no answer", metadata: metadata)
        }
    }

    // MARK: What to do with a 2xx

    private static let headAlone: @Sendable (ResponseHead, Hop, Exchange) -> Exchange.Plan = { head, hop, _ in
        head.status == 200 ? .collect(limit: 0, beyond: nil) : .refuse(unexpected(head, hop))
    }

    static func whole(_ what: String) -> @Sendable (ResponseHead, Hop, Exchange) -> Exchange.Plan {
        { head, hop, _ in
            guard head.status == 200 else { return .refuse(unexpected(head, hop)) }
            let limit = Manifest.sizeLimit
            return .collect(limit: limit, beyond: .refused("the \(what) of \(hop.origin) is over \(limit) bytes"))
        }
    }

    private static func unexpected(_ head: ResponseHead, _ hop: Hop) -> UpstreamError {
        .refused("\(hop.origin) answered \(head.status) where only 200 makes sense")
    }
}

extension ResponseHead {
    var mediaType: MediaType? { fields[.contentType].flatMap { MediaType(field: $0) } }

    var contentDigest: Digest? {
        HTTPField.Name(FieldNames.contentDigest).flatMap { fields[$0] }.flatMap { Digest($0) }
    }

    fileprivate var age: Int64? { fields[.age].flatMap { Int64($0) }.flatMap { $0 >= 0 && $0 < 1 << 40 ? $0 : nil } }

    /// As another mirror says of itself (RFC 9211, RFC 5861 §4).
    var isStale: Bool {
        HTTPField.Name(CacheStatus.fieldName).flatMap { fields[$0] }?.contains("stale-if-error") == true
    }
}

extension FetchedManifest {
    fileprivate init(_ answer: Answer) {
        self.init(bytes: answer.body, mediaType: answer.head.mediaType, digest: answer.head.contentDigest)
    }
}

extension UpstreamConfiguration {
    /// Whose allowance is used, without anything secret: another name, and what was told to the one before is void.
    fileprivate var account: String {
        switch credentials {
        case .anonymous: ""
        case .login(let login): login.owner
        case .dockerConfig(let config): config.fingerprint
        }
    }
}
