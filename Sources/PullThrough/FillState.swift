// One fill's state machine: what its followers want, what its connections bring, what is to be done about it.

import HTTPSemantics
import Store
import Upstream

/// A value without I/O. Events go in with the time since the fill began; what to do comes out.
///
/// ```
/// waiting ─ an answer may be used ─→ opening ─ file and room are there ─→ flowing ─ all landed ─→ ended(.whole)
///    │ no answer, and none to hope for    │ it cannot be made               │ no progress for too long
///    └────────────────────────────────────┴─────────────────────────────────┴─→ ended(.failed)
///                                      stopped, or nobody wants the rest:     ended(.kept)
/// ```
struct FillState: Sendable {
    private enum Phase { case waiting, opening, flowing, ended }

    /// Blobs larger than this are worth several connections.
    static let parallelBeyond: Int64 = 32 << 20
    private static let checkpointBytes: Int64 = 64 << 20, checkpointInterval = Duration.seconds(10)

    let policy: FillPolicy
    private(set) var plan: SegmentPlan
    private(set) var followers = FollowerTable()
    private(set) var witness: Witness
    private var repair: RepairState
    private var ramp: ConnectionRamp
    private var senders = SenderTable()
    private var phase = Phase.waiting
    /// Whether the status line may go out.
    private(set) var isShown = false
    /// There is no room for all of it: bytes that may stand ahead of the slowest follower.
    private var window: Int64?
    /// That was found out on the way.
    private var hasRunOut = false
    private var ignoresRanges = false
    private var wasAskedWhole = false
    /// Ways to each source, the most of them.
    private var endpointCount = 1
    private var received: Int64 = 0
    private var lastWanted = Duration.zero
    private var checkpointed: (bytes: Int64, at: Duration) = (0, .zero)

    /// - Parameters:
    ///   - size: bytes, where an earlier answer or a kept partial file tells.
    ///   - landed: what an earlier fill left.
    init(policy: FillPolicy, size: Int64?, landed: Extents = Extents()) {
        self.policy = policy
        plan = SegmentPlan(size: size, landed: landed)
        witness = Witness(size: size)
        repair = RepairState(policy: policy)
        ramp = ConnectionRamp(most: policy.ranges)
    }

    var size: Int64? { witness.size }
    var hasEnded: Bool { phase == .ended }
    var isPassing: Bool { window != nil }

    // MARK: Followers and sources

    /// - Returns: false if it takes no more followers.
    mutating func join(_ id: Int, _ demand: Demand, at now: Duration) -> Bool {
        // What is all here and is being verified is as good as in flight.
        guard phase != .ended || plan.isComplete, !isPassing else { return false }
        set(id, demand, at: now)
        return true
    }

    /// A follower knows now what he wants.
    mutating func want(_ id: Int, _ demand: Demand, at now: Duration) {
        if followers.contains(id) { set(id, demand, at: now) }
    }

    private mutating func set(_ id: Int, _ demand: Demand, at now: Duration) {
        followers.set(id, demand)
        lastWanted = now
        if demand == .whole { wasAskedWhole = true }
    }

    /// A follower has read up to `offset`.
    mutating func moved(_ id: Int, to offset: Int64, at now: Duration) -> [Action] {
        let hasMoved = followers.move(id, to: offset)
        guard hasMoved != .nowhere, phase != .ended else { return [] }
        if isPassing { return released() + next(at: now) }
        // Of the others only the window of an open-ended reader changes what is wanted.
        return hasMoved == .intoNextWindow ? next(at: now) : []
    }

    mutating func left(_ id: Int, at now: Duration) -> [Action] {
        guard followers.remove(id), phase != .ended else { return [] }
        lastWanted = now
        guard isPassing else { return next(at: now) }
        return followers.isEmpty ? end(.kept) : released() + next(at: now)
    }

    /// - Parameter endpoints: ways to it.
    mutating func addSource(endpoints: Int, isFirst: Bool) {
        endpointCount = max(endpointCount, endpoints)
        if !isFirst { repair.addSource() }
    }

    // MARK: Connections

    /// An upstream has answered connection `id`.
    ///
    /// - Returns: why the answer is not to be used, or what to do.
    mutating func answered(_ id: Int, _ head: BlobHead, at now: Duration) -> Result<[Action], UpstreamError> {
        guard phase != .ended, let segment = plan[id], senders.isStaying(id) else {
            return .failure(.cancelled)
        }
        switch witness.judge(head, wanted: segment.start, maySkip: ignoresRanges) {
        case .unfit(let error): return .failure(error)
        case .tooFarToSkip(let error):
            ignoresRanges = true
            senders.change(id) { $0.hasSpurnedSkipping = true }
            return .failure(error)
        case .fit: senders.change(id) { $0.hasSpurnedSkipping = false }
        }
        if head.range != nil { ignoresRanges = false }
        if let size = head.size, plan.size == .max { plan.learn(size: size) }
        var actions: [Action] = []
        if head.range == nil, segment.start > 0 || segment.reach < plan.size {
            ignoresRanges = true
            // One that sends already is nearer; when the others have left, it goes on to the end.
            if senders.isAnySending {
                makeWay(id)
                return .failure(.cancelled)
            }
            plan.widen(id)
            for other in senders.ids where other != id { actions.append(leave(other)) }
        }
        senders.answered(id, at: now)
        guard phase == .waiting else { return .success(actions) }
        phase = .opening
        return .success(actions + [.open(size: size)])
    }

    /// The file is there.
    ///
    /// - Parameters:
    ///   - landed: what it holds already: less than was thought if it had to make room meanwhile.
    ///   - window: there is no room for all of it: bytes that may stand ahead of the slowest follower. Then only the
    ///     first follower is served by this fill.
    mutating func opened(landed: Extents, window: Int64?, at now: Duration) -> [Action] {
        guard phase == .opening else { return [] }
        phase = .flowing
        plan.found(landed)
        checkpointed.at = now
        self.window = window
        if isPassing {
            followers.keepFirst()
            if followers.isEmpty { return end(.kept) }
        }
        // What is no larger than what is held back is shown only when it is known to be good.
        isShown = (size ?? .max) > Landing.heldBack
        return next(at: now)
    }

    /// The disk is full on the way: from here on nothing is kept that has been read.
    mutating func ranOutOfRoom(window: Int64, at now: Duration) -> [Action] {
        guard phase == .flowing, !isPassing else { return [] }
        self.window = window
        hasRunOut = true
        return followers.isEmpty ? end(.kept) : released() + next(at: now)
    }

    /// Connection `id` has bytes at hand; it has been told to wait.
    mutating func heard(_ id: Int, at now: Duration) { senders.heard(id, at: now) }
    mutating func paused(_ id: Int) { senders.paused(id) }

    /// How far connection `id`, which is at `offset`, may go on now.
    mutating func allowance(_ id: Int, at offset: Int64) -> Allowance {
        guard phase == .flowing, let segment = plan[id], senders.isStaying(id), offset < segment.end
        else { return .done }
        if let window, offset >= followers.slowest + window {
            senders.change(id) { $0.isHeld = true }
            return .hold
        }
        return .upTo(segment.end)
    }

    /// Bytes of connection `id` have been written up to `offset`.
    mutating func landed(_ id: Int, upTo offset: Int64, at now: Duration) -> [Action] {
        guard phase == .flowing, let segment = plan[id] else { return [] }
        let before = plan.landed.count
        plan.landed(id, upTo: offset)
        // What is passed over on the way is no progress.
        let count = plan.landed.count - before
        received += count
        senders.moved(id, max(0, offset - segment.next))
        if count > 0 { repair.progressed() }
        if plan.isComplete { return end(.whole) }
        let isDue = isRampUseful && ramp.isDue(at: now) || received - checkpointed.bytes >= Self.checkpointBytes
        return isDue ? next(at: now) : []
    }

    /// A connection is over: its work done, given up by us, or failed.
    mutating func ended(
        _ id: Int, _ result: Result<Void, UpstreamError>, of upstream: String, at now: Duration
    ) -> [Action] {
        let (sender, segment) = (senders.remove(id), plan[id])
        plan.ended(id)
        guard phase != .ended, let sender else { return [] }
        guard let segment, !sender.isLeaving else { return next(at: now) }
        if sender.isStalled {
            return failed(sender, .unreachable(.httpResponseTimeout, "nothing more came"), upstream, now)
        }
        if case .success = result, plan.size == .max { plan.learn(size: segment.next) }
        if phase == .flowing, plan.isComplete { return end(.whole) }
        switch result {
        case .success where segment.remaining <= 0 || plan.size == segment.next: return next(at: now)
        case .success:
            return failed(sender, .incomplete(received: segment.next, expected: segment.end), upstream, now)
        case .failure(let error): return failed(sender, error, upstream, now)
        }
    }

    /// Its slot is needed by someone who is waited for.
    mutating func gaveWay(_ id: Int) -> [Action] {
        phase != .ended && senders.isStaying(id) ? [leave(id)] : []
    }

    /// The program ends.
    mutating func stop() -> [Action] { phase == .ended ? [] : end(.kept) }

    /// The file cannot be made, or not be written.
    mutating func broke(_ error: PullThroughError) -> [Action] {
        phase == .ended ? [] : end(.failed(error, isLie: true))
    }

    // MARK: Time

    /// When `tick` is due next, if ever.
    ///
    /// - Parameter limit: when the status line must have gone out.
    func deadline(firstByteBy limit: Duration) -> Duration? {
        guard phase != .ended else { return nil }
        var times = [isShown ? nil : limit]
        // While the file is being made there is nothing to do.
        if phase != .opening { times.append(repair.retryAt) }
        if phase == .flowing {
            if !senders.isAnySending { times.append(repair.givesUpAt) }
            if isRampUseful { times.append(ramp.deadline) }
            if received > checkpointed.bytes, !isPassing { times.append(checkpointed.at + Self.checkpointInterval) }
            times += senders.deadlines(stall: policy.stallTimeout, mindsSlowness: hasOtherWays)
            if mayFinishLater { times.append(lastWanted + policy.rangeIdle) }
        }
        return times.compactMap { $0 }.min()
    }

    mutating func tick(firstByteBy limit: Duration, at now: Duration) -> [Action] {
        guard phase != .ended else { return [] }
        if !isShown, now >= limit {
            return end(
                .failed(repair.lastError ?? .unreachable(.httpResponseTimeout, "no answer in time"), isLie: false))
        }
        if phase == .flowing, !senders.isAnySending, let limit = repair.givesUpAt, now >= limit,
            let error = repair.lastError
        {
            return end(.failed(error, isLie: false))
        }
        return next(at: now)
    }

    // MARK: What to do next

    private mutating func next(at now: Duration) -> [Action] {
        guard phase == .waiting || phase == .flowing else { return [] }
        if phase == .flowing, mayFinishLater, now >= lastWanted + policy.rangeIdle { wasAskedWhole = true }
        plan.wants = followers.wants(of: plan.size, landed: plan.landed, isWindowed: !isPassing)
        // What one connection sends from its beginning anyway is not asked for twice.
        let isBegun = wasAskedWhole || ignoresRanges
        // What is shown only when it is verified must be here whole for that.
        let isHidden = phase == .flowing && !isShown
        let isWanted = followers.wantsWhole(of: plan.size, landed: plan.landed) || isHidden
        plan.finishesAll = !isPassing && (isBegun && policy.finishes || isWanted)
        if phase == .waiting { return asks(now) }
        if plan.isComplete { return end(.whole) }
        var actions = checkpoints(now)
        for id in plan.unwanted + beside where senders.isStaying(id) { actions.append(leave(id)) }
        actions += replacements(now)
        if isRampUseful { ramp.look(at: now, received: received, remaining: missing) }
        actions += asks(now)
        guard senders.isEmpty, repair.retryAt == nil else { return actions }
        // Who waits for the last bytes to be verified would do so for ever: what is behind him is not had any more.
        if hasRunOut, isWanted { return actions + end(.failed(.noSpace("no room for the whole"), isLie: false)) }
        return followers.isEmpty && !policy.finishes ? actions + end(.kept) : actions
    }

    private mutating func asks(_ now: Duration) -> [Action] {
        guard repair.mayAsk(at: now) else { return [] }
        var actions: [Action] = []
        let mayBeSeveral = phase == .flowing && !isPassing && !ignoresRanges
        let isLarge = mayBeSeveral && isRampUseful
        var step = isLarge ? ramp.step : nil
        if phase == .waiting, plan.wants.isEmpty, !plan.finishesAll, !followers.isEmpty {
            // Who finds all he wants in what was kept, or waits for the size, needs an answer all the same.
            plan.finishesAll = true
            step = SegmentPlan.Step(most: SegmentPlan.block, least: SegmentPlan.block, connections: 1)
        }
        defer { if senders.isEmpty { repair.rests() } }
        if phase == .flowing, !senders.isAnySending, let first = senders.takeFirstWaiting() {
            actions.append(.promote(first))
        }
        while senders.count < (isLarge ? ramp.target : 1), let segment = plan.begin(step: step) {
            actions.append(ask(segment))
        }
        guard mayBeSeveral else { return actions }
        while senders.count < policy.ranges, let segment = plan.begin(step: step, isUrgent: true) {
            actions.append(ask(segment))
        }
        // All are busy, and somebody waits for what none of them brings: the one that can be spared makes way.
        if senders.count >= policy.ranges, !senders.isAnyLeaving, plan.isUrged(step: step),
            let spare = plan.mostDispensable
        {
            actions.append(leave(spare))
        }
        return actions
    }

    private mutating func ask(_ segment: SegmentPlan.Segment) -> Action {
        let isFirst = !senders.isAnySending
        senders.begin(segment.id, from: repair.source, isFirst: isFirst)
        let isToTheEnd = segment.end >= plan.size
        let range: BlobRange? =
            switch (segment.start, isToTheEnd) {
            case (0, true): nil
            case (let start, true): .from(start)
            case (let start, false): .part(start...segment.end - 1)
            }
        return .ask(Ask(id: segment.id, range: range, source: repair.source, isFirst: isFirst))
    }

    private mutating func leave(_ id: Int) -> Action {
        makeWay(id)
        return .cancel(id)
    }

    /// What sent until we ended it has not failed, whatever did before it.
    private mutating func makeWay(_ id: Int) {
        if senders[id]?.isSending == true { repair.rests() }
        senders.change(id) { $0.isLeaving = true }
    }

    private mutating func end(_ outcome: Outcome) -> [Action] {
        phase = .ended
        return senders.ids.map { .cancel($0) } + [.end(outcome)]
    }

    private mutating func failed(
        _ sender: SenderTable.Sender, _ error: UpstreamError, _ upstream: String, _ now: Duration
    ) -> [Action] {
        let isEarly = phase == .waiting
        if sender.hasSpurnedSkipping { return next(at: now) }
        // The size that an earlier answer or a partial file told may be what is wrong.
        if isEarly, plan.size != .max, !witness.isConfirmed, error.isContradiction {
            plan.startOver()
            witness = Witness(size: nil)
            return next(at: now)
        }
        // Further connections are not let in; one that breaks on the way says nothing of that.
        if !senders.isEmpty, ramp.target > 1, !sender.hasAnswered { ramp.stayAlone(at: now, received: received) }
        let isAlone = !senders.isAnySending
        switch repair.failed(
            error, by: sender.source, of: upstream, isEarly: isEarly, isAlone: isAlone, at: now)
        {
        case .giveUp(let error, let isLie): return end(.failed(error, isLie: isLie))
        case .again: return next(at: now)
        }
    }

    // MARK: Looking

    private var missing: Int64 { plan.size - plan.landed.count }
    private var hasOtherWays: Bool { repair.sourceCount > 1 || endpointCount > 1 }

    /// Only ranges were asked for; the rest is had when nobody has asked for any for a while.
    private var mayFinishLater: Bool {
        policy.finishes && !isPassing && !wasAskedWhole && followers.areServed(of: plan.size, landed: plan.landed)
    }

    private var isRampUseful: Bool {
        !isPassing && !ignoresRanges && policy.ranges > 1 && plan.size != .max && plan.size > Self.parallelBeyond
    }

    /// What passes through has one connection, and that is the one which brings what the slowest waits for: another
    /// would stand at the window's end for ever.
    private var beside: [Int] {
        guard isPassing, let first = plan.wants.first?.lowerBound else { return [] }
        let bringer = plan.segments.first {
            $0.next <= first && first < $0.end && (ignoresRanges || first - $0.next <= SegmentPlan.worthwhile)
        }
        return senders.ids.filter { $0 != bringer?.id }
    }

    private mutating func released() -> [Action] {
        guard let window else { return [] }
        let slowest = followers.slowest
        var actions = [Action.release(upTo: slowest)]
        for id in senders.ids where senders[id]?.isHeld == true {
            guard let segment = plan[id], segment.next < slowest + window else { continue }
            senders.change(id) { $0.isHeld = false }
            actions.append(.resume(id))
        }
        return actions
    }

    private mutating func checkpoints(_ now: Duration) -> [Action] {
        guard !isPassing, received > checkpointed.bytes else { return [] }
        let isMuch = received - checkpointed.bytes >= Self.checkpointBytes
        guard isMuch || now >= checkpointed.at + Self.checkpointInterval else { return [] }
        checkpointed = (received, now)
        return [.checkpoint]
    }

    /// Who stands still has failed; who is slow makes way if there is another.
    private mutating func replacements(_ now: Duration) -> [Action] {
        var actions = senders.takeStalled(at: now, after: policy.stallTimeout).map(Action.replace)
        guard hasOtherWays else { return actions }
        for id in senders.takeSlow(at: now, below: policy.minSpeed) {
            makeWay(id)
            repair.turnToNextSource()
            actions.append(.replace(id))
        }
        return actions
    }
}
