// How long to wait before an upstream is asked again. Pure.

/// Doubling, bounded, and jittered, so that those who failed together do not come back together.
package struct RetryPolicy: Equatable, Sendable {
    /// The most that the first wait may take; each later one may take twice the one before.
    static let base = Duration.milliseconds(100)
    static let limit = Duration.seconds(5)
    /// Who names a longer delay is asked again after so long all the same.
    static let retryAfterLimit = Duration.seconds(30)

    package init() {}

    /// The wait before an attempt, at least as long as the upstream wished, of up to 30 s.
    ///
    /// | attempt | 1 | 2 | 3 | … | 7 and later |
    /// |---|---|---|---|---|---|
    /// | ms | 0–100 | 100–200 | 200–400 | … | 2,500–5,000 |
    ///
    /// - Parameters:
    ///   - attempt: 1 is the first one after the last progress, and so the shortest wait: most breaks are over at once.
    ///   - retryAfter: what the upstream said, if it did.
    ///   - jitter: random, from 0 up to but not including 1.
    package func delay(attempt: Int, retryAfter: Duration?, jitter: Double) -> Duration {
        let doublings = min(max(attempt, 1) - 1, 16)
        let ceiling = min(Self.limit, Self.base * (1 << doublings))
        let floor = doublings == 0 ? .zero : ceiling / 2
        let backoff = floor + (ceiling - floor) * min(max(jitter, 0), 1)
        return max(backoff, min(retryAfter ?? .zero, Self.retryAfterLimit))
    }
}
