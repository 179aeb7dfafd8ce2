// How many connections a fill's bulk is worth: begun with one, tried with more where one is slow, kept if that helps.

/// A value. Times are since any fixed instant; sizes are bytes, rates bytes a second.
///
/// ```
/// alone ─ one connection would take long ─→ trying ─ a quarter faster ─→ together
///   ↑                                         │
///   └──────── after a rest ── resting ←───────┘ as fast alone
/// ```
struct ConnectionRamp: Sendable {
    private enum Phase: Equatable {
        case alone, together
        case trying(alone: Double)
        case resting
    }

    /// A rate is looked at over so long: a shorter look would take a slow start for a slow line.
    static let look = Duration.milliseconds(500)
    /// New connections need time to open before their effect can be seen.
    static let opening = Duration.milliseconds(500)
    /// What one connection brings within so many seconds is left to it: more of them lose what is on its way to the
    /// first when its share ends, which is the more the faster it is.
    static let patience = 1.0, patienceWithFast = 12.0
    /// Bytes a second from which on one connection is a fast one.
    static let fast = 24.0 * 1_048_576
    /// Less than this many times as fast is not worth more connections.
    static let gain = 1.25
    private static let rest = Duration.seconds(15)
    /// Half of what one connection would still need longer for than twice this is taken over.
    private static let secondsWorthSharing = 0.5
    /// What a segment takes at the rate of one connection, and the bounds of that.
    private static let secondsPerSegment = 2.0, smallest: Int64 = 4 << 20, largest: Int64 = 64 << 20

    private let most: Int
    private var phase = Phase.alone
    private var begun: (time: Duration, bytes: Int64)?
    private var nextLook = Duration.zero
    private var rate = 0.0

    /// - Parameter most: connections for one blob; 1: never more.
    init(most: Int) { self.most = max(1, most) }

    var target: Int {
        switch phase {
        case .alone, .resting: 1
        case .trying, .together: most
        }
    }

    /// What one connection takes; nil while it is to take all.
    var step: SegmentPlan.Step? {
        guard target > 1 else { return nil }
        return SegmentPlan.Step(
            most: min(max(Int64(rate * Self.secondsPerSegment), Self.smallest), Self.largest),
            least: max(SegmentPlan.worthwhile, Int64(rate * Self.secondsWorthSharing)),
            connections: most)
    }

    /// When it wants to look again; nil while there is nothing to decide.
    var deadline: Duration? { begun == nil || phase == .together || most == 1 ? nil : nextLook }

    func isDue(at now: Duration) -> Bool { most > 1 && phase != .together && now >= nextLook }

    /// - Parameters:
    ///   - received: bytes in all that have come in this fill.
    ///   - remaining: bytes that are wanted and have not come.
    mutating func look(at now: Duration, received: Int64, remaining: Int64) {
        guard most > 1, phase != .together else { return }
        guard let begun else { return mark(now, received, Self.look) }
        guard now >= nextLook else { return }
        let seconds = (now - begun.time) / .seconds(1)
        let seen = Double(received - begun.bytes) / max(seconds, 0.001)
        switch phase {
        case .alone:
            rate = seen
            let patience = seen > Self.fast ? Self.patienceWithFast : Self.patience
            guard seen > 0, Double(remaining) / seen > patience else { return mark(now, received, Self.look) }
            phase = .trying(alone: seen)
            // Counted from when they have opened.
            mark(now + Self.opening, received + Int64(seen * (Self.opening / .seconds(1))), Self.look * 2)
        case .trying(let alone):
            phase = seen >= alone * Self.gain ? .together : .resting
            mark(now, received, Self.rest)
        case .resting:
            phase = .alone
            mark(now, received, Self.look)
        case .together: break
        }
    }

    /// Further connections are not let in, or bring nothing: one will do.
    mutating func stayAlone(at now: Duration, received: Int64) {
        phase = .resting
        mark(now, received, Self.rest)
    }

    private mutating func mark(_ now: Duration, _ received: Int64, _ next: Duration) {
        begun = (now, received)
        nextLook = now + next
    }
}
