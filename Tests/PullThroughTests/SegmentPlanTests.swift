// Which bytes are asked for next, by examples.
import Store
import Testing

@testable import PullThrough

@Suite("SegmentPlan: event → segment") struct SegmentPlanTests {
    private let size = 100 * mebi

    private func plan(_ wants: Range<Int64>..., landed: Range<Int64>..., finishes: Bool = false) -> SegmentPlan {
        var plan = SegmentPlan(size: size, landed: Extents(landed))
        plan.wants = wants
        plan.finishesAll = finishes
        return plan
    }

    private func step(_ most: Int64, least: Int64 = mebi) -> SegmentPlan.Step {
        SegmentPlan.Step(most: most, least: least, connections: 2)
    }

    private func range(_ segment: SegmentPlan.Segment?) -> Range<Int64>? { segment.map { $0.next..<$0.end } }

    @Test func `a cold whole is one segment, also where the size is not known`() {
        var plan = plan(0..<size)
        #expect(range(plan.begin(step: nil)) == 0..<size)
        #expect(plan.begin(step: nil) == nil)
        var unsized = SegmentPlan(size: nil)
        unsized.wants = [0..<Int64.max]
        #expect(range(unsized.begin(step: nil)) == 0..<Int64.max)
        unsized.learn(size: 1000)
        #expect(range(unsized[1]) == 0..<1000)
        unsized.landed(1, upTo: 1000)
        #expect(unsized.isComplete)
    }

    @Test func `a second connection takes half of what is left over from the first, or a step on`() {
        var plan = plan(0..<size)
        _ = plan.begin(step: nil)
        plan.landed(1, upTo: 20 * mebi)
        #expect(range(plan.begin(step: step(64 * mebi))) == 60 * mebi..<80 * mebi)
        #expect(range(plan[1]) == 20 * mebi..<60 * mebi)
        var other = self.plan(0..<size)
        _ = other.begin(step: nil)
        #expect(range(other.begin(step: step(8 * mebi))) == 8 * mebi..<16 * mebi)
        #expect(range(other.begin(step: step(8 * mebi))) == 16 * mebi..<24 * mebi)
    }

    @Test func `what one brings soon is left to it`() {
        var plan = plan(0..<3 * mebi)
        _ = plan.begin(step: nil)
        #expect(plan.begin(step: step(8 * mebi, least: 2 * mebi)) == nil)
        #expect(plan.begin(step: nil, isUrgent: true) == nil)
        #expect(range(plan.begin(step: step(8 * mebi))) != nil)
    }

    @Test func `a lone range is had in whole blocks: 64 KiB cost 128 KiB at the most`() {
        var plan = plan(mebi + 1..<mebi + 65_537)
        #expect(range(plan.begin(step: nil)) == mebi..<mebi + 131_072)
        plan = self.plan(mebi..<mebi + 65_536)
        #expect(range(plan.begin(step: nil)) == mebi..<mebi + 65_536)
        plan = self.plan(size - 65_536 - 10..<size - 65_536)
        #expect(range(plan.begin(step: nil)) == size - 131_072..<size - 65_536)
        plan = self.plan(size - 10..<size)
        #expect(range(plan.begin(step: nil)) == size - 65_536..<size)
    }

    @Test func `a range deep in what another brings gets a connection, and the other goes on behind it`() {
        var plan = plan(0..<size, 50 * mebi..<51 * mebi)
        _ = plan.begin(step: nil)
        #expect(plan.isUrged(step: nil))
        #expect(range(plan.begin(step: nil, isUrgent: true)) == 50 * mebi..<51 * mebi)
        #expect(range(plan[1]) == 0..<50 * mebi)
        plan.ended(2)
        plan.landed(1, upTo: 50 * mebi)
        #expect(range(plan[1]) == 50 * mebi..<size)
    }

    @Test func `behind what has landed meanwhile it does not go on`() {
        var plan = plan(0..<size, 50 * mebi..<51 * mebi)
        _ = plan.begin(step: nil)
        _ = plan.begin(step: nil, isUrgent: true)
        plan.landed(2, upTo: 51 * mebi)
        plan.ended(2)
        plan.landed(1, upTo: 60 * mebi)
        #expect(range(plan[1]) == 50 * mebi..<50 * mebi)
        plan.ended(1)
        #expect(range(plan.begin(step: nil)) == 51 * mebi..<size)
    }

    @Test func `gaps between what has landed are had one by one`() {
        var plan = plan(0..<size, landed: mebi..<2 * mebi, 3 * mebi + 1000..<4 * mebi)
        #expect(range(plan.begin(step: nil)) == 0..<mebi)
        #expect(range(plan.begin(step: nil)) == 2 * mebi..<3 * mebi + 1000)
        #expect(range(plan.begin(step: nil)) == 4 * mebi..<size)
        #expect(plan.begin(step: nil) == nil)
    }

    @Test func `who waits goes before what is only to be finished`() {
        var plan = plan(80 * mebi..<81 * mebi, finishes: true)
        #expect(range(plan.begin(step: nil)) == 80 * mebi..<81 * mebi)
        #expect(range(plan.begin(step: nil)) == 0..<80 * mebi)
        #expect(range(plan.begin(step: nil)) == 81 * mebi..<size)
    }

    @Test func `nothing is taken over of what nobody waits for`() {
        var plan = plan(0..<size)
        _ = plan.begin(step: nil)
        plan.wants = [0..<mebi]
        #expect(plan.begin(step: step(8 * mebi)) == nil)
        #expect(plan.unwanted.isEmpty)
        plan.landed(1, upTo: 2 * mebi)
        #expect(plan.unwanted == [1])
    }

    @Test func `what a connection did not bring is free again`() {
        var plan = plan(0..<size)
        _ = plan.begin(step: nil)
        plan.landed(1, upTo: 12_345)
        plan.ended(1)
        let again = plan.begin(step: nil)
        #expect(range(again) == 12_345..<size)
        #expect(again?.id == 2)
    }

    @Test func `where the size turns out smaller, nothing begins behind it`() {
        var plan = SegmentPlan(size: nil)
        plan.wants = [0..<Int64.max, 50 * mebi..<60 * mebi]
        _ = plan.begin(step: nil)
        _ = plan.begin(step: nil, isUrgent: true)
        plan.learn(size: 10 * mebi)
        plan.wants = [0..<10 * mebi]
        #expect(plan.segments.map { $0.next..<$0.end } == [0..<10 * mebi, 50 * mebi..<50 * mebi])
        #expect(range(plan.begin(step: step(64 * mebi))) == 5 * mebi..<7 * mebi + 524_288)
    }

    @Test func `the one that can be spared is nobody's, or furthest ahead`() {
        var plan = plan(0..<mebi, 50 * mebi..<60 * mebi)
        _ = plan.begin(step: nil)
        _ = plan.begin(step: nil)
        #expect(plan.mostDispensable == nil)
        plan.wants = [0..<mebi]
        #expect(plan.mostDispensable == 2)
        plan.wants = [0..<mebi, 40 * mebi..<60 * mebi]
        #expect(plan.mostDispensable == 2)
    }

    @Test func `an upstream that sends all of it is alone`() {
        var plan = plan(0..<size, 50 * mebi..<51 * mebi)
        _ = plan.begin(step: nil)
        _ = plan.begin(step: nil, isUrgent: true)
        plan.widen(2)
        #expect(plan.segments.map(\.id) == [2])
        #expect(range(plan[2]) == 0..<size)
    }

    @Test func `what begins anew has new numbers`() {
        var plan = plan(0..<size, landed: 0..<mebi)
        _ = plan.begin(step: nil)
        plan.startOver()
        #expect(plan.segments.isEmpty && plan.landed.isEmpty && plan.size == .max)
        plan.wants = [0..<Int64.max]
        #expect(plan.begin(step: nil)?.id == 2)
    }
}
