// The credentials of one endpoint as they are just now, wherever they come from.
import Synchronization

/// Asks the source, keeps what cost a process, and what a token service gave in place of what it was shown.
final class CredentialKeeper: Sendable {
    /// What a helper said is believed for so long; of failures, as long as `Standing` remembers a no.
    static let helperLifetime = Duration.seconds(300)

    private struct Question: Hashable, Sendable {
        let helper: CredentialHelper
        let server: String
    }

    private struct HelperAnswer: Sendable {
        let result: Result<Credentials?, UpstreamError>
        let expiry: Duration
    }

    private struct State {
        /// The last word of each helper, to tell when it says another.
        var known: [Question: Credentials?] = [:]
        /// How often one did.
        var changes = 0
        /// An identity token and what the token service gave in its place.
        var rotation: (from: Credentials, to: Credentials)?
    }

    private let source: CredentialSource
    private let endpoint: UpstreamURL.Origin
    private let upstream: String
    private let clock: any Clock<Duration>
    private let uptime: @Sendable () -> Duration
    private let answers: FreshCache<Question, HelperAnswer>
    private let state = Mutex(State())

    init(
        _ source: CredentialSource, endpoint: UpstreamURL.Origin, upstream: String, clock: any Clock<Duration>,
        uptime: @escaping @Sendable () -> Duration
    ) {
        self.source = source
        self.endpoint = endpoint
        self.upstream = upstream
        self.clock = clock
        self.uptime = uptime
        answers = FreshCache { uptime() < $0.expiry }
    }

    /// Another number once the source has other credentials; a rotated token is still the same ones'.
    var revision: Int {
        guard case .dockerConfig(let config) = source else { return 0 }
        return config.revision + state.withLock { $0.changes }
    }

    /// The credentials to show; nil: none.
    ///
    /// - Throws: `.credentialsRefused` where the source cannot say.
    func identity() async throws(UpstreamError) -> Identity? { try await identity(refusing: nil) }

    /// Other credentials than those that have just been refused, or nil: a helper is asked anew. What a token service
    /// gave in place of a token stays, since the one before is void and showing it again may void all that came of it;
    /// unless it is void itself (`isVoid`): then the one that is configured is tried once more.
    func identity(after refused: Identity, isVoid: Bool = false) async throws(UpstreamError) -> Identity? {
        if isVoid {
            state.withLock { state in
                if state.rotation?.to == refused.credentials { state.rotation = nil }
            }
        }
        let other = try await identity(refusing: refused.credentials)
        return other?.credentials == refused.credentials ? nil : other
    }

    /// The token service has given another token in place of the identity token it was shown.
    func rotated(_ shown: Credentials, to identityToken: String) {
        state.withLock { state in
            let origin = state.rotation?.to == shown ? state.rotation?.from : nil
            state.rotation = (origin ?? shown, shown.rotated(to: identityToken))
        }
    }

    private func identity(refusing refused: Credentials?) async throws(UpstreamError) -> Identity? {
        switch source {
        case .anonymous: return nil
        case .login(let credentials): return current(credentials, 0)
        case .dockerConfig(let config):
            let (steps, revision) = try config.steps(for: endpoint, of: upstream)
            return try await first(of: steps, config.environment, refusing: refused).map { current($0, revision) }
        }
    }

    private func current(_ credentials: Credentials, _ revision: Int) -> Identity {
        state.withLock { state in
            let rotated = state.rotation?.from == credentials ? state.rotation?.to : nil
            return Identity(credentials: rotated ?? credentials, revision: revision + state.changes)
        }
    }

    private func first(
        of steps: [DockerConfig.Step], _ environment: [String: String], refusing refused: Credentials?
    ) async throws(UpstreamError) -> Credentials? {
        for step in steps {
            switch step {
            case .credentials(let credentials): return credentials
            case .helper(let helper, let server):
                let question = Question(helper: helper, server: server)
                if let credentials = try await ask(question, environment, refusing: refused) {
                    return credentials
                }
            }
        }
        return nil
    }

    private func ask(
        _ question: Question, _ environment: [String: String], refusing refused: Credentials?
    ) async throws(UpstreamError) -> Credentials? {
        let answer = try await answers.value(
            for: question,
            unless: { answer in
                guard let refused, case .success(let credentials) = answer.result else { return false }
                return credentials == refused
            },
            fetch: { [clock, uptime] () async throws(UpstreamError) in
                let result = await outcome { () async throws(UpstreamError) in
                    try await question.helper.credentials(
                        for: question.server, environment: environment, clock: clock)
                }
                let lifetime = if case .success = result { Self.helperLifetime } else { Standing.memory }
                return HelperAnswer(result: result, expiry: uptime() + lifetime)
            })
        let credentials = try answer.result.get()
        state.withLock { state in
            if let known = state.known[question], known != credentials { state.changes += 1 }
            state.known[question] = credentials
        }
        return credentials
    }
}
