// Several connections of one fill, and the window of one that only passes through, by replayed events.
import Store
import Testing
import Upstream

@testable import PullThrough

@Suite("FillState: several connections, and passing") struct FillParallelTests {
    /// A whole of 400 MiB over connections of 10 MB/s each, or of 10 MB/s together.
    private struct Slow {
        var fill = FillScript(.whole, ranges: 4)
        var open: Set<Int> = [1]
        let isShared: Bool
        var now: Int64 = 0
        var most = 1

        init(isShared: Bool) {
            self.isShared = isShared
            fill.flow(400 * mebi)
        }

        mutating func run(until end: Int64) {
            while now < end, !fill.state.hasEnded {
                now += 50
                let bytes = 500_000 / Int64(isShared ? open.count : 1)
                for id in open.sorted() {
                    guard let segment = fill.state.plan[id] else { continue }
                    perform(fill.bring(id, min(segment.next + bytes, segment.end), at: now))
                    guard let after = fill.state.plan[id], after.remaining == 0, !fill.state.hasEnded else { continue }
                    open.remove(id)
                    perform(fill.finish(id, at: now))
                }
                perform(fill.tick(now))
            }
        }

        private mutating func perform(_ actions: [FillState.Action]) {
            for case .ask(let ask) in actions {
                open.insert(ask.id)
                _ = fill.answer(ask.id, 400 * mebi, 0..<1, at: now)
            }
            most = max(most, open.count)
        }
    }

    @Test func `on a slow upstream several are tried soon, and stay where that helps`() {
        var slow = Slow(isShared: false)
        slow.run(until: 100)
        #expect(slow.open.count == 1)
        slow.run(until: 500)
        #expect(slow.open.count == 4)
        slow.run(until: 8000)
        #expect(slow.open.count == 4)
        slow.run(until: 60_000)
        #expect(slow.fill.state.hasEnded)
        // One alone takes 42 s.
        #expect(slow.now < 13_000)
        #expect(slow.most == 4)
    }

    @Test func `where several are no faster than one, one goes on`() {
        var slow = Slow(isShared: true)
        slow.run(until: 500)
        #expect(slow.open.count == 4)
        slow.run(until: 14_000)
        #expect(slow.open.count == 1)
        slow.run(until: 60_000)
        #expect(slow.fill.state.hasEnded)
        #expect(slow.now < 45_000)
    }

    @Test func `a fast upstream is left to one connection`() {
        var fill = FillScript(.whole, ranges: 4)
        fill.flow(100 * mebi)
        _ = fill.bring(1, mebi, at: 1)
        #expect(fill.bring(1, 90 * mebi, at: 510) == [.checkpoint])
        #expect(fill.tick(5000) == [])
    }

    @Test func `a range far ahead gets a connection at once, and one that is urgent takes a place`() {
        var fill = FillScript(.whole, ranges: 2)
        fill.flow(100 * mebi)
        #expect(fill.state.join(2, .part(50 * mebi..<51 * mebi), at: .zero) == true)
        #expect(fill.tick(1) == [ask(2, part(50 * mebi..<51 * mebi), isFirst: false)])
        #expect(fill.leave(2, at: 2) == [])
        #expect(fill.state.join(3, .part(80 * mebi..<81 * mebi), at: .zero) == true)
        #expect(fill.tick(3) == [.cancel(2)])
        #expect(fill.tick(4) == [])
        #expect(fill.fail(2, .cancelled, at: 5) == [ask(3, part(80 * mebi..<81 * mebi), isFirst: false)])
    }

    @Test func `nobody takes what nobody wants`() {
        var fill = FillScript(.whole, ranges: 4, finishes: false)
        fill.flow(400 * mebi)
        #expect(fill.state.join(2, .part(0..<mebi), at: .zero) == true)
        _ = fill.bring(1, 1000, at: 1)
        _ = fill.bring(1, 2000, at: 510)
        let asked = fill.state.plan.segments.map(\.id)
        #expect(asked == [1, 2, 3, 4])
        #expect(fill.leave(1, at: 520) == [.cancel(2), .cancel(3), .cancel(4)])
        for id in 2...4 { #expect(fill.fail(id, .cancelled, at: 530) == []) }
    }

    // MARK: Passing

    @Test func `what passes is held at the window's end and goes on with its follower`() {
        var fill = FillScript(.whole, ranges: 4)
        fill.flow(100 * mebi, window: 8 * mebi)
        #expect(fill.state.isPassing)
        #expect(fill.state.join(2, .whole, at: .zero) == false)
        #expect(fill.state.allowance(1, at: 8 * mebi - 1) == .upTo(100 * mebi))
        _ = fill.bring(1, 8 * mebi, at: 1)
        #expect(fill.state.allowance(1, at: 8 * mebi) == .hold)
        fill.state.paused(1)
        #expect(fill.move(1, mebi, at: 2) == [.release(upTo: mebi), .resume(1)])
        #expect(fill.state.allowance(1, at: 8 * mebi) == .upTo(100 * mebi))
        #expect(fill.move(1, 2 * mebi, at: 3) == [.release(upTo: 2 * mebi)])
        #expect(fill.tick(100_000) == [])
        #expect(fill.leave(1, at: 100_000) == [.cancel(1), .end(.kept)])
    }

    @Test func `only the first follower stays where there is no room, and no more come`() {
        var fill = FillScript(.whole, .whole, .part(0..<1000))
        fill.flow(100 * mebi, window: 8 * mebi)
        #expect(fill.state.followers.count == 1 && fill.state.followers.contains(1))
        fill.state.want(2, .whole, at: .zero)
        #expect(fill.state.followers.count == 1)
    }

    @Test func `where nobody is left when it turns out that there is no room, it ends`() {
        var fill = FillScript(.whole)
        _ = fill.tick(0)
        _ = fill.answer(1, 100 * mebi)
        #expect(fill.leave(1, at: 1) == [])
        #expect(fill.open(window: 8 * mebi) == [.cancel(1), .end(.kept)])
    }

    @Test func `what was to go on behind a kept part begins anew where there is no room even for that`() {
        var fill = FillScript(.whole, size: 100 * mebi, landed: Extents(upTo: 40 * mebi))
        #expect(fill.tick(0) == [ask(1, .from(40 * mebi))])
        _ = fill.answer(1, 100 * mebi, 40 * mebi..<100 * mebi)
        #expect(fill.open(window: 8 * mebi) == [.cancel(1)])
        #expect(fill.fail(1, .cancelled, at: 1) == [ask(2)])
    }

    @Test func `when the disk is full on the way one connection stays, at the slowest follower's next byte`() {
        var fill = FillScript(.whole, ranges: 4)
        fill.flow(400 * mebi)
        _ = fill.bring(1, 1_000_000, at: 1)
        #expect(fill.bring(1, 2_000_000, at: 510).count == 3)
        let actions = fill.state.ranOutOfRoom(window: 8 * mebi, at: .milliseconds(520))
        #expect(actions == [.release(upTo: 0), .cancel(2), .cancel(3), .cancel(4)])
        for id in 2...4 { #expect(fill.fail(id, .cancelled, at: 530) == []) }
        #expect(fill.state.allowance(1, at: 8 * mebi) == .hold)
        #expect(fill.move(1, 1_000_000, at: 540) == [.release(upTo: 1_000_000), .resume(1)])
    }
}
