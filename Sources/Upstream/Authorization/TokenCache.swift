// Tokens by scope: one request a scope in flight, reused until shortly before they expire.

/// The tokens of one endpoint. An actor: the first asker's request is a conversation that the others wait for.
actor TokenCache {
    private struct Flight {
        var waiting: [Int: CheckedContinuation<Result<Token, UpstreamError>, Never>] = [:]
    }

    /// Beyond so many, the expired ones are dropped.
    private static let tidyAbove = 256

    private let uptime: @Sendable () -> Duration
    private var tokens: [String: Token] = [:]
    private var flights: [String: Flight] = [:]
    private var lastWaiter = 0

    init(uptime: @escaping @Sendable () -> Duration) { self.uptime = uptime }

    /// The token for a scope, from here or by `fetch`, which is called once however many ask at the same time.
    ///
    /// An asker that is cancelled leaves at once; the fetch goes on for the others and for later.
    ///
    /// - Parameter refused: what the endpoint has just answered 401 to; it is not given again.
    func token(
        for scope: String, refusing refused: Token?,
        fetch: @escaping @Sendable () async throws(UpstreamError) -> Token
    ) async throws(UpstreamError) -> Token {
        if let token = tokens[scope] {
            if token != refused, uptime() < token.refreshAt { return token }
            tokens[scope] = nil
        }
        if flights[scope] == nil {
            flights[scope] = Flight()
            Task { landed(scope, await outcome(of: fetch)) }
        }
        lastWaiter += 1
        let waiter = lastWaiter
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled {
                    continuation.resume(returning: Result<Token, UpstreamError>.failure(.cancelled))
                } else {
                    flights[scope]?.waiting[waiter] = continuation
                }
            }
        } onCancel: {
            Task { await leave(scope, waiter) }
        }
        return try result.get()
    }

    private func landed(_ scope: String, _ result: Result<Token, UpstreamError>) {
        if case .success(let token) = result {
            if tokens.count >= Self.tidyAbove {
                let now = uptime()
                tokens = tokens.filter { now < $0.value.refreshAt }
            }
            tokens[scope] = token
        }
        for continuation in (flights.removeValue(forKey: scope) ?? Flight()).waiting.values {
            continuation.resume(returning: result)
        }
    }

    private func leave(_ scope: String, _ waiter: Int) {
        flights[scope]?.waiting.removeValue(forKey: waiter)?.resume(returning: .failure(.cancelled))
    }
}
