// What was counted over time: in which step it stands, over restarts, gaps, and clocks that are set.

import GRDB
import OCI
import Testing

@testable import Store

@Suite("History") struct HistoryTests {
    let scene: StoreScene
    /// Of what is counted: as the program has it in memory.
    let counted = Shared<[String: Int64]>([:])

    init() throws {
        scene = try StoreScene()
        // A full hour, and so a full minute.
        scene.clock.turn(by: .milliseconds(3_600_000 - scene.clock.now % 3_600_000))
    }

    private func points(_ span: HistorySpan, of store: ContentStore) async throws -> [HistoryPoint] {
        try await store.history(span) { counted.value }
    }

    private func writeDown(_ store: ContentStore) async throws { try await store.writeDown(totals: counted.value) }

    private func count(_ more: Int64, _ name: String = "requests.hit.blob.docker.io") {
        counted.change { $0[name, default: 0] += more }
    }

    private var second: Int64 { scene.clock.now / 1000 }

    @Test func `what is counted stands in its minute and its hour, whoever it is of`() async throws {
        try await scene.life { store in
            let start = second
            count(2)
            count(3, "requests.hit.manifest.ghcr.io")
            count(100, "bytes.from_upstream")
            try await writeDown(store)
            scene.clock.turn(by: .seconds(59))
            count(1)
            try await writeDown(store)
            scene.clock.turn(by: .seconds(1))
            count(4)
            try await writeDown(store)
            #expect(
                try await points(.hour, of: store) == [
                    HistoryPoint(at: start, counted: ["requests.hit": 6, "bytes.from_upstream": 100]),
                    HistoryPoint(at: start + 60, counted: ["requests.hit": 4]),
                ])
            #expect(
                try await points(.week, of: store) == [
                    HistoryPoint(at: start, counted: ["requests.hit": 10, "bytes.from_upstream": 100])
                ])
        }
    }

    @Test func `what is not yet written down counts in the step under way`() async throws {
        try await scene.life { store in
            count(2)
            #expect(try await points(.hour, of: store).map(\.counted) == [["requests.hit": 2]])
            try await writeDown(store)
            count(1)
            #expect(try await points(.hour, of: store).map(\.counted) == [["requests.hit": 3]])
        }
    }

    @Test func `a restart counts nothing twice, and leaves a gap for the time between`() async throws {
        let start = second
        try await scene.life { store in
            count(5)
            try await writeDown(store)
            // This is lost with the process, from the totals too.
            count(100)
        }
        scene.clock.turn(by: .seconds(180))
        try await scene.life { store in
            let totals = store.totals()
            counted.change { $0 = totals }
            count(1)
            try await writeDown(store)
            let points = try await points(.hour, of: store)
            #expect(points.map(\.at) == [start, start + 180])
            #expect(points.map(\.counted) == [["requests.hit": 5], ["requests.hit": 1]])
        }
    }

    @Test func `a step in which nothing was asked is there, with nothing`() async throws {
        try await scene.life { store in
            count(5)
            for _ in 0..<3 {
                try await writeDown(store)
                scene.clock.turn(by: .seconds(60))
            }
            #expect(try await points(.hour, of: store).map(\.counted) == [["requests.hit": 5], [:], [:], [:]])
        }
    }

    @Test func `an idle program writes once a minute and not more`() async throws {
        try await scene.life { store in
            count(5)
            try await writeDown(store)
            let before = try await store.changes()
            for _ in 0..<5 { try await writeDown(store) }
            #expect(try await store.changes() == before)
        }
    }

    @Test func `sixty minutes and a week of hours are shown, and little more is kept`() async throws {
        try await scene.life { store in
            for _ in 0..<400 {
                count(1)
                try await writeDown(store)
                scene.clock.turn(by: .seconds(1800))
            }
            #expect(try await points(.week, of: store).count == 168)
            // Two in each but the one under way, which is empty.
            #expect(try await points(.week, of: store).dropLast().allSatisfy { $0.counted == ["requests.hit": 2] })
            #expect(try await points(.hour, of: store).count == 2)
            for _ in 0..<100 {
                try await writeDown(store)
                scene.clock.turn(by: .seconds(60))
            }
            #expect(try await points(.hour, of: store).count == 60)
            #expect(try await store.database.historyRows() < 2 * (62 + 170))
        }
    }

    @Test func `a clock that is set back loses nothing and shows no future`() async throws {
        try await scene.life { store in
            let start = second
            count(1)
            try await writeDown(store)
            scene.clock.turn(by: .seconds(7200))
            count(2)
            try await writeDown(store)
            scene.clock.turn(by: .seconds(-7140))
            count(4)
            try await writeDown(store)
            #expect(
                try await points(.hour, of: store) == [
                    HistoryPoint(at: start, counted: ["requests.hit": 1]),
                    HistoryPoint(at: start + 60, counted: ["requests.hit": 4]),
                ])
            // What was written into the future does not come up when its time comes.
            scene.clock.turn(by: .seconds(7140))
            #expect(try await points(.hour, of: store).allSatisfy { $0.counted["requests.hit"] != 2 })
        }
    }

    @Test func `without a database it goes on with what is counted meanwhile`() async throws {
        let store = try scene.open()
        count(2)
        try await writeDown(store)
        store.close()
        await #expect(throws: StoreError.self) { try await points(.hour, of: store) }
        // Nothing was taken for written.
        await #expect(throws: StoreError.self) { try await writeDown(store) }
    }

    @Test func `uses of repositories are kept, the most used where there are too many`() async throws {
        let uses = (0..<30).map { RepositoryUse(repository: "docker.io/r\($0)", requests: 1, bytes: Int64($0)) }
        try await scene.life { store in
            for start in stride(from: 0, to: 30, by: 10) {
                try await store.writeDown(totals: [:], uses: Array(uses[start..<start + 10]))
            }
        }
        try await scene.life { store in
            #expect(Set(store.repositoryUses().map(\.repository)) == Set(uses.suffix(10).map(\.repository)))
        }
    }
}

extension MetadataDatabase {
    fileprivate func historyRows() async throws(StoreError) -> Int {
        try await read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM history") ?? 0 }
    }
}
