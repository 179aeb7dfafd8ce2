// When an endpoint that failed is tried again: a circuit breaker as a value, without clock or network.

/// Closed while an endpoint answers. A failure opens it: for a second, then twice as long after each probe that fails,
/// up to half a minute. When that time is over one probe finds out whether it may close.
///
/// ```
///          failed                     due
/// closed ─────────▶ open ───────────────────────▶ half-open (one probe under way)
///    ▲               ▲ │ answered                    │        │
///    │               │ └────────────┐    failed      │        │ answered
///    │               └──────────────┼────────────────┘        │
///    └──────────────────────────────┴─────────────────────────┘
/// ```
/// A probe asks little: an endpoint that answers it and then fails again is left alone twice as long as before.
///
/// Open is no ban: it puts an endpoint behind the others, and where all others fail too, or there is no other, it is
/// asked all the same.
struct Breaker: Equatable, Sendable {
    package enum State: String, Sendable { case closed, open, halfOpen = "half-open" }

    /// How long the first failure opens it, and the most that a later one does.
    static let first = Duration.seconds(1)
    static let most = Duration.seconds(30)
    /// A probe that has told nothing for so long is taken for lost.
    static let probeLimit = Duration.seconds(20)

    private(set) var state = State.closed
    private var pause = Self.first
    /// Closed by no more than a probe.
    private var isOnTrial = false
    /// While open, when a probe is due; while half-open, when the probe is given up.
    private var until = Duration.zero

    /// It did not answer. What was under way already when it opened changes nothing.
    mutating func failed(at now: Duration) {
        switch state {
        case .open where now < until: return
        case .closed where !isOnTrial: pause = Self.first
        case .closed, .open, .halfOpen: pause = min(Self.most, pause * 2)
        }
        state = .open
        until = now + pause
    }

    mutating func answered() { self = Breaker() }

    mutating func answeredProbe() {
        guard state == .halfOpen else { return }
        state = .closed
        isOnTrial = true
    }

    /// Whether the caller is to send the one probe that is due.
    mutating func takeProbe(at now: Duration) -> Bool {
        guard state != .closed, now >= until else { return false }
        state = .halfOpen
        until = now + Self.probeLimit
        return true
    }
}
