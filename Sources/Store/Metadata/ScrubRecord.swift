// What a scrub asks of the rows: one blob after another, and through which repositories one may be had again.

import Foundation
import GRDB
import OCI

extension MetadataDatabase {
    /// The next stored blob in the order of their digests, with its size in bytes.
    func blob(after digest: Digest?) async throws(StoreError) -> (Digest, Int64)? {
        try await read { db in
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT digest, size FROM blob WHERE digest > ? ORDER BY digest LIMIT 1"),
                arguments: [digest?.data ?? Data()])
            guard let row, let digest = Digest(data: row[0]) else { return nil }
            return (digest, row[1])
        }
    }

    func repositories(linking digest: Digest) async throws(StoreError) -> [Repository] {
        try await read { db in
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT upstream, name FROM repository WHERE id IN (
                            SELECT repository FROM link WHERE digest = ?1
                            UNION SELECT link.repository FROM child
                                JOIN link ON link.digest = child.parent WHERE child.child = ?1)
                        ORDER BY id
                        """), arguments: [digest.data])
            return rows.compactMap { row in
                RepositoryName(row[1] as String).map { Repository(upstream: row[0], name: $0) }
            }
        }
    }
}
