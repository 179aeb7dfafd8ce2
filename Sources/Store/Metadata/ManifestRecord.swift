// Rows about manifests and tags: what kind, what they name, what a tag pointed to and when that was learnt.

import Foundation
import GRDB
package import OCI

/// A tag as last learnt from the upstream.
package struct StoredTag: Equatable, Sendable {
    package let digest: Digest
    /// Unix time in milliseconds when the upstream last confirmed it.
    package let checkedAt: Int64
    /// Whether the manifest's content is stored.
    package let isStored: Bool

    package init(digest: Digest, checkedAt: Int64, isStored: Bool) {
        self.digest = digest
        self.checkedAt = checkedAt
        self.isStored = isStored
    }
}

/// A manifest as it comes into the store.
package struct NewManifest: Sendable {
    package let digest: Digest
    package let mediaType: MediaType
    package let bytes: [UInt8]
    package let isIndex: Bool
    /// What serving it lets clients fetch.
    package let linked: [(digest: Digest, size: Int64)]
    /// What it refers to (a signature's image); serving it lets nobody fetch that.
    package let subject: Digest?

    package init(
        digest: Digest, mediaType: MediaType, bytes: [UInt8], isIndex: Bool, linked: [(digest: Digest, size: Int64)],
        subject: Digest? = nil
    ) {
        self.digest = digest
        self.mediaType = mediaType
        self.bytes = bytes
        self.isIndex = isIndex
        self.linked = linked
        self.subject = subject
    }
}

extension MetadataDatabase {
    /// Records a manifest whose file is published, and its link. If it is pinned, so is what it names.
    func insert(
        manifest: NewManifest, in repository: Repository, usedAt: Int64, broughtBy: String?
    ) async throws(StoreError) -> CountedRow {
        try await count { db in
            let earlier = try Self.insert(
                blob: manifest.digest, size: Int64(manifest.bytes.count), at: usedAt, broughtBy: broughtBy, in: db)
            let number = try Self.write(manifest, in: db)
            try Self.link(
                manifest.digest, size: Int64(manifest.bytes.count), to: repository, isNamed: false, in: db)
            try Self.passPinDown(from: number, in: db)
            return earlier
        }
    }

    /// What it is and what it names.
    ///
    /// - Parameter keepingEarlier: what was said before of what it is counts.
    /// - Returns: its digest's number.
    @discardableResult
    static func write(_ manifest: NewManifest, keepingEarlier: Bool = false, in db: Database) throws -> Int64 {
        let number = try manifest.digest.numberMakingOne(in: db)
        try db.cachedStatement(
            sql: """
                INSERT INTO manifest (digest, mediaType, isIndex) VALUES (?, ?, ?)
                ON CONFLICT (digest) DO UPDATE SET mediaType = excluded.mediaType, isIndex = excluded.isIndex
                WHERE \(keepingEarlier ? 0 : 1)
                """
        ).execute(arguments: [number, manifest.mediaType.rawValue, manifest.isIndex])
        let child = try db.cachedStatement(
            sql: "INSERT OR IGNORE INTO child (parent, child, size) VALUES (?, ?, ?)")
        for (digest, size) in manifest.linked {
            try child.execute(arguments: [number, digest.numberMakingOne(in: db), size])
        }
        if let subject = manifest.subject {
            try db.cachedStatement(sql: "INSERT OR REPLACE INTO referrer (digest, subject) VALUES (?, ?)")
                .execute(arguments: [number, subject.data])
        }
        return number
    }

    func tag(_ tag: Tag, of repository: Repository) async throws(StoreError) -> StoredTag? {
        try await lookUp { db in
            let row = try Row.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT digest.bytes, tag.checkedAt, EXISTS (SELECT 1 FROM blob WHERE blob.digest = tag.digest)
                        FROM repository JOIN tag ON tag.repository = repository.id AND tag.tag = ?
                        JOIN digest ON digest.id = tag.digest WHERE repository.upstream = ? AND repository.name = ?
                        """), arguments: [tag.description, repository.upstream, repository.name.description])
            guard let row, let digest = Digest(data: row[0]) else { return nil }
            return StoredTag(digest: digest, checkedAt: row[1], isStored: row[2])
        }
    }

    /// The upstream confirmed, or changed, what the tag points to.
    ///
    /// - Returns: what it pointed to before, if to anything.
    func set(
        _ tag: Tag, of repository: Repository, to digest: Digest, at now: Int64,
        _ isPinned: @escaping @Sendable (Repository, String) -> Bool
    ) async throws(StoreError) -> Digest? {
        try await write { db in
            let (id, number) = (try repository.idMakingOne(in: db), try digest.numberMakingOne(in: db))
            let earlier = try Data.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT bytes FROM tag JOIN digest ON digest.id = tag.digest WHERE repository = ? AND tag = ?
                        """),
                arguments: [id, tag.description])
            try db.cachedStatement(
                sql: """
                    INSERT INTO tag (repository, tag, digest, checkedAt) VALUES (?, ?, ?, ?)
                    ON CONFLICT (repository, tag) DO UPDATE SET
                        digest = excluded.digest, checkedAt = excluded.checkedAt
                    """
            ).execute(arguments: [id, tag.description, number, now])
            if earlier == nil, try Self.isPinned(repository, tag.description, isPinned, in: db) {
                try Self.pinAll(under: number, in: db)
            }
            return earlier.flatMap { Digest(data: $0) }
        }
    }

    func forget(_ tag: Tag, of repository: Repository, ifNaming digest: Digest) async throws(StoreError) -> Bool {
        try await write { db in
            guard let id = try repository.id(in: db), let number = try digest.number(in: db) else { return false }
            try db.execute(
                sql: "DELETE FROM tag WHERE repository = ? AND tag = ? AND digest = ?",
                arguments: [id, tag.description, number])
            return db.changesCount > 0
        }
    }

    /// The tags known of a repository, in order; for when its upstream cannot be asked.
    func tags(of repository: Repository) async throws(StoreError) -> [String] {
        try await read { db in
            guard let id = try repository.id(in: db) else { return [] }
            return try String.fetchAll(
                db, sql: "SELECT tag FROM tag WHERE repository = ? ORDER BY tag", arguments: [id])
        }
    }
}
