// What one endpoint wants to be shown: learnt from its challenges, remembered for the next request.
import HTTPSemantics
import HTTPTypes
import OCI
import Synchronization

/// Answers the challenges of one endpoint.
final class EndpointAuthorizer: Sendable {
    /// How the endpoint challenged last; the next request need not wait for a 401.
    private enum Demand {
        case basic(Credentials)
        case bearer(realm: UpstreamURL, service: String?)
    }

    private let endpoint: UpstreamEndpoint
    private let configuration: UpstreamConfiguration
    private let tokens: TokenCache
    private let demand = Mutex<Demand?>(nil)
    private let fetch: @Sendable (TokenRequest) async throws(UpstreamError) -> Token

    /// - Parameter fetch: puts a request to a token service; called once for all who ask at the same time.
    init(
        endpoint: UpstreamEndpoint, configuration: UpstreamConfiguration, uptime: @escaping @Sendable () -> Duration,
        fetch: @escaping @Sendable (TokenRequest) async throws(UpstreamError) -> Token
    ) {
        self.endpoint = endpoint
        self.configuration = configuration
        self.fetch = fetch
        tokens = TokenCache(uptime: uptime)
    }

    /// What to show unasked for a repository; nil before the first challenge.
    func authorization(for name: RepositoryName) async throws(UpstreamError) -> Authorization? {
        switch demand.withLock({ $0 }) {
        case nil: return nil
        case .basic(let credentials): return .basic(credentials)
        case .bearer(let realm, let service):
            return .bearer(try await token(TokenRequest(realm: realm, service: service, scope: Self.scope(name)), nil))
        }
    }

    /// The answer to a 401, other than what it was given for; nil if there is none.
    ///
    /// - Throws: `.refused` where the challenge names a realm that may not be asked.
    func answer(
        to head: ResponseHead, for name: RepositoryName, refused: Authorization?
    ) async throws(UpstreamError) -> Authorization? {
        let challenges = AuthenticationChallenge.parse(head.fields[values: .wwwAuthenticate].joined(separator: ", "))
        if let challenge = challenges.first(where: { $0.scheme == "bearer" && $0.realm != nil }) {
            let realm = try configuration.realm(challenge.realm ?? "", of: endpoint)
            let usual = Self.scope(name)
            let scope = challenge.scope ?? usual
            if scope == usual { demand.withLock { $0 = .bearer(realm: realm, service: challenge.service) } }
            let request = TokenRequest(realm: realm, service: challenge.service, scope: scope)
            if case .bearer(let token) = refused { return .bearer(try await self.token(request, token)) }
            return .bearer(try await token(request, nil))
        }
        if let credentials = configuration.credentials, challenges.contains(where: { $0.scheme == "basic" }) {
            demand.withLock { $0 = .basic(credentials) }
            return refused == .basic(credentials) ? nil : .basic(credentials)
        }
        return nil
    }

    private func token(_ request: TokenRequest, _ refused: Token?) async throws(UpstreamError) -> Token {
        try await tokens.token(for: request.scope, refusing: refused) { [fetch] () async throws(UpstreamError) in
            try await fetch(request)
        }
    }

    /// What a pull needs: distribution's token scope documentation.
    private static func scope(_ name: RepositoryName) -> String { "repository:\(name):pull" }
}
