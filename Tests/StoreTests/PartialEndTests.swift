// How unfinished blobs end: given up for room or for age, thrown away, or whole at last; and nothing is left of them.

import Foundation
import OCI
import TestSupport
import Testing

@testable import Store

private let mebi: Int64 = 1 << 20

@Suite("Unfinished blobs end", .timeLimit(.minutes(3))) struct PartialEndTests {
    let scene: StoreScene

    init() throws { scene = try StoreScene() }

    @Test func `when room is needed they go first, the oldest first, before any blob`() async throws {
        let store = try scene.open {
            $0.maxSize = .bytes(60 * mebi)
            $0.lowWatermark = 1
        }
        let blob = try await store.put(seeded(1, 1 << 20))
        var kept: [Digest] = []
        for seed in 0..<4 as Range<UInt64> {
            kept.append(try await scene.keep(seed, 4 << 20, of: 10 * mebi, in: store))
        }
        func left() -> [Int] { kept.indices.filter { store.partial(of: kept[$0]) != nil } }
        #expect(left() == [0, 1, 2, 3])
        let first = try await store.ingest(Digest.of([1]), size: 46 * mebi)
        #expect(left() == [1, 2, 3])
        first.breakOff()
        let second = try await store.ingest(Digest.of([1]), size: 57 * mebi)
        #expect(left() == [])
        #expect(try await store.isStored(blob))
        second.breakOff()
        try await scene.expectLaws(store)
        #expect(await store.figures().evictedBlobs == 0)
    }

    @Test func `they count as room that can be made, and the rest is evicted after them`() async throws {
        let store = try scene.open {
            $0.maxSize = .bytes(20 * mebi)
            $0.lowWatermark = 1
        }
        let blob = try await store.put(seeded(1, 8 << 20))
        let kept = try await scene.keep(1, 5 << 20, of: 10 * mebi, in: store)
        let writer = try await store.ingest(Digest.of([1]), size: 18 * mebi)
        #expect(store.partial(of: kept) == nil)
        #expect(try await !store.isStored(blob))
        writer.breakOff()
        try await scene.expectLaws(store)
    }

    @Test func `where there is no room to go on with it, it stays, and there is passing`() async throws {
        let store = try scene.open {
            $0.maxSize = .bytes(30 * mebi)
            $0.lease = .seconds(600)
        }
        let kept = try await scene.keep(1, 5 << 20, of: 20 * mebi, in: store)
        let blob = try await store.put(seeded(1, 12 << 20))
        store.recordUse(blob, lease: true)
        await #expect(throws: StoreError.noSpace(needed: 15 * mebi)) {
            _ = try await store.ingest(kept, size: 20 * mebi)
        }
        #expect(store.partial(of: kept)?.extents == Extents(upTo: 5 << 20))
        try await scene.expectLaws(store)
        let writer = try await store.passing(kept, size: 20 * mebi)
        #expect(writer.window == 8 * mebi)
        #expect(store.partial(of: kept) != nil, "it is in nobody's way")
        await store.discard(writer)
        try await scene.expectLaws(store)
    }

    @Test func `what nobody asked for within a day goes at the next turn`() async throws {
        let store = try scene.open()
        let clock = ManualClock()
        let first = try await scene.keep(1, 2 << 20, in: store)
        scene.clock.turn(by: .seconds(3600))
        let second = try await scene.keep(2, 2 << 20, in: store)
        let upkeep = Upkeep(of: store, every: .seconds(5), clock: clock, totals: { [:] }, beforeEnd: {})
        let running = Task { try await upkeep.run() }
        await clock.sleepers(1)
        for (hours, left) in [(22, [first, second]), (1, [second]), (1, [])] {
            scene.clock.turn(by: .seconds(hours * 3600))
            clock.advance(by: .seconds(5))
            await clock.sleepers(1)
            #expect([first, second].filter { store.partial(of: $0) != nil } == left)
            try await scene.expectLaws(store)
        }
        _ = try await scene.keep(3, 2 << 20, in: store)
        scene.clock.turn(by: .seconds(-25 * 3600))
        clock.advance(by: .seconds(5))
        await clock.sleepers(1)
        try await scene.expectLaws(store)
        #expect(store.partials.files.isEmpty, "kept tomorrow, by a clock that has been set back since")
        running.cancel()
        try await running.value
    }

    @Test func `given up, it leaves neither file nor row, whatever was written down`() async throws {
        let store = try scene.open()
        let writer = try await scene.fill(0..<2_000_000, in: store)
        try await store.checkpoint(writer)
        #expect(try store.database.partials().count == 1)
        await store.discard(writer)
        try await store.checkpoint(writer)
        try await scene.expectLaws(store)
    }

    @Test func `a commit takes the row with it, and none comes after`() async throws {
        let store = try scene.open()
        let writer = try await scene.fill(0..<2_000_000, in: store)
        try await store.checkpoint(writer)
        try await scene.finish(writer, in: store)
        #expect(try store.database.partials().isEmpty)
        try await store.checkpoint(writer)
        await store.keep(writer)
        try await scene.expectLaws(store)
        #expect(writer.landing.ending == .complete(size: Unfinished.size))
    }

    @Test func `of two fills of one digest the later to be kept stays`() async throws {
        let store = try scene.open()
        let first = try await scene.fill(0..<2_000_000, in: store)
        let second = try await scene.fill(0..<1_500_000, in: store)
        await store.keep(first)
        await store.keep(second)
        #expect(store.partial(of: Unfinished.digest)?.extents == Extents(upTo: 1_500_000))
        try await scene.expectLaws(store)
    }

    @Test func `a file that is adopted takes the place of what was kept`() async throws {
        let store = try scene.open()
        await store.keep(try await scene.fill(0..<2_000_000, in: store))
        try makeDirectory(scene.layout.blobDirectory(Unfinished.digest))
        try Data(Unfinished.bytes).write(to: URL(fileURLWithPath: scene.layout.blob(Unfinished.digest)))
        try await store.reconcile()
        #expect(try await store.isStored(Unfinished.digest))
        #expect(store.partial(of: Unfinished.digest) == nil)
        try await scene.expectLaws(store)
    }

    @Test func `a manifest is stored as it came, whatever was kept under its digest`() async throws {
        let store = try scene.open()
        let text = [UInt8](repeating: 0x20, count: 3 << 20)
        let digest = Digest.of(text)
        let writer = try await store.ingest(digest, size: 3 << 20)
        try writer.write(0..<2 << 20, of: Unfinished.bytes)
        await store.keep(writer)
        let manifest = NewManifest(digest: digest, mediaType: .ociManifest, bytes: text, isIndex: false, linked: [])
        try await store.store(manifest, in: try repository("a/b"))
        #expect(try await store.bytes(of: digest) == text)
        #expect(store.partial(of: digest) == nil)
        try await scene.expectLaws(store)
    }

    @Test(arguments: 0..<3) func `writing down beside any end leaves no row behind`(_ end: Int) async throws {
        let store = try scene.open()
        for _ in 0..<15 {
            let writer = try await scene.fill(0..<Int(Unfinished.size) - (end == 0 ? 0 : 1), in: store)
            let size = end == 0 ? try await writer.verify() : 0
            try await withThrowingTaskGroup { group in
                for _ in 0..<4 { group.addTask { try await store.checkpoint(writer) } }
                group.addTask {
                    switch end {
                    case 0: try await store.commit(writer, size: size, linkedTo: [])
                    case 1: await store.discard(writer)
                    default: await store.keep(writer)
                    }
                }
                try await group.waitForAll()
            }
            try await scene.expectLaws(store)
        }
    }

    @Test(arguments: 0..<3 as Range<UInt64>) func `whatever happens in whatever order, figures and files agree`(
        _ seed: UInt64
    ) async throws {
        var generator = SeededGenerator(seed: seed)
        var store: ContentStore? = nil
        let blobs = (0..<6).map { number in patterned(1_500_000 + number * 700_001) }
        for _ in 0..<120 {
            let open = try store ?? scene.open { $0.maxSize = .bytes(14 * mebi) }
            store = open
            scene.clock.turn(by: .seconds(Int.random(in: 0...7200, using: &generator)))
            let bytes = blobs[Int.random(in: 0..<blobs.count, using: &generator)]
            let digest = Digest.of(bytes)
            do throws(StoreError) {
                let writer = try await open.ingest(digest, size: Int64(bytes.count))
                for _ in 0..<Int.random(in: 0...4, using: &generator) {
                    let start = Int.random(in: 0..<bytes.count, using: &generator)
                    let end = min(bytes.count, start + Int.random(in: 1...900_000, using: &generator))
                    try bytes[start..<end].withUnsafeBytes { bytes in
                        Result { () throws(StoreError) in try writer.write(bytes, at: Int64(start)) }
                    }.get()
                    if Bool.random(using: &generator) { try await open.checkpoint(writer) }
                }
                switch Int.random(in: 0..<6, using: &generator) {
                case 0: await open.discard(writer)
                case 1:
                    for gap in writer.landing.extents.gaps(in: 0..<Int64(bytes.count)) {
                        try bytes[Int(gap.lowerBound)..<Int(gap.upperBound)].withUnsafeBytes { bytes in
                            Result { () throws(StoreError) in try writer.write(bytes, at: gap.lowerBound) }
                        }.get()
                    }
                    try await open.commit(writer, size: try await writer.verify(), linkedTo: [])
                case 2:
                    writer.becomePassing(window: mebi)
                    await open.keep(writer)
                default: await open.keep(writer)
                }
            } catch {
                guard case .noSpace = error else { throw error }
            }
            #expect(open.capacity.snapshot.used <= 14 * mebi + mebi / 4)
            if Int.random(in: 0..<10, using: &generator) == 0 {
                open.close()
                store = nil
                continue
            }
            try await scene.expectLaws(open)
        }
        store?.close()
    }
}
