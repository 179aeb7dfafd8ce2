// Rows about blobs: their size and use, who may see them, and which go first.

import Foundation
import GRDB
package import OCI

/// What the store knows of a digest, as asked through one repository.
package struct BlobKnowledge: Equatable, Sendable {
    /// Bytes, if the content is stored.
    package var storedSize: Int64?
    /// Of a manifest or index.
    package var mediaType: MediaType?
    /// Whether this repository may serve it: by the upstream's word or a naming manifest's.
    package var isLinked = false
    /// Whether it was this repository's upstream itself that gave the right.
    package var isAnswered = false
    /// Whether that right has been written down for the digest itself, and does not hang on a naming manifest that
    /// may be evicted.
    package var hasOwnLink = false
    /// Bytes, if this repository's upstream itself said that it has the blob, and how large it is.
    package var answeredSize: Int64?
    /// Bytes, as a manifest of this repository says that names it; a hint.
    package var namedSize: Int64?

    /// Nothing.
    package init() {}
}

extension MetadataDatabase {
    /// One look for everything a request needs.
    func knowledge(of digest: Digest, in repository: Repository) async throws(StoreError) -> BlobKnowledge {
        try await read { db in try Self.knowledge(of: digest, in: repository, db) }
    }

    static func knowledge(of digest: Digest, in repository: Repository, _ db: Database) throws -> BlobKnowledge {
        let key = digest.data
        var knowledge = BlobKnowledge()
        let blob = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT size, broughtBy FROM blob WHERE digest = ?"), arguments: [key])
        let broughtBy: String? = blob?[1]
        if let blob {
            knowledge.storedSize = blob[0]
            knowledge.mediaType = try String.fetchOne(
                db.cachedStatement(sql: "SELECT mediaType FROM manifest WHERE digest = ?"), arguments: [key]
            ).map { MediaType(rawValue: $0) }
        }
        guard let id = try repository.id(in: db) else { return knowledge }
        let link = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT size, named FROM link WHERE digest = ? AND repository = ?"),
            arguments: [key, id])
        if let link {
            knowledge.isLinked = true
            knowledge.hasOwnLink = true
            knowledge.isAnswered = link[1] == 0
            if knowledge.isAnswered { knowledge.answeredSize = link[0] }
        } else {
            // CROSS: the few that name the digest are looked at, not all that the repository links.
            knowledge.namedSize = try Int64.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT child.size FROM child
                        CROSS JOIN link ON link.digest = child.parent AND link.repository = ?2
                        WHERE child.child = ?1 LIMIT 1
                        """),
                arguments: [key, id])
            knowledge.isLinked = knowledge.namedSize != nil
        }
        // What took credentials is not shown elsewhere because a manifest, anybody's, names it.
        if let broughtBy, broughtBy != repository.upstream, !knowledge.isAnswered { knowledge.isLinked = false }
        return knowledge
    }

    /// Records a stored blob, linked to `repositories`. What its parents are, leased or pinned, it is too.
    ///
    /// - Returns: bytes of the row it takes the place of, if there was one.
    func insert(
        blob digest: Digest, size: Int64, at now: Int64, linkedTo repositories: [Repository], broughtBy: String?
    ) async throws(StoreError) -> Int64? {
        try await write { db in
            let earlier = try Self.insert(blob: digest, size: size, at: now, broughtBy: broughtBy, in: db)
            for repository in repositories {
                try Self.link(digest, size: size, to: repository, isNamed: false, in: db)
            }
            return earlier
        }
    }

    func link(
        _ digest: Digest, size: Int64?, to repository: Repository, isNamed: Bool
    ) async throws(StoreError) {
        try await write { db in try Self.link(digest, size: size, to: repository, isNamed: isNamed, in: db) }
    }

    /// Forgets that the content is stored; links and tags stay, since the upstream's word is not undone by a lost file.
    ///
    /// - Returns: bytes of the row that went, if there was one.
    func forgetContent(of digest: Digest) async throws(StoreError) -> Int64? {
        try await write { db in
            let size = try Self.size(of: digest, in: db)
            try db.execute(sql: "DELETE FROM blob WHERE digest = ?", arguments: [digest.data])
            return size
        }
    }

    func size(of digest: Digest) async throws(StoreError) -> Int64? {
        try await read { db in try Self.size(of: digest, in: db) }
    }

    /// Forgets, of the next `limit` links behind `place`, those of what is neither stored nor named by what is: asked
    /// for by HEAD, or not kept. What is stored takes its links along when it goes; these go with nothing.
    ///
    /// - Returns: the place to go on from; `nil` at the end.
    func forgetLooseLinks(behind place: Digest?, limit: Int) async throws(StoreError) -> Digest? {
        try await write { db in
            let place = place?.data ?? Data()
            let last = try Data.fetchOne(
                db,
                sql: "SELECT max(digest) FROM (SELECT digest FROM link WHERE digest > ? ORDER BY digest LIMIT ?)",
                arguments: [place, limit])
            guard let last else { return nil }
            try db.execute(
                sql: """
                    DELETE FROM link WHERE digest > ? AND digest <= ?
                        AND NOT EXISTS (SELECT 1 FROM blob WHERE blob.digest = link.digest)
                        AND NOT EXISTS (SELECT 1 FROM child WHERE child.child = link.digest)
                    """, arguments: [place, last])
            return Digest(data: last)
        }
    }

    private static func size(of digest: Digest, in db: Database) throws -> Int64? {
        try Int64.fetchOne(db.cachedStatement(sql: "SELECT size FROM blob WHERE digest = ?"), arguments: [digest.data])
    }

    /// - Returns: bytes of the row it takes the place of, if there was one.
    static func insert(
        blob digest: Digest, size: Int64, at now: Int64, broughtBy: String?, in db: Database
    ) throws -> Int64? {
        let earlier = try Self.size(of: digest, in: db)
        try db.cachedStatement(
            sql: """
                INSERT INTO blob (digest, size, storedAt, lastUsed, broughtBy, leasedUntil, pinned)
                SELECT ?1, ?2, ?3, ?3, ?4, ifnull(max(parent.leasedUntil), 0), ifnull(max(parent.pinned), 0)
                FROM child JOIN blob AS parent ON parent.digest = child.parent WHERE child.child = ?1
                ON CONFLICT (digest) DO UPDATE SET size = excluded.size, lastUsed = excluded.lastUsed,
                    broughtBy = CASE WHEN excluded.broughtBy IS NULL THEN NULL ELSE broughtBy END
                """
        ).execute(arguments: [digest.data, size, now, broughtBy])
        try Self.forgetPartial(digest, in: db)
        return earlier
    }

    /// The upstream's word on the size counts before a naming manifest's, whichever comes first.
    static func link(
        _ digest: Digest, size: Int64?, to repository: Repository, isNamed: Bool, in db: Database
    ) throws {
        let id = try repository.idMakingOne(in: db)
        try db.cachedStatement(
            sql: """
                INSERT INTO link (digest, repository, size, named) VALUES (?, ?, ?, ?)
                ON CONFLICT (digest, repository) DO UPDATE SET
                    size = CASE WHEN excluded.named < named THEN excluded.size
                        WHEN excluded.named = named THEN ifnull(excluded.size, size) ELSE size END,
                    named = min(named, excluded.named)
                """
        ).execute(arguments: [digest.data, id, size, isNamed ? 1 : 0])
    }
}
