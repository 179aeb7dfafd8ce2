// SQLite through GRDB: one writer, readers beside it (WAL). What the blobs are called; the blobs themselves are files.

import Foundation
import GRDB
import OCI

/// SQL stays behind the verbs of this folder, so that metadata may one day live elsewhere.
final class MetadataDatabase: Sendable {
    private let pool: DatabasePool

    /// Why it did not open, and whether that is the fault of what the file holds.
    struct OpeningFailure: Error {
        let reason: StoreError
        let isDamage: Bool

        /// `ERROR`: the tables are not ours.
        private static let damages: [ResultCode] = [
            .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_ERROR, .SQLITE_CONSTRAINT,
        ]

        init(_ error: any Error) {
            reason = .database("\(error)")
            switch (error as? DatabaseError)?.extendedResultCode {
            case .SQLITE_IOERR_READ?, .SQLITE_IOERR_SHORT_READ?, .SQLITE_IOERR_CORRUPTFS?: isDamage = true
            case let code?: isDamage = Self.damages.contains(code.primaryResultCode)
            case nil: isDamage = false
            }
        }
    }

    /// Opens or makes the database and counts the bytes on disk of all committed content.
    static func opened(_ path: String) throws(OpeningFailure) -> (MetadataDatabase, committed: Int64) {
        do {
            let database = try MetadataDatabase(path: path)
            return (database, try database.pool.read(committedBytes))
        } catch {
            throw OpeningFailure(error)
        }
    }

    /// Opens or makes the database and brings it up to date.
    private init(path: String) throws {
        var configuration = Configuration()
        configuration.maximumReaderCount = 4
        configuration.prepareDatabase { db in
            try db.execute(
                sql: """
                    PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384; PRAGMA mmap_size = 1073741824;
                    PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 4194304; PRAGMA temp_store = MEMORY
                    """)
        }
        pool = try DatabasePool(path: path, configuration: configuration)
        try Schema.migrator.migrate(pool)
    }

    /// In a task of its own, as is `write`: GRDB gives up in a cancelled task, and a client that leaves must not look
    /// like a database that fails, least of all between a file and its row.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreError) -> Value {
        do {
            return try await Task { [pool] in try await pool.read(body) }.value
        } catch {
            throw .database("\(error)")
        }
    }

    /// Moves the log into the database and empties it. While readers overlap without a gap SQLite cannot begin its log
    /// anew by itself, and it would grow, into the room that is meant for blobs.
    func truncateLog() async {
        // Busy readers put it off until the next time; nothing is lost by that.
        _ = try? await Task { [pool] in
            try await pool.writeWithoutTransaction { db in _ = try db.checkpoint(.truncate) }
        }.value
    }

    /// One transaction.
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreError) -> Value {
        do {
            return try await Task { [pool] in try await pool.write(body) }.value
        } catch {
            throw .database("\(error)")
        }
    }

    /// At start only, where there is nobody to make wait.
    func readNow<Value: Sendable>(_ body: (Database) throws -> Value) throws(StoreError) -> Value {
        do { return try pool.read(body) } catch { throw .database("\(error)") }
    }

    /// As `readNow`; one transaction.
    func writeNow(_ body: (Database) throws -> Void) throws(StoreError) {
        do { try pool.write(body) } catch { throw .database("\(error)") }
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
