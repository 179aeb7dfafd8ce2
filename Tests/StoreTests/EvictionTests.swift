// Who goes when room is needed, who stays, and that the figures follow.

import Foundation
import OCI
import TestSupport
import Testing

@testable import Store

private let mebi: Int64 = 1 << 20

@Suite("Eviction", .timeLimit(.minutes(5))) struct EvictionTests {
    let scene: StoreScene

    init() throws { scene = try StoreScene() }

    /// A store with room for ten blobs of 1 MiB and its own database.
    private func open(_ configure: (inout StoreConfiguration) -> Void = { _ in }) throws -> ContentStore {
        try scene.open {
            $0.maxSize = .bytes(10 * mebi + mebi / 2)
            $0.lowWatermark = 1
            configure(&$0)
        }
    }

    /// Blobs of 1 MiB, a second apart.
    private func fill(_ store: ContentStore, _ count: Int, from seed: UInt64 = 0) async throws -> [Digest] {
        var digests: [Digest] = []
        for number in 0..<count {
            scene.clock.turn(by: .seconds(1))
            digests.append(try await store.put(seeded(seed + UInt64(number), Int(mebi))))
        }
        return digests
    }

    private func left(_ digests: [Digest], _ store: ContentStore) async throws -> [Int] {
        let known = try await store.database.known(digests)
        return digests.indices.filter { known.contains(digests[$0]) }
    }

    @Test func `nothing goes while everything fits`() async throws {
        let store = try open()
        let digests = try await fill(store, 10)
        #expect(try await left(digests, store) == Array(0..<10))
        try await scene.expectLaws(store)
    }

    @Test func `the least recently used go first, and a use counts at once`() async throws {
        let store = try open()
        var digests = try await fill(store, 10)
        for number in [0, 2, 1] {
            scene.clock.turn(by: .seconds(1))
            store.recordUse(digests[number], lease: false)
        }
        digests += try await fill(store, 3, from: 100)
        #expect(try await left(digests, store) == [0, 1, 2, 6, 7, 8, 9, 10, 11, 12])
        digests += try await fill(store, 5, from: 200)
        #expect(try await left(digests, store) == [1, 2, 10, 11, 12, 13, 14, 15, 16, 17])
        try await scene.expectLaws(store)
        let figures = await store.figures()
        #expect(figures.evictedBlobs == 8 && figures.evictedBytes == 8 * mebi)
    }

    @Test func `the order of uses holds when the wall clock is set back, over a restart too`() async throws {
        var store: ContentStore? = try open()
        var digests = try await fill(try #require(store), 8)
        scene.clock.turn(by: .seconds(-86_400))
        store?.close()
        store = nil
        let again = try open()
        digests += try await fill(again, 2, from: 100)
        again.recordUse(digests[0], lease: false)
        digests += try await fill(again, 2, from: 200)
        #expect(try await left(digests, again) == [0, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    }

    @Test func `a pass goes down to the low watermark, so that the next is far`() async throws {
        let store = try open { $0.lowWatermark = 0.5 }
        var digests = try await fill(store, 10)
        digests += try await fill(store, 1, from: 100)
        #expect(store.capacity.snapshot.used <= 10 * mebi / 2 + mebi / 2)
        #expect(store.capacity.snapshot.used > 4 * mebi)
        let kept = try await left(digests, store)
        digests += try await fill(store, 4, from: 200)
        #expect(try await left(digests, store).starts(with: kept))
        try await scene.expectLaws(store)
    }

    @Test func `a digest whose turn somebody has is skipped`() async throws {
        let store = try open()
        var digests = try await fill(store, 10)
        #expect(store.gate.tryEnter(digests[0]))
        digests += try await fill(store, 1, from: 100)
        #expect(try await left(digests, store) == [0, 2, 3, 4, 5, 6, 7, 8, 9, 10])
        store.gate.leave(digests[0])
        digests += try await fill(store, 1, from: 101)
        #expect(try await left(digests, store) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
        #expect(store.gate.tryEnter(digests[1]), "the pass left every turn it took")
    }

    @Test func `who has a file open reads it to its end`() async throws {
        let store = try open()
        let digests = try await fill(store, 10)
        let file = try #require(try await store.opened(digests[0]))
        _ = try await fill(store, 1, from: 100)
        #expect(try await !store.isStored(digests[0]))
        #expect(try file.readAll() == seeded(0, Int(mebi)))
    }

    @Test func `what went is fetched anew like anything else`() async throws {
        let store = try open()
        let digests = try await fill(store, 11)
        #expect(try await store.opened(digests[0]) == nil)
        #expect(try await fill(store, 1)[0] == digests[0])
        #expect(try await store.isStored(digests[0]))
        try await scene.expectLaws(store)
    }

    @Test func `where nothing may go there is no room, and nothing is lost`() async throws {
        let store = try open { $0.lease = .seconds(60) }
        let digests = try await fill(store, 10)
        for digest in digests { store.recordUse(digest, lease: true) }
        await #expect(throws: StoreError.noSpace(needed: mebi)) {
            _ = try await store.ingest(Digest.of([1]), size: mebi)
        }
        #expect(try await left(digests, store) == Array(0..<10))
        try await scene.expectLaws(store)
        scene.clock.turn(by: .seconds(61))
        _ = try await store.ingest(Digest.of([1]), size: mebi)
    }

    @Test func `what is larger than the limit evicts nothing`() async throws {
        let store = try open()
        let digests = try await fill(store, 10)
        let size = 10 * mebi + mebi / 2 + 1
        await #expect(throws: StoreError.noSpace(needed: size)) {
            _ = try await store.ingest(Digest.of([1]), size: size)
        }
        #expect(try await left(digests, store) == Array(0..<10))
    }

    @Test func `nothing goes for what would not fit even then`() async throws {
        let store = try open { $0.lease = .seconds(60) }
        let digests = try await fill(store, 10)
        for digest in digests[5...] { store.recordUse(digest, lease: true) }
        await #expect(throws: StoreError.noSpace(needed: 8 * mebi)) {
            _ = try await store.ingest(Digest.of([1]), size: 8 * mebi)
        }
        #expect(try await left(digests, store) == Array(0..<10))
    }

    @Test func `a disk that is too full for min-free is relieved as far as possible`() async throws {
        try await scene.life { store in _ = try await fill(store, 3) }
        let store = try open { $0.minFree = .bytes(.max / 4) }
        await #expect(throws: StoreError.noSpace(needed: 1)) { _ = try await store.ingest(Digest.of([1]), size: 1) }
        await store.evictor.settle()
        #expect(try scene.files().isEmpty)
        try await scene.expectLaws(store)
    }

    @Test func `what went is counted on over a restart`() async throws {
        try await scene.life { store in _ = try await fill(store, 3) }
        func shrink(_ configuration: inout StoreConfiguration) { configuration.maxSize = .bytes(mebi) }
        let before = try await scene.life(shrink) { store in
            await store.evictor.settle()
            try await store.writeDown(totals: [:])
            return await store.figures().evictedBlobs
        }
        #expect(before > 0)
        #expect(try await scene.open().figures().evictedBlobs == before)
    }

    @Test func `a smaller limit is kept once the store settles`() async throws {
        let digests = try await scene.life { store in try await fill(store, 10) }
        let store = try scene.open {
            $0.maxSize = .bytes(5 * mebi)
            $0.lowWatermark = 0.8
        }
        #expect(store.capacity.snapshot.used > 5 * mebi)
        await store.evictor.settle()
        #expect(store.capacity.snapshot.used <= 4 * mebi)
        #expect(try await left(digests, store).last == 9)
        try await scene.expectLaws(store)
        await store.evictor.settle()
        #expect(store.capacity.snapshot.used > 2 * mebi, "within the limit nothing goes")
    }

    @Test func `rows without files give their room back by going`() async throws {
        let store = try open()
        var digests = try await fill(store, 10)
        for digest in digests.prefix(3) { unlink(scene.layout.blob(digest)) }
        digests += try await fill(store, 3, from: 100)
        #expect(try await left(digests, store) == Array(3..<13))
        try await scene.expectLaws(store)
    }

    @Test func `many passes at once leave the figures right and the limit kept`() async throws {
        let store = try open { $0.lowWatermark = 0.8 }
        try await withThrowingTaskGroup { group in
            for seed in 0..<60 as Range<UInt64> {
                group.addTask {
                    do {
                        _ = try await store.put(seeded(seed % 40, Int(mebi)))
                    } catch StoreError.noSpace {}
                    #expect(store.capacity.snapshot.used <= 10 * mebi + mebi / 2)
                }
            }
            try await group.waitForAll()
        }
        try await scene.expectLaws(store)
    }

    @Test(arguments: [1, 2] as [UInt64]) func `whatever happens in whatever order, figures and files agree`(
        _ seed: UInt64
    ) async throws {
        var generator = SeededGenerator(seed: seed)
        let store = try scene.open {
            $0.maxSize = .bytes(8 * mebi)
            $0.lowWatermark = 0.8
        }
        for step in 0..<200 {
            scene.clock.turn(by: .seconds(Int.random(in: -5...10, using: &generator)))
            let number = UInt64.random(in: 0..<40, using: &generator)
            let bytes = seeded(number, Int(number) * 15_000)
            let digest = Digest.of(bytes)
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<6: try await store.put(bytes)
            case 6: store.recordUse(digest, lease: false)
            case 7:
                unlink(scene.layout.blob(digest))
                #expect(try await store.opened(digest) == nil)
            case 8:
                truncate(scene.layout.blob(digest), 1)
                _ = try await store.opened(digest)
            default: _ = try? await store.put(seeded(99, 10), as: digest)
            }
            if step % 50 == 49 { try await scene.expectLaws(store) }
        }
        #expect(await store.figures().evictedBlobs > 0)
    }
}
