// The moving end: who may have how much, and that nobody waits for what has already come.

import Synchronization
import Testing

@testable import Store

extension Landing {
    /// As one transfer in order lands.
    fileprivate func advance(to end: Int64) { insert(0..<max(0, end)) }
}

@Suite("Landing") struct LandingTests {
    /// Counts the hops of a group and runs the calls at once.
    final class Hops: Sendable {
        private let counts = Mutex((hops: 0, calls: 0))

        var hops: Int { counts.withLock { $0.hops } }
        var calls: Int { counts.withLock { $0.calls } }
        func call() { counts.withLock { $0.calls += 1 } }

        var group: WakeGroup {
            WakeGroup(id: ObjectIdentifier(self)) { body in
                self.counts.withLock { $0.hops += 1 }
                body()
            }
        }
    }

    static let held = Landing.heldBack

    /// (announced size, on disk, what a reader of the whole may have)
    @Test(
        "a reader of the whole never gets the newest 64 KiB before the end",
        arguments: [
            (Int64?.none, Int64(0), Int64(0)), (nil, held - 1, 0), (nil, held, 0), (nil, held + 1, 1),
            (nil, 3 * held, 2 * held),
            (0, 0, 0), (held, held, 0), (held + 1, held, 1), (held + 1, held + 1, 1), (4 * held, held, held),
            (4 * held, 3 * held, 3 * held), (4 * held, 3 * held + 1, 3 * held), (4 * held, 4 * held, 3 * held),
        ] as [(Int64?, Int64, Int64)])
    func withheld(size: Int64?, onDisk: Int64, available: Int64) {
        let landing = Landing(size: size)
        landing.advance(to: onDisk)
        #expect(view(landing, atLeast: 0, as: .whole).available == available)
        #expect(landing.landed == onDisk)
    }

    @Test func `a reader of a piece gets what is on disk, the tail included`() {
        let landing = Landing(size: 100)
        landing.advance(to: 60)
        #expect(view(landing, atLeast: 0, as: .piece).available == 60)
        landing.advance(to: 100)
        #expect(view(landing, atLeast: 0, as: .piece).available == 100)
        #expect(view(landing, atLeast: 0, as: .piece).ending == nil)
    }

    @Test func `a body that was complete before anyone asked is all there`() {
        let landing = Landing(complete: 7)
        let view = view(landing, atLeast: 7, as: .whole)
        #expect(view.available == 7)
        #expect(view.ending == .complete(size: 7))
    }

    /// (announced size, reader, wished for, on disk when it is woken; nil: only by the end)
    @Test(
        "a waiter is woken when so much may be had, and not a byte before",
        arguments: [
            (1000, Landing.Reader.piece, 500, 500), (nil, .piece, 500, 500), (4 * held, .whole, 500, 500),
            (4 * held, .whole, 3 * held, 3 * held), (4 * held, .whole, 3 * held + 1, nil), (100, .whole, 1, nil),
            (nil, .whole, 500, 500 + held), (nil, .whole, 3 * held, 4 * held),
        ] as [(Int64?, Landing.Reader, Int64, Int64?)])
    func threshold(size: Int64?, reader: Landing.Reader, wish: Int64, due: Int64?) {
        let landing = Landing(size: size)
        let hops = Hops()
        _ = landing.view(offset: 0, atLeast: wish, as: reader, wake: hops.group) { hops.call() }
        landing.advance(to: (due ?? size ?? 0) - 1)
        #expect(hops.calls == 0)
        landing.advance(to: due ?? size ?? 0)
        #expect(hops.calls == (due == nil ? 0 : 1))
        landing.end(.complete(size: size ?? 5 * Self.held))
        #expect(hops.calls == 1)
    }

    @Test func `who gets what he wished for is not kept`() {
        let landing = Landing(size: nil)
        let hops = Hops()
        landing.advance(to: 10)
        _ = landing.view(offset: 0, atLeast: 10, as: .piece, wake: hops.group) { hops.call() }
        landing.advance(to: 20)
        landing.end(.broken)
        #expect(hops.calls == 0)
    }

    @Test func `all of one group are woken in one hop, each once`() {
        let landing = Landing(size: nil)
        let groups = [Hops(), Hops(), Hops()]
        for wish in 1...30 {
            let hops = groups[wish % 3]
            _ = landing.view(offset: 0, atLeast: Int64(wish), as: .piece, wake: hops.group) { hops.call() }
        }
        landing.advance(to: 15)
        #expect(groups.map(\.hops) == [1, 1, 1])
        #expect(groups.map(\.calls) == [5, 5, 5])
        landing.advance(to: 30)
        #expect(groups.map(\.hops) == [2, 2, 2])
        #expect(groups.map(\.calls) == [10, 10, 10])
        landing.end(.broken)
        #expect(groups.map(\.hops) == [2, 2, 2])
    }

    @Test(arguments: [Landing.Ending.complete(size: 1000), .broken])
    func `the end wakes everyone, and only the first end counts`(_ ending: Landing.Ending) {
        let landing = Landing(size: 1000)
        let hops = Hops()
        for reader in [Landing.Reader.whole, .piece] {
            _ = landing.view(offset: 0, atLeast: 1000, as: reader, wake: hops.group) { hops.call() }
        }
        landing.end(ending)
        landing.end(.complete(size: 2))
        landing.end(.broken)
        #expect(hops.calls == 2)
        #expect(landing.ending == ending)
    }

    @Test func `what is broken never gives its tail to a reader of the whole`() {
        let landing = Landing(size: 2 * Self.held)
        landing.advance(to: 2 * Self.held)
        landing.end(.broken)
        #expect(view(landing, atLeast: .max, as: .whole).available == Self.held)
    }

    // MARK: Extents

    /// (announced size, read from, what a piece and the whole may have)
    @Test(
        "a view goes from its offset to the first gap, and says the offset where nothing is",
        arguments: [
            (10 * held, 0, held, held), (10 * held, held - 1, held, held), (10 * held, held, held, held),
            (10 * held, 2 * held, 3 * held, 3 * held), (10 * held, 3 * held, 3 * held, 3 * held),
            (10 * held, 9 * held - 5, 10 * held, 9 * held), (10 * held, 9 * held + 5, 10 * held, 9 * held + 5),
            (nil, 0, held, held), (nil, 9 * held - 5, 10 * held, 9 * held), (nil, 10 * held, 10 * held, 10 * held),
            (nil, 11 * held, 11 * held, 11 * held),
        ] as [(Int64?, Int64, Int64, Int64)])
    func fromOffset(size: Int64?, offset: Int64, piece: Int64, whole: Int64) {
        let held = Self.held
        let extents = Extents([0..<held, 2 * held..<3 * held, 8 * held..<9 * held])
        let landing = Landing(size: size, extents: extents)
        landing.insert(9 * held..<10 * held)
        #expect(landing.landed == 4 * held)
        #expect(landing.extents.ranges.count == 3)
        for (reader, available) in [(Landing.Reader.piece, piece), (.whole, whole)] {
            let view = landing.view(offset: offset, atLeast: 0, as: reader, wake: Hops().group) {}
            #expect(view.available == available)
        }
    }

    @Test func `bytes beyond a gap wake only whom they join`() {
        let landing = Landing(size: 1000)
        let (front, back) = (Hops(), Hops())
        _ = landing.view(offset: 0, atLeast: 100, as: .piece, wake: front.group) { front.call() }
        _ = landing.view(offset: 500, atLeast: 510, as: .piece, wake: back.group) { back.call() }
        landing.insert(50..<400)
        landing.insert(505..<1000)
        #expect(front.calls == 0 && back.calls == 0)
        landing.insert(499..<505)
        #expect(front.calls == 0 && back.calls == 1)
        landing.insert(10..<50)
        #expect(front.calls == 0)
        landing.insert(0..<10)
        #expect(front.calls == 1 && back.calls == 1)
    }

    @Test func `while the size is unknown, the newest byte lets older ones go, whichever comes first`() {
        for isNewestFirst in [true, false] {
            let landing = Landing(size: nil)
            let hops = Hops()
            _ = landing.view(offset: 5, atLeast: 10, as: .whole, wake: hops.group) { hops.call() }
            let ranges = [5..<10, 9 * Self.held..<10 * Self.held]
            for range in isNewestFirst ? ranges.reversed() : ranges {
                #expect(hops.calls == 0)
                landing.insert(range)
            }
            #expect(hops.calls == 1)
        }
    }

    @Test func `whoever wishes for more than there can be waits for the end`() {
        for size in [nil, 5 * Self.held] {
            for reader in [Landing.Reader.whole, .piece] {
                let landing = Landing(size: size)
                let hops = Hops()
                _ = landing.view(offset: 0, atLeast: .max, as: reader, wake: hops.group) { hops.call() }
                landing.insert(0..<5 * Self.held)
                #expect(hops.calls == 0)
                landing.end(.complete(size: 5 * Self.held))
                #expect(hops.calls == 1)
            }
        }
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `whoever may have what he wished for has been woken, once, and nobody else`(_ seed: UInt64) {
        struct Wish {
            let offset: Int64
            let atLeast: Int64
            let reader: Landing.Reader
            let hops = Hops()
        }
        var generator = SeededGenerator(seed: seed)
        let unit: Int64 = 8192
        let count = 64
        let size: Int64? = seed.isMultiple(of: 3) ? nil : Int64(count) * unit
        let landing = Landing(size: size)
        var isHere = [Bool](repeating: false, count: count)
        func available(_ wish: Wish) -> Int64 {
            var place = Int(wish.offset / unit)
            while place < count, isHere[place] { place += 1 }
            let end = max(wish.offset, Int64(place) * unit)
            guard wish.reader == .whole else { return end }
            let newest = Int64((isHere.lastIndex(of: true) ?? -1) + 1) * unit
            return max(wish.offset, min(end, (size ?? newest) - Self.held))
        }
        var waiting: [Wish] = []
        for _ in 0..<300 {
            if Int.random(in: 0..<3, using: &generator) > 0 {
                let offset = Int64.random(in: 0..<Int64(count) * unit, using: &generator)
                let more = Int64.random(in: 1...6 * unit, using: &generator)
                let wish = Wish(
                    offset: offset, atLeast: offset + more, reader: Bool.random(using: &generator) ? .whole : .piece)
                let view = landing.view(
                    offset: wish.offset, atLeast: wish.atLeast, as: wish.reader, wake: wish.hops.group
                ) { wish.hops.call() }
                #expect(view.available == available(wish))
                if view.available < wish.atLeast { waiting.append(wish) }
            } else {
                let first = Int.random(in: 0..<count, using: &generator)
                let last = min(count, first + Int.random(in: 1...3, using: &generator))
                for place in first..<last { isHere[place] = true }
                landing.insert(Int64(first) * unit..<Int64(last) * unit)
            }
            for wish in waiting { #expect(wish.hops.calls == (available(wish) >= wish.atLeast ? 1 : 0)) }
            waiting.removeAll { available($0) >= $0.atLeast }
        }
        landing.end(.broken)
        for wish in waiting { #expect(wish.hops.calls == 1) }
    }

    @Test(.timeLimit(.minutes(5)), arguments: [true, false])
    func `no wake-up is lost, however looking and landing interleave`(_ isSizeKnown: Bool) async {
        let size: Int64 = 400_000
        let landing = Landing(size: isSizeKnown ? size : nil)
        await withTaskGroup(of: Int64.self) { group in
            for follower in 0..<16 {
                group.addTask {
                    await Self.follow(
                        landing, from: Int64(follower / 4) * 100_000, as: follower.isMultiple(of: 2) ? .whole : .piece)
                }
            }
            // Four transfers, each a quarter; what is written is written one at a time.
            let isOver = Shared(0)
            for quarter in 0..<4 as Range<Int64> {
                group.addTask {
                    var generator = SeededGenerator(seed: UInt64(quarter))
                    var landed = quarter * 100_000
                    while landed < (quarter + 1) * 100_000 {
                        let end = min((quarter + 1) * 100_000, landed + Int64.random(in: 1...40, using: &generator))
                        landing.insert(landed..<end)
                        landed = end
                    }
                    let over = isOver.change { over in
                        over += 1
                        return over
                    }
                    if over == 4 { landing.end(.complete(size: size)) }
                    return size
                }
            }
            for await reached in group { #expect(reached == size) }
        }
    }

    /// Reads to the end, a byte more wished for than it has each time.
    private static func follow(_ landing: Landing, from offset: Int64, as reader: Landing.Reader) async -> Int64 {
        let hops = Hops()
        var has = offset
        while true {
            let view = await withCheckedContinuation { (continuation: CheckedContinuation<Landing.View?, Never>) in
                let view = landing.view(offset: has, atLeast: has + 1, as: reader, wake: hops.group) {
                    continuation.resume(returning: nil)
                }
                if view.available > has || view.ending != nil { continuation.resume(returning: view) }
            }
            guard let view else { continue }
            has = view.available
            if case .complete(let size) = view.ending { return size == has ? size : -1 }
        }
    }

    private func view(_ landing: Landing, atLeast: Int64, as reader: Landing.Reader) -> Landing.View {
        landing.view(offset: 0, atLeast: atLeast, as: reader, wake: Hops().group) {}
    }
}
