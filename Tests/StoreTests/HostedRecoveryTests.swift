// What was pushed here outlives the database, and a kill between any two steps.

import Foundation
import GRDB
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("What is pushed here, after a kill or a lost database") struct HostedRecoveryTests {
    let scene: StoreScene
    let acme: RepositoryName

    init() throws {
        scene = try StoreScene()
        acme = try name("acme/app")
    }

    private func loseDatabase() {
        for suffix in ["", "-wal", "-shm"] { unlink(scene.layout.metadata + suffix) }
    }

    @Test func `a lost database loses nothing, and until it is read in nothing is served or evicted`() async throws {
        let layer = Digest.of(seeded(1, 300_000))
        let (manifest, signature) = try await scene.life { store in
            #expect(try await store.push(seeded(1, 300_000), to: acme) == layer)
            let manifest = try await store.pushManifest(naming: [layer], to: acme, tags: ["v1"])
            return (manifest, try await store.pushManifest(naming: [], to: acme, subject: manifest))
        }
        loseDatabase()
        try await scene.life({ $0.maxSize = .bytes(500_000) }) { store in
            #expect(!store.isHostedKnown)
            await #expect(throws: StoreError.hostedUnread) { try await store.hostedBlob(layer, in: acme) }
            await #expect(throws: StoreError.hostedUnread) { try await store.beginUpload(size: 1, algorithm: .sha256) }
            await #expect(throws: StoreError.noSpace(needed: 490_000)) {
                try await store.ingest(Digest.of([1]), size: 490_000)
            }
            try await store.reconcile()
            #expect(store.isHostedKnown)
            #expect(try await store.hosted("v1", in: acme) == manifest)
            #expect(try await store.hostedManifest(manifest, in: acme)?.mediaType == .ociManifest)
            #expect(try await store.hostedBlob(layer, in: acme)?.readAll() == seeded(1, 300_000))
            #expect(try await store.hostedReferrers(of: manifest, in: acme).map(\.digest) == [signature])
            #expect(try await store.litter(in: acme, before: .max) == [])
            #expect(await store.figures().stored.hostedBytes > 300_000)
            await #expect(throws: StoreError.noSpace(needed: 300_000)) {
                try await store.ingest(Digest.of([1]), size: 300_000)
            }
            try await scene.expectLaws(store)
        }
        // It is known now, from the start.
        try await scene.life { store in #expect(store.isHostedKnown) }
    }

    @Test func `a database that is damaged in use is begun anew, and what was pushed is read in`() async throws {
        try await scene.life { store in
            let layer = try await store.push([1], to: acme)
            store.lostRows()
            #expect(!store.isHostedKnown)
            try await store.reconcile()
            #expect(try await store.hostedBlob(layer, in: acme) != nil)
        }
    }

    @Test func `the files are right where a kill came before the rows`() async throws {
        let (one, two) = try await scene.life { store in
            let one = try await store.pushManifest(naming: [], to: acme, tags: ["v1", "gone"], note: "1")
            return (one, try await store.pushManifest(naming: [], to: acme, tags: ["v2"], note: "2"))
        }
        let tree = HostedTree(root: scene.layout.hosted)
        _ = try tree.setTag(try tag("v1"), two, of: acme)
        _ = try tree.setTag(try tag("gone"), nil, of: acme)
        _ = try tree.setManifest(one, nil, in: acme)
        // Written aside, and not renamed.
        try Data("sha256:".utf8).write(to: URL(fileURLWithPath: "\(scene.layout.hosted)/acme/app/_tags/.v3"))
        try await scene.life { store in
            try await store.reconcile()
            #expect(try await store.hosted("v1", in: acme) == two)
            #expect(try await store.hosted("gone", in: acme) == nil)
            #expect(try await store.hostedManifest(one, in: acme) == nil)
            #expect(try await store.hostedTags(of: acme) == ["v1", "v2"])
        }
    }

    @Test func `a blob whose file was published and nothing else is a cache's`() async throws {
        let digest = try await scene.life { store in try await store.push([1], to: acme) }
        let tree = HostedTree(root: scene.layout.hosted)
        try tree.removeLink(digest, from: acme)
        loseDatabase()
        try await scene.life { store in
            try await store.reconcile()
            #expect(try await store.hostedBlob(digest, in: acme) == nil)
            #expect(try await store.isStored(digest))
            #expect(await store.figures().stored.hostedBytes == 0)
        }
    }

    @Test func `what is missing on the disk is not served, and may be pushed again`() async throws {
        let digest = try await scene.life { store in try await store.push([1], to: acme) }
        unlink(scene.layout.blob(digest))
        loseDatabase()
        try await scene.life { store in
            try await store.reconcile()
            #expect(try await store.hostedBlob(digest, in: acme) == nil)
            try await store.push([1], to: acme)
            #expect(try await store.hostedBlob(digest, in: acme) != nil)
            try await scene.expectLaws(store)
        }
    }

    @Test func `a folder that is gone whole is written again from the rows`() async throws {
        var before = HostedTree.Content()
        try await scene.life { store in
            let layer = try await store.push([1], to: acme)
            try await store.pushManifest(naming: [layer], to: acme, tags: ["v1"])
            before = try store.tree.content(of: acme)
        }
        try FileManager.default.removeItem(atPath: scene.layout.hosted)
        try await scene.life { store in
            try await store.reconcile()
            #expect(try store.tree.content(of: acme) == before)
            #expect(try await store.hosted("v1", in: acme) != nil)
            try await scene.expectLaws(store)
        }
    }

    @Test func `what cannot be read keeps everything as it is`() async throws {
        let digest = try await scene.life { store in try await store.push([1], to: acme) }
        loseDatabase()
        // In the place of the folder's list of blobs there is none that can be listed.
        let links = "\(scene.layout.hosted)/acme/app/_links"
        #expect(rename(links, links + ".away") == 0)
        try Data().write(to: URL(fileURLWithPath: links))
        try await scene.life { store in
            await #expect(throws: StoreError.self) { try await store.reconcile() }
            #expect(!store.isHostedKnown)
            #expect(store.amiss.contains { $0.contains("pushed") })
            unlink(links)
            #expect(rename(links + ".away", links) == 0)
            try await store.reconcile()
            #expect(try await store.hostedBlob(digest, in: acme) != nil)
        }
    }

    @Test func `uploads of an earlier run are gone`() async throws {
        let left = try await scene.life { store in
            let upload = try await store.beginUpload(size: 10, algorithm: .sha256)
            try await store.append([1], to: upload)
            #expect(names(in: scene.layout.uploads).count == 1)
            return upload
        }
        // As a kill leaves it: nobody has ended it.
        try await scene.life { _ in #expect(names(in: scene.layout.uploads).isEmpty) }
        left.discard()
    }

    @Test func `a database of before is brought up to date, and evicts as it did`() async throws {
        try scene.layout.make()
        let pool = try DatabasePool(path: scene.layout.metadata)
        try Schema.migrator.migrate(pool, upTo: "4")
        try await pool.write { db in
            try db.execute(
                sql: """
                    INSERT INTO digest VALUES (1, ?); INSERT INTO blob VALUES (1, 1, 5, 6, NULL, 0, 0)
                    """, arguments: [Digest.of([1]).data])
        }
        try pool.close()
        try await scene.life { store in
            #expect(try await store.isStored(Digest.of([1])))
            let old = try await store.database.leastRecentlyUsed(10, at: 7, lease: .zero)
            #expect(old.candidates.map(\.digest) == [Digest.of([1])])
        }
    }
}
