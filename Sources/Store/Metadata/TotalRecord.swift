// Figures: what is stored, counted, and totals that survive a restart.

import Foundation
import GRDB
import OCI

/// What the database says is stored.
package struct StoredFigures: Equatable, Sendable {
    package var blobs = 0
    package var manifests = 0
    package var tags = 0
    /// Bytes.
    package var pinnedBytes: Int64 = 0
    /// Bytes of what was pushed here.
    package var hostedBytes: Int64 = 0
}

extension MetadataDatabase {
    /// Bytes on disk of all committed content, whole blocks.
    static func committedBytes(_ db: Database) throws -> Int64 {
        try Int64.fetchOne(db, sql: "SELECT ifnull(sum((size + 4095) & ~4095), 0) FROM blob") ?? 0
    }

    func figures() async throws(StoreError) -> StoredFigures {
        try await read { db in
            var figures = StoredFigures()
            // Rows about manifests whose content was lost stay, so they are counted where there is content.
            figures.manifests =
                try Int.fetchOne(
                    db,
                    sql: """
                        SELECT count(*) FROM manifest
                        WHERE EXISTS (SELECT 1 FROM blob WHERE blob.digest = manifest.digest)
                        """) ?? 0
            let all = try Int.fetchOne(db, sql: "SELECT count(*) FROM blob") ?? 0
            figures.blobs = all - figures.manifests
            figures.tags =
                try Int.fetchOne(
                    db, sql: "SELECT (SELECT count(*) FROM tag) + (SELECT count(*) FROM hostedTag)") ?? 0
            figures.pinnedBytes =
                try Int64.fetchOne(db, sql: "SELECT ifnull(sum(size), 0) FROM blob WHERE pinned = 1") ?? 0
            figures.hostedBytes =
                try Int64.fetchOne(db, sql: "SELECT ifnull(sum(size), 0) FROM blob WHERE hosted = 1") ?? 0
            return figures
        }
    }

    func totals() throws(StoreError) -> [String: Int64] {
        try readNow { db in
            let rows = try Row.fetchAll(db, sql: "SELECT name, value FROM total WHERE name <> 'hosted.known'")
            return Dictionary(rows.map { ($0[0], $0[1]) }, uniquingKeysWith: { $1 })
        }
    }

    /// Reads a row, if it can.
    func answer() async throws(StoreError) {
        _ = try await lookUp { db in try Int.fetchOne(db, sql: "SELECT 1 FROM blob LIMIT 1") }
    }

    /// Writes a row. A transaction that changes nothing would say nothing.
    static func trial(_ db: Database) throws {
        try db.execute(
            sql: """
                INSERT INTO total (name, value) VALUES ('store.trials', 1)
                ON CONFLICT (name) DO UPDATE SET value = value + 1
                """)
    }

    func save(totals: [String: Int64]) async throws(StoreError) {
        try await write { db in
            let statement = try db.cachedStatement(sql: "INSERT OR REPLACE INTO total (name, value) VALUES (?, ?)")
            for (name, value) in totals { try statement.execute(arguments: [name, value]) }
        }
    }

    /// Which of these digests have a row: for reconciling files with the database.
    func known(_ digests: [Digest]) async throws(StoreError) -> Set<Digest> {
        try await read { db in
            let statement = try db.cachedStatement(
                sql: "SELECT 1 FROM digest JOIN blob ON blob.digest = digest.id WHERE digest.bytes = ?")
            return try Set(digests.filter { try Int.fetchOne(statement, arguments: [$0.data]) != nil })
        }
    }
}
