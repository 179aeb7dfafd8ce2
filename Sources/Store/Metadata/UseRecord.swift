// Last uses, leases and pins in the database, and who goes first when room is needed.

import Foundation
import GRDB
import OCI

extension MetadataDatabase {
    /// Writes what was gathered. A use of a manifest is one of its config and layers too, since a client that has the base layer never
    /// asks for it; a use of an index is one of itself only, but its lease covers what it names.
    func record(_ uses: [Digest: UseRecorder.Use]) async throws(StoreError) {
        guard !uses.isEmpty else { return }
        try await write { db in
            let own = try db.cachedStatement(
                sql: """
                    UPDATE blob SET lastUsed = max(lastUsed, ?2), leasedUntil = max(leasedUntil, ?3)
                    WHERE digest = ?1
                    """)
            let named = try db.cachedStatement(
                sql: """
                    UPDATE blob SET leasedUntil = max(leasedUntil, ?3),
                        lastUsed = CASE (SELECT isIndex FROM manifest WHERE digest = ?1)
                            WHEN 0 THEN max(lastUsed, ?2) ELSE lastUsed END
                    WHERE digest IN (SELECT child FROM child WHERE parent = ?1)
                    """)
            for (digest, use) in uses {
                let arguments: StatementArguments = [digest.data, use.at, use.leasedUntil]
                try own.execute(arguments: arguments)
                try named.execute(arguments: arguments)
            }
        }
    }

    struct Candidate: Equatable, Sendable {
        let digest: Digest
        let size: Int64
    }

    /// The least recently used, up to `limit` of them, that nothing holds.
    ///
    /// A manifest goes with, or after, the blobs only it names: one whose own blobs were used later than itself is moved behind
    /// them, here, where it costs once, and not at every use.
    func leastRecentlyUsed(_ limit: Int, at now: Int64) async throws(StoreError) -> [Candidate] {
        try await write { db in
            let later = try Row.fetchAll(
                db,
                sql: """
                    SELECT old.digest, max(own.lastUsed)
                    FROM (SELECT digest, lastUsed FROM blob
                          WHERE pinned = 0 AND leasedUntil <= ?1 ORDER BY lastUsed LIMIT ?2) AS old
                    JOIN manifest ON manifest.digest = old.digest AND manifest.isIndex = 0
                    JOIN child ON child.parent = old.digest
                    JOIN blob AS own ON own.digest = child.child
                    WHERE NOT EXISTS (SELECT 1 FROM child AS other
                                      JOIN blob AS holder ON holder.digest = other.parent
                                      WHERE other.child = child.child AND other.parent <> old.digest)
                    GROUP BY old.digest HAVING max(own.lastUsed) >= old.lastUsed
                    """, arguments: [now, limit])
            for row in later {
                try db.execute(
                    sql: "UPDATE blob SET lastUsed = ? + 1 WHERE digest = ?",
                    arguments: [row[1] as Int64, row[0] as Data])
            }
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT digest, size FROM blob WHERE pinned = 0 AND leasedUntil <= ? ORDER BY lastUsed LIMIT ?
                    """, arguments: [now, limit])
            return rows.compactMap { row in
                Digest(data: row[0]).map { Candidate(digest: $0, size: row[1]) }
            }
        }
    }

    /// Forgets these wholly, in one transaction: content, what they are as manifests, links and tags.
    func forget(_ digests: [Digest]) async throws(StoreError) {
        try await write { db in
            let statements = try [
                "DELETE FROM blob WHERE digest = ?", "DELETE FROM manifest WHERE digest = ?",
                "DELETE FROM child WHERE parent = ?", "DELETE FROM link WHERE digest = ?",
                "DELETE FROM tag WHERE digest = ?",
            ].map { try db.cachedStatement(sql: $0) }
            for digest in digests {
                for statement in statements { try statement.execute(arguments: [digest.data]) }
            }
        }
    }

    /// Pins what every tag in `isPinned` names, down to the layers, and nothing else.
    func pin(_ isPinned: @escaping @Sendable (Repository, String) -> Bool) async throws(StoreError) {
        try await write { db in
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT upstream, name, tag, digest FROM tag JOIN repository ON repository.id = tag.repository
                    """)
            let roots: [Data] = rows.compactMap { row in
                guard let name = RepositoryName(row[1] as String) else { return nil }
                let repository = Repository(upstream: row[0], name: name)
                return isPinned(repository, row[2]) ? row[3] : nil
            }
            try db.execute(sql: "UPDATE blob SET pinned = 0 WHERE pinned = 1")
            for root in roots {
                try db.execute(
                    sql: """
                        WITH RECURSIVE held (digest) AS (
                            SELECT ? UNION SELECT child.child FROM child JOIN held ON held.digest = child.parent)
                        UPDATE blob SET pinned = 1 WHERE digest IN (SELECT digest FROM held)
                        """, arguments: [root])
            }
        }
    }
}
