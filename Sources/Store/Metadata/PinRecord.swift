// Rows about pins: what is never evicted, by tag, and what was said to be so while the program ran.

import GRDB
import OCI

/// A tag as it is stored, and what it names.
struct TaggedDigest: Sendable {
    let repository: Repository
    let tag: Tag
    let digest: Digest
}

extension MetadataDatabase {
    /// At start.
    func pins() throws(StoreError) -> [ImagePattern] { try readNow(Self.pins) }

    @Sendable private static func pins(in db: Database) throws -> [ImagePattern] {
        try String.fetchAll(db, sql: "SELECT image FROM pin ORDER BY image").compactMap { ImagePattern($0) }
    }

    /// By what is written here, or by `configured`.
    static func isPinned(
        _ repository: Repository, _ tag: String, _ configured: (Repository, String) -> Bool, in db: Database
    ) throws -> Bool {
        if configured(repository, tag) { return true }
        return try pins(in: db).contains { $0.matches(repository, tag: tag) }
    }

    /// Durable: who was told that it is pinned relies on it.
    func add(pin image: ImagePattern) async throws(StoreError) {
        try await write(isDurable: true) { db in
            try db.execute(sql: "INSERT OR IGNORE INTO pin (image) VALUES (?)", arguments: [image.fullText])
        }
    }

    func remove(pins images: [ImagePattern]) async throws(StoreError) {
        try await write(isDurable: true) { db in
            for image in images { try db.execute(sql: "DELETE FROM pin WHERE image = ?", arguments: [image.fullText]) }
        }
    }

    /// Pins what every tag names that is pinned by what is written here or by `isPinned`, down to the layers, and
    /// nothing else.
    ///
    /// - Parameter learn: told what is written, in the one writer's turn, so that the last who reads is the last to
    ///   tell.
    func pin(
        _ isPinned: @escaping @Sendable (Repository, String) -> Bool,
        learn: @escaping @Sendable ([ImagePattern]) -> Void
    ) async throws(StoreError) {
        try await write { db in
            let own = try Self.pins(in: db)
            learn(own)
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT upstream, name, tag, digest FROM tag JOIN repository ON repository.id = tag.repository
                    """)
            let roots: [Int64] = rows.compactMap { row in
                guard let name = RepositoryName(row[1] as String) else { return nil }
                let (repository, tag) = (Repository(upstream: row[0], name: name), row[2] as String)
                let isMeant = isPinned(repository, tag) || own.contains { $0.matches(repository, tag: tag) }
                return isMeant ? row[3] : nil
            }
            try db.execute(sql: "UPDATE blob SET pinned = 0 WHERE pinned = 1")
            for root in roots { try Self.pinAll(under: root, in: db) }
        }
    }

    /// The tags that are meant, in the order of their names. A walk over all.
    func tags(
        where isMeant: @escaping @Sendable (Repository, String) -> Bool
    ) async throws(StoreError) -> [TaggedDigest] {
        try await read { db in
            let rows = try Row.fetchCursor(
                db,
                sql: """
                    SELECT upstream, name, tag, bytes FROM tag JOIN repository ON repository.id = tag.repository
                    JOIN digest ON digest.id = tag.digest ORDER BY upstream, name, tag
                    """)
            var tags: [TaggedDigest] = []
            while let row = try rows.next() {
                guard let name = RepositoryName(row[1] as String), let tag = Tag(row[2] as String),
                    let digest = Digest(data: row[3])
                else { continue }
                let repository = Repository(upstream: row[0], name: name)
                guard isMeant(repository, tag.description) else { continue }
                tags.append(TaggedDigest(repository: repository, tag: tag, digest: digest))
            }
            return tags
        }
    }

    func tags(naming digest: Digest) async throws(StoreError) -> [TaggedDigest] {
        try await read { db in
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT upstream, name, tag FROM digest JOIN tag ON tag.digest = digest.id
                    JOIN repository ON repository.id = tag.repository WHERE digest.bytes = ?
                    """, arguments: [digest.data])
            return rows.compactMap { row in
                guard let name = RepositoryName(row[1] as String), let tag = Tag(row[2] as String) else { return nil }
                return TaggedDigest(
                    repository: Repository(upstream: row[0], name: name), tag: tag, digest: digest)
            }
        }
    }

    /// Takes away tags of one repository that name a digest, and, when none is left, its right to show it.
    ///
    /// - Parameter tag: only this one of them; nil: all.
    /// - Returns: the tags that went, and whether there was a right of its own.
    func withdraw(
        _ digest: Digest, from repository: Repository, tag: Tag?
    ) async throws(StoreError) -> (tags: [Tag], wasLinked: Bool) {
        try await write { db in
            guard let id = try repository.id(in: db), let number = try digest.number(in: db) else { return ([], false) }
            let tags = try String.fetchAll(
                db,
                sql: """
                    DELETE FROM tag WHERE repository = ?1 AND digest = ?2 AND (?3 IS NULL OR tag = ?3) RETURNING tag
                    """, arguments: [id, number, tag?.description])
            // While another of its tags names it, it may still be shown.
            try db.execute(
                sql: """
                    DELETE FROM link WHERE repository = ?1 AND digest = ?2
                        AND NOT EXISTS (SELECT 1 FROM tag WHERE repository = ?1 AND digest = ?2)
                    """, arguments: [id, number])
            return (tags.compactMap { Tag($0) }, db.changesCount > 0)
        }
    }
}
