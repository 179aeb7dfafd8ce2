// What one endpoint wants to be shown: learnt from its challenges, remembered for the next request.
import HTTPSemantics
import HTTPTypes
import Logging
import OCI
import Synchronization

/// Answers the challenges of one endpoint.
final class EndpointAuthorizer: Sendable {
    /// Bytes of all `WWW-Authenticate` fields of an answer.
    static let challengeLimit = 8 * 1024

    /// How the endpoint challenged last; the next request need not wait for a 401.
    private enum Demand {
        case basic
        /// The scope is nil where it is the usual one, which names the repository.
        case bearer(realm: UpstreamURL, service: String?, scope: TokenScope?)
    }

    private struct TokenKey: Hashable, Sendable {
        let request: TokenRequest
        /// Of the credentials it was given for: other ones have other rights.
        let revision: Int
    }

    private let endpoint: UpstreamEndpoint
    private let configuration: UpstreamConfiguration
    private let wire: EndpointAsker.Wire
    private let service: TokenService
    private let keeper: CredentialKeeper
    private let tokens: FreshCache<TokenKey, Token>
    private let demand = Mutex<Demand?>(nil)
    private let standing = Mutex(Standing())

    init(_ endpoint: UpstreamEndpoint, _ sender: RequestSender) {
        self.endpoint = endpoint
        configuration = sender.configuration
        wire = sender.wire
        service = TokenService(sender: sender)
        keeper = CredentialKeeper(
            configuration.credentials, endpoint: endpoint.origin, upstream: configuration.name, clock: wire.clock,
            uptime: wire.uptime)
        tokens = FreshCache { [uptime = wire.uptime] in uptime() < $0.refreshAt }
    }

    /// Another number once the credentials are others.
    var credentialRevision: Int { keeper.revision }

    // MARK: What to show

    /// What to show unasked for a repository; nil before the first challenge.
    ///
    /// - Parameter name: nil for what belongs to no repository: no token is for that.
    /// - Throws: `.credentialsRefused`, also where they were refused a moment ago; what comes of asking for a token.
    func authorization(for name: RepositoryName?) async throws(UpstreamError) -> Authorization? {
        switch demand.withLock({ $0 }) {
        case nil: return nil
        case .basic: return try await basic(for: name, refused: nil)
        case .bearer(let realm, let service, let scope):
            guard let name else { return nil }
            let request = TokenRequest(realm: realm, service: service, scope: scope ?? TokenScope(pulling: name))
            return try await bearer(request, refused: nil)
        }
    }

    /// The answer to a 401, other than what it was given for; nil if there is none.
    ///
    /// - Throws: as `authorization`; `.refused` where the challenge names a realm that may not be asked.
    func answer(
        to head: ResponseHead, for name: RepositoryName?, refused: Authorization?
    ) async throws(UpstreamError) -> Authorization? {
        let field = head.fields[values: .wwwAuthenticate].joined(separator: ", ")
        guard field.utf8.count <= Self.challengeLimit else {
            throw .refused("\(endpoint) challenges with more than \(Self.challengeLimit) bytes")
        }
        let challenges = AuthenticationChallenge.parse(field)
        if let challenge = challenges.first(where: { $0.scheme == "bearer" && $0.realm != nil }) {
            let realm = try configuration.realm(challenge.realm ?? "", of: endpoint)
            guard let name else { return nil }
            let scope = TokenScope(
                challenged: challenge.scope, pulling: name, isOwnRealm: endpoint.origin.isSameHost(as: realm.origin))
            if !scope.namesRepository || scope == TokenScope(pulling: name) {
                let constant = scope.namesRepository ? nil : scope
                demand.withLock { $0 = .bearer(realm: realm, service: challenge.service, scope: constant) }
            }
            let request = TokenRequest(realm: realm, service: challenge.service, scope: scope)
            return try await bearer(request, refused: refused)
        }
        guard challenges.contains(where: { $0.scheme == "basic" }) else { return nil }
        demand.withLock { $0 = .basic }
        return try await basic(for: name, refused: refused)
    }

    private func basic(
        for name: RepositoryName?, refused: Authorization?
    ) async throws(UpstreamError) -> Authorization? {
        guard let identity = try await identity(after: refused) else { return nil }
        try check(identity, Self.scope(of: name))
        return .basic(identity)
    }

    private func bearer(
        _ request: TokenRequest, refused: Authorization?
    ) async throws(UpstreamError) -> Authorization? {
        // A user name and password that were no good as they are may be at the token service.
        let isRefused = refused?.identity?.credentials.registryToken != nil
        let identity = try await identity(after: isRefused ? refused : nil)
        if let own = identity.flatMap({ Authorization.registryToken($0) }) {
            try check(own.identity, request.scope.text)
            return own
        }
        if isRefused, identity == nil { return nil }
        let key = TokenKey(request: request, revision: identity?.revision ?? keeper.revision)
        let token = try await tokens.value(
            for: key, unless: { .bearer($0) == refused },
            fetch: { [self] () async throws(UpstreamError) in try await fetch(request, as: identity) })
        return .bearer(token)
    }

    /// The credentials there are, but other than those that were refused themselves.
    private func identity(after refused: Authorization?) async throws(UpstreamError) -> Identity? {
        do throws(UpstreamError) {
            guard let shown = refused?.identity else { return try await keeper.identity() }
            return try await keeper.identity(after: shown)
        } catch {
            if case .credentialsRefused(let message) = error { tell(message, of: keeper.revision) }
            throw error
        }
    }

    // MARK: Tokens

    /// Called once for all who ask at the same time. Where the credentials are refused, and a helper has others by now,
    /// once more.
    private func fetch(_ request: TokenRequest, as first: Identity?) async throws(UpstreamError) -> Token {
        var identity = first
        var hasRetried = false
        while true {
            if let identity { try check(identity, request.scope.text) }
            switch try await service.token(for: request, as: identity?.credentials) {
            case .granted(let token, let identityToken):
                guard let identity else { return token }
                standing.withLock { $0.accepted(identity.revision) }
                if let identityToken, identity.credentials.identityToken != nil {
                    keeper.rotated(identity.credentials, to: identityToken)
                }
                return token
            case .refused(let status, let message, let isVoid):
                guard let shown = identity else { throw .denied(status: status, message: message) }
                if status == 401, !hasRetried, let other = try await keeper.identity(after: shown, isVoid: isVoid) {
                    hasRetried = true
                    identity = other
                    continue
                }
                throw refused(shown, status, message, scope: request.scope.text, by: request.realm.origin)
            }
        }
    }

    // MARK: What the upstream thinks of our credentials

    /// The endpoint has answered something other than 401 to what it was shown.
    func accepted(_ authorization: Authorization) {
        guard let identity = authorization.identity else { return }
        standing.withLock { $0.accepted(identity.revision) }
    }

    /// Why the endpoint's last 401 is one to the credentials themselves; nil if they were not shown to it.
    func refusal(of authorization: Authorization?, for name: RepositoryName?) -> UpstreamError? {
        guard let identity = authorization?.identity else { return nil }
        return refused(identity, 401, "", scope: Self.scope(of: name), by: endpoint.origin)
    }

    private func refused(
        _ shown: Identity, _ status: Int, _ message: String, scope: String, by origin: UpstreamURL.Origin
    ) -> UpstreamError {
        let error = UpstreamError.credentialsRefused(
            message: "\(configuration.name) does not accept the credentials for \(shown.credentials.owner) at "
                + "\(origin.authority): \(configuration.credentials.advice)")
        let now = wire.uptime()
        let meaning = standing.withLock { standing in
            standing.refused(shown.revision, isForbidden: status == 403, scope: scope, error, at: now)
        }
        guard case .credentialsRefused(let words) = meaning else { return .denied(status: status, message: message) }
        tell(words, of: shown.revision)
        return error
    }

    /// - Throws: what they were told a moment ago, if it was no.
    private func check(_ identity: Identity?, _ scope: String) throws(UpstreamError) {
        guard let identity else { return }
        let now = wire.uptime()
        if let error = standing.withLock({ $0.refusal(of: identity.revision, scope: scope, at: now) }) { throw error }
    }

    private func tell(_ words: String, of revision: Int) {
        let now = wire.uptime()
        guard standing.withLock({ $0.shouldTell(revision, at: now) }) else { return }
        wire.logger.warning("\(words)", metadata: ["endpoint": "\(endpoint)"])
    }

    private static func scope(of name: RepositoryName?) -> String { name.map { TokenScope(pulling: $0).text } ?? "" }
}

extension Authorization {
    /// The credentials that are shown themselves.
    fileprivate var identity: Identity? { if case .own(let identity, _) = self { identity } else { nil } }
}
