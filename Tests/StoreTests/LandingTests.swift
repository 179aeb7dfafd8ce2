// The moving end: who may have how much, and that nobody waits for what has already come.

import Synchronization
import Testing

@testable import Store

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
        _ = landing.view(atLeast: wish, as: reader, wake: hops.group) { hops.call() }
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
        _ = landing.view(atLeast: 10, as: .piece, wake: hops.group) { hops.call() }
        landing.advance(to: 20)
        landing.end(.broken)
        #expect(hops.calls == 0)
    }

    @Test func `all of one group are woken in one hop, each once`() {
        let landing = Landing(size: nil)
        let groups = [Hops(), Hops(), Hops()]
        for wish in 1...30 {
            let hops = groups[wish % 3]
            _ = landing.view(atLeast: Int64(wish), as: .piece, wake: hops.group) { hops.call() }
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
            _ = landing.view(atLeast: 1000, as: reader, wake: hops.group) { hops.call() }
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

    @Test(.timeLimit(.minutes(1)))
    func `no wake-up is lost, however looking and landing interleave`() async {
        let size: Int64 = 400_000
        let landing = Landing(size: size)
        await withTaskGroup(of: Int64.self) { group in
            for follower in 0..<16 {
                group.addTask { await Self.follow(landing, as: follower.isMultiple(of: 2) ? .whole : .piece) }
            }
            group.addTask {
                var generator = SeededGenerator(seed: 1)
                var landed: Int64 = 0
                while landed < size {
                    landed = min(size, landed + Int64.random(in: 1...40, using: &generator))
                    landing.advance(to: landed)
                }
                landing.end(.complete(size: size))
                return size
            }
            for await reached in group { #expect(reached == size) }
        }
    }

    /// Reads to the end, a byte more wished for than it has each time.
    private static func follow(_ landing: Landing, as reader: Landing.Reader) async -> Int64 {
        let hops = Hops()
        var has: Int64 = 0
        while true {
            let view = await withCheckedContinuation { (continuation: CheckedContinuation<Landing.View?, Never>) in
                let view = landing.view(atLeast: has + 1, as: reader, wake: hops.group) {
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
        landing.view(atLeast: atLeast, as: reader, wake: Hops().group) {}
    }
}
