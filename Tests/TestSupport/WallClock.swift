// The time of day in tests: it goes with the clock that a test turns, and may be set like any other.
import Synchronization

/// Unix milliseconds that only move when a test moves them.
package final class WallClock: Sendable {
    private let time = Mutex<Int64>(1_700_000_000_000)
    private let clock: ManualClock

    package init(with clock: ManualClock) { self.clock = clock }

    package var now: Int64 { time.withLock { $0 } }

    /// Time passes, by every clock.
    package func advance(by duration: Duration) {
        set(by: duration)
        clock.advance(by: duration)
    }

    /// Somebody sets the clock: no time passes.
    package func set(by duration: Duration) {
        let (seconds, attoseconds) = duration.components
        time.withLock { $0 += seconds * 1000 + attoseconds / 1_000_000_000_000_000 }
    }
}
