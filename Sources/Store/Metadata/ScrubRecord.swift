// What a scrub asks of the rows: page after page of what is stored, and through which repositories it may be had again.

import Foundation
import GRDB
import OCI

extension MetadataDatabase {
    /// A page of all that is stored, in the order of the digests.
    func blobs(after digest: Digest?, limit: Int) async throws(StoreError) -> [Candidate] {
        try await read { db in
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT id, bytes, size FROM digest CROSS JOIN blob ON blob.digest = digest.id
                    WHERE bytes > ? ORDER BY bytes LIMIT ?
                    """,
                arguments: [digest?.data ?? Data(), limit])
            return rows.compactMap { Candidate($0) }
        }
    }

    /// Whose word it is that they have it, or whose manifest names it; those who were answered for it first.
    func repositories(linking digest: Digest) async throws(StoreError) -> [Repository] {
        try await read { db in
            guard let number = try digest.number(in: db) else { return [] }
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT upstream, name, min(named) AS rank FROM (
                        SELECT repository, named FROM link WHERE digest = ?1
                        UNION ALL
                        SELECT link.repository, 2 FROM child CROSS JOIN link ON link.digest = child.parent
                        WHERE child.child = ?1)
                    JOIN repository ON repository.id = repository GROUP BY repository.id ORDER BY rank
                    """, arguments: [number])
            return rows.compactMap { row in
                RepositoryName(row[1] as String).map { Repository(upstream: row[0], name: $0) }
            }
        }
    }

    /// Also where its content has been lost.
    func isManifest(_ digest: Digest) async throws(StoreError) -> Bool {
        try await lookUp { db in
            try Bool.fetchOne(
                db.cachedStatement(
                    sql: "SELECT EXISTS (SELECT 1 FROM manifest JOIN digest ON digest.id = digest WHERE bytes = ?)"),
                arguments: [digest.data]) ?? false
        }
    }
}
