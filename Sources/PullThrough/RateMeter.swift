// How many bytes a second have come lately.

/// Sums by half seconds, so that what it takes does not depend on how much comes.
struct RateMeter: Sendable {
    private static let step = Duration.milliseconds(500)
    /// Sums that are kept: with the one under way, not quite four seconds.
    private static let steps: Int64 = 8

    private var sums = [Int64](repeating: 0, count: Int(steps))
    /// The half second under way, counted from the clock's zero.
    private var current: Int64
    private let start: Duration

    init(at now: Duration) {
        start = now
        current = Self.number(of: now)
    }

    mutating func add(_ bytes: Int64, at now: Duration) {
        advance(to: now)
        sums[Int(current % Self.steps)] += bytes
    }

    /// Bytes a second over the last four seconds, or since the start if that is less.
    func rate(at now: Duration) -> Int64 {
        var meter = self
        meter.advance(to: now)
        let oldest = max(start, Self.step * Int(meter.current - Self.steps + 1))
        // What came at once says nothing of a second.
        let seconds = max(now - oldest, Self.step) / .seconds(1)
        return Int64(Double(meter.sums.reduce(0, +)) / seconds)
    }

    private mutating func advance(to now: Duration) {
        let number = Self.number(of: now)
        guard number > current else { return }
        for passed in max(current + 1, number - Self.steps + 1)...number { sums[Int(passed % Self.steps)] = 0 }
        current = number
    }

    private static func number(of instant: Duration) -> Int64 { max(0, Int64(instant / step)) }
}
