// What the segments of a fill keep to, whatever happens: seeded random histories, checked event by event.
import Store
import TestSupport
import Testing

@testable import PullThrough

@Suite("SegmentPlan: laws") struct SegmentPlanLawTests {
    @Test(arguments: 1...20)
    func `no byte is asked for twice, the nearest comes first, and nothing is left over`(_ seed: Int) throws {
        for run in 0..<150 {
            var history = PlanHistory(seed: UInt64(seed * 1000 + run))
            try history.play()
        }
    }
}

/// One random history of a plan, and what a bystander knows of it: what came, and who waits for what.
private struct PlanHistory {
    private let seed: UInt64
    private var random: SplitMix
    private var plan: SegmentPlan
    /// Of the blob, known to the plan or not.
    private let size: Int64
    private var isTold: Bool
    private var landed: Runs
    /// Bytes that came, each as often as it came.
    private var brought: Int64 = 0
    private var followers: [Range<Int64>] = []
    private var widened: Set<Int> = []
    private var step = 0

    private static let block: Int64 = 64 << 10, least: Int64 = 1 << 20

    init(seed: UInt64) {
        self.seed = seed
        random = SplitMix(state: seed)
        size =
            switch random.number(0...9) {
            case 0: random.number(1...3) * Self.block
            case 1...3: random.number(1...200_000)
            case 4...6: random.number(1...(8 << 20))
            default: random.number(1...(64 << 20))
            }
        isTold = random.chance(0.7)
        var runs: [Range<Int64>] = []
        if isTold, random.chance(0.4) {
            for _ in 0..<random.number(1...4) {
                let start = random.number(0...size - 1)
                runs.append(start..<random.number(start...min(size, start + size / 3)))
            }
        }
        landed = Runs(runs)
        plan = SegmentPlan(size: isTold ? size : nil, landed: Extents(runs))
    }

    mutating func play() throws {
        let initial = landed.count
        for _ in 0..<random.number(20...120) { try event() }
        try drain()
        if plan.isComplete, widened.isEmpty, brought != size - initial {
            throw broken("\(brought) bytes came for \(size - initial) that were missing")
        }
    }

    private mutating func event() throws {
        step += 1
        switch random.number(0...19) {
        case 0...5: try begin()
        case 6...11: try land()
        case 12: try end()
        case 13...15: moveFollowers()
        case 16: plan.finishesAll.toggle()
        case 17: tell()
        case 18: try leaveUnwanted()
        default: widen()
        }
        try checkClaims()
    }

    // MARK: Events

    private mutating func moveFollowers() {
        if followers.count < 5, random.chance(0.5) {
            let start = random.number(0...size - 1)
            let length = random.chance(0.5) ? size : random.number(1...min(size, 3 << 20))
            // Ends at a block's end are the ones where one may be off by one.
            let end = random.chance(0.3) ? (start + length) / Self.block * Self.block : start + length
            followers.append(start..<max(start, min(size, end)))
        }
        for index in followers.indices where random.chance(0.3) {
            let follower = followers[index]
            followers[index] = random.number(follower.lowerBound...follower.upperBound)..<follower.upperBound
        }
        followers.removeAll { $0.isEmpty }
        if !followers.isEmpty, random.chance(0.2) {
            followers.remove(at: Int.random(in: followers.indices, using: &random))
        }
        want()
    }

    /// As the table of followers says it; now and then what was said stays although bytes have come.
    private mutating func want() {
        let end = isTold ? size : .max
        plan.wants = followers.map {
            landed.firstMissing(in: $0)..<(isTold || $0.upperBound < size ? $0.upperBound : end)
        }
        .filter { !$0.isEmpty }
    }

    private mutating func tell() {
        guard !isTold, random.chance(0.3) else { return }
        learn()
    }

    private mutating func learn() {
        isTold = true
        plan.learn(size: size)
        want()
    }

    /// An upstream that ignores ranges; nobody else is asked while it sends.
    private mutating func widen() {
        guard random.chance(0.15), let segment = anySegment() else { return }
        plan.widen(segment.id)
        widened.insert(segment.id)
    }

    private mutating func anySegment() -> SegmentPlan.Segment? { plan.segments.randomElement(using: &random) }

    private mutating func land() throws {
        guard let segment = anySegment() else { return }
        let most = random.chance(0.3) ? size : random.number(0...(2 << 20))
        try bring(segment, to: min(size, segment.next + random.number(0...max(0, most))))
    }

    private mutating func bring(_ segment: SegmentPlan.Segment, to offset: Int64) throws {
        let others = plan.segments.filter { $0.id != segment.id }
        let came = segment.next..<max(segment.next, min(offset, segment.end))
        plan.landed(segment.id, upTo: offset)
        guard let after = plan[segment.id] else {
            throw broken("\(segment) is gone although it only brought something")
        }
        if !widened.contains(segment.id), landed.overlaps(came) { throw broken("\(came) came again") }
        var new = Runs([came])
        for run in landed.runs { new.remove(run) }
        brought += new.count
        landed.add(came)
        if after.next != came.upperBound { throw broken("\(segment) brought \(came) and stands at \(after.next)") }
        if plan.segments.filter({ $0.id != segment.id }) != others { throw broken("others changed by a landing") }
        if after.end < segment.end || after.end > after.reach { throw broken("\(segment) became \(after)") }
        if after.end > segment.end {
            let more = segment.end..<after.end
            if after.next < segment.end { throw broken("\(segment) goes on although it has not come to its end") }
            if landed.overlaps(more) || others.contains(where: { more.overlaps($0.next..<$0.end) }) {
                throw broken("\(segment) goes on over what is here or another's: \(after)")
            }
        }
    }

    private mutating func end() throws {
        guard let segment = anySegment() else { return }
        let others = plan.segments.filter { $0.id != segment.id }
        plan.ended(segment.id)
        if plan.segments != others { throw broken("the end of one changed others") }
    }

    private mutating func leaveUnwanted() throws {
        for id in plan.unwanted {
            guard let segment = plan[id], !plan.finishesAll else { throw broken("\(id) is wanted") }
            if plan.wants.contains(where: { $0.overlaps(segment.next..<segment.end) }) {
                throw broken("\(segment) is wanted")
            }
            plan.ended(id)
        }
    }

    // MARK: Beginning

    private mutating func begin() throws {
        if plan.segments.count >= 5 || plan.segments.contains(where: { widened.contains($0.id) }) { return }
        if random.chance(0.8) { want() }
        _ = try begin(step: random.chance(0.5) ? nil : anyStep(), isUrgent: random.chance(0.3))
    }

    private mutating func anyStep() -> SegmentPlan.Step {
        let least = random.number(Self.least...(2 << 20))
        return SegmentPlan.Step(
            most: random.number(least...(6 << 20)), least: least, connections: Int(random.number(1...5)))
    }

    private mutating func begin(step: SegmentPlan.Step?, isUrgent: Bool) throws -> SegmentPlan.Segment? {
        let before = plan
        let isUrged = plan.isUrged(step: step)
        let segment = plan.begin(step: step, isUrgent: isUrgent)
        let urgent = before.wants.filter { isFree($0, before) || isDeep($0, before) }
        if isUrged == urgent.isEmpty { throw broken("urged: \(isUrged), and \(urgent) have nobody who comes soon") }
        guard let segment else {
            if isUrgent ? !urgent.isEmpty : hasFree(before) { throw broken("nothing begins, and bytes are to be had") }
            if plan.segments != before.segments { throw broken("nothing begun, yet changed") }
            return nil
        }
        let range = segment.start..<segment.end
        if segment.next != segment.start || range.isEmpty || segment.end > (isTold ? size : .max) {
            throw broken("begun: \(segment)")
        }
        if segment.reach != segment.end { throw broken("asked for other than taken: \(segment)") }
        if before.segments.contains(where: { $0.id >= segment.id }) { throw broken("not a new number: \(segment)") }
        if landed.overlaps(range) { throw broken("\(segment) is for what has landed") }
        if let step, segment.end - segment.start >= step.most + Self.block { throw broken("\(segment) is long") }
        try checkPlace(segment, before, isUrgent: isUrgent)
        try checkVictim(segment, before, step)
        return segment
    }

    /// It is wanted, and nearest first.
    private func checkPlace(_ segment: SegmentPlan.Segment, _ before: SegmentPlan, isUrgent: Bool) throws {
        let isWanted = before.wants.contains {
            $0.lowerBound - segment.start < Self.block && segment.start < $0.upperBound
                && segment.end - $0.upperBound < Self.block && segment.end > $0.lowerBound
        }
        if !isWanted, !before.finishesAll || isUrgent { throw broken("nobody wants \(segment) of \(before.wants)") }
        let distances = before.wants.filter { $0.overlaps(segment.start..<segment.end) }
            .map { landed.firstMissing(in: max($0.lowerBound, segment.start)..<$0.upperBound) - $0.lowerBound }
        let urgent = before.wants.filter { isFree($0, before) || isDeep($0, before) }
        let nearest = urgent.map { landed.firstMissing(in: $0) - $0.lowerBound }.min()
        if let nearest, distances.min() ?? .max > nearest { throw broken("\(segment) while \(urgent) wait") }
        let isAligned = segment.start % Self.block == 0 || segment.start == size
        let isAtEdge = landed.has(segment.start - 1) || before.segments.contains { $0.end == segment.start }
        if !isAligned, !isAtEdge { throw broken("\(segment) begins anywhere") }
        let isEndAligned = segment.end % Self.block == 0 || segment.end == plan.size
        let isEndAtEdge =
            landed.has(segment.end) || before.segments.contains { $0.next == segment.end || $0.end == segment.end }
        if !isEndAligned, !isEndAtEdge { throw broken("\(segment) ends anywhere") }
    }

    /// At most one gave a part, and kept what it brings soon.
    private func checkVictim(
        _ segment: SegmentPlan.Segment, _ before: SegmentPlan, _ step: SegmentPlan.Step?
    ) throws {
        let least = step?.least ?? .max
        var victims = 0
        for old in before.segments {
            guard let new = plan[old.id] else { throw broken("\(old) is gone") }
            if new == old { continue }
            victims += 1
            let isAsked = before.wants.contains { want in
                let first = landed.firstMissing(in: want)
                return first - old.next > Self.least && (segment.start..<segment.end).contains(first)
            }
            let given = old.end - new.end
            let kept = new.end - new.next
            if new.next != old.next || given <= 0 { throw broken("\(old) became \(new)") }
            if kept < (isAsked ? Self.least - Self.block : least) { throw broken("\(old) keeps only \(kept)") }
            if given < least, !isAsked { throw broken("\(old) gives only \(given)") }
            if segment.start != new.end { throw broken("\(segment) does not go on where \(new) now ends") }
        }
        if victims > 1 { throw broken("\(victims) gave a part to \(segment)") }
    }

    private func isFree(_ want: Range<Int64>, _ plan: SegmentPlan) -> Bool {
        let first = landed.firstMissing(in: want)
        return first < want.upperBound && !plan.segments.contains { ($0.next..<$0.end).contains(first) }
    }

    private func isDeep(_ want: Range<Int64>, _ plan: SegmentPlan) -> Bool {
        let first = landed.firstMissing(in: want)
        guard first < want.upperBound else { return false }
        return plan.segments.contains { ($0.next..<$0.end).contains(first) && first - $0.next > Self.least }
    }

    /// Whether a byte is wanted that has not come and that no segment is to bring.
    private func hasFree(_ plan: SegmentPlan) -> Bool {
        var taken = landed
        for segment in plan.segments { taken.add(segment.next..<segment.end) }
        if plan.finishesAll, !taken.has(all: 0..<plan.size) { return true }
        return plan.wants.contains { !taken.has(all: $0) }
    }

    // MARK: Always, and in the end

    private func checkClaims() throws {
        for (index, segment) in plan.segments.enumerated() {
            if segment.next > segment.end || segment.end > plan.size && segment.next < segment.end {
                throw broken("\(segment) in \(plan.size)")
            }
            let claim = segment.next..<segment.end
            if !widened.contains(segment.id), landed.overlaps(claim) {
                throw broken("\(segment) is to bring what is here")
            }
            for other in plan.segments[..<index]
            where max(claim.lowerBound, other.next) < min(claim.upperBound, other.end) {
                throw broken("\(segment) and \(other) bring the same")
            }
        }
        if Runs(plan.landed.ranges).count != landed.count
            || plan.landed.ranges.contains(where: { !landed.has(all: $0) })
        {
            throw broken("landed are \(plan.landed.ranges), and not \(landed.runs)")
        }
    }

    /// Everybody is served, over up to three connections, until nothing more begins.
    private mutating func drain() throws {
        var turns = 0
        while true {
            turns += 1
            if turns > 4000 { throw broken("does not come to an end") }
            want()
            if isTold, plan.isComplete { break }
            if plan.segments.count < 3, !plan.segments.contains(where: { widened.contains($0.id) }) {
                _ = try begin(step: random.chance(0.5) ? nil : anyStep(), isUrgent: false)
            }
            guard let segment = anySegment() else { break }
            let room = min(segment.end, size) - segment.next
            try bring(segment, to: segment.next + min(room, random.number(0...(4 << 20))))
            try checkClaims()
            guard let now = plan[segment.id] else { continue }
            if now.next == size, !isTold { learn() }
            if now.end <= now.next || random.chance(0.02) { plan.ended(segment.id) }
        }
        let left = followers.filter { !landed.has(all: $0) }
        if !left.isEmpty { throw broken("\(left) never came") }
        if plan.finishesAll, !plan.isComplete { throw broken("it is not whole") }
    }

    private func broken(_ what: String) -> Broken {
        let segments = plan.segments.map { "\($0.id): \($0.next)..<\($0.end) (\($0.start)..<\($0.reach))" }
        return Broken(
            description: "seed \(seed), event \(step), size \(size): \(what); segments \(segments), wants \(plan.wants)"
        )
    }
}
