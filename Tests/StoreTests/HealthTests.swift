// What the store does when its disk fails or is full, and when what it has stored is damaged.

import Foundation
import OCI
import Synchronization
import TestSupport
import Testing

@testable import Store

@Suite("A disk that fails", .timeLimit(.minutes(3))) struct HealthTests {
    let scene: StoreScene

    init() throws { scene = try StoreScene() }

    /// Whoever runs the tests may write anywhere: a file where the directory should be stops everybody.
    private func breakDisk() throws {
        rename(scene.layout.ingest, scene.layout.ingest + ".away")
        try Data().write(to: URL(fileURLWithPath: scene.layout.ingest))
    }

    private func mendDisk() {
        unlink(scene.layout.ingest)
        rename(scene.layout.ingest + ".away", scene.layout.ingest)
    }

    @Test func `what cannot be written passes in memory until it can`() async throws {
        let bytes = seeded(1, 3 << 20)
        let digest = Digest.of(bytes)
        try await scene.life { store in
            let before = try await store.put(seeded(2, 1000))
            try breakDisk()
            await #expect(throws: StoreError.self) { try await store.ingest(digest, size: Int64(bytes.count)) }
            #expect(store.amiss.count == 1)
            #expect(store.amiss[0].contains("cannot be written") && store.amiss[0].contains(scene.root))
            let writer = try await store.passing(digest, size: Int64(bytes.count))
            #expect(writer.window != nil)
            try bytes.withUnsafeBytes { try writer.append($0) }
            #expect(try await writer.verify() == Int64(bytes.count))
            await store.discard(writer)
            #expect(try await store.bytes(of: before) == seeded(2, 1000), "what is stored is read")
            await store.recover()
            #expect(store.amiss.count == 1, "still so")
            mendDisk()
            // Not tried by the next fill: one that had begun to write could not be moved elsewhere.
            await #expect(throws: StoreError.self) { try await store.ingest(digest, size: Int64(bytes.count)) }
            await store.recover()
            #expect(store.amiss.isEmpty)
            try await store.put(bytes)
            try await scene.expectLaws(store)
        }
    }

    @Test func `a manifest that cannot be written is told as such, and leaves nothing`() async throws {
        let mine = try repository("library/mine")
        try await scene.life { store in
            try breakDisk()
            await #expect(throws: StoreError.self) { try await store.putManifest(naming: [], in: mine) }
            mendDisk()
            await store.recover()
            try await store.putManifest(naming: [], in: mine)
            try await scene.expectLaws(store)
        }
    }

    @Test func `no room is said while it lasts, and not of what could never fit`() async throws {
        let mine = try repository("library/mine")
        try await scene.life {
            $0.maxSize = .bytes(20 << 20)
        } _: { store in
            let digest = Digest.of([1])
            let layer = try await store.put(seeded(3, 12 << 20), linkedTo: [mine])
            let manifest = try await store.putManifest(naming: [layer], in: mine)
            store.recordUse(manifest, lease: true)
            await #expect(throws: StoreError.self) { try await store.ingest(digest, size: 10 << 20) }
            #expect(store.amiss.count == 1 && store.amiss[0].contains("no room"))
            await store.recover()
            #expect(store.amiss.count == 1, "what is leased does not go")
            scene.clock.turn(by: .seconds(16 * 60))
            await store.recover()
            #expect(store.amiss.isEmpty)
            let writer = try await store.ingest(digest, size: 10 << 20)
            await store.discard(writer)
            try await scene.expectLaws(store)
        }
    }

    // MARK: What is stored

    private func damage(_ digest: Digest, at offset: UInt64 = 0) throws {
        let path = scene.layout.blob(digest)
        chmod(path, 0o644)
        let file = try #require(FileHandle(forUpdatingAtPath: path))
        try file.seek(toOffset: offset)
        let byte = try #require(try file.read(upToCount: 1)?.first)
        try file.seek(toOffset: offset)
        file.write(Data([byte ^ 0x10]))
        try file.close()
    }

    @Test func `scrub finds each flipped bit and missing file, puts it aside, and finds nothing then`() async throws {
        let mine = try repository("library/mine")
        try await scene.life { store in
            var digests: [Digest] = []
            for seed in 0..<30 as Range<UInt64> {
                digests.append(try await store.put(seeded(seed, 1000 + 40_000 * Int(seed)), linkedTo: [mine]))
            }
            let long = seeded(99, 5000)
            try await store.put(long, as: Digest.of(long, .sha512), linkedTo: [mine])
            let manifest = try await store.putManifest(naming: digests, in: mine, tag: try tag("v1"))
            try damage(digests[3], at: 100_000)
            try damage(digests[29], at: 0)
            try damage(Digest.of(long, .sha512), at: 4999)
            try damage(manifest)
            unlink(scene.layout.blob(digests[7]))
            truncate(scene.layout.blob(digests[11]), 10)
            let found = Shared<[Digest: ScrubFinding.Kind]>([:])
            let summary = try await store.scrub { finding in found.change { $0[finding.digest] = finding.kind } }
            let expected: [Digest: ScrubFinding.Kind] = [
                digests[3]: .damaged, digests[29]: .damaged, Digest.of(long, .sha512): .damaged, manifest: .damaged,
                digests[7]: .missing, digests[11]: .damaged,
            ]
            #expect(found.value == expected)
            #expect(summary.blobs == 32 && summary.findings == 6)
            #expect(await store.figures().quarantined == 5)
            #expect(try await store.repositories(linking: digests[3]) == [mine], "it may be fetched again")
            let again = try await store.scrub { _ in }
            #expect(again.blobs == 26 && again.findings == 0)
            try await scene.expectLaws(store)
        }
    }

    @Test func `scrub lets be what is replaced or evicted meanwhile`() async throws {
        try await scene.life { store in
            let contents = (0..<20 as Range<UInt64>).map { seeded($0, 200_000) }
            for bytes in contents { try await store.put(bytes) }
            try await withThrowingTaskGroup { group in
                group.addTask { try await store.scrub { _ in Issue.record("nothing is wrong") } }
                group.addTask {
                    for bytes in contents {
                        try await store.invalidate(Digest.of(bytes))
                        try await store.put(bytes)
                    }
                    return ScrubSummary()
                }
                try await group.waitForAll()
            }
            try await scene.expectLaws(store)
        }
    }

    @Test func `so many bytes are hashed for those that are served, and damage is found by that`() async throws {
        try await scene.life {
            $0.verifyRate = 0.25
        } _: { store in
            let digest = try await store.put(seeded(1, 100_000))
            try damage(digest, at: 5)
            for _ in 0..<3 { store.noteServed(digest, size: 100_000, bytes: 100_000) }
            #expect(!store.spotChecks.withLock { $0.isRunning })
            #expect(try await store.isStored(digest))
            store.noteServed(digest, size: 100_000, bytes: 100_000)
            while store.spotChecks.withLock({ $0.isRunning }) { await Task.yield() }
            #expect(try await !store.isStored(digest))
            try await scene.expectLaws(store)
        }
    }

    @Test func `what was looked at is left alone for a minute, unless all is to be looked at`() {
        let digest = Digest.of([1])
        var checks = SpotChecks()
        func serve(_ rate: Double, at now: Int64) -> Bool {
            let begins = checks.served(digest, size: 100, bytes: 100, rate: rate, at: now)
            while checks.next() != nil {}
            return begins
        }
        #expect((0..<400 as Range<Int64>).map { serve(0.25, at: 1000 + $0) }.filter { $0 }.count == 1)
        #expect(serve(0.25, at: 61_003))
        #expect(serve(1, at: 61_004))
        #expect(serve(1, at: 61_005))
    }

    @Test func `a small one that is asked for all the time takes nothing from a large one`() {
        let (large, small) = (Digest.of([1]), Digest.of([2]))
        var checks = SpotChecks()
        var looked = 0
        for now in 0..<10_000 as Range<Int64> {
            for (digest, size) in [(large, Int64(1_000_000)), (small, 100)] {
                _ = checks.served(digest, size: size, bytes: size, rate: 0.01, at: 1000 + now * 1000)
                while let next = checks.next() { looked += next.digest == large ? 1 : 0 }
            }
        }
        #expect(looked >= 95)
    }

    @Test func `whatever may go wrong with a right blob, doubt keeps it`() async throws {
        try await scene.life { store in
            let digest = try await store.put(seeded(1, 100_000))
            for _ in 0..<200 { store.doubt(digest, size: 100_000) }
            while store.spotChecks.withLock({ $0.isRunning }) { await Task.yield() }
            #expect(try await store.bytes(of: digest) == seeded(1, 100_000))
        }
    }
}
