// An unfinished blob is kept and gone on with; and what a kill leaves of it.

import Foundation
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("Unfinished blobs", .timeLimit(.minutes(3))) struct PartialTests {
    let scene: StoreScene

    init() throws { scene = try StoreScene() }

    @Test func `what has landed is kept, and nothing else of it takes room`() async throws {
        let store = try scene.open()
        let writer = try await scene.fill(0..<2_000_000, 3_000_000..<4_000_000, in: store)
        #expect(store.capacity.snapshot.reserved == onDisk(Unfinished.size))
        await store.keep(writer)
        #expect(writer.landing.ending == .broken)
        let extents = Extents([0..<2_000_000, 3_000_000..<4_000_000])
        #expect(store.partial(of: Unfinished.digest)?.size == Unfinished.size)
        #expect(store.partial(of: Unfinished.digest)?.extents == extents)
        #expect(throws: StoreError.ended) { try writer.write(5_000_000..<5_000_001, of: Unfinished.bytes) }
        let ledger = store.capacity.snapshot
        #expect(ledger.reserved == 0)
        #expect(ledger.partial >= 3_000_000 && ledger.partial <= 3_000_000 + 6 * 4096)
        #expect(ledger.used == ledger.partial + ledger.overhead)
        try await scene.expectLaws(store)
    }

    @Test(arguments: [false, true]) func `it is gone on with, over a restart too, and hashes right`(_ restarts: Bool)
        async throws
    {
        var store: ContentStore? = try scene.open()
        await store?.keep(try await scene.fill(1_000_003..<2_500_000, 0..<500_000, in: try #require(store)))
        if restarts {
            store?.close()
            store = nil
        }
        let again = try store ?? scene.open()
        let extents = Extents([0..<500_000, 1_000_003..<2_500_000])
        #expect(again.partial(of: Unfinished.digest)?.extents == extents)
        try await scene.expectLaws(again)

        let writer = try await scene.fill(in: again)
        #expect(writer.resumed == extents && writer.landing.extents == extents)
        #expect(writer.announced == Unfinished.size)
        #expect(again.partial(of: Unfinished.digest) == nil, "somebody goes on with it")
        let ledger = again.capacity.snapshot
        #expect(ledger.partial == 0)
        #expect(ledger.reserved >= onDisk(Unfinished.size) && ledger.reserved <= onDisk(Unfinished.size) + 4 * 4096)
        #expect(scene.ingestOnDisk >= Unfinished.size, "its blocks are taken before the first byte")
        try await scene.finish(writer, in: again)
    }

    @Test func `kept again and again it grows, and only then is whole`() async throws {
        let store = try scene.open()
        for start in stride(from: 0, to: Int(Unfinished.size), by: 1_200_000) {
            await store.keep(try await scene.fill(start..<start + 1_200_000, in: store))
            try await scene.expectLaws(store)
        }
        try await scene.finish(try await scene.fill(in: store), in: store)
    }

    @Test func `what an earlier run left is hashed at once, and is no reason to pause`() async throws {
        let size: Int64 = 1 << 30
        try scene.layout.make()
        let path = scene.layout.ingest("left")
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
        truncate(path, Int(size))
        let capacity = Capacity(Ledger(limit: 2 << 30, minFree: 0, lowWatermark: 0.9), root: scene.root) { 0 }
        let extents = Extents(upTo: size / 2)
        let ingest = try Ingest.reopen(path, extents: extents, size: size)
        let writer = try IngestWriter(
            ingest, digest: Unfinished.digest, announced: size, reservation: try #require(capacity.reserve(size)),
            health: .quiet, resumed: extents)
        #expect(!writer.isLagging {})
        await writer.hashRests()
        #expect(writer.hashed == size / 2, "though nobody wrote")
    }

    @Test func `where every byte is there, a little is asked for again, and is right`() async throws {
        let store = try scene.open()
        let writer = try await scene.fill(0..<Int(Unfinished.size), in: store)
        let descriptor = try writer.duplicate()
        defer { close(descriptor) }
        await store.keep(writer)
        #expect(store.partial(of: Unfinished.digest)?.extents == Extents(upTo: Unfinished.size - 65_536))
        #expect(
            try read(0..<Unfinished.size, of: descriptor) == Unfinished.bytes, "a follower may be at any of it still")
        try await scene.expectLaws(store)
        try await scene.finish(try await scene.fill(in: store), in: store)
    }

    @Test(arguments: [Unfinished.size - 1, Unfinished.size + 1, nil]) func `of another size it is begun anew`(
        _ size: Int64?
    ) async throws {
        let store = try scene.open()
        await store.keep(try await scene.fill(0..<2_000_000, in: store))
        let writer = try await store.ingest(Unfinished.digest, size: size)
        #expect(writer.resumed.isEmpty)
        #expect(store.partial(of: Unfinished.digest) == nil)
        #expect(store.capacity.snapshot.partial == 0)
        #expect(names(in: scene.layout.ingest).count == 1)
        writer.breakOff()
        try await scene.expectLaws(store)
    }

    @Test func `what is small, or of unknown size, is not kept, and never seen by the database`() async throws {
        let store = try scene.open()
        await store.keep(try await scene.fill(0..<1 << 20 - 1, in: store))
        let unknown = try await store.ingest(Unfinished.digest, size: nil)
        try unknown.write(0..<3_000_000, of: Unfinished.bytes)
        try await store.checkpoint(unknown)
        #expect(try store.database.partials().isEmpty)
        await store.keep(unknown)
        #expect(unknown.landing.ending == .broken)
        try await scene.expectLaws(store)
    }

    @Test func `a file that has gone meanwhile is begun anew`() async throws {
        let store = try scene.open()
        await store.keep(try await scene.fill(0..<2_000_000, in: store))
        for name in names(in: scene.layout.ingest) { unlink(scene.layout.ingest(name)) }
        try await scene.finish(try await scene.fill(in: store), in: store)
    }

    // MARK: Killed

    @Test func `after a kill there is what was written down, nothing beyond it, and it can be gone on with`()
        async throws
    {
        let store = try scene.open()
        let writer = try await scene.fill(0..<1_500_000, 3_000_000..<3_500_000, in: store)
        try await store.checkpoint(writer)
        try writer.write(1_500_000..<2_800_000, of: Unfinished.bytes)
        let copy = try scene.killed()
        writer.breakOff()
        let again = try copy.open()
        let extents = Extents([0..<1_500_000, 3_000_000..<3_500_000])
        #expect(again.partial(of: Unfinished.digest)?.extents == extents)
        #expect(copy.ingestOnDisk <= 4 << 20)
        try await copy.expectLaws(again)
        let name = try #require(names(in: copy.layout.ingest).first)
        let file = try Data(contentsOf: URL(fileURLWithPath: copy.layout.ingest(name)))
        // What was not written down goes in whole large pages only: clients of the killed may still be reading it.
        #expect(file.count == 4 << 20)

        try await copy.finish(try await copy.fill(in: again), in: again)
    }

    @Test func `after a kill before anything was written down there is nothing`() async throws {
        let store = try scene.open()
        let writer = try await scene.fill(0..<3_000_000, in: store)
        let copy = try scene.killed()
        writer.breakOff()
        let again = try copy.open()
        #expect(again.partial(of: Unfinished.digest) == nil)
        try await copy.expectLaws(again)
        #expect(names(in: copy.layout.ingest).isEmpty)
    }

    @Test func `killed again while it is gone on with, it is gone on with again`() async throws {
        var last = scene
        var store = try scene.open()
        var writer = try await scene.fill(0..<1_000_000, in: store)
        for end in [2_000_000, 3_000_000, Int(Unfinished.size)] {
            try await store.checkpoint(writer)
            let copy = try last.killed()
            writer.breakOff()
            (last, store) = (copy, try copy.open())
            try await copy.expectLaws(store)
            writer = try await copy.fill(in: store)
            #expect(writer.resumed == Extents(upTo: Int64(end) - 1_000_000) || end == Int(Unfinished.size))
            try writer.write(0..<end, of: Unfinished.bytes)
        }
        // Written down whole and killed before the commit.
        try await store.checkpoint(writer)
        let copy = try last.killed()
        writer.breakOff()
        let again = try copy.open()
        #expect(again.partial(of: Unfinished.digest)?.extents == Extents(upTo: Unfinished.size - 65_536))
        try await copy.finish(try await copy.fill(in: again), in: again)
    }

    @Test func `a byte that has changed in what was kept is found out, and nothing of it stays`() async throws {
        let store = try scene.open()
        await store.keep(try await scene.fill(0..<3_000_000, in: store))
        let path = scene.layout.ingest(try #require(names(in: scene.layout.ingest).first))
        let file = try #require(FileHandle(forUpdatingAtPath: path))
        try file.seek(toOffset: 1_234_567)
        try file.write(contentsOf: Data([Unfinished.bytes[1_234_567] ^ 1]))
        try file.close()
        let writer = try await scene.fill(3_000_000..<Int(Unfinished.size), in: store)
        await #expect {
            try await writer.verify()
        } throws: {
            guard case StoreError.digestMismatch(Unfinished.digest, _) = $0 else { return false }
            return true
        }
        await store.quarantine(writer)
        #expect(names(in: scene.layout.quarantine).count == 1)
        #expect(store.partial(of: Unfinished.digest) == nil)
        try await scene.expectLaws(store)
        try await scene.finish(try await scene.fill(in: store), in: store)
    }

    enum Damage: CaseIterable { case fileGone, fileShort, rowGone, nothingInIt, strangeName, beyondSize, tooOld }

    @Test(arguments: Damage.allCases) func `at start a file and its row agree, or both go`(
        _ damage: Damage
    ) async throws {
        try await scene.life { store in await store.keep(try await scene.fill(0..<2_000_000, in: store)) }
        let path = scene.layout.ingest(try #require(names(in: scene.layout.ingest).first))
        func change(_ file: String? = nil, size: Int64 = Unfinished.size, extents: Extents? = nil) async throws {
            try await scene.life { store in
                let row = try #require(try store.database.partials().first)
                let changed = PartialRow(
                    digest: row.digest, file: file ?? row.file, size: size, extents: extents ?? row.extents,
                    keptAt: row.keptAt)
                try await store.database.checkpoint(changed) { true }
            }
        }
        switch damage {
        case .fileGone: unlink(path)
        case .fileShort: truncate(path, 1_999_999)
        case .rowGone: try await scene.life { store in try store.database.forgetPartialsNow([Unfinished.digest]) }
        case .nothingInIt: try await change(extents: Extents())
        case .strangeName: try await change("../metadata.sqlite")
        case .beyondSize: try await change(size: 1_999_999)
        case .tooOld: scene.clock.turn(by: .seconds(24 * 3600))
        }
        try Data([1]).write(to: URL(fileURLWithPath: scene.layout.ingest("stranger")))
        try await scene.life { store in
            #expect(store.partial(of: Unfinished.digest) == nil)
            #expect(store.capacity.snapshot.partial == 0)
            #expect(names(in: scene.layout.ingest).isEmpty)
            try await scene.expectLaws(store)
            try await scene.finish(try await scene.fill(in: store), in: store)
        }
    }
}
