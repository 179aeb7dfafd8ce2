// What the rows say of one image: of its manifest, of what that names, and which images need a digest.

import Foundation
import GRDB
package import OCI

/// A stored manifest or index, as a repository shows it.
package struct StoredManifest: Equatable, Sendable {
    package let digest: Digest
    package let mediaType: MediaType
    package let isIndex: Bool
    /// Bytes, as `StoredImage` has them.
    package let size: Int64
    package let storedSize: Int64
    package let isPinned: Bool
    /// Unix time in milliseconds, as all instants here.
    package let storedAt: Int64
    package let lastUsed: Int64
    /// Until when a lease keeps it from being evicted; nil if none does.
    package let leasedUntil: Int64?
    /// When the upstream last confirmed the tag that was asked for; nil of what was pushed here, and without a tag.
    package let checkedAt: Int64?
    /// The repository's tags that name it, in order; no more than a thousand.
    package let tags: [String]
}

/// Something stored, whatever it is.
package struct StoredContent: Equatable, Sendable {
    /// Bytes.
    package let size: Int64
    /// Unix time in milliseconds.
    package let lastUsed: Int64
}

extension MetadataDatabase {
    /// - Parameter now: Unix time in milliseconds; a lease that goes on for longer than one given now would is void.
    /// - Returns: nil unless it is stored and the repository may show it.
    func image(
        _ reference: Reference, in repository: Repository, at now: Int64, lease: Duration
    ) async throws(StoreError) -> StoredManifest? {
        try await read { db in
            guard let id = try repository.id(in: db) else { return nil }
            let table = repository.isHosted ? "hostedTag" : "tag"
            var checkedAt: Int64?
            let digest: Digest
            switch reference {
            case .digest(let named): digest = named
            case .tag(let tag):
                let row = try Row.fetchOne(
                    db.cachedStatement(
                        sql: """
                            SELECT bytes, \(repository.isHosted ? "NULL" : "checkedAt") FROM \(table)
                            JOIN digest ON digest.id = \(table).digest WHERE repository = ? AND tag = ?
                            """), arguments: [id, tag.description])
                guard let row, let named = Digest(data: row[0]) else { return nil }
                (digest, checkedAt) = (named, row[1])
            }
            guard let type = try Self.mediaType(of: digest, in: repository, id, db) else { return nil }
            let row = try Row.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT blob.digest, isIndex, pinned, storedAt, lastUsed, leasedUntil FROM digest
                        JOIN blob ON blob.digest = digest.id JOIN manifest ON manifest.digest = digest.id
                        WHERE digest.bytes = ?
                        """), arguments: [digest.data])
            guard let row else { return nil }
            let tags = try String.fetchAll(
                db.cachedStatement(
                    sql: "SELECT tag FROM \(table) WHERE digest = ? AND repository = ? ORDER BY tag LIMIT 1000"),
                arguments: [row[0] as Int64, id])
            let sizes = try Row.fetchOne(db.cachedStatement(sql: Self.sizeOfImage), arguments: [row[0] as Int64])
            let leasedUntil: Int64 = row[5]
            return StoredManifest(
                digest: digest, mediaType: type, isIndex: row[1], size: sizes?[0] ?? 0, storedSize: sizes?[1] ?? 0,
                isPinned: row[2], storedAt: row[3], lastUsed: row[4],
                leasedUntil: leasedUntil > now && leasedUntil <= now + lease.milliseconds ? leasedUntil : nil,
                checkedAt: checkedAt, tags: tags)
        }
    }

    /// nil where the repository may not show it.
    private static func mediaType(
        of digest: Digest, in repository: Repository, _ id: Int64, _ db: Database
    ) throws -> MediaType? {
        guard repository.isHosted else {
            let knowledge = try knowledge(of: digest, in: repository, db)
            return knowledge.isLinked ? knowledge.mediaType : nil
        }
        return try String.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT mediaType FROM hosted WHERE repository = ? AND isManifest = 1
                        AND digest = (SELECT id FROM digest WHERE bytes = ?)
                    """), arguments: [id, digest.data]
        ).map { MediaType(rawValue: $0) }
    }

    /// Those of the digests that are stored.
    func contents(_ digests: [Digest]) async throws(StoreError) -> [Digest: StoredContent] {
        try await read { db in
            let statement = try db.cachedStatement(
                sql: "SELECT size, lastUsed FROM digest JOIN blob ON blob.digest = digest.id WHERE bytes = ?")
            return try digests.reduce(into: [:]) { contents, digest in
                guard let row = try Row.fetchOne(statement, arguments: [digest.data]) else { return }
                contents[digest] = StoredContent(size: row[0], lastUsed: row[1])
            }
        }
    }

    /// Of candidates for eviction: when each was last used, whether it is a manifest, and a few images that need it.
    func uses(of candidates: [Candidate]) async throws(StoreError) -> [EvictionCandidate] {
        try await read { db in
            let use = try db.cachedStatement(
                sql: """
                    SELECT lastUsed, EXISTS (SELECT 1 FROM manifest WHERE manifest.digest = blob.digest)
                    FROM blob WHERE digest = ?
                    """)
            let images = try db.cachedStatement(sql: Self.imagesNeeding)
            return try candidates.compactMap { candidate in
                // Gone since: it is no candidate any more.
                guard let row = try Row.fetchOne(use, arguments: [candidate.number]) else { return nil }
                return EvictionCandidate(
                    digest: candidate.digest, size: candidate.size, lastUsed: row[0],
                    kind: row[1] ? .manifest : .blob,
                    images: try String.fetchAll(images, arguments: [candidate.number]))
            }
        }
    }

    /// Some of the tags that lead to a digest. The walk ends with the first three; a layer that thousands share and no
    /// tag leads to is not followed for ever.
    static let imagesNeeding = """
        WITH RECURSIVE needing (digest) AS (
            SELECT ?1
            UNION SELECT child.parent FROM needing CROSS JOIN child ON child.child = needing.digest LIMIT 1000)
        SELECT repository.fullName || ':' || tag.tag FROM needing
        CROSS JOIN tag ON tag.digest = needing.digest CROSS JOIN repository ON repository.id = tag.repository LIMIT 3
        """
}
