// Rows about what was pushed here: who has what, as a blob or as a manifest, and what its tags name.

import Foundation
import GRDB
package import OCI

/// What a hosted repository has of a digest.
package struct HostedContent: Equatable, Sendable {
    package let digest: Digest
    /// Bytes.
    package let size: Int64
    /// Of a manifest; nil: it was pushed as a blob.
    package let mediaType: MediaType?
}

/// How much some repositories may hold together.
package struct HostedQuota: Sendable {
    /// As an operator wrote it, for who is refused.
    package let label: String
    /// Each digest once.
    package let bytes: Int64
    package let covers: @Sendable (RepositoryName) -> Bool

    package init(label: String, bytes: Int64, covers: @escaping @Sendable (RepositoryName) -> Bool) {
        self.label = label
        self.bytes = bytes
        self.covers = covers
    }
}

extension MetadataDatabase {
    // MARK: Reading

    /// nil also where the content itself has been lost.
    func hosted(
        _ digest: Digest, asManifest isManifest: Bool, in name: RepositoryName
    ) async throws(StoreError) -> HostedContent? {
        try await lookUp { db in
            try Row.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT blob.size, hosted.mediaType FROM digest
                        JOIN repository ON repository.upstream = '' AND repository.name = ?
                        JOIN hosted ON hosted.repository = repository.id AND hosted.isManifest = ?
                            AND hosted.digest = digest.id
                        JOIN blob ON blob.digest = digest.id WHERE digest.bytes = ?
                        """), arguments: [name.description, isManifest, digest.data]
            ).map { row in
                let type: String = row[1]
                return HostedContent(
                    digest: digest, size: row[0], mediaType: isManifest ? MediaType(rawValue: type) : nil)
            }
        }
    }

    /// Whether the repository has it, be the content lost or not.
    func isHosted(
        _ digest: Digest, asManifest isManifest: Bool, in name: RepositoryName
    ) async throws(StoreError) -> Bool {
        try await lookUp { db in
            try Bool.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT EXISTS (
                            SELECT 1 FROM digest
                            JOIN repository ON repository.upstream = '' AND repository.name = ?
                            JOIN hosted ON hosted.repository = repository.id AND hosted.isManifest = ?
                                AND hosted.digest = digest.id
                            WHERE digest.bytes = ?)
                        """), arguments: [name.description, isManifest, digest.data]) ?? false
        }
    }

    /// Those of the digests that the repository does not have as blobs.
    ///
    /// - Parameter orManifests: nor as manifests.
    func missing(
        _ digests: [Digest], orManifests: Bool, in name: RepositoryName
    ) async throws(StoreError) -> [Digest] {
        try await read { db in
            guard let id = try Repository(hosted: name).id(in: db) else { return digests }
            let statement = try db.cachedStatement(
                sql: """
                    SELECT 1 FROM hosted JOIN blob ON blob.digest = hosted.digest
                    WHERE hosted.repository = ?1 AND hosted.isManifest IN (0, ?3)
                        AND hosted.digest = (SELECT id FROM digest WHERE bytes = ?2)
                    """)
            return try digests.filter { try Int.fetchOne(statement, arguments: [id, $0.data, orManifests]) == nil }
        }
    }

    func hostedTag(_ tag: Tag, of name: RepositoryName) async throws(StoreError) -> Digest? {
        try await lookUp { db in
            let data = try Data.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT bytes FROM repository JOIN hostedTag ON hostedTag.repository = repository.id
                            AND hostedTag.tag = ?
                        JOIN digest ON digest.id = hostedTag.digest
                        WHERE repository.upstream = '' AND repository.name = ?
                        """), arguments: [tag.description, name.description])
            return Digest(data: data)
        }
    }

    /// In the order of their bytes; nil if nothing was pushed there, or nothing of it is left.
    func hostedTags(of name: RepositoryName) async throws(StoreError) -> [String]? {
        try await read { db in
            guard let id = try Repository(hosted: name).id(in: db) else { return nil }
            let tags = try String.fetchAll(
                db, sql: "SELECT tag FROM hostedTag WHERE repository = ? ORDER BY tag", arguments: [id])
            if !tags.isEmpty { return tags }
            let hasAny = try Bool.fetchOne(
                db, sql: "SELECT EXISTS (SELECT 1 FROM hosted WHERE repository = ?)", arguments: [id])
            return hasAny == true ? [] : nil
        }
    }

    func hostedTags(naming digest: Digest, in name: RepositoryName) async throws(StoreError) -> [Tag] {
        try await hostedTags(
            about: digest, in: name, "SELECT tag FROM hostedTag WHERE repository = ?1 AND digest = ?2")
    }

    func hostedTags(needing digest: Digest, in name: RepositoryName) async throws(StoreError) -> [Tag] {
        try await hostedTags(
            about: digest, in: name,
            """
            WITH RECURSIVE needing (digest) AS (
                SELECT ?2 UNION SELECT child.parent FROM needing JOIN child ON child.child = needing.digest
                JOIN hosted ON hosted.repository = ?1 AND hosted.isManifest = 1 AND hosted.digest = child.parent)
            SELECT tag FROM hostedTag WHERE repository = ?1 AND digest IN (SELECT digest FROM needing)
            """)
    }

    /// - Parameter sql: asks for tags; `?1` is the repository's number, `?2` the digest's.
    private func hostedTags(
        about digest: Digest, in name: RepositoryName, _ sql: String
    ) async throws(StoreError) -> [Tag] {
        try await read { db in
            guard let id = try Repository(hosted: name).id(in: db), let number = try digest.number(in: db)
            else { return [] }
            return try String.fetchAll(db, sql: sql, arguments: [id, number]).compactMap { Tag($0) }
        }
    }

    /// Those that have anything, in the order of their names' bytes.
    func hostedRepositories() async throws(StoreError) -> [RepositoryName] {
        try await read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT name FROM repository WHERE upstream = ''
                        AND EXISTS (SELECT 1 FROM hosted WHERE hosted.repository = repository.id) ORDER BY name
                    """
            ).compactMap { RepositoryName($0) }
        }
    }

    /// Its manifests that name the subject, in the order of their digests.
    ///
    /// - Parameter last: behind which to begin.
    func hostedReferrers(
        of subject: Digest, after last: Digest?, in name: RepositoryName
    ) async throws(StoreError) -> [HostedContent] {
        try await read { db in
            guard let id = try Repository(hosted: name).id(in: db) else { return [] }
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT digest.bytes, blob.size, hosted.mediaType FROM referrer
                        JOIN hosted ON hosted.repository = ?1 AND hosted.isManifest = 1
                            AND hosted.digest = referrer.digest
                        JOIN blob ON blob.digest = referrer.digest JOIN digest ON digest.id = referrer.digest
                        WHERE referrer.subject = ?2 AND digest.bytes > ?3 ORDER BY digest.bytes LIMIT ?4
                        """), arguments: [id, subject.data, last?.data ?? Data(), ReferrerList.mostEntries])
            return rows.compactMap { row in
                Digest(data: row[0]).map {
                    HostedContent(digest: $0, size: row[1], mediaType: MediaType(rawValue: row[2]))
                }
            }
        }
    }

    /// All that the rows say of a repository, and whether the content of any of it has no row.
    func hostedContent(
        of name: RepositoryName
    ) async throws(StoreError) -> (content: HostedTree.Content, isLost: Bool) {
        try await read { db in try Self.content(of: name, db) }
    }

    static func content(
        of name: RepositoryName, _ db: Database
    ) throws -> (content: HostedTree.Content, isLost: Bool) {
        var (content, isLost) = (HostedTree.Content(), false)
        guard let id = try Repository(hosted: name).id(in: db) else { return (content, isLost) }
        let rows = try Row.fetchCursor(
            db,
            sql: """
                SELECT bytes, isManifest, mediaType, blob.digest IS NULL FROM hosted
                JOIN digest ON digest.id = hosted.digest LEFT JOIN blob ON blob.digest = hosted.digest
                WHERE repository = ?
                """, arguments: [id])
        while let row = try rows.next() {
            guard let digest = Digest(data: row[0]) else { continue }
            if row[1] {
                content.manifests[digest] = MediaType(rawValue: row[2])
            } else {
                content.links.insert(digest)
            }
            if row[3] { isLost = true }
        }
        let tags = try Row.fetchCursor(
            db,
            sql: "SELECT tag, bytes FROM hostedTag JOIN digest ON digest.id = hostedTag.digest WHERE repository = ?",
            arguments: [id])
        while let row = try tags.next() {
            if let tag = Tag(row[0] as String), let digest = Digest(data: row[1]) { content.tags[tag] = digest }
        }
        return (content, isLost)
    }

    /// Any hosted repository that has the blob.
    func hostedRepository(having digest: Digest) async throws(StoreError) -> RepositoryName? {
        try await lookUp { db in
            let name = try String.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT name FROM digest JOIN hosted ON hosted.digest = digest.id AND hosted.isManifest = 0
                        JOIN repository ON repository.id = hosted.repository WHERE digest.bytes = ? LIMIT 1
                        """), arguments: [digest.data])
            return name.flatMap { RepositoryName($0) }
        }
    }

    func isHosted(_ digest: Digest) async throws(StoreError) -> Bool {
        try await lookUp { db in
            try Bool.fetchOne(
                db.cachedStatement(
                    sql: "SELECT EXISTS (SELECT 1 FROM digest JOIN hosted ON hosted.digest = id WHERE bytes = ?)"),
                arguments: [digest.data]) ?? false
        }
    }

    /// Bytes that the quota's repositories hold, each digest once, `digest` left out.
    static func held(_ quota: HostedQuota, without digest: Digest?, _ db: Database) throws -> Int64 {
        let rows = try Row.fetchAll(db, sql: "SELECT id, name FROM repository WHERE upstream = ''")
        let covered = rows.filter { RepositoryName($0[1] as String).map(quota.covers) ?? false }
            .map { "\($0[0] as Int64)" }.joined(separator: ",")
        return try Int64.fetchOne(
            db,
            sql: """
                SELECT ifnull(sum(size), 0) FROM blob WHERE digest IN (
                        SELECT digest FROM hosted WHERE repository IN (SELECT value FROM json_each(?1)))
                    AND digest IS NOT ?2
                """, arguments: ["[\(covered)]", digest?.number(in: db)]) ?? 0
    }

    /// - Throws: `.overQuota` if so many bytes more are too much.
    func check(
        _ quotas: [HostedQuota], _ digest: Digest?, size: Int64, in name: RepositoryName
    ) async throws(StoreError) {
        guard quotas.contains(where: { $0.covers(name) }) else { return }
        try await read { db in try Self.check(quotas, digest, size: size, in: name, db) }
    }

    static func check(
        _ quotas: [HostedQuota], _ digest: Digest?, size: Int64, in name: RepositoryName, _ db: Database
    ) throws {
        for quota in quotas where quota.covers(name) {
            let held = try held(quota, without: digest, db)
            guard held + size > quota.bytes else { continue }
            throw StoreError.overQuota(
                "\(quota.label) may hold \(quota.bytes) bytes and holds \(held) without these \(size): "
                    + "delete something there, or raise the quota")
        }
    }
}
