// How long a client waits for an upstream when what is stored would do.

import Synchronization

/// Within two seconds it has an answer, whatever the upstream does; and while that is known to be silent, much sooner:
/// a composition of ten images is not to wait ten times.
final class Patience: Sendable {
    static let usual = Duration.milliseconds(1600)
    static let withSilent = Duration.milliseconds(250)

    private let silent = Mutex<Set<String>>([])

    func with(_ upstream: String) -> Duration {
        silent.withLock { $0.contains(upstream) } ? Self.withSilent : Self.usual
    }

    /// A question was late.
    func isSilent(_ upstream: String) { _ = silent.withLock { $0.insert(upstream) } }

    /// It has answered something, or nobody was there: that is soon known.
    func speaks(_ upstream: String) { _ = silent.withLock { $0.remove(upstream) } }
}

/// How long somebody who fails again and again is left alone.
struct Backoff: Equatable, Sendable {
    /// So many failures in a row are no reason to wait.
    let free: Int
    /// After one more, and at most.
    let first, most: Duration
    private var failures = 0
    private var until = Duration.zero

    init(free: Int, first: Duration, most: Duration) {
        self.free = free
        self.first = first
        self.most = most
    }

    mutating func failed(at now: Duration) {
        failures += 1
        guard failures > free else { return }
        // Beyond 2^20 times the first every backoff here is at its most.
        until = now + min(most, first * (1 << min(failures - free - 1, 20)))
    }

    func isDue(at now: Duration) -> Bool { now >= until }
}
