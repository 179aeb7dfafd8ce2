// What one endpoint was asked and what came of it: the figures of `/stats`, and whether it goes last.
import FoundationEssentials
package import HTTPSemantics
import Synchronization

/// The figures of one endpoint; those that count survive a restart.
package struct EndpointFigures: Equatable, Sendable {
    package let url: String
    /// The breaker's state: `closed`, `open` or `half-open`.
    package var breaker = Breaker.State.closed.rawValue
    /// Whether the last request that could tell was answered.
    package var isHealthy: Bool { breaker == Breaker.State.closed.rawValue }
    /// Requests sent to the endpoint itself: not those to token services and redirects' targets.
    package var requests: Int64 = 0
    package var errors: Int64 = 0
    /// Body bytes of blobs and manifests, from wherever the endpoint led.
    package var bytes: Int64 = 0
    package var lastError: String?
    package var rateLimit: RateLimit?
    /// Whether it said that nothing may be pulled just now.
    package var isSpent = false
    /// The end of that, Unix seconds, if it was told.
    package var spentUntil: Int64?
    /// Answers of the endpoint and of whom it redirected to, by status, since the start. A status that nobody knows
    /// counts with its class.
    package var answers: [Int: Int64] = [:]
    /// Failures that were its fault, since the start.
    package var failures: [ProxyError: Int64] = [:]

    package init(url: String) { self.url = url }
}

/// Keeps the figures of one endpoint.
final class EndpointLedger: Sendable {
    /// An endpoint that lied, or was too slow, is asked after the others for so long.
    static let markDuration = Duration.seconds(30)

    private struct State {
        var figures: EndpointFigures
        var breaker = Breaker()
        var allowance = Allowance()
        /// By whoever looked into what it sent: an answer does not clear it.
        var distrustedAt: Duration?

        mutating func count(_ error: UpstreamError) {
            figures.errors += 1
            figures.failures[error.proxyError, default: 0] += 1
            figures.lastError = "\(error)"
        }
    }

    /// What is remembered over a restart.
    private struct Memo: Codable {
        let requests, errors, bytes: Int64
        let allowance: Allowance
        /// Who the allowance was told to.
        let account: String
    }

    private let state: Mutex<State>
    private let uptime: @Sendable () -> Duration
    private let wall: @Sendable () -> Int64
    /// What the wall clock showed when `uptime` began.
    private let start: Int64

    /// - Parameters:
    ///   - uptime: time since some fixed instant, by the clock seam.
    ///   - now: Unix seconds.
    init(url: String, uptime: @escaping @Sendable () -> Duration, now: @escaping @Sendable () -> Int64) {
        state = Mutex(State(figures: EndpointFigures(url: url)))
        self.uptime = uptime
        wall = now
        start = now() - uptime().components.seconds
    }

    /// The wall clock as it was when this began, and never set since: a pause ends in its time whatever is done to it.
    private func now() -> Int64 { start + uptime().components.seconds }

    var figures: EndpointFigures {
        let (now, wall) = (now(), wall())
        return state.withLock { state in
            var figures = state.figures
            figures.breaker = state.breaker.state.rawValue
            figures.rateLimit = state.allowance.limit
            figures.isSpent = state.allowance.isSpent(at: now)
            // By the clock that people see.
            figures.spentUntil = state.allowance.retryAfter(at: now).map { wall + $0.components.seconds }
            return figures
        }
    }

    /// Whether it failed, or lied, of late. A mark puts an endpoint last; it excludes none.
    var isMarked: Bool {
        let now = uptime()
        return state.withLock { state in
            state.breaker.state != .closed || state.distrustedAt.map { now - $0 < Self.markDuration } ?? false
        }
    }

    /// Whether the caller is to find out if it answers again.
    func takeProbe() -> Bool {
        let now = uptime()
        return state.withLock { $0.breaker.takeProbe(at: now) }
    }

    // MARK: What happened

    func requested() { state.withLock { $0.figures.requests += 1 } }

    /// Statuses beyond these are as many as somebody likes to make up.
    private static let knownStatuses: Set<Int> = [
        200, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 410, 416, 429, 451, 500, 501,
        502, 503, 504,
    ]

    func answered(with status: Int) {
        let status = Self.knownStatuses.contains(status) ? status : status / 100 * 100
        state.withLock { $0.figures.answers[status, default: 0] += 1 }
    }

    func received(_ bytes: Int) { state.withLock { $0.figures.bytes += Int64(bytes) } }

    /// The endpoint answered, be it with an honest no.
    func answered() { state.withLock { $0.breaker.answered() } }

    func answeredProbe() { state.withLock { $0.breaker.answeredProbe() } }

    /// Counts what was the endpoint's fault. A rate limit, or a 4xx, is an error of an endpoint that lives.
    func failed(_ error: UpstreamError) {
        guard error != .cancelled else { return }
        guard error.isEndpointError else { return answered() }
        let now = uptime()
        state.withLock { state in
            state.count(error)
            if error.isOutage { state.breaker.failed(at: now) } else if error.isAnswer { state.breaker.answered() }
        }
    }

    /// Counts what only the reader of its bytes could find, and marks it, however well it answers meanwhile.
    func distrusted(_ error: UpstreamError) {
        let now = uptime()
        state.withLock { state in
            state.count(error)
            state.distrustedAt = now
        }
    }

    // MARK: How much may be pulled

    func saw(_ limit: RateLimit) {
        let now = now()
        state.withLock { $0.allowance.saw(limit, at: now) }
    }

    /// A manifest was answered for, and no limit told.
    func sawNoLimit() { state.withLock { $0.allowance.sawNone() } }

    /// A pull was answered with 429.
    func refusedPull(retryAfter: Duration?) {
        let now = now()
        state.withLock { $0.allowance.refused(retryAfter: retryAfter, at: now) }
    }

    var isSpent: Bool {
        let now = now()
        return state.withLock { $0.allowance.isSpent(at: now) }
    }

    /// What is left of the time that a 429 named.
    var retryAfter: Duration? {
        let now = now()
        return state.withLock { $0.allowance.retryAfter(at: now) }
    }

    /// What was told of an end of it is not believed any longer.
    func pardon() { state.withLock { $0.allowance.pardon() } }

    /// Other credentials have another allowance.
    func forgetAllowance() { state.withLock { $0.allowance = Allowance() } }

    // MARK: Over a restart

    /// - Parameter account: whose allowance it is.
    func memo(of account: String) -> String {
        let step = wall() - now()
        let memo = state.withLock { state in
            Memo(
                requests: state.figures.requests, errors: state.figures.errors, bytes: state.figures.bytes,
                allowance: state.allowance.moved(by: step), account: account)
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        // Numbers and strings: there is nothing in it that cannot be encoded.
        return (try? encoder.encode(memo)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// Goes on from what an earlier run remembered; what cannot be read is forgotten.
    func restore(_ memo: String, of account: String) {
        guard let memo = try? JSONDecoder().decode(Memo.self, from: Data(memo.utf8)) else { return }
        state.withLock { state in
            state.figures.requests += memo.requests
            state.figures.errors += memo.errors
            state.figures.bytes += memo.bytes
            if memo.account == account { state.allowance = memo.allowance }
        }
    }
}
