// What breaks on a fill's way, and what is done about it, by replayed events.
import Store
import Testing
import Upstream

@testable import PullThrough

@Suite("FillState: breaks") struct FillBreakTests {
    private let unknown = UpstreamError.unknown(message: "no")
    private let slowDown = UpstreamError.rateLimited(retryAfter: .seconds(2), message: "slowly")

    @Test func `a break is asked for again from where it broke, after the delay and not before`() {
        var fill = FillScript(.whole)
        fill.flow(10 * mebi)
        _ = fill.bring(1, 3 * mebi, at: 1000)
        #expect(fill.fail(1, at: 1000) == [])
        #expect(fill.deadline == 1050)
        #expect(fill.tick(1049) == [])
        #expect(fill.tick(1050) == [ask(2, .from(3 * mebi))])
    }

    @Test func `a body that ends early is a break too, and 429 is waited out`() {
        var fill = FillScript(.whole)
        fill.flow(10 * mebi)
        _ = fill.bring(1, 3 * mebi, at: 0)
        #expect(fill.finish(1, at: 0) == [])
        #expect(fill.tick(50) == [ask(2, .from(3 * mebi))])
        #expect(fill.fail(2, slowDown, at: 100) == [])
        #expect(fill.tick(2099) == [])
        #expect(fill.tick(2100) == [ask(3, .from(3 * mebi))])
    }

    @Test func `five breaks in a row are waited for longer each, and progress forgets them`() {
        var fill = FillScript(.whole)
        fill.flow(10 * mebi)
        var (now, id): (Int64, Int) = (0, 1)
        for delay: Int64 in [50, 150, 300, 600, 1200] {
            #expect(fill.fail(id, at: now) == [])
            #expect(fill.deadline == now + delay)
            now += delay
            id += 1
            #expect(fill.tick(now) == [ask(id)])
        }
        _ = fill.answer(id, 10 * mebi, at: now)
        _ = fill.bring(id, mebi, at: now)
        #expect(fill.fail(id, at: now) == [])
        #expect(fill.deadline == now + 50)
    }

    @Test func `before the first answer there are three tries`() {
        var fill = FillScript(.whole)
        _ = fill.tick(0)
        #expect(fill.fail(1, at: 10) == [])
        #expect(fill.tick(60) == [ask(2)])
        #expect(fill.fail(2, at: 70) == [])
        #expect(fill.tick(220) == [ask(3)])
        let error = PullThroughError(FillScript.reset, of: "docker.io")
        #expect(fill.fail(3, at: 230) == [.end(.failed(error, isLie: false))])
    }

    @Test func `before the first answer a no, or 429, is told at once`() {
        for error in [unknown, slowDown] {
            var fill = FillScript(.whole)
            _ = fill.tick(0)
            let told = PullThroughError(error, of: "docker.io")
            #expect(fill.fail(1, error, at: 10) == [.end(.failed(told, isLie: false))])
        }
    }

    @Test func `another source is asked before a no counts`() {
        var fill = FillScript(.whole, sources: 2)
        _ = fill.tick(0)
        #expect(fill.fail(1, unknown, at: 10) == [ask(2, source: 1)])
        let told = PullThroughError(unknown, of: "docker.io")
        #expect(fill.fail(2, unknown, at: 70) == [.end(.failed(told, isLie: false))])
    }

    @Test(arguments: [false, true])
    func `without progress it is given up after a minute, with progress it is not`(_ brings: Bool) {
        var fill = FillScript(.whole)
        fill.flow(10 * mebi)
        var (now, id): (Int64, Int) = (0, 1)
        var last: [FillState.Action] = []
        while now < 120_000, !fill.state.hasEnded {
            if brings { _ = fill.bring(id, Int64(id) * 1000, at: now) }
            _ = fill.fail(id, at: now)
            id += 1
            while fill.state.plan[id] == nil, !fill.state.hasEnded, let due = fill.deadline {
                now = max(now, due)
                last = fill.tick(now)
            }
            now += 2000
        }
        #expect(fill.state.hasEnded != brings)
        if !brings {
            #expect((60_000...66_000).contains(now))
            let error = PullThroughError(FillScript.reset, of: "docker.io")
            #expect(last == [.end(.failed(error, isLie: false))])
        }
    }

    @Test func `passing over what is here already is no progress`() {
        let kept = Extents(upTo: 4 * mebi)
        var fill = FillScript(.whole, size: 10 * mebi, landed: kept)
        fill.flow(10 * mebi, landed: kept)
        _ = fill.bring(1, 2 * mebi, at: 0)
        #expect(fill.fail(1, at: 0) == [])
        #expect(fill.tick(50) == [ask(2, .from(4 * mebi))])
        #expect(fill.answer(2, 10 * mebi, at: 60) == [])
        _ = fill.bring(2, 2 * mebi, at: 100)
        #expect(fill.fail(2, at: 100) == [])
        #expect(fill.deadline == 250)
    }

    @Test func `while a connection passes over what is here it is not given up, nor when that makes way`() {
        let kept = Extents(upTo: 4 * mebi)
        var fill = FillScript(.whole, size: 10 * mebi, landed: kept)
        fill.flow(10 * mebi, landed: kept)
        #expect(fill.fail(1, at: 0) == [])
        #expect(fill.tick(50) == [ask(2, .from(4 * mebi))])
        #expect(fill.deadline == 60_000)
        #expect(fill.answer(2, 10 * mebi, at: 60) == [])
        #expect(fill.deadline == 20_060)
        fill.state.heard(2, at: .milliseconds(59_000))
        _ = fill.bring(2, 2 * mebi, at: 59_000)
        #expect(fill.tick(61_000) == [])
        #expect(fill.state.gaveWay(2) == [.cancel(2)])
        #expect(fill.tick(61_001) == [])
        #expect(fill.fail(2, .cancelled, at: 61_002) == [ask(3, .from(4 * mebi))])
    }

    @Test func `from whom nothing comes for the stall timeout has broken, unless he was told to wait`() {
        var fill = FillScript(.whole)
        fill.flow(10 * mebi)
        fill.state.heard(1, at: .milliseconds(5000))
        #expect(fill.tick(24_999) == [])
        fill.state.paused(1)
        #expect(fill.tick(25_000) == [])
        fill.state.heard(1, at: .milliseconds(30_000))
        #expect(fill.deadline == 50_000)
        #expect(fill.tick(50_000) == [.replace(1)])
        #expect(fill.tick(50_001) == [])
        #expect(fill.state.allowance(1, at: 0) == .done)
        #expect(fill.fail(1, .cancelled, at: 50_010) == [])
        #expect(fill.deadline == 50_060)
        #expect(fill.tick(50_060) == [ask(2, nil)])
    }

    @Test func `one that breaks after all without progress is the end then`() {
        let kept = Extents(upTo: 4 * mebi)
        var fill = FillScript(.whole, size: 10 * mebi, landed: kept)
        fill.flow(10 * mebi, landed: kept)
        _ = fill.fail(1, at: 0)
        _ = fill.tick(50)
        _ = fill.answer(2, 10 * mebi, at: 60)
        #expect(fill.fail(2, at: 61_000) == [])
        #expect(fill.deadline == 60_000)
        let error = PullThroughError(FillScript.reset, of: "docker.io")
        #expect(fill.tick(61_000) == [.end(.failed(error, isLie: false))])
    }

    @Test func `time in which nothing is asked for is nobody's failure`() {
        var fill = FillScript(.part(0..<65536), .part(mebi..<mebi + 65536), size: 10 * mebi, finishes: false)
        fill.flow(10 * mebi, 0..<65536)
        _ = fill.bring(1, 65536, at: 0)
        #expect(fill.finish(1, at: 0) == [ask(2, part(mebi..<mebi + 65536))])
        #expect(fill.fail(2, at: 10) == [])
        #expect(fill.leave(2, at: 20) == [])
        #expect(fill.tick(60) == [])
        #expect(fill.tick(100_000) == [.checkpoint])
        #expect(fill.state.hasEnded == false)
    }

    @Test func `a failure while the file is being made waits for the file`() {
        var fill = FillScript(.whole)
        _ = fill.tick(0)
        _ = fill.answer(1, 10 * mebi)
        #expect(fill.fail(1, at: 10) == [])
        #expect(fill.deadline == 15_000)
        #expect(fill.open(at: 500) == [ask(2)])
    }

    // MARK: Lies

    @Test func `another size, or another tag of the same host, is a lie, and with one source nothing is tried again`() {
        for (size, tag) in [(9 * mebi, #""a""#), (10 * mebi, #""b""#)] {
            var fill = FillScript(.whole)
            _ = fill.tick(0)
            _ = fill.answer(1, 10 * mebi, tag: #""a""#)
            _ = fill.open()
            _ = fill.bring(1, 3 * mebi, at: 0)
            _ = fill.fail(1, at: 0)
            #expect(fill.tick(50) == [ask(2, .from(3 * mebi))])
            #expect(fill.answer(2, size, 3 * mebi..<size, tag: tag) == nil)
            let error = UpstreamError.contradicted("another")
            let told = PullThroughError(error, of: "docker.io")
            #expect(fill.fail(2, error, at: 60) == [.end(.failed(told, isLie: true))])
        }
    }

    @Test func `another host's tag is no lie`() {
        var fill = FillScript(.whole)
        _ = fill.tick(0)
        _ = fill.answer(1, 10 * mebi, tag: #""a""#)
        _ = fill.open()
        _ = fill.fail(1, at: 0)
        _ = fill.tick(50)
        #expect(fill.answer(2, 10 * mebi, tag: #""b""#, host: "other") == [])
    }

    @Test func `another source is asked after a lie, and both lying ends it`() {
        var fill = FillScript(.whole, sources: 2)
        fill.flow(10 * mebi)
        let error = UpstreamError.contradicted("another")
        #expect(fill.fail(1, error, at: 0) == [ask(2, source: 1)])
        let told = PullThroughError(error, of: "docker.io")
        #expect(fill.fail(2, error, at: 60) == [.end(.failed(told, isLie: true))])
    }

    // MARK: Ignored ranges

    @Test func `a 200 to a far range is refused once, and the next is taken from the first byte on`() {
        var fill = FillScript(.part(50 * mebi..<51 * mebi), size: 100 * mebi)
        #expect(fill.tick(0) == [ask(1, part(50 * mebi..<51 * mebi))])
        #expect(fill.answer(1, 100 * mebi) == nil)
        #expect(fill.fail(1, .refused("ignores Range"), at: 1) == [ask(2, part(50 * mebi..<51 * mebi))])
        #expect(fill.answer(2, 100 * mebi) == [.open(size: 100 * mebi)])
        #expect(fill.open() == [])
        #expect(fill.state.allowance(2, at: 0) == .upTo(100 * mebi))
    }

    @Test func `where another endpoint does better after a refused 200, its break is a break`() {
        var fill = FillScript(.part(50 * mebi..<51 * mebi), size: 100 * mebi)
        _ = fill.tick(0)
        #expect(fill.answer(1, 100 * mebi) == nil)
        #expect(fill.answer(1, 100 * mebi, 50 * mebi..<51 * mebi, host: "other") == [.open(size: 100 * mebi)])
        _ = fill.open()
        #expect(fill.fail(1, at: 1) == [])
        #expect(fill.tick(51) == [ask(2, part(50 * mebi..<51 * mebi))])
    }

    @Test func `a 200 to a near range makes way for one that sends, and is taken when none does`() {
        var fill = FillScript(.part(0..<65536), .part(mebi..<2 * mebi), size: 100 * mebi, ranges: 2)
        fill.flowWithTwo()
        #expect(fill.answer(2, 100 * mebi, at: 1) == nil)
        #expect(fill.fail(2, .cancelled, at: 2) == [])
        _ = fill.bring(1, 65536, at: 3)
        #expect(fill.finish(1, at: 4) == [ask(3, part(mebi..<2 * mebi))])
        #expect(fill.answer(3, 100 * mebi, at: 5) == [])
        #expect(fill.state.plan[3]?.start == 0)
    }

    @Test func `another's break meanwhile does not make a refused 200 a lie`() {
        var fill = FillScript(.part(0..<65536), .part(50 * mebi..<51 * mebi), size: 100 * mebi, ranges: 2)
        #expect(fill.tick(0) == [ask(1, part(0..<65536))])
        _ = fill.answer(1, 100 * mebi, 0..<65536)
        #expect(fill.open() == [ask(2, part(50 * mebi..<51 * mebi), isFirst: false)])
        #expect(fill.answer(2, 100 * mebi, at: 1) == nil)
        #expect(fill.fail(1, at: 2) == [])
        #expect(fill.fail(2, .refused("ignores Range"), at: 3) == [])
        #expect(fill.tick(52) == [ask(3, part(0..<65536))])
    }

    // MARK: Slowness

    @Test func `a slow connection is replaced only where there is another way`() {
        for (sources, endpoints) in [(1, 1), (1, 2), (2, 1)] {
            var fill = FillScript(.whole, sources: sources, endpoints: endpoints)
            fill.flow(10 * mebi)
            _ = fill.bring(1, 640_000, at: 9000)
            let actions = fill.tick(10_000)
            if sources * endpoints == 1 {
                #expect(actions == [.checkpoint])
            } else {
                #expect(actions == [.checkpoint, .replace(1)])
                #expect(fill.deadline == nil)
                #expect(fill.fail(1, .cancelled, at: 10_001) == [ask(2, .from(640_000), source: sources - 1)])
            }
        }
    }

    @Test func `one that is fast enough stays`() {
        var fill = FillScript(.whole, endpoints: 2)
        fill.flow(10 * mebi)
        _ = fill.bring(1, 655_360, at: 9000)
        #expect(fill.tick(10_000) == [.checkpoint])
        #expect(fill.deadline == 20_000)
    }
}

extension FillScript {
    /// Two ranges, each on its way by a connection of its own.
    fileprivate mutating func flowWithTwo() {
        #expect(tick(0) == [ask(1, part(0..<65536))])
        #expect(answer(1, 100 * mebi, 0..<65536) == [.open(size: 100 * mebi)])
        #expect(open() == [ask(2, part(mebi..<2 * mebi), isFirst: false)])
    }
}
