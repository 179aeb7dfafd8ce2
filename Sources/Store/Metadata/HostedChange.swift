// Rows about what is pushed here, as they change: each in one transaction that is on the disk when it is answered.

import Foundation
import GRDB
package import OCI

/// A manifest as it is pushed.
package struct HostedManifest: Sendable {
    /// What anybody may learn of it who has it, from its bytes alone.
    let manifest: NewManifest
    /// As it was pushed.
    let mediaType: MediaType
    /// What it names and what nobody may see for that: layers that are to be had elsewhere.
    let unlinked: [Digest]
    package var digest: Digest { manifest.digest }

    /// - Parameter mediaType: as it was pushed.
    package init(_ bytes: [UInt8], digest: Digest, mediaType: MediaType, _ parsed: Manifest) {
        let all = parsed.manifests + (parsed.config.map { [$0] } ?? []) + parsed.layers
        manifest = NewManifest(
            digest: digest, mediaType: parsed.ownMediaType, bytes: bytes, isIndex: parsed.kind == .index,
            linked: parsed.linked.map { ($0.digest, $0.size) }, subject: parsed.subject?.digest)
        self.mediaType = mediaType
        unlinked = all.filter { !$0.isDistributable }.map(\.digest)
    }
}

extension MetadataDatabase {
    /// The repository has the blob, whose file is published.
    ///
    /// - Parameter size: of the file, in bytes; nil: it was here before.
    func host(
        blob digest: Digest, size: Int64?, in name: RepositoryName, at now: Int64, within quotas: [HostedQuota]
    ) async throws(StoreError) -> CountedRow {
        try await count(isDurable: true) { db in
            let known = try digest.number(in: db).flatMap { number in
                try Int64.fetchOne(db, sql: "SELECT size FROM blob WHERE digest = ?", arguments: [number])
            }
            guard let bytes = size ?? known else { throw StoreError.ended }
            try Self.check(quotas, digest, size: bytes, in: name, db)
            let earlier = known == bytes ? known : try Self.insert(blob: digest, size: bytes, at: now, db)
            try Self.host(digest, nil, in: name, touchedAt: now, db)
            return earlier
        }
    }

    /// The repository has the manifest, whose file is published, and these tags name it.
    func host(
        _ pushed: HostedManifest, in name: RepositoryName, tags: [Tag], at now: Int64, within quotas: [HostedQuota]
    ) async throws(StoreError) -> CountedRow {
        try await count(isDurable: true) { db in
            let manifest = pushed.manifest
            let size = Int64(manifest.bytes.count)
            try Self.check(quotas, manifest.digest, size: size, in: name, db)
            let earlier = try Self.insert(blob: manifest.digest, size: size, at: now, db)
            try Self.describe(pushed, in: name, at: now, db)
            for tag in tags { try Self.set(tag, manifest.digest, of: name, at: now, db) }
            return earlier
        }
    }

    /// What the repository's files say, in place of what its rows said.
    ///
    /// - Parameters:
    ///   - blobs: of which there is a file, with bytes; also of those manifests that are not described anew.
    ///   - described: manifests whose rows are missing.
    /// - Returns: bytes on the disk of all rows that are new.
    func agree(
        with content: HostedTree.Content, blobs: [Digest: Int64], described: [HostedManifest],
        in name: RepositoryName, at now: Int64
    ) async throws(StoreError) -> Int64 {
        try await write(isDurable: true) { db in
            var added: Int64 = 0
            for (digest, size) in blobs {
                if try Self.insert(blob: digest, size: size, at: now, db) == nil { added += onDisk(size) }
            }
            let id = try Repository(hosted: name).idMakingOne(in: db)
            let before = try Self.content(of: name, db).content
            for digest in before.links.subtracting(content.links) {
                try Self.unhost(digest, asManifest: false, in: name, db)
            }
            for digest in before.manifests.keys where content.manifests[digest] == nil {
                try Self.unhost(digest, asManifest: true, in: name, db)
            }
            for digest in content.links { try Self.host(digest, nil, in: name, touchedAt: now, isKept: true, db) }
            for (digest, type) in content.manifests { try Self.host(digest, type, in: name, touchedAt: now, db) }
            for pushed in described { try Self.describe(pushed, in: name, at: now, db) }
            try db.execute(sql: "DELETE FROM hostedTag WHERE repository = ?", arguments: [id])
            for (tag, digest) in content.tags { try Self.set(tag, digest, of: name, at: now, db) }
            return added
        }
    }

    /// Whether `hosted/` has been read into this database.
    func isHostedKnown() throws(StoreError) -> Bool {
        try readNow { db in try Int.fetchOne(db, sql: "SELECT 1 FROM total WHERE name = 'hosted.known'") != nil }
    }

    /// - Parameter life: the database's when the reading began; in another nothing is noted.
    func noteHostedKnown(since life: Int) async throws(StoreError) {
        try await write(isDurable: true) { db in
            guard self.life == life else { return }
            try db.execute(sql: "INSERT OR REPLACE INTO total (name, value) VALUES ('hosted.known', 1)")
        }
    }

    /// - Parameter digest: nil forgets it.
    func setHosted(
        _ tag: Tag, _ digest: Digest?, of name: RepositoryName, at now: Int64
    ) async throws(StoreError) {
        try await write(isDurable: true) { db in try Self.set(tag, digest, of: name, at: now, db) }
    }

    /// The repository has it no more, nor tags that name it, if it is a manifest.
    ///
    /// - Returns: whether anybody else may still see the content, or it is unknown who.
    func unhost(
        _ digest: Digest, asManifest isManifest: Bool, in name: RepositoryName
    ) async throws(StoreError) -> Bool {
        try await write(isDurable: true) { db in
            try Self.unhost(digest, asManifest: isManifest, in: name, db)
            return try Bool.fetchOne(
                db,
                sql: """
                    SELECT EXISTS (SELECT 1 FROM hosted WHERE digest = ?1)
                        OR EXISTS (SELECT 1 FROM link WHERE digest = ?1)
                        OR EXISTS (SELECT 1 FROM child JOIN link ON link.digest = child.parent WHERE child.child = ?1)
                    """, arguments: [digest.number(in: db)]) ?? true
        }
    }

    // MARK: Steps of a transaction

    /// In place of an upstream's name: who has it by a link of his own may see it, and no other because something that
    /// he has names it.
    private static let here = ""

    private static func insert(blob digest: Digest, size: Int64, at now: Int64, _ db: Database) throws -> Int64? {
        try insert(blob: digest, size: size, at: now, broughtBy: here, in: db)
    }

    /// - Parameters:
    ///   - type: of a manifest.
    ///   - isKept: what is there already stays as it is.
    private static func host(
        _ digest: Digest, _ type: MediaType?, in name: RepositoryName, touchedAt: Int64, isKept: Bool = false,
        _ db: Database
    ) throws {
        let (number, id) = (try digest.numberMakingOne(in: db), try Repository(hosted: name).idMakingOne(in: db))
        let change = "UPDATE SET mediaType = excluded.mediaType, touchedAt = excluded.touchedAt"
        try db.cachedStatement(
            sql: """
                INSERT INTO hosted (repository, isManifest, digest, mediaType, touchedAt) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT DO \(isKept ? "NOTHING" : change)
                """
        ).execute(arguments: [id, type != nil, number, type?.rawValue ?? "", touchedAt])
        try db.cachedStatement(sql: "UPDATE blob SET hosted = 1 WHERE digest = ?").execute(arguments: [number])
    }

    /// All that its rows say of a manifest. What an upstream has said of it stays: others are served by that.
    private static func describe(
        _ pushed: HostedManifest, in name: RepositoryName, at now: Int64, _ db: Database
    ) throws {
        let manifest = pushed.manifest
        let number = try write(manifest, keepingEarlier: true, in: db)
        try host(manifest.digest, pushed.mediaType, in: name, touchedAt: now, db)
        let unlinked = try db.cachedStatement(sql: "INSERT OR IGNORE INTO unlinkedChild (parent, child) VALUES (?, ?)")
        for child in pushed.unlinked { try unlinked.execute(arguments: [number, child.numberMakingOne(in: db)]) }
        try passPinDown(from: number, in: db)
    }

    private static func set(
        _ tag: Tag, _ digest: Digest?, of name: RepositoryName, at now: Int64, _ db: Database
    ) throws {
        let id = try Repository(hosted: name).idMakingOne(in: db)
        // Whoever has just learnt what it named is still to find that.
        try db.cachedStatement(
            sql: """
                UPDATE hosted SET touchedAt = max(touchedAt, ?3) WHERE repository = ?1 AND isManifest = 1
                    AND digest = (SELECT digest FROM hostedTag WHERE repository = ?1 AND tag = ?2)
                """
        ).execute(arguments: [id, tag.description, now])
        guard let digest else {
            return try db.execute(
                sql: "DELETE FROM hostedTag WHERE repository = ? AND tag = ?", arguments: [id, tag.description])
        }
        try db.cachedStatement(
            sql: """
                INSERT INTO hostedTag (repository, tag, digest) VALUES (?, ?, ?)
                ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest
                """
        ).execute(arguments: [id, tag.description, digest.numberMakingOne(in: db)])
    }

    private static func unhost(
        _ digest: Digest, asManifest isManifest: Bool, in name: RepositoryName, _ db: Database
    ) throws {
        guard let number = try digest.number(in: db), let id = try Repository(hosted: name).id(in: db) else { return }
        try db.execute(
            sql: "DELETE FROM hosted WHERE repository = ? AND isManifest = ? AND digest = ?",
            arguments: [id, isManifest, number])
        if isManifest {
            try db.execute(sql: "DELETE FROM hostedTag WHERE repository = ? AND digest = ?", arguments: [id, number])
        }
        try db.execute(
            sql: """
                UPDATE blob SET hosted = EXISTS (SELECT 1 FROM hosted WHERE hosted.digest = blob.digest)
                WHERE digest = ?
                """, arguments: [number])
    }
}
