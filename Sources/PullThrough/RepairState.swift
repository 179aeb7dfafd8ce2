// What has failed in a fill of late, and when and where to ask next.

import Upstream

/// A value. Times are since the fill began.
struct RepairState: Sendable {
    enum Verdict: Equatable, Sendable {
        /// Ask again, at `retryAt`, from `source`.
        case again
        /// `isLie`: an upstream contradicted itself or another, so nothing that came is worth keeping.
        case giveUp(PullThroughError, isLie: Bool)
    }

    /// Tries of each source before the first answer; after it only time counts.
    private static let earlyTries = 3

    private let policy: FillPolicy
    private let retry = RetryPolicy()
    private(set) var sourceCount = 1
    /// The source to ask next.
    private(set) var source = 0
    /// Each source that has failed is not asked before this.
    private var retries: [Int: Duration] = [:]
    private(set) var lastError: PullThroughError?
    private var failures = 0
    private var failingSince: Duration?
    /// Sources that have said a final no since something last came.
    private var finalNos: Set<Int> = []

    init(policy: FillPolicy) { self.policy = policy }

    /// When it is to be given up if nothing comes until then.
    var givesUpAt: Duration? { failingSince.map { $0 + policy.giveUpAfter } }

    /// When something may be asked again; nil if it may now, for all that is known here.
    var retryAt: Duration? { retries.count < sourceCount ? nil : retries.values.min() }

    mutating func addSource() { sourceCount += 1 }

    mutating func turnToNextSource() { source = (source + 1) % sourceCount }

    /// Bytes came.
    mutating func progressed() {
        failures = 0
        failingSince = nil
        finalNos = []
    }

    /// There is nothing to ask for: time that passes now is nobody's failure.
    mutating func rests() { failingSince = nil }

    /// Whether something may be asked now; `source` is one that may.
    mutating func mayAsk(at now: Duration) -> Bool {
        retries = retries.filter { now < $0.value }
        guard let free = (0..<sourceCount).map({ (source + $0) % sourceCount }).first(where: { retries[$0] == nil })
        else { return false }
        source = free
        return true
    }

    /// - Parameters:
    ///   - isEarly: nothing has been answered yet.
    ///   - isAlone: no other connection sends.
    mutating func failed(
        _ error: UpstreamError, by asked: Int, of upstream: String, isEarly: Bool, isAlone: Bool, at now: Duration
    ) -> Verdict {
        let restated = PullThroughError(error, of: upstream)
        lastError = restated
        failures += 1
        failingSince = failingSince ?? now
        if error.isFinal { finalNos.insert(asked) }
        if sourceCount > 1 { source = (asked + 1) % sourceCount }

        let isHopeless = finalNos.count >= sourceCount
        if isEarly, isHopeless || error.isRateLimit && sourceCount == 1 || failures >= Self.earlyTries * sourceCount {
            return .giveUp(restated, isLie: error.isContradiction)
        }
        // Whoever is left contradicts: what has come is not to be trusted.
        if isHopeless, error.isContradiction, isAlone { return .giveUp(restated, isLie: true) }
        // Where another connection sends, who is told to wait is one too many: that is no wish for the next question.
        // And nothing is waited for beyond the time that is left.
        let wished = isAlone ? error.retryAfter.map { min($0, policy.giveUpAfter / 2) } : nil
        let delay = retry.delay(attempt: failures, retryAfter: wished, jitter: policy.jitter())
        retries[asked] = max(retries[asked] ?? .zero, now + delay)
        return .again
    }
}

extension UpstreamError {
    /// The registry's own no, or an answer that no rule lets us use: the same question will not be answered otherwise.
    fileprivate var isFinal: Bool {
        switch self {
        case .unknown, .denied, .credentialsRefused, .refused, .contradicted, .unsatisfiable: true
        case .rateLimited, .failed, .unreachable, .incomplete, .cancelled: false
        }
    }

    /// It contradicts itself, or what is known.
    var isContradiction: Bool {
        switch self {
        case .contradicted, .unsatisfiable: true
        case .unknown, .denied, .credentialsRefused, .refused, .rateLimited, .failed, .unreachable, .incomplete,
            .cancelled:
            false
        }
    }

    fileprivate var isRateLimit: Bool { if case .rateLimited = self { true } else { false } }

    fileprivate var retryAfter: Duration? { if case .rateLimited(let delay, _) = self { delay } else { nil } }
}
