// Digests and repositories in the rows: numbers, each given when it is first heard of; and how those that nothing needs
// any more go.

import Foundation
import GRDB
import OCI

extension Digest {
    /// The database's form.
    var data: Data { Data(storedBytes) }

    /// nil for bytes that no digest of ours can have written.
    init?(data: Data?) {
        guard let digest = data?.withUnsafeBytes({ Digest(storedBytes: $0) }) else { return nil }
        self = digest
    }

    /// The digest's number, if any row speaks of it. It holds within one transaction: one that nothing needs may go to
    /// another digest.
    func number(in db: Database) throws -> Int64? {
        try Int64.fetchOne(db.cachedStatement(sql: "SELECT id FROM digest WHERE bytes = ?"), arguments: [data])
    }

    /// The digest's number, given now if need be.
    func numberMakingOne(in db: Database) throws -> Int64 {
        if let number = try number(in: db) { return number }
        try db.cachedStatement(sql: "INSERT INTO digest (bytes) VALUES (?)").execute(arguments: [data])
        return db.lastInsertedRowID
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
            sql: "INSERT INTO repository (upstream, name, fullName) VALUES (?, ?, ?)",
            arguments: [upstream, name.description, description])
        return db.lastInsertedRowID
    }
}

extension MetadataDatabase {
    /// Forgets, of the next `limit` digests behind `place`, what nothing needs. Links to what is neither stored nor
    /// named by what is: asked for by HEAD, or not kept. What is stored takes its links along when it goes, these go
    /// with nothing. And the numbers of those of which no row speaks any more.
    ///
    /// - Returns: the place to go on from; `nil` at the end.
    func sweep(behind place: Int64, limit: Int) async throws(StoreError) -> Int64? {
        try await write { db in
            let last = try Int64.fetchOne(
                db, sql: "SELECT max(id) FROM (SELECT id FROM digest WHERE id > ? ORDER BY id LIMIT ?)",
                arguments: [place, limit])
            guard let last else { return nil }
            try db.execute(
                sql: """
                    DELETE FROM link WHERE digest > ? AND digest <= ?
                        AND NOT EXISTS (SELECT 1 FROM blob WHERE blob.digest = link.digest)
                        AND NOT EXISTS (SELECT 1 FROM child WHERE child.child = link.digest)
                    """, arguments: [place, last])
            try db.execute(
                sql: """
                    DELETE FROM digest WHERE id > ? AND id <= ?
                        AND NOT EXISTS (SELECT 1 FROM blob WHERE blob.digest = digest.id)
                        AND NOT EXISTS (SELECT 1 FROM link WHERE link.digest = digest.id)
                        AND NOT EXISTS (SELECT 1 FROM child WHERE child.child = digest.id)
                        AND NOT EXISTS (SELECT 1 FROM child WHERE child.parent = digest.id)
                        AND NOT EXISTS (SELECT 1 FROM tag WHERE tag.digest = digest.id)
                        AND NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.digest = digest.id)
                        AND NOT EXISTS (SELECT 1 FROM referrer WHERE referrer.digest = digest.id)
                        AND NOT EXISTS (SELECT 1 FROM hosted WHERE hosted.digest = digest.id)
                        AND NOT EXISTS (SELECT 1 FROM hostedTag WHERE hostedTag.digest = digest.id)
                        AND id NOT IN (SELECT child FROM unlinkedChild)
                    """, arguments: [place, last])
            return last
        }
    }
}
