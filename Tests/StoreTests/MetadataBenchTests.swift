// The bench of the metadata: what it fills in is what a pull would find, and every figure comes of something done.

import Logging
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("The bench of the metadata", .timeLimit(.minutes(5))) struct MetadataBenchTests {
    let scene: StoreScene

    init() throws { scene = try StoreScene() }

    @Test(arguments: [100, 333, 2001]) func `any number of blobs is filled in whole`(_ blobs: Int) async throws {
        let content = BenchContent(blobs: blobs)
        try scene.open().close()
        try MetadataFilling(content: content).fill(scene.layout.metadata)
        let store = try scene.open()
        let stored = await store.figures().stored
        #expect(stored.blobs + stored.manifests == blobs)
        let committed = (0..<blobs).reduce(0) { $0 + onDisk(content.size($1)) }
        #expect(store.capacity.snapshot.committed == committed)
        for blob in stride(from: 0, to: blobs, by: 7) {
            let (digest, repository) = (try #require(content.digest(blob)), content.repository(ofBlob: blob))
            let knowledge = try await store.knowledge(of: digest, in: try #require(repository))
            #expect(knowledge.isAnswered && knowledge.storedSize == content.size(blob))
            #expect((knowledge.mediaType != nil) == content.isManifest(blob))
        }
        #expect(try await store.rows(in: "digest") == blobs)
        store.close()
    }

    @Test func `each step is done and has its figure`() async throws {
        let bench = MetadataBench(
            blobs: 2000, in: scene.root, clock: ContinuousClock(), now: { scene.clock.now },
            logger: Logger(label: "test"))
        let figures = try #require(try await bench.run { _ in })
        #expect(figures.openSeconds > 0 && figures.lookupMedian > 0 && figures.lookupP99 >= figures.lookupMedian)
        #expect(figures.evictionsPerSecond > 0 && figures.evictionsWithFilesPerSecond > 0)
        #expect(figures.touchesPerSecond > 0 && figures.bytesPerBlob > 50 && figures.peakMB > 1)
    }
}
