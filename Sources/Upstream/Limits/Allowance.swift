// How much an endpoint still lets us pull, as it has told us, and when nothing is left.

/// What is known of one endpoint's limit, kept over restarts. Times are Unix seconds.
///
/// Docker Hub tells `ratelimit-remaining` with every answer about a manifest; others only say 429. The window's length
/// is no time of reset: that nothing remains ends when an answer shows that something does, or when the time is over
/// that a 429 named.
struct Allowance: Equatable, Sendable, Codable {
    /// A 429 that names no time is believed for so long, in seconds; none is believed for longer than a day.
    static let usualPause: Int64 = 60
    static let longestPause: Int64 = 86_400

    private enum Spent: Equatable, Codable {
        case untilTold
        /// `pause`: how long that was when it was told.
        case until(Int64, pause: Int64)
    }

    private(set) var limit: RateLimit?
    private var spent: Spent?

    /// An answer that tells numbers.
    mutating func saw(_ seen: RateLimit, at now: Int64) {
        limit = seen
        guard let remaining = seen.remaining else { return }
        if remaining > 0 {
            spent = nil
        } else if !isSpent(at: now) {
            spent = .untilTold
        }
    }

    /// An answer that tells none: what it was about, or whoever asked, is not limited, or not any more.
    mutating func sawNone() { if spent == .untilTold { spent = nil } }

    /// Somebody who can tell says that it may be another by now: the next pull finds out.
    mutating func pardon() { spent = nil }

    /// A 429.
    mutating func refused(retryAfter: Duration?, at now: Int64) {
        let told = retryAfter.map { $0.components.seconds } ?? Self.usualPause
        let pause = min(max(told, 1), Self.longestPause)
        spent = .until(now + pause, pause: pause)
    }

    /// The same by a clock that is so many seconds ahead.
    func moved(by seconds: Int64) -> Allowance {
        guard case .until(let end, let pause) = spent else { return self }
        var moved = self
        moved.spent = .until(end + seconds, pause: pause)
        return moved
    }

    /// Whether a counted pull would be refused.
    func isSpent(at now: Int64) -> Bool {
        switch spent {
        case nil: false
        case .untilTold: true
        // If it were longer than at first, it is the clock that has gone back.
        case .until(let end, let pause): now < end && end - now <= pause
        }
    }

    /// What is left of the time that a 429 named.
    func retryAfter(at now: Int64) -> Duration? {
        if case .until(let end, _) = spent, isSpent(at: now) { .seconds(end - now) } else { nil }
    }
}
