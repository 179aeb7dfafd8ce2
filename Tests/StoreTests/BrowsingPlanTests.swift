// That pages are found by indices: what SQLite plans, and, where it is asked for, what it takes with 100,000 images.

import Foundation
import GRDB
import OCI
import Testing

@testable import Store

@Suite("Pages by name are found", .timeLimit(.minutes(5))) struct BrowsingPlanTests {
    let scene: StoreScene

    init() throws { scene = try StoreScene() }

    private static let pages: [String] =
        [nil, "debian", "debian:12"].flatMap { (text: String?) in
            [false, true].flatMap { (isHosted: Bool) in
                [false, true].map { (ofOne: Bool) in
                    MetadataDatabase.imagesByName(text.flatMap { NameSearch($0) }, ofOne: ofOne, isHosted: isHosted)
                }
            }
        } + [false, true].map { MetadataDatabase.repositoriesByName(isSearching: $0) }

    @Test(arguments: pages) func `in the order of an index, with nothing read that no index leads to`(
        sql: String
    ) async throws {
        try await scene.life { store in
            let plan = try await store.database.read { db in
                try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN \(sql)", arguments: [nil, nil, nil, nil].prefixFor(sql))
                    .map { $0["detail"] as String }
            }
            #expect(!plan.contains { $0.contains("SCAN") || $0.contains("TEMP B-TREE") }, "\(plan)")
        }
    }

    @Test(arguments: [
        MetadataDatabase.sizeOfImage, MetadataDatabase.repositoryFigures, MetadataDatabase.imagesNeeding,
        MetadataDatabase.repositoriesNaming,
    ])
    func `what is told of one is found by its number`(sql: String) async throws {
        try await scene.life { store in
            let plan = try await store.database.read { db in
                try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN \(sql)", arguments: [1]).map { $0["detail"] as String }
            }
            // What it has made itself it may read whole.
            let own = ["document", "part", "own", "needing"].map { "SCAN \($0)" }
            let scans = plan.filter { $0.contains("SCAN") && !own.contains($0) && !$0.contains("CONSTANT ROW") }
            #expect(scans.isEmpty, "\(plan)")
        }
    }

    /// 10,000 repositories of ten images, each of a manifest, a config and two layers; and one of 20,000 tags.
    private static func fill(_ db: Database) throws {
        func run(_ sql: String) throws { try db.execute(sql: sql) }
        try run(
            """
            CREATE TEMP TABLE n AS WITH RECURSIVE c (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 119999)
                SELECT i, CASE WHEN i < 100000 THEN i / 10 ELSE 10000 END AS r FROM c;
            INSERT INTO repository (id, upstream, name, fullName)
                SELECT r + 1, 'docker.io', 'library/app-' || r, 'docker.io/library/app-' || r FROM n GROUP BY r;
            INSERT INTO digest SELECT i * 4 + k + 1, x'01' || randomblob(32) FROM n,
                (SELECT 0 AS k UNION SELECT 1 UNION SELECT 2 UNION SELECT 3) ORDER BY i, k;
            INSERT INTO blob (digest, size, storedAt, lastUsed) SELECT id, 1000 + id % 100000, id, id * 7919 % 1000000
                FROM digest;
            INSERT INTO manifest SELECT i * 4 + 1, 'application/vnd.oci.image.manifest.v1+json', 0 FROM n;
            INSERT INTO child SELECT i * 4 + 1, i * 4 + 1 + k, 500 FROM n,
                (SELECT 1 AS k UNION SELECT 2 UNION SELECT 3);
            INSERT INTO link SELECT i * 4 + 1 + k, r + 1, NULL, 0 FROM n,
                (SELECT 0 AS k UNION SELECT 1 UNION SELECT 2 UNION SELECT 3);
            INSERT INTO tag SELECT r + 1, '1.' || i, i * 4 + 1, 5 FROM n;
            DROP TABLE n;
            """)
    }

    /// The best of five, in milliseconds: what the machine does beside it is not meant.
    private func time(_ work: () async throws -> Void) async throws -> Double {
        var best = Double.infinity
        for _ in 0..<5 {
            let start = ContinuousClock.now
            try await work()
            best = min(best, (ContinuousClock.now - start) / .milliseconds(1))
        }
        return best
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment["WHARF_MEASURE"] != nil))
    func `a page takes milliseconds of 120,000 images`() async throws {
        try await scene.life { store in
            try await store.database.write { db in try Self.fill(db) }
            let big = "docker.io/library/app-10000"
            let pages: [(String, String?, String?)] = [
                ("first", nil, nil), ("in the middle", "docker.io/library/app-5000:1.50005", nil),
                ("in the repository of 20,000", "\(big):1.110000", nil), ("q=app-77", nil, "app-77"),
                ("q=1.99", nil, "1.99"), ("q=app-9999:1.", nil, "app-9999:1."), ("q that finds nothing", nil, "zzz"),
                ("pattern that finds nothing", nil, "zz*z"), ("q=app-9*:1.9*5", nil, "app-9*:1.9*5"),
            ]
            for (what, last, search) in pages {
                let images = try await time {
                    _ = try await store.images(NamePage(count: 50, last: last, search: search))
                }
                let repositories = try await time {
                    _ = try await store.repositories(NamePage(count: 50, last: last, search: search))
                }
                print("\(what): images \(images) ms, repositories \(repositories) ms")
            }
            let thousand = try await time { _ = try await store.images(NamePage(count: 1000)) }
            let order = try await time { _ = try await store.evictionOrder(20) }
            let one = try await time {
                _ = try await store.image(.tag(try tag("1.5")), in: try repository("library/app-0"))
            }
            print("a thousand images: \(thousand) ms, eviction order: \(order) ms, one image: \(one) ms")
        }
    }
}

extension [Int?] {
    /// As many as the statement has parameters.
    fileprivate func prefixFor(_ sql: String) -> StatementArguments {
        StatementArguments(prefix(sql.contains("?4") ? 4 : 2))
    }
}
