// Uses gathered in memory, totals across restarts, the quarantine's bounds, and the service that looks after them.

import Foundation
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("UseRecorder") struct UseRecorderTests {
    @Test func `uses of one digest become one, the latest and the longest lease`() {
        let uses = UseRecorder()
        uses.record(Digest.of([1]), at: 5, leasedUntil: 100)
        uses.record(Digest.of([1]), at: 9, leasedUntil: 0)
        uses.record(Digest.of([1]), at: 7, leasedUntil: 50)
        uses.record(Digest.of([2]), at: 1, leasedUntil: 0)
        #expect(
            uses.takeAll() == [
                Digest.of([1]): UseRecorder.Use(at: 9, leasedUntil: 100),
                Digest.of([2]): UseRecorder.Use(at: 1, leasedUntil: 0),
            ])
        #expect(uses.takeAll().isEmpty)
    }

    @Test func `stamps follow the clock and never go back`() {
        let uses = UseRecorder()
        #expect([5, 5, 8, 3, 3, 9, 20].map { uses.stamp($0) } == [5, 5, 8, 9, 10, 11, 20])
        uses.start(after: 100)
        #expect(uses.stamp(50) == 101)
    }
}

@Suite("Quarantine") struct QuarantineTests {
    let scene: StoreScene

    init() throws { scene = try StoreScene() }

    /// A file under its digest's name, as large as told and with holes.
    private func plant(_ number: Int, size: Int64, in quarantine: Quarantine) throws -> String {
        let digest = Digest.of(Array("\(number)".utf8))
        try makeDirectory(scene.layout.blobDirectory(digest))
        #expect(FileManager.default.createFile(atPath: scene.layout.blob(digest), contents: nil))
        truncate(scene.layout.blob(digest), Int(size))
        try quarantine.take(stored: digest, id: "\(number)")
        return "\(digest.hex).\(number)"
    }

    @Test func `the newest sixteen files are kept`() throws {
        try scene.layout.make()
        let quarantine = Quarantine(layout: scene.layout) { .max }
        let planted = try (0..<20).map { try plant($0, size: 1, in: quarantine) }
        #expect(Set(names(in: scene.layout.quarantine)) == Set(planted.suffix(16)))
        #expect(quarantine.content == (bytes: 16 * 4096, files: 16))
    }

    @Test func `a GiB is kept, of the newest`() throws {
        try scene.layout.make()
        let quarantine = Quarantine(layout: scene.layout) { .max }
        let planted = try (0..<4).map { try plant($0, size: 400 << 20, in: quarantine) }
        #expect(Set(names(in: scene.layout.quarantine)) == Set(planted.suffix(2)))
    }

    @Test func `what alone is larger is not kept and drives nothing out`() async throws {
        try scene.layout.make()
        let quarantine = Quarantine(layout: scene.layout) { .max }
        let small = try plant(1, size: 10, in: quarantine)
        _ = try plant(2, size: (1 << 30) + 1, in: quarantine)
        #expect(names(in: scene.layout.quarantine) == [small])
        let ingest = try Ingest.create(scene.layout.ingest("x"), size: 10)
        try quarantine.take(ingest, digest: Digest.of([1]), id: "x", size: (1 << 30) + 1)
        #expect(names(in: scene.layout.quarantine) == [small])
        #expect(names(in: scene.layout.ingest).isEmpty)
    }

    @Test func `what was stored long ago and is found wrong today is the newest`() throws {
        try scene.layout.make()
        let quarantine = Quarantine(layout: scene.layout) { .max }
        for number in 0..<16 { _ = try plant(number, size: 1, in: quarantine) }
        let digest = Digest.of([1])
        try makeDirectory(scene.layout.blobDirectory(digest))
        try Data([1]).write(to: URL(fileURLWithPath: scene.layout.blob(digest)))
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1)], ofItemAtPath: scene.layout.blob(digest))
        try quarantine.take(stored: digest, id: "old")
        #expect(names(in: scene.layout.quarantine).contains("\(digest.hex).old"))
        #expect(quarantine.content.files == 16)
    }
}

@Suite("Upkeep", .timeLimit(.minutes(5))) struct UpkeepTests {
    let scene: StoreScene

    init() throws { scene = try StoreScene() }

    @Test func `totals survive reopening, the last word counting`() async throws {
        try await scene.life { store in
            #expect(store.totals().isEmpty)
            try await store.writeDown(totals: ["served": 5, "fetched": 1])
            try await store.writeDown(totals: ["served": .max])
        }
        let totals = try await scene.life { store in store.totals() }
        #expect(totals == ["served": .max, "fetched": 1])
    }

    @Test func `uses are written down at each turn and at the very end, after the last writer`() async throws {
        let store = try scene.open()
        let adopted = Digest.of([7])
        try makeDirectory(scene.layout.blobDirectory(adopted))
        try Data([7]).write(to: URL(fileURLWithPath: scene.layout.blob(adopted)))
        let first = try await store.put([1])
        let second = try await store.put([2])
        let clock = ManualClock()
        let served = Shared<Int64>(0)
        let upkeep = Upkeep(
            of: store, every: .seconds(5), clock: clock, totals: { ["served": served.value] },
            beforeEnd: {
                served.change { $0 = 2 }
                store.recordUse(second, lease: false)
            })
        let running = Task { try await upkeep.run() }
        await clock.sleepers(1)
        // It reconciles beside its turns.
        while try await !store.isStored(adopted) { await Task.yield() }

        served.change { $0 = 1 }
        scene.clock.turn(by: .seconds(10))
        store.recordUse(first, lease: false)
        clock.advance(by: .seconds(5))
        await clock.sleepers(1)
        #expect(store.uses.takeAll().isEmpty)
        #expect(store.totals() == ["served": 1])

        scene.clock.turn(by: .seconds(10))
        running.cancel()
        try await running.value
        #expect(store.uses.takeAll().isEmpty)
    }

    @Test func `links that nothing needs go with the first turn, and then every hour`() async throws {
        let (store, clock) = (try scene.open(), ManualClock())
        let (mine, asked) = (try repository("library/mine"), Digest.of([1]))
        let upkeep = Upkeep(of: store, every: .seconds(5), clock: clock, totals: { [:] }, beforeEnd: {})
        let running = Task { try await upkeep.run() }
        await clock.sleepers(1)
        for turns in [1, 720] {
            try await store.link(asked, size: 1, to: mine, isNamed: false)
            for _ in 0..<turns {
                #expect(try await store.knowledge(of: asked, in: mine).isLinked)
                clock.advance(by: .seconds(5))
                await clock.sleepers(1)
            }
            #expect(try await !store.knowledge(of: asked, in: mine).isLinked)
        }
        running.cancel()
        try await running.value
    }

    @Test func `memos are what was last said, whole, at each turn and at the very end`() async throws {
        let said = Shared(["docker.io": "76", "quay.io": ""])
        do {
            let store = try scene.open()
            #expect(store.memos().isEmpty)
            let clock = ManualClock()
            let upkeep = Upkeep(
                of: store, every: .seconds(5), clock: clock, totals: { [:] }, memos: { said.value },
                beforeEnd: { said.change { $0["docker.io"] = "74" } })
            let running = Task { try await upkeep.run() }
            await clock.sleepers(1)
            for memos in [said.value, ["docker.io": "75", "ghcr.io": "'é'\n"]] {
                said.change { $0 = memos }
                clock.advance(by: .seconds(5))
                await clock.sleepers(1)
                #expect(store.memos() == memos)
            }
            running.cancel()
            try await running.value
        }
        let memos = try await scene.life { store in store.memos() }
        #expect(memos == ["docker.io": "74", "ghcr.io": "'é'\n"])
    }

    @Test func `memos that have not changed are not written again`() async throws {
        let store = try scene.open()
        var written: [Int] = []
        for memos in [["a": "1"], ["a": "1"], ["a": "2"], [:], [:]] {
            let before = try await store.changes()
            try await store.writeDown(totals: [:], memos: memos)
            written.append(try await store.changes() - before)
        }
        #expect(written.map { $0 > 0 } == [true, false, true, true, false])
    }

    @Test func `what was in memory at the end is there at the next start`() async throws {
        do {
            let store = try scene.open()
            let clock = ManualClock()
            let upkeep = Upkeep(
                of: store, every: .seconds(5), clock: clock, totals: { ["served": 42] }, beforeEnd: {})
            let running = Task { try await upkeep.run() }
            await clock.sleepers(1)
            running.cancel()
            try await running.value
        }
        let totals = try await scene.life { store in store.totals() }
        #expect(totals == ["served": 42])
    }
}
