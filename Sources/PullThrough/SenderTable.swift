// The connections of a fill as its state sees them: who sends, who is slow, who stands still, who is on the way out.

/// A value. Times are since the fill began; what is slow is bytes a second.
struct SenderTable: Sendable {
    struct Sender: Sendable {
        /// Among the fill's sources.
        let source: Int
        /// We have ended it, and it has not ended yet.
        var isLeaving = false
        /// It is held at the end of the window of what passes through.
        var isHeld = false
        /// Nothing came for too long, so it was ended: as good as broken.
        fileprivate(set) var isStalled = false
        /// A 200 was refused because others might do better than to send all of it; if they do not, the next will do.
        var hasSpurnedSkipping = false
        /// It has been told to wait, for whatever reason of ours.
        fileprivate var isPaused = false
        fileprivate var lastByte: Duration?
        /// For its speed: since when, and the bytes since then.
        fileprivate var since: Duration?
        fileprivate var moved: Int64 = 0

        /// It waited in that time for us.
        fileprivate var wasPaused = false
        fileprivate var isPromoted = false

        var hasAnswered: Bool { since != nil }
        /// It has answered, and is to go on.
        var isSending: Bool { since != nil && !isLeaving && !isStalled }
    }

    /// Over so long a speed is looked at.
    private static let slownessWindow = Duration.seconds(10)

    private var senders: [Int: Sender] = [:]

    var count: Int { senders.count }
    var isEmpty: Bool { senders.isEmpty }
    var ids: [Int] { senders.keys.sorted() }
    var isAnySending: Bool { senders.values.contains(where: \.isSending) }
    var isAnyLeaving: Bool { senders.values.contains { $0.isLeaving || $0.isStalled } }

    subscript(id: Int) -> Sender? { senders[id] }

    /// Whether it is there and has not been ended by us.
    func isStaying(_ id: Int) -> Bool { senders[id].map { !$0.isLeaving && !$0.isStalled } ?? false }

    /// - Parameter isFirst: no other of the fill sends.
    mutating func begin(_ id: Int, from source: Int, isFirst: Bool) {
        senders[id] = Sender(source: source)
        change(id) { $0.isPromoted = isFirst }
    }

    mutating func remove(_ id: Int) -> Sender? { senders.removeValue(forKey: id) }

    mutating func change(_ id: Int, _ body: (inout Sender) -> Void) {
        guard senders[id] != nil else { return }
        body(&senders[id, default: Sender(source: 0)])
    }

    mutating func answered(_ id: Int, at now: Duration) {
        change(id) { ($0.since, $0.lastByte, $0.moved) = (now, now, 0) }
    }

    /// Bytes are at hand.
    mutating func heard(_ id: Int, at now: Duration) { change(id) { ($0.lastByte, $0.isPaused) = (now, false) } }

    mutating func paused(_ id: Int) { change(id) { ($0.isPaused, $0.wasPaused) = (true, true) } }

    mutating func moved(_ id: Int, _ bytes: Int64) { change(id) { $0.moved += bytes } }

    /// The earliest that was begun as a further one, told of once.
    mutating func takeFirstWaiting() -> Int? {
        guard let id = ids.first(where: { isStaying($0) }), senders[id]?.isPromoted == false else { return nil }
        change(id) { $0.isPromoted = true }
        return id
    }

    // MARK: Time

    /// When one of them may be found slow or standing still.
    ///
    /// - Parameter mindsSlowness: whether there is another way than a slow one.
    func deadlines(stall: Duration, mindsSlowness: Bool) -> [Duration] {
        senders.values.filter(\.isSending).flatMap { sender in
            [
                mindsSlowness ? sender.since.map { $0 + Self.slownessWindow } : nil,
                sender.isPaused ? nil : sender.lastByte.map { $0 + stall },
            ].compactMap { $0 }
        }
    }

    /// Those that nothing has come from for so long; each is told of once.
    mutating func takeStalled(at now: Duration, after limit: Duration) -> [Int] {
        let stalled = ids.filter { id in
            guard let sender = senders[id], sender.isSending, !sender.isPaused else { return false }
            return sender.lastByte.map { now >= $0 + limit } ?? false
        }
        for id in stalled { change(id) { $0.isStalled = true } }
        return stalled
    }

    /// Those that were slower than that over the last window; a new window begins for all that were looked at.
    mutating func takeSlow(at now: Duration, below speed: Int64) -> [Int] {
        ids.filter { id in
            guard let sender = senders[id], sender.isSending, let since = sender.since,
                now - since >= Self.slownessWindow
            else { return false }
            change(id) { ($0.since, $0.moved, $0.wasPaused) = (now, 0, $0.isPaused) }
            return !sender.wasPaused && Double(sender.moved) / ((now - since) / .seconds(1)) < Double(speed)
        }
    }
}
