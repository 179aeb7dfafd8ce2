// How a fill begins, is answered and ends, by replayed events.
import HTTPSemantics
import Store
import Testing
import Upstream

@testable import PullThrough

@Suite("FillState: event → actions") struct FillStateTests {
    @Test func `a cold whole is asked for once, without a range, opened at the answer, and ends whole`() {
        var fill = FillScript(.whole)
        #expect(fill.tick(0) == [ask(1)])
        #expect(fill.tick(1) == [])
        #expect(fill.answer(1, 10 * mebi) == [.open(size: 10 * mebi)])
        #expect(!fill.state.isShown)
        #expect(fill.open() == [])
        #expect(fill.state.isShown)
        #expect(fill.state.allowance(1, at: 0) == .upTo(10 * mebi))
        #expect(fill.bring(1, 4 * mebi, at: 10) == [])
        #expect(fill.bring(1, 10 * mebi, at: 20) == [.cancel(1), .end(.whole)])
        #expect(fill.finish(1, at: 20) == [])
        #expect(fill.deadline == nil)
    }

    @Test func `an empty blob is whole when its file is there`() {
        var fill = FillScript(.whole)
        _ = fill.tick(0)
        #expect(fill.answer(1, 0) == [.open(size: 0)])
        #expect(fill.open() == [.cancel(1), .end(.whole)])
        #expect(!fill.state.isShown)
    }

    @Test func `a blob of unknown size ends with its body`() {
        var fill = FillScript(.whole)
        _ = fill.tick(0)
        #expect(fill.answer(1, nil) == [.open(size: nil)])
        #expect(fill.open() == [])
        #expect(fill.bring(1, 5 * mebi, at: 1) == [])
        #expect(fill.finish(1, at: 2) == [.end(.whole)])
    }

    @Test func `where the size is unknown, a connection that made way says nothing of it`() {
        var fill = FillScript(.whole)
        _ = fill.tick(0)
        _ = fill.answer(1, nil)
        _ = fill.open()
        _ = fill.bring(1, 5 * mebi, at: 1)
        #expect(fill.state.gaveWay(1) == [.cancel(1)])
        #expect(fill.state.allowance(1, at: 5 * mebi) == .done)
        #expect(fill.finish(1, at: 2) == [ask(2, .from(5 * mebi))])
    }

    @Test func `what was kept is gone on with`() {
        let kept = Extents(upTo: 4 * mebi)
        var fill = FillScript(.whole, size: 10 * mebi, landed: kept)
        #expect(fill.tick(0) == [ask(1, .from(4 * mebi))])
        #expect(fill.answer(1, 10 * mebi, 4 * mebi..<10 * mebi) == [.open(size: 10 * mebi)])
        #expect(fill.open(kept) == [])
        #expect(fill.bring(1, 10 * mebi, at: 1) == [.cancel(1), .end(.whole)])
    }

    @Test func `a size that was kept and is wrong is forgotten with all it belonged to, and numbers go on`() {
        var fill = FillScript(.whole, size: 10 * mebi, landed: Extents(upTo: 4 * mebi))
        #expect(fill.tick(0) == [ask(1, .from(4 * mebi))])
        #expect(fill.answer(1, 9 * mebi, 4 * mebi..<9 * mebi) == nil)
        #expect(fill.fail(1, .contradicted("another size"), at: 1) == [ask(2)])
        #expect(fill.answer(2, 9 * mebi) == [.open(size: 9 * mebi)])
    }

    @Test func `a range that lies within what was kept asks for the least that brings an answer`() {
        let kept = Extents(upTo: 4 * mebi)
        var fill = FillScript(.part(0..<mebi), size: 10 * mebi, landed: kept)
        #expect(fill.tick(0) == [ask(1, part(4 * mebi..<4 * mebi + 65536))])
        #expect(fill.answer(1, 10 * mebi, 4 * mebi..<4 * mebi + 65536) == [.open(size: 10 * mebi)])
        #expect(fill.open(kept) == [.cancel(1)])
        #expect(fill.state.isShown)
    }

    @Test func `no answer in time ends it`() {
        var fill = FillScript(.whole)
        _ = fill.tick(0)
        #expect(fill.deadline == 15_000)
        #expect(fill.tick(14_999) == [])
        let error = PullThroughError.unreachable(.httpResponseTimeout, "no answer in time")
        #expect(fill.tick(15_000) == [.cancel(1), .end(.failed(error, isLie: false))])
        #expect(fill.tick(15_001) == [])
    }

    @Test func `it ends by a stop, and nothing is done after that`() {
        var fill = FillScript(.whole)
        fill.flow(10 * mebi)
        #expect(fill.state.stop() == [.cancel(1), .end(.kept)])
        #expect(fill.state.stop() == [])
        #expect(fill.state.gaveWay(1) == [])
        #expect(fill.bring(1, mebi, at: 1) == [])
        #expect(fill.fail(1, .cancelled, at: 1) == [])
        #expect(fill.state.join(2, .whole, at: .zero) == false)
    }

    @Test func `a connection that gave way is asked for again where it stood`() {
        var fill = FillScript(.whole)
        fill.flow(10 * mebi)
        _ = fill.bring(1, 3 * mebi, at: 1)
        #expect(fill.state.gaveWay(1) == [.cancel(1)])
        #expect(fill.state.gaveWay(1) == [])
        #expect(fill.state.allowance(1, at: 3 * mebi) == .done)
        #expect(fill.fail(1, .cancelled, at: 2) == [ask(2, .from(3 * mebi))])
    }

    @Test func `what was asked whole is finished without anybody, or else kept`() {
        var fill = FillScript(.whole)
        fill.flow(10 * mebi)
        #expect(fill.leave(1, at: 1) == [])
        #expect(fill.bring(1, 10 * mebi, at: 2) == [.cancel(1), .end(.whole)])

        var other = FillScript(.whole, finishes: false)
        other.flow(10 * mebi)
        #expect(other.leave(1, at: 1) == [.cancel(1)])
        #expect(other.fail(1, .cancelled, at: 2) == [.end(.kept)])
    }

    @Test func `what only ranges began is completed when none was asked for so long`() {
        var fill = FillScript(.part(0..<65536), size: 10 * mebi)
        fill.flow(10 * mebi, 0..<65536)
        #expect(fill.bring(1, 65536, at: 1) == [])
        #expect(fill.finish(1, at: 1) == [])
        #expect(fill.leave(1, at: 500) == [])
        #expect(fill.tick(60_499) == [.checkpoint])
        #expect(fill.deadline == 60_500)
        #expect(fill.tick(60_500) == [ask(2, .from(65536))])
    }

    @Test func `what only ranges began is kept when the last follower leaves, if nothing is to be finished`() {
        var fill = FillScript(.part(0..<65536), size: 10 * mebi, finishes: false)
        fill.flow(10 * mebi, 0..<65536)
        #expect(fill.bring(1, 65536, at: 1) == [])
        #expect(fill.finish(1, at: 1) == [])
        #expect(fill.leave(1, at: 500) == [.end(.kept)])
    }

    @Test func `a lone range costs its blocks and no more`() {
        var fill = FillScript(.part(5 * mebi + 1000..<5 * mebi + 66_000), size: 10 * mebi)
        #expect(fill.tick(0) == [ask(1, part(5 * mebi..<5 * mebi + 131_072))])
    }

    @Test func `an open-ended reader is given a window, which moves with him in halves`() {
        var fill = FillScript(.openEnded(from: 20 * mebi), size: 100 * mebi)
        #expect(fill.tick(0) == [ask(1, part(20 * mebi..<28 * mebi))])
        #expect(fill.answer(1, 100 * mebi, 20 * mebi..<28 * mebi) == [.open(size: 100 * mebi)])
        _ = fill.open()
        _ = fill.bring(1, 28 * mebi, at: 1)
        #expect(fill.finish(1, at: 1) == [])
        #expect(fill.move(1, 23 * mebi, at: 2) == [])
        #expect(fill.move(1, 24 * mebi, at: 3) == [ask(2, part(28 * mebi..<32 * mebi))])
        #expect(fill.leave(1, at: 4) == [.cancel(2)])
    }

    @Test func `an open-ended reader who has come to the end waits for the whole to be verified, so it is had`() {
        var fill = FillScript(.openEnded(from: 8 * mebi), size: 10 * mebi, finishes: false)
        fill.flow(10 * mebi, 8 * mebi..<10 * mebi)
        _ = fill.bring(1, 10 * mebi, at: 1)
        #expect(fill.finish(1, at: 1) == [ask(2, part(0..<8 * mebi))])
    }

    @Test func `a checkpoint is due every 64 MiB, or after 10 s with something new`() {
        var fill = FillScript(.whole)
        fill.flow(1000 * mebi)
        #expect(fill.bring(1, 64 * mebi - 1, at: 1) == [])
        #expect(fill.bring(1, 64 * mebi, at: 2) == [.checkpoint])
        #expect(fill.bring(1, 65 * mebi, at: 3) == [])
        #expect(fill.deadline == 10_002)
        #expect(fill.tick(10_001) == [])
        #expect(fill.tick(10_002) == [.checkpoint])
        #expect(fill.deadline == 20_000)
    }
}
