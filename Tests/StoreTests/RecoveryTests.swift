// Killed at any moment, started again: files right, no litter, counts agree; and it starts whatever it finds.

import Foundation
import GRDB
import OCI
import Synchronization
import TestSupport
import Testing

@testable import Store

@Suite("Recovery") struct RecoveryTests {
    let scene: StoreScene

    init() throws { scene = try StoreScene() }

    /// What a kill leaves on the disk, by the step of the commit (or of the eviction) that it came after.
    enum CrashPoint: CaseIterable {
        case ingestMade, ingestHalfWritten, ingestSynced, shardMade, renamedBeforeRow, rowBeforeRename
        case evictedIntoTrash, evictedRowsGone, tornUnderItsName, tornWithoutRow
    }

    static let bytes = seeded(20, 30_000)
    static let digest = Digest.of(bytes)

    private func leave(_ point: CrashPoint) async throws {
        let layout = scene.layout
        let digest = Self.digest
        let half = Data(Self.bytes.prefix(10_000))
        let whole = Data(Self.bytes)
        func write(_ data: Data, _ path: String) throws { try data.write(to: URL(fileURLWithPath: path)) }
        func stored() async throws {
            try await scene.life { store in _ = try await store.put(Self.bytes) }
        }
        switch point {
        case .ingestMade: try write(Data(), layout.ingest("1-1"))
        case .ingestHalfWritten: try write(half, layout.ingest("1-1"))
        case .ingestSynced: try write(whole, layout.ingest("1-1"))
        case .shardMade: try makeDirectory(layout.blobDirectory(digest))
        case .renamedBeforeRow:
            try makeDirectory(layout.blobDirectory(digest))
            try write(whole, layout.blob(digest))
        case .rowBeforeRename:
            try await stored()
            unlink(layout.blob(digest))
        case .evictedIntoTrash:
            try await stored()
            rename(layout.blob(digest), layout.trash("1-1"))
        case .evictedRowsGone: try write(whole, layout.trash("1-1"))
        case .tornUnderItsName:
            try await stored()
            truncate(layout.blob(digest), 10_000)
        case .tornWithoutRow:
            try makeDirectory(layout.blobDirectory(digest))
            try write(half, layout.blob(digest))
        }
    }

    @Test(arguments: CrashPoint.allCases) func `after a kill everything agrees once it was looked at`(
        _ point: CrashPoint
    ) async throws {
        try await scene.life { store in _ = try await store.put([1, 2, 3]) }
        try await leave(point)
        try await scene.life { store in
            try await store.reconcile()
            let read = try await store.bytes(of: Self.digest)
            #expect(read == nil || read == Self.bytes)
            #expect((read != nil) == (point == .renamedBeforeRow))
            try await scene.expectLaws(store)
            try await store.put(Self.bytes)
            #expect(try await store.bytes(of: Self.digest) == Self.bytes)
            #expect(try await store.bytes(of: Digest.of([1, 2, 3])) == [1, 2, 3])
            try await scene.expectLaws(store)
        }
        try await scene.life { store in try await scene.expectLaws(store) }
    }

    @Test(arguments: CrashPoint.allCases) func `after a kill everything agrees although nobody looks`(
        _ point: CrashPoint
    ) async throws {
        try await scene.life { store in _ = try await store.put([1, 2, 3]) }
        try await leave(point)
        try await scene.life { store in
            try await store.reconcile()
            try await scene.expectLaws(store)
        }
    }

    @Test(arguments: CrashPoint.allCases) func `after a kill the content may come anew before anything was looked at`(
        _ point: CrashPoint
    ) async throws {
        try await scene.life { store in _ = try await store.put([1, 2, 3]) }
        try await leave(point)
        try await scene.life { store in
            try await store.put(Self.bytes)
            try await store.reconcile()
            #expect(try await store.bytes(of: Self.digest) == Self.bytes)
            try await scene.expectLaws(store)
        }
    }

    @Test func `what was committed survives a kill without a goodbye`() async throws {
        let copy = try StoreScene()
        let digest = try await scene.life { store in
            let layer = try await store.put(seeded(21, 9000))
            let digest = try await store.putManifest(
                naming: [layer], in: try repository("a/b"), tag: try tag("v1"))
            try FileManager.default.copyItem(atPath: scene.root, toPath: copy.root)
            return digest
        }
        try await copy.life { store in
            let stored = try await store.tag(try tag("v1"), of: try repository("a/b"))
            #expect(stored?.digest == digest && stored?.isStored == true)
            try await copy.expectLaws(store)
        }
    }

    @Test func `leftovers of ingests and evictions go at start`() async throws {
        try await scene.life { _ in }
        for path in [scene.layout.ingest("1-1"), scene.layout.ingest("x"), scene.layout.trash("1-1")] {
            try Data([1]).write(to: URL(fileURLWithPath: path))
        }
        try await scene.life { store in try await scene.expectLaws(store) }
    }

    enum Damage: CaseIterable { case noHeader, badPages, emptied, gone, strangersTables }

    @Test(arguments: Damage.allCases) func `a damaged database is moved aside and the files are adopted again`(
        _ damage: Damage
    ) async throws {
        try await scene.life { store in
            for seed in 0..<20 { try await store.put(seeded(UInt64(seed), 100)) }
            // Enough for the log to have been copied into the file itself.
            for number in 0..<2000 as Range<Int64> {
                try await store.link(
                    Digest.of("\(number)".utf8.map { $0 }), size: number, to: try repository("a/b"), isNamed: true)
            }
        }
        for suffix in ["-wal", "-shm"] { unlink(scene.layout.metadata + suffix) }
        let path = scene.layout.metadata
        let file = try #require(FileHandle(forUpdatingAtPath: path))
        let size = Int(try file.seekToEnd())
        #expect(size > 100_000)
        switch damage {
        case .noHeader:
            try file.seek(toOffset: 0)
            try file.write(contentsOf: Data(repeating: 0x55, count: 200))
        case .badPages:
            try file.seek(toOffset: 4096)
            try file.write(contentsOf: Data(repeating: 0x55, count: size - 4096))
        case .emptied: try file.truncate(atOffset: 0)
        case .gone: unlink(path)
        case .strangersTables: try await renameTable(in: path)
        }
        try file.close()

        try await scene.life { store in
            let asides = names(in: scene.root).filter { $0.hasPrefix("metadata.sqlite.damaged-") }
            #expect(asides.isEmpty == (damage == .emptied || damage == .gone))
            #expect(store.capacity.snapshot.committed == 0)
            try await store.reconcile()
            #expect(try scene.files().count == 20)
            #expect(try await store.bytes(of: Digest.of(seeded(19, 100))) == seeded(19, 100))
            try await scene.expectLaws(store)
        }
        try await scene.life { store in try await scene.expectLaws(store) }
    }

    /// The table's name stands in the schema as text: with another as long the database is whole and not ours.
    private func renameTable(in path: String) async throws {
        var data = try Data(contentsOf: URL(fileURLWithPath: path))
        let ours = Data("TABLE blob (".utf8)
        let theirs = Data("TABLE blub (".utf8)
        // The file may still have what the table was called before it was changed.
        #expect(data.range(of: ours) != nil)
        while let place = data.range(of: ours) { data.replaceSubrange(place, with: theirs) }
        try data.write(to: URL(fileURLWithPath: path))
    }

    @Test func `only the newest damaged database is kept`() async throws {
        for _ in 0..<3 {
            scene.clock.turn(by: .seconds(1))
            try await scene.life { _ in }
            for suffix in ["-wal", "-shm"] { unlink(scene.layout.metadata + suffix) }
            try Data(repeating: 0x55, count: 8192).write(to: URL(fileURLWithPath: scene.layout.metadata))
        }
        scene.clock.turn(by: .seconds(1))
        try await scene.life { store in
            let asides = names(in: scene.root).filter { $0.contains("damaged") }.sorted()
            #expect(asides == ["metadata.sqlite.damaged-\(scene.clock.now)"])
            #expect(store.capacity.snapshot.overhead >= 8192, "it takes room too")
        }
    }

    @Test func `one that cannot be opened for another reason is left, and had again when it can be`() async throws {
        let mine = try repository("library/mine")
        let digest = try await scene.life { store in try await store.put(seeded(1, 5000), linkedTo: [mine]) }
        let away = scene.layout.metadata + ".away"
        rename(scene.layout.metadata, away)
        try makeDirectory(scene.layout.metadata)
        try await scene.life { store in
            #expect(!store.database.isOpen)
            #expect(store.amiss.count == 1 && store.amiss[0].contains("database"))
            #expect(store.totals().isEmpty)
            #expect(await store.figures().stored == StoredFigures())
            await #expect(throws: StoreError.self) { try await store.knowledge(of: digest, in: mine) }
            await #expect(throws: StoreError.self) { try await store.put(seeded(2, 5000)) }
            await store.recover()
            #expect(!store.database.isOpen)
            rmdir(scene.layout.metadata)
            rename(away, scene.layout.metadata)
            await store.recover()
            #expect(store.amiss.isEmpty)
            #expect(try await store.knowledge(of: digest, in: mine).isAnswered)
            try await scene.expectLaws(store)
        }
        #expect(names(in: scene.root).filter { $0.contains("damaged") }.isEmpty)
    }

    @Test func `a newer program's database is refused with what to do, and not touched`() async throws {
        try await scene.life { store in _ = try await store.put(seeded(1, 10)) }
        let pool = try DatabasePool(path: scene.layout.metadata)
        try await pool.write { db in
            try db.execute(sql: "INSERT INTO grdb_migrations (identifier) VALUES ('from the future')")
        }
        try pool.close()
        let error = #expect(throws: StoreError.self) { _ = try scene.open() }
        #expect("\(try #require(error))".contains("newer wharf: run that one, or move the file away"))
        let after = try DatabaseQueue(path: scene.layout.metadata)
        #expect(try await after.read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM blob") } == 1)
        #expect(names(in: scene.root).filter { $0.contains("damaged") }.isEmpty)
    }

    @Test func `one that another program holds is waited for, not moved aside`() async throws {
        let digest = try await scene.life { store in try await store.put(seeded(1, 5000)) }
        var configuration = Configuration()
        configuration.busyMode = .timeout(1)
        configuration.allowsUnsafeTransactions = true
        let shell = try DatabaseQueue(path: scene.layout.metadata, configuration: configuration)
        try await shell.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; DELETE FROM total")
        }
        try await scene.life { store in
            #expect(!store.database.isOpen)
            #expect(store.amiss.first?.contains("held by another program") == true)
            try await shell.writeWithoutTransaction { db in try db.execute(sql: "ROLLBACK") }
            try shell.close()
            await store.recover()
            #expect(try await store.isStored(digest))
            try await scene.expectLaws(store)
        }
    }

    /// Whoever comes first meets it, and gets the error.
    private func meetDamage(_ store: ContentStore, _ mine: Repository) async {
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<10 as Range<UInt64> {
                group.addTask {
                    guard let tag = OCI.Tag("v1") else { return }
                    _ = try? await store.tag(tag, of: mine)
                    _ = try? await store.put(seeded(100 + number, 3000), linkedTo: [mine])
                    _ = try? await store.putManifest(naming: [Digest.of([1])], in: mine, note: "\(number)")
                }
            }
        }
    }

    /// Zeroes are no page of a database. Which page a table begins with is the schema's word.
    @Test(arguments: ["tag", "link", "child"]) func `damage that shows only in use begins it anew, once`(
        _ table: String
    ) async throws {
        let mine = try repository("library/mine")
        let layer = seeded(4, 70_000)
        try await scene.life { store in
            try await store.put(layer, linkedTo: [mine])
            try await store.putManifest(naming: [Digest.of(layer)], in: mine, tag: try tag("v1"))
            await store.database.truncateLog()
        }
        let queue = try DatabaseQueue(path: scene.layout.metadata)
        let (page, size) = try await queue.read { db in
            (
                try Int.fetchOne(db, sql: "SELECT rootpage FROM sqlite_master WHERE name = ?", arguments: [table]) ?? 0,
                try Int.fetchOne(db, sql: "PRAGMA page_size") ?? 0
            )
        }
        try queue.close()
        let file = try #require(FileHandle(forUpdatingAtPath: scene.layout.metadata))
        try file.seek(toOffset: UInt64((page - 1) * size))
        file.write(Data(repeating: 0, count: size))
        try file.close()
        try await scene.life { store in
            await meetDamage(store, mine)
            let asides = names(in: scene.root).filter { $0.hasPrefix(DiskLayout.damaged) }
            #expect(asides.count { !$0.hasSuffix("-wal") && !$0.hasSuffix("-shm") } == 1)
            let mustReconcile = store.health.mustReconcile.load(ordering: .relaxed)
            #expect(mustReconcile)
            #expect(store.capacity.snapshot.used >= 70_000, "what no row knows is counted")
            await store.recover()
            try await store.reconcile()
            #expect(try await store.bytes(of: Digest.of(layer)) == layer)
            _ = try await store.put(seeded(7, 100), linkedTo: [mine])
            await store.recover()
            #expect(store.amiss.isEmpty)
            try await scene.expectLaws(store)
        }
    }

    @Test func `files without rows are adopted if they are what they are called, else quarantined`() async throws {
        try await scene.life { store in
            for (bytes, digest) in [
                (seeded(1, 5000), Digest.of(seeded(1, 5000))), (seeded(2, 5000), Digest.of(seeded(2, 5000), .sha512)),
                (seeded(3, 5000), Digest.of([3])), ([], Digest.of([4])), ([], Digest.of([])),
            ] {
                try makeDirectory(scene.layout.blobDirectory(digest))
                try Data(bytes).write(to: URL(fileURLWithPath: scene.layout.blob(digest)))
            }
            try await store.reconcile()
            #expect(try scene.files().count == 3)
            #expect(names(in: scene.layout.quarantine).count == 2)
            try await scene.expectLaws(store)
            try await store.reconcile()
            try await scene.expectLaws(store)
        }
    }

    @Test func `what has no business among the blobs is let be`() async throws {
        try await scene.life { store in
            let digest = Digest.of([1])
            try makeDirectory("\(scene.layout.blobs)/sha256/zz")
            for path in ["sha256/zz/\(digest.hex)", "sha256/note", "sha256/zz/UPPER"] {
                try Data([1]).write(to: URL(fileURLWithPath: "\(scene.layout.blobs)/\(path)"))
            }
            try await store.reconcile()
            #expect(await store.figures().stored == StoredFigures())
            #expect(store.capacity.snapshot.committed == 0)
        }
    }

    @Test func `adopting does not disturb a commit of the same digest`() async throws {
        try await scene.life { store in
            for seed in 0..<20 as Range<UInt64> {
                let digest = Digest.of(seeded(seed, 3000))
                try makeDirectory(scene.layout.blobDirectory(digest))
                try Data(seeded(seed, 3000)).write(to: URL(fileURLWithPath: scene.layout.blob(digest)))
            }
            try await withThrowingTaskGroup { group in
                group.addTask { try await store.reconcile() }
                for seed in 0..<20 as Range<UInt64> { group.addTask { _ = try await store.put(seeded(seed, 3000)) } }
                try await group.waitForAll()
            }
            try await scene.expectLaws(store)
        }
    }
}
