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

    /// One row, whatever is stored: `SchemaOfFigures`.
    func figures() async throws(StoreError) -> StoredFigures {
        try await lookUp { db in
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT files, manifests, tags, pinnedBytes, hostedBytes FROM stored"))
            guard let row else { return StoredFigures() }  // it is there from the migration on
            let (files, manifests): (Int, Int) = (row[0], row[1])
            return StoredFigures(
                blobs: files - manifests, manifests: manifests, tags: row[2], pinnedBytes: row[3], hostedBytes: row[4])
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

    /// Which of these digests have a row: for reconciling files with the database.
    func known(_ digests: [Digest]) async throws(StoreError) -> Set<Digest> {
        try await read { db in
            let statement = try db.cachedStatement(
                sql: "SELECT 1 FROM digest JOIN blob ON blob.digest = digest.id WHERE digest.bytes = ?")
            return try Set(digests.filter { try Int.fetchOne(statement, arguments: [$0.data]) != nil })
        }
    }
}
