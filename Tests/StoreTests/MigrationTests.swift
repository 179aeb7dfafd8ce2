// A data directory that an older version has left: opened, brought up to date, and nothing of it lost.

import Foundation
import GRDB
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("Migrations") struct MigrationTests {
    let scene: StoreScene
    let mine: Repository
    let manifest = Array(#"{"layers":[]}"#.utf8)

    init() throws {
        scene = try StoreScene()
        mine = try repository("library/mine")
    }

    /// As a version wrote it that knew migrations up to this one: a manifest, its link, its tag, an unfinished blob.
    private func leave(upTo migration: String) throws {
        try scene.layout.make()
        let digest = Digest.of(manifest)
        try makeDirectory(scene.layout.blobDirectory(digest))
        try Data(manifest).write(to: URL(fileURLWithPath: scene.layout.blob(digest)))
        let pool = try DatabasePool(path: scene.layout.metadata)
        try Schema.migrator.migrate(pool, upTo: migration)
        try pool.write { db in
            #expect(try !db.tableExists("digest"))
            try db.execute(
                sql: """
                    INSERT INTO repository VALUES (5, 'docker.io', 'library/mine');
                    INSERT INTO total VALUES ('served', 77);
                    """)
            try db.execute(
                sql: "INSERT INTO blob VALUES (?, ?, 1, 2, NULL, 0, 0)", arguments: [digest.data, manifest.count])
            try db.execute(
                sql: "INSERT INTO manifest VALUES (?, ?, 0)",
                arguments: [digest.data, MediaType.ociManifest.rawValue])
            try db.execute(sql: "INSERT INTO child VALUES (?, ?, 9)", arguments: [digest.data, Digest.of([9]).data])
            try db.execute(sql: "INSERT INTO link VALUES (?, 5, NULL, 0)", arguments: [digest.data])
            try db.execute(sql: "INSERT INTO tag VALUES (5, 'v1', ?, 123)", arguments: [digest.data])
        }
        try pool.close()
    }

    @Test(arguments: ["1", "2", "3"]) func `what an older version stored is served, and the new tables are there`(
        _ migration: String
    ) async throws {
        try leave(upTo: migration)
        let digest = Digest.of(manifest)
        try await scene.life { store in
            let knowledge = try await store.knowledge(of: digest, in: mine)
            #expect(knowledge.isAnswered && knowledge.storedSize == Int64(manifest.count))
            #expect(knowledge.mediaType == .ociManifest)
            #expect(try await store.knowledge(of: Digest.of([9]), in: mine).namedSize == 9)
            #expect(
                try await store.tag(try tag("v1"), of: mine)
                    == StoredTag(digest: digest, checkedAt: 123, isStored: true))
            #expect(try await store.bytes(of: digest) == manifest)
            #expect(store.totals() == ["served": 77])
            try await scene.expectLaws(store)

            #expect(try await store.repositories(matching: "mine", limit: 9) == [mine])
            #expect(store.memos().isEmpty)
            #expect(try await store.referrers(of: Digest.of([9]), in: mine).isEmpty)
            let list = KeptList(bytes: [1], mediaType: nil, link: nil, fetchedAt: 1)
            try await store.keep(list, as: ListKey(kind: .tags, query: ""), of: mine)
            #expect(try await store.lists(.tags, of: mine) == [list])
            let signature = try await store.putManifest(naming: [], in: mine, subject: digest)
            #expect(try await store.referrers(of: digest, in: mine).map(\.digest) == [signature])
        }
        #expect(names(in: scene.root).filter { $0.contains("damaged") }.isEmpty)
    }

    /// A tenth of what a mirror of some size has: shared layers, both algorithms, what is only spoken of.
    @Test func `every digest gets a number of its own, and rows that spoke of one still do`() async throws {
        try leave(upTo: "3")
        let pool = try DatabasePool(path: scene.layout.metadata)
        let layers = (0..<300).map { (number: Int) -> Digest in
            Digest.of([UInt8(number % 256), UInt8(number / 256)], number < 150 ? .sha256 : .sha512)
        }
        try await pool.write { [manifest] db in
            let parent = Digest.of(manifest).data
            for layer in layers {
                try db.execute(sql: "INSERT INTO child VALUES (?, ?, 7)", arguments: [parent, layer.data])
                try db.execute(sql: "INSERT INTO link VALUES (?, 5, 8, 1)", arguments: [layer.data])
            }
            try db.execute(
                sql: "INSERT INTO referrer VALUES (?, ?)", arguments: [parent, Digest.of([9]).data])
        }
        try pool.close()
        try await scene.life { store in
            #expect(try await store.rows(in: "digest") == layers.count + 2)
            #expect(try await store.rows(in: "child") == layers.count + 1)
            for layer in layers {
                let knowledge = try await store.knowledge(of: layer, in: mine)
                #expect(knowledge.isLinked && knowledge.hasOwnLink && !knowledge.isAnswered)
            }
            #expect(try await store.referrers(of: Digest.of([9]), in: mine).map(\.digest) == [Digest.of(manifest)])
            try await store.invalidate(Digest.of(manifest))
            #expect(try await store.rows(in: "child") == 0)
            try await store.sweep()
            #expect(try await store.rows(in: "digest") == 0)
            #expect(try await store.rows(in: "link") == 0)
        }
    }
}
