// SQLite through GRDB: one writer, readers beside it (WAL). What the blobs are called; the blobs themselves are files.

import Foundation
import GRDB
import OCI

/// SQL stays behind the verbs of this folder, so that metadata may one day live elsewhere.
final class MetadataDatabase: Sendable {
    private let pool: DatabasePool

    /// Opens or makes the database and brings it up to date.
    init(path: String) throws(StoreError) {
        var configuration = Configuration()
        configuration.maximumReaderCount = 4
        configuration.prepareDatabase { db in
            try db.execute(
                sql: """
                    PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384; PRAGMA mmap_size = 1073741824;
                    PRAGMA wal_autocheckpoint = 1000
                    """)
        }
        do {
            pool = try DatabasePool(path: path, configuration: configuration)
            try Schema.migrator.migrate(pool)
        } catch {
            throw .database("\(error)")
        }
    }

    func read<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreError) -> Value {
        do { return try await pool.read(body) } catch { throw .database("\(error)") }
    }

    /// One transaction.
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreError) -> Value {
        do { return try await pool.write(body) } catch { throw .database("\(error)") }
    }

    /// At start only, where there is nobody to make wait.
    func readNow<Value: Sendable>(_ body: (Database) throws -> Value) throws(StoreError) -> Value {
        do { return try pool.read(body) } catch { throw .database("\(error)") }
    }

    func close() { try? pool.close() }  // it only fails while it is in use, and then the process is ending anyway
}

extension Digest {
    /// The database's form.
    var data: Data { Data(storedBytes) }

    /// nil for bytes that no digest of ours can have written.
    init?(data: Data?) {
        guard let data else { return nil }
        self.init(storedBytes: data)
    }
}

extension Repository {
    /// The repository's number, if it has one yet.
    func id(in db: Database) throws -> Int64? {
        try Int64.fetchOne(
            db.cachedStatement(sql: "SELECT id FROM repository WHERE upstream = ? AND name = ?"),
            arguments: [upstream, name.description])
    }

    /// The repository's number, given now if need be.
    func idMakingOne(in db: Database) throws -> Int64 {
        if let id = try id(in: db) { return id }
        try db.execute(
            sql: "INSERT INTO repository (upstream, name) VALUES (?, ?)", arguments: [upstream, name.description])
        return db.lastInsertedRowID
    }
}
