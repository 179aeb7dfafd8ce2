// The numbers that digests have in the rows: given once, never taken for another's, and gone with what needed them.

import Foundation
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("Numbers of digests", .timeLimit(.minutes(5))) struct NumberTests {
    let scene: StoreScene
    let mine: Repository

    init() throws {
        scene = try StoreScene()
        mine = try repository("library/mine")
    }

    private func candidates(_ store: ContentStore) async throws -> [MetadataDatabase.Candidate] {
        try await store.database.leastRecentlyUsed(100, at: scene.clock.now, lease: .zero).candidates
    }

    @Test func `what belongs to an image has numbers that lie together`() async throws {
        try await scene.life { store in
            let layers = (1...3).map { seeded($0, 100) }
            let manifest = try await store.putManifest(naming: layers.map { Digest.of($0) }, in: mine)
            try await store.put([1])
            for layer in layers.reversed() { try await store.put(layer, linkedTo: [mine]) }
            let numbers = try await candidates(store).filter { $0.digest != Digest.of([1]) }
            #expect(Set(numbers.map(\.digest)) == Set([manifest] + layers.map { Digest.of($0) }))
            #expect(Set(numbers.map(\.number)) == Set(1...4))
        }
    }

    @Test func `a digest that goes and comes again is the one it was`() async throws {
        try await scene.life { store in
            let digest = try await store.put([1], linkedTo: [mine])
            try await store.invalidate(digest)
            #expect(try await store.knowledge(of: digest, in: mine) == BlobKnowledge())
            try await store.put([1], linkedTo: [mine])
            #expect(try await store.knowledge(of: digest, in: mine).storedSize == 1)
            #expect(try await store.rows(in: "digest") == 1)
        }
    }

    /// The database may be begun anew between an eviction's choice and its end.
    @Test func `a number of another life of the database forgets nobody`() async throws {
        try await scene.life { store in
            let (first, second) = (try await store.put([1]), try await store.put([2]))
            let (life, rows) = (store.database.life, try await candidates(store))
            try await store.database.forget(rows, chosenIn: life - 1)
            #expect(try await store.database.known([first, second]) == [first, second])
            try await store.database.forget(rows, chosenIn: life)
            #expect(try await store.database.known([first, second]).isEmpty)
        }
    }

    @Test func `numbers stay while any row speaks of them, and go with the last`() async throws {
        try await scene.life { store in
            let (layer, subject) = (Digest.of([9]), Digest.of([8]))
            let manifest = try await store.putManifest(
                naming: [layer], in: mine, tag: try tag("v1"), subject: subject)
            let asked = Digest.of([7])
            try await store.link(asked, size: 1, to: mine, isNamed: false)
            #expect(try await store.rows(in: "digest") == 3, "the manifest, what it names, what was asked for")
            try await store.sweep()
            #expect(try await store.rows(in: "digest") == 2, "the manifest and what it names")
            #expect(try await store.knowledge(of: layer, in: mine).namedSize == 1)
            try await store.invalidate(manifest)
            try await store.sweep()
            #expect(try await store.rows(in: "digest") == 0)
        }
    }

    @Test func `a look-up finds a connection while others read for long`() async throws {
        try await scene.life { store in
            let digest = try await store.put([1], linkedTo: [mine])
            let (begun, end) = (Shared(0), DispatchSemaphore(value: 0))
            try await withThrowingTaskGroup { group in
                for _ in 0..<40 {
                    group.addTask {
                        try await store.database.read { _ in
                            begun.change { $0 += 1 }
                            end.wait()
                        }
                    }
                }
                for _ in 0..<100 where begun.value < 3 { await Task.yield() }
                // Whatever it comes to, nobody is left waiting.
                let size = try? await store.knowledge(of: digest, in: mine).storedSize
                for _ in 0..<40 { end.signal() }
                #expect(size == 1)
                try await group.waitForAll()
            }
            #expect(begun.value == 40)
        }
    }

    @Test func `an eviction's log is emptied at its end`() async throws {
        let store = try scene.open { $0.maxSize = .bytes(4 << 20) }
        for number in 0..<200 as Range<UInt64> { try await store.put(seeded(number, 40_000), linkedTo: [mine]) }
        #expect(await store.figures().evictedBlobs > 0)
        var status = stat()
        try #require(stat(scene.layout.metadata + "-wal", &status) == 0)
        #expect(status.st_size <= 1 << 20)
        try await scene.expectLaws(store)
    }
}
