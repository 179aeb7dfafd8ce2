// How many bytes a second may come from one upstream: a bucket that all its transfers draw from.
import Synchronization

/// Bounds the bytes of all transfers of one registry together. Over time they get the rate; at once, after a rest,
/// 100 ms worth of it, 64 KiB at least.
///
/// Who comes when the bucket is empty books: the bytes are taken at once, and their time is told. So transfers are
/// served in the order in which they came, and each piece waits once, where "ask again" would let the same one win
/// every time.
package final class Bandwidth: Sendable {
    private struct Bucket {
        /// Bytes; below zero by what is booked.
        var level: Double
        var filledAt: Duration
    }

    private let bucket: Mutex<Bucket>
    private let capacity: Double
    private let rate: Double
    private let clock: any Clock<Duration>
    private let uptime: @Sendable () -> Duration

    /// - Parameter bytesPerSecond: 1 at least.
    package init(bytesPerSecond: Int64, clock: any Clock<Duration>) {
        rate = Double(max(1, bytesPerSecond))
        capacity = max(rate / 10, 64 * 1024)
        bucket = Mutex(Bucket(level: capacity, filledAt: .zero))
        self.clock = clock
        uptime = stopwatch(clock)
    }

    /// Takes bytes out of the bucket.
    ///
    /// - Returns: nil if they may pass now; else how long they have to wait, and then they pass unasked.
    package func take(_ bytes: Int) -> Duration? {
        bucket.withLock { bucket in
            let now = max(bucket.filledAt, uptime())
            bucket.level = min(capacity, bucket.level + (now - bucket.filledAt) / .seconds(1) * rate)
            bucket.filledAt = now
            bucket.level -= Double(bytes)
            return bucket.level >= 0 ? nil : .seconds(-bucket.level / rate)
        }
    }

    /// Waits by the clock of this bucket; false if the task was cancelled meanwhile.
    func wait(_ duration: Duration) async -> Bool {
        do {
            try await clock.sleep(for: duration)
            return true
        } catch {
            return false
        }
    }
}

/// What one transfer has drawn from the bucket and not yet used.
struct BandwidthShare {
    enum Decision: Equatable {
        case pass
        /// Hold the bytes back, for so long.
        case hold(Duration)
        /// They are held back already.
        case stay
    }

    /// Bytes taken that may pass.
    private var credit = 0
    private var isHeld = false

    /// Bytes are at hand. libcurl may offer more or fewer after a pause than before it.
    mutating func offered(_ bytes: Int, from bandwidth: Bandwidth) -> Decision {
        if isHeld { return .stay }
        let missing = bytes - credit
        guard missing > 0 else { return .pass }
        credit = bytes
        guard let wait = bandwidth.take(missing) else { return .pass }
        isHeld = true
        return .hold(wait)
    }

    /// The bytes offered last have gone to whom they are for. If not, they are offered again and not drawn again.
    mutating func passed(_ bytes: Int) { credit -= bytes }

    /// The time of what was held back has come.
    mutating func ripened() { isHeld = false }
}
