// A pull of an index goes on though room is made in the middle of it: its lease reaches down to the layers.

import GRDB
import OCI
import TestSupport
import Testing

@testable import Store

private let mebi = 1 << 20
private let zeros = [UInt8](repeating: 0, count: mebi - 1)

@Suite("The lease of an index", .timeLimit(.minutes(5))) struct LeaseTests {
    let scene: StoreScene
    let mine: Repository

    init() throws {
        scene = try StoreScene()
        mine = try repository("library/mine")
    }

    /// A store with room for ten blobs of 1 MiB, the manifests, and its own database.
    private func open(lease: Duration = .seconds(900)) throws -> ContentStore {
        try scene.open {
            $0.maxSize = .bytes(Int64(10 * mebi + mebi / 2))
            $0.lowWatermark = 1
            $0.lease = lease
        }
    }

    /// 1 MiB of its own.
    private func content(_ number: UInt8) -> [UInt8] { [number] + zeros }

    private func put(_ store: ContentStore, _ number: UInt8) async throws -> Digest {
        scene.clock.turn(by: .seconds(1))
        return try await store.put(content(number))
    }

    private func putManifest(
        _ store: ContentStore, naming linked: [Digest], isIndex: Bool = false
    ) async throws -> Digest {
        scene.clock.turn(by: .seconds(1))
        return try await store.putManifest(naming: linked, in: mine, isIndex: isIndex)
    }

    /// Twice as much as there is room for.
    private func overfill(_ store: ContentStore, from number: UInt8) async throws {
        for number in number..<number + 20 { _ = try await put(store, number) }
    }

    private func areStored(_ digests: [Digest], _ store: ContentStore) async throws -> [Bool] {
        var answers: [Bool] = []
        for digest in digests { answers.append(try await store.opened(digest) != nil) }
        return answers
    }

    @Test func `whoever got the index finds the child and its layers, though room was made before it asked`()
        async throws
    {
        let store = try open()
        let config = try await put(store, 1)
        let layer = try await put(store, 2)
        let child = try await putManifest(store, naming: [config, layer])
        let index = try await putManifest(store, naming: [child], isIndex: true)
        let stranger = try await put(store, 3)
        store.recordUse(index, lease: true)
        try await overfill(store, from: 100)
        let image = [index, child, config, layer]
        #expect(try await areStored(image + [stranger], store) == [true, true, true, true, false])

        scene.clock.turn(by: .seconds(901))
        try await overfill(store, from: 200)
        #expect(try await areStored(image, store) == [false, false, false, false], "the lease has ended")
        try await scene.expectLaws(store)
    }

    @Test func `an index without a lease holds nothing below itself`() async throws {
        for isLeased in [true, false] {
            let store = try open(lease: isLeased ? .seconds(900) : .zero)
            let layer = try await put(store, 1)
            let child = try await putManifest(store, naming: [layer])
            let index = try await putManifest(store, naming: [child], isIndex: true)
            store.recordUse(index, lease: !isLeased)
            try await overfill(store, from: 100)
            #expect(try await areStored([child, layer], store) == [false, false])
            store.close()
        }
    }

    @Test func `a child that is not stored is no error, and those that are have their layers held`() async throws {
        let store = try open()
        let layer = try await put(store, 1)
        let child = try await putManifest(store, naming: [layer, Digest.of([9])])
        let index = try await putManifest(store, naming: [Digest.of([7]), child, Digest.of([8])], isIndex: true)
        store.recordUse(index, lease: true)
        try await overfill(store, from: 100)
        #expect(try await areStored([index, child, layer], store) == [true, true, true])
        try await scene.expectLaws(store)
    }

    @Test func `a layer that comes while the index is leased is leased with it`() async throws {
        let store = try open()
        let child = try await putManifest(store, naming: [Digest.of(content(1))])
        let index = try await putManifest(store, naming: [child], isIndex: true)
        store.recordUse(index, lease: true)
        try await store.database.record(store.uses.takeAll())
        let layer = try await put(store, 1)
        try await overfill(store, from: 100)
        #expect(try await areStored([child, layer], store) == [true, true])
    }

    @Test func `a lease goes no deeper than the layers of an index's children`() async throws {
        let store = try open()
        let layer = try await put(store, 1)
        let child = try await putManifest(store, naming: [layer])
        let inner = try await putManifest(store, naming: [child], isIndex: true)
        let outer = try await putManifest(store, naming: [inner], isIndex: true)
        store.recordUse(outer, lease: true)
        try await overfill(store, from: 100)
        #expect(try await areStored([outer, inner, child, layer], store) == [true, true, true, false])
    }

    @Test func `an index that names itself, or whose child does, is leased like any other`() async throws {
        let store = try open()
        let layer = try await put(store, 1)
        let child = try await putManifest(store, naming: [layer])
        let index = try await putManifest(store, naming: [child], isIndex: true)
        // No digest can name itself; rows can, and must not lead round in a circle.
        try await store.database.write { db in
            for (parent, named) in [(index, index), (child, index), (child, child)] {
                try db.execute(
                    sql: "INSERT INTO child (parent, child, size) VALUES (?, ?, 1)",
                    arguments: [parent.numberMakingOne(in: db), named.numberMakingOne(in: db)])
            }
        }
        store.recordUse(index, lease: true)
        try await overfill(store, from: 100)
        #expect(try await areStored([index, child, layer], store) == [true, true, true])
    }

    @Test func `manifests made to name more than any image does cost no more than a bound`() async throws {
        let store = try open()
        let bound = MetadataDatabase.leasedBelowNamed
        let child = try await putManifest(store, naming: [])
        let index = try await putManifest(store, naming: [child], isIndex: true)
        try await store.database.write { db in
            let blob = try db.cachedStatement(
                sql: "INSERT INTO blob (digest, size, storedAt, lastUsed) VALUES (?, 1, 0, 0)")
            let name = try db.cachedStatement(sql: "INSERT INTO child (parent, child, size) VALUES (?, ?, 1)")
            let parent = try child.numberMakingOne(in: db)
            for number in 0..<UInt32(bound + 500) {
                let digest = Digest.of(withUnsafeBytes(of: number) { Array($0) })
                try blob.execute(arguments: [digest.numberMakingOne(in: db)])
                try name.execute(arguments: [parent, digest.numberMakingOne(in: db)])
            }
        }
        store.recordUse(index, lease: true)
        try await store.database.record(store.uses.takeAll())
        let leased = try await store.database.read { db in
            try Int.fetchOne(db, sql: "SELECT count(*) FROM blob WHERE leasedUntil > 0")
        }
        #expect(leased == bound + 2, "and the child and the index")
    }

    @Test(arguments: [
        MetadataDatabase.useOfItself, MetadataDatabase.useOfNamed, MetadataDatabase.leaseBelowNamed,
    ])
    func `uses are written by looking up keys, never by walking a table`(sql: String) async throws {
        let store = try open()
        let plan = try await store.database.read { db in
            let statement = try db.makeStatement(sql: "EXPLAIN QUERY PLAN " + sql)
            statement.setUncheckedArguments([])
            return try Row.fetchAll(statement).map { $0["detail"] as String }
        }
        #expect(plan.contains { $0.hasPrefix("SEARCH blob USING INTEGER PRIMARY KEY (rowid=") }, "\(plan)")
        for step in plan { #expect(step.hasPrefix("SEARCH ") || step.hasPrefix("LIST SUBQUERY"), "\(plan)") }
    }
}
