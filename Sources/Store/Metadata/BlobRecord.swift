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
        try await lookUp(isOneStatement: true) { db in try Self.knowledge(of: digest, in: repository, db) }
    }

    /// CROSS: the few that name the digest are looked at, not all that the repository links.
    private static let wholeKnowledge = """
        SELECT blob.size, blob.broughtBy, manifest.mediaType, link.named, link.size,
            CASE WHEN link.named IS NULL THEN (
                SELECT child.size FROM child
                CROSS JOIN link AS parents ON parents.digest = child.parent AND parents.repository = repository.id
                WHERE child.child = digest.id LIMIT 1) END
        FROM digest LEFT JOIN blob ON blob.digest = digest.id LEFT JOIN manifest ON manifest.digest = blob.digest
        LEFT JOIN repository ON repository.upstream = ?2 AND repository.name = ?3
        LEFT JOIN link ON link.digest = digest.id AND link.repository = repository.id
        WHERE digest.bytes = ?1
        """

    static func knowledge(of digest: Digest, in repository: Repository, _ db: Database) throws -> BlobKnowledge {
        let rows = try Row.fetchCursor(
            db.cachedStatement(sql: Self.wholeKnowledge),
            arguments: [digest.data, repository.upstream, repository.name.description])
        // The row is the cursor's, and read before that ends.
        return try withExtendedLifetime(rows) {
            try rows.next().map { BlobKnowledge($0, in: repository) } ?? BlobKnowledge()
        }
    }

    /// Records a stored blob, linked to `repositories`. What its parents are, leased or pinned, it is too.
    func insert(
        blob digest: Digest, size: Int64, at now: Int64, linkedTo repositories: [Repository], broughtBy: String?
    ) async throws(StoreError) -> CountedRow {
        try await count { db in
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
            guard let number = try digest.number(in: db) else { return nil }
            let size = try Self.size(of: number, in: db)
            try Self.choose([number], in: db)
            try Self.deleteGoing(in: db)
            return size
        }
    }

    func size(of digest: Digest) async throws(StoreError) -> Int64? {
        try await lookUp { db in try digest.number(in: db).flatMap { try Self.size(of: $0, in: db) } }
    }

    private static func size(of number: Int64, in db: Database) throws -> Int64? {
        try Int64.fetchOne(db.cachedStatement(sql: "SELECT size FROM blob WHERE digest = ?"), arguments: [number])
    }

    /// - Returns: bytes of the row it takes the place of, if there was one.
    static func insert(
        blob digest: Digest, size: Int64, at now: Int64, broughtBy: String?, in db: Database
    ) throws -> Int64? {
        let number = try digest.numberMakingOne(in: db)
        let earlier = try Self.size(of: number, in: db)
        try db.cachedStatement(
            sql: """
                INSERT INTO blob (digest, size, storedAt, lastUsed, broughtBy, leasedUntil, pinned, hosted)
                SELECT ?1, ?2, ?3, ?3, ?4, ifnull(max(parent.leasedUntil), 0), ifnull(max(parent.pinned), 0),
                    EXISTS (SELECT 1 FROM hosted WHERE hosted.digest = ?1)
                FROM child JOIN blob AS parent ON parent.digest = child.parent WHERE child.child = ?1
                ON CONFLICT (digest) DO UPDATE SET size = excluded.size, lastUsed = excluded.lastUsed,
                    broughtBy = CASE WHEN excluded.broughtBy IS NULL THEN NULL ELSE broughtBy END
                """
        ).execute(arguments: [number, size, now, broughtBy])
        try Self.forgetPartial(digest, in: db)
        return earlier
    }

    /// The upstream's word on the size counts before a naming manifest's, whichever comes first.
    static func link(
        _ digest: Digest, size: Int64?, to repository: Repository, isNamed: Bool, in db: Database
    ) throws {
        let (number, id) = (try digest.numberMakingOne(in: db), try repository.idMakingOne(in: db))
        try db.cachedStatement(
            sql: """
                INSERT INTO link (digest, repository, size, named) VALUES (?, ?, ?, ?)
                ON CONFLICT (digest, repository) DO UPDATE SET
                    size = CASE WHEN excluded.named < named THEN excluded.size
                        WHEN excluded.named = named THEN ifnull(excluded.size, size) ELSE size END,
                    named = min(named, excluded.named)
                """
        ).execute(arguments: [number, id, size, isNamed ? 1 : 0])
    }
}

extension BlobKnowledge {
    /// - Parameter row: of `wholeKnowledge`.
    fileprivate init(_ row: Row, in repository: Repository) {
        storedSize = row[0]
        let broughtBy: String? = row[1]
        mediaType = (row[2] as String?).map { MediaType(rawValue: $0) }
        if let named: Int = row[3] {
            isLinked = true
            hasOwnLink = true
            isAnswered = named == 0
            if isAnswered { answeredSize = row[4] }
        } else {
            namedSize = row[5]
            isLinked = namedSize != nil
        }
        // What took credentials is not shown elsewhere because a manifest, anybody's, names it.
        if let broughtBy, broughtBy != repository.upstream, !isAnswered { isLinked = false }
    }
}
