// Where a digest by itself is: people copy one out of a list, without the repository in which it was shown.

import GRDB
package import OCI

/// What a stored digest is.
package enum Whereabouts: Equatable, Sendable {
    /// A manifest, and one of the repositories that may show it.
    case manifest(in: Repository)
    /// A config, a layer, or whatever else is no manifest.
    case blob
}

extension MetadataDatabase {
    /// - Returns: nil unless it is stored; of a manifest, unless some repository may show it.
    func whereabouts(of digest: Digest) async throws(StoreError) -> Whereabouts? {
        try await read { db in
            guard let number = try digest.number(in: db) else { return nil }
            let isManifest = try Bool.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT EXISTS (SELECT 1 FROM manifest WHERE manifest.digest = blob.digest)
                        FROM blob WHERE blob.digest = ?
                        """), arguments: [number])
            guard let isManifest else { return nil }
            guard isManifest else { return Whereabouts.blob }
            let rows = try Row.fetchAll(db.cachedStatement(sql: Self.repositoriesNaming), arguments: [number])
            for row in rows {
                guard let name = RepositoryName(row[1] as String) else { continue }
                let repository = Repository(upstream: row[0], name: name)
                // What was pushed there is that repository's to show; of the others by the rule of `knowledge`, so
                // that there is no second rule.
                if repository.isHosted { return Whereabouts.manifest(in: repository) }
                let knowledge = try Self.knowledge(of: digest, in: repository, db)
                if knowledge.isLinked, knowledge.mediaType != nil { return Whereabouts.manifest(in: repository) }
            }
            return nil
        }
    }

    /// Those that link a manifest or an index of it, or that it was pushed to; in the order in which they came.
    static let repositoriesNaming = """
        SELECT upstream, name FROM repository WHERE id IN (
            SELECT repository FROM link WHERE digest = ?1
            UNION SELECT link.repository FROM child CROSS JOIN link ON link.digest = child.parent WHERE child.child = ?1
            UNION SELECT repository FROM hosted WHERE digest = ?1 AND isManifest = 1)
        ORDER BY id
        """
}
