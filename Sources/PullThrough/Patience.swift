// How long a client waits for an upstream when what is stored would do.

import Synchronization

/// Within two seconds it has an answer, whatever the upstream does; and while that is known to be silent, much sooner:
/// a composition of ten images is not to wait ten times.
final class Patience: Sendable {
    static let usual = Duration.milliseconds(1600)
    static let withSilent = Duration.milliseconds(250)

    private struct State {
        var silent: Set<String> = []
        /// By `uptime`.
        var spoke: [String: Duration] = [:]
    }

    private let state = Mutex(State())
    private let uptime: @Sendable () -> Duration

    init(uptime: @escaping @Sendable () -> Duration) { self.uptime = uptime }

    func with(_ upstream: String) -> Duration {
        state.withLock { $0.silent.contains(upstream) } ? Self.withSilent : Self.usual
    }

    /// For a question about a tag that begins now: a HEAD is short, so if nothing else is heard meanwhile either, the
    /// upstream is silent.
    func lateness(of upstream: String, _ clock: any Clock<Duration>) -> Lateness {
        let began = uptime()
        return Lateness(after: with(upstream), clock: clock) { [self] in
            state.withLock { state in
                if state.spoke[upstream].map({ $0 < began }) ?? true { state.silent.insert(upstream) }
            }
        }
    }

    /// It has answered something, or nobody was there: that is soon known.
    func speaks(_ upstream: String) {
        let now = uptime()
        state.withLock { state in
            state.silent.remove(upstream)
            state.spoke[upstream] = now
        }
    }
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
