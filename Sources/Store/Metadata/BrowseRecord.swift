// Pages of what is stored, by name: repositories, and images by their tags.

import Foundation
import GRDB
package import OCI

/// A part of a long list of names.
package struct NamePage: Sendable {
    /// Entries, at most; from 1 on.
    package let count: Int
    /// Begins behind this one, be it there or not; nil: at the beginning.
    package let last: String?
    /// A part of a name, or a pattern; nil or empty: all.
    package let search: String?

    package init(count: Int, last: String? = nil, search: String? = nil) {
        self.count = count
        self.last = last
        self.search = search
    }
}

package struct Listed<Entry: Sendable>: Sendable {
    package var entries: [Entry]
    /// The last of them, if there are more.
    package let next: String?

    init(_ entries: [Entry], upTo count: Int, name: (Entry) -> String) {
        self.entries = Array(entries.prefix(count))
        next = entries.count > count ? self.entries.last.map(name) : nil
    }

    private init(entries: [Entry], next: String?) {
        self.entries = entries
        self.next = next
    }

    package func map<Other: Sendable>(_ change: (Entry) -> Other) -> Listed<Other> {
        Listed<Other>(entries: entries.map(change), next: next)
    }
}

package struct StoredRepository: Equatable, Sendable {
    package let repository: Repository
    /// Those whose manifests are stored.
    package let tags: Int
    /// Of all stored blobs that it may show. What others show too counts in each.
    package let bytes: Int64
    /// Unix time in milliseconds; nil where the content was lost.
    package let lastUsed: Int64?
}

/// A tag whose manifest is stored.
package struct StoredImage: Equatable, Sendable {
    package let repository: Repository
    package let tag: String
    package let digest: Digest
    package let mediaType: MediaType
    package let isIndex: Bool
    /// Bytes: the manifest and what it names; of an index itself, its stored children and what those name.
    package let size: Int64
    /// Bytes, of those what is here.
    package let storedSize: Int64
    package let isPinned: Bool
    /// Unix time in milliseconds when the upstream last confirmed it; nil of what was pushed here.
    package let checkedAt: Int64?
    /// Unix time in milliseconds.
    package let lastUsed: Int64

    /// `docker.io/library/debian:12`
    package var name: String { "\(repository):\(tag)" }
}

extension MetadataDatabase {
    // MARK: Repositories

    /// Those of which anything is stored, in the order of their full names' bytes.
    func repositories(_ page: NamePage) async throws(StoreError) -> Listed<StoredRepository> {
        let search = page.search.flatMap { NameSearch($0) }
        return try await read { db in
            let rows = try Row.fetchCursor(
                db.cachedStatement(sql: Self.repositoriesByName(isSearching: search != nil)),
                arguments: [page.last ?? "", search?.like])
            var found: [(id: Int64, repository: Repository)] = []
            while found.count <= page.count, let row = try rows.next() {
                guard let name = RepositoryName(row[2] as String) else { continue }
                let repository = Repository(upstream: row[1], name: name)
                if search?.finds(repository, tag: nil) ?? true { found.append((row[0], repository)) }
            }
            let statement = try db.cachedStatement(sql: Self.repositoryFigures)
            let entries = try found.map { id, repository in
                let row = try Row.fetchOne(statement, arguments: [id])
                return StoredRepository(
                    repository: repository, tags: row?[0] ?? 0, bytes: row?[1] ?? 0, lastUsed: row?[2])
            }
            return Listed(entries, upTo: page.count) { "\($0.repository)" }
        }
    }

    /// `?2` is not asked for without a search, and bound all the same.
    static func repositoriesByName(isSearching: Bool) -> String {
        """
        SELECT id, upstream, name FROM repository
        WHERE fullName > ?1 AND \(isSearching ? "fullName LIKE ?2 ESCAPE '\\'" : "?2 IS NULL") AND \(hasAnything)
        ORDER BY fullName, id
        """
    }

    /// Of a repository: tags, bytes, last use. It shows what it links and what that names, or what was pushed to it.
    static let repositoryFigures = """
        SELECT (SELECT count(*) FROM tag JOIN blob ON blob.digest = tag.digest WHERE tag.repository = ?1)
                + (SELECT count(*) FROM hostedTag JOIN blob ON blob.digest = hostedTag.digest
                   WHERE hostedTag.repository = ?1),
            ifnull(sum(size), 0), max(lastUsed)
        FROM blob WHERE digest IN (
            SELECT digest FROM link WHERE repository = ?1
            UNION SELECT child.child FROM link CROSS JOIN child ON child.parent = link.digest WHERE link.repository = ?1
            UNION SELECT digest FROM hosted WHERE repository = ?1)
        """

    // MARK: Images

    private struct Named {
        let number: Int64
        let repository: Repository
        let tag: String
        let digest: Digest
        let mediaType: String
        let isIndex: Bool
        let isPinned: Bool
        let checkedAt: Int64?
        let lastUsed: Int64
    }

    /// Tags whose manifests are stored, in the order of their repositories' full names, then of the tags, by bytes.
    ///
    /// - Parameter name: only of repositories whose full name it is; nil: of all.
    func images(_ page: NamePage, of name: String? = nil) async throws(StoreError) -> Listed<StoredImage> {
        let search = page.search.flatMap { NameSearch($0) }
        return try await read { db in
            // Each is in order, so the first of both are among the first of each.
            let all = try [false, true].flatMap { try Self.tagged(page, of: name, search, isHosted: $0, db) }
            let sorted = all.map { (key: ("\($0.repository)", $0.tag), named: $0) }.sorted { $0.key < $1.key }
            let size = try db.cachedStatement(sql: Self.sizeOfImage)
            let entries = try sorted.prefix(page.count + 1).map { _, named in
                let row = try Row.fetchOne(size, arguments: [named.number])
                return StoredImage(
                    repository: named.repository, tag: named.tag, digest: named.digest,
                    mediaType: MediaType(rawValue: named.mediaType), isIndex: named.isIndex, size: row?[0] ?? 0,
                    storedSize: row?[1] ?? 0, isPinned: named.isPinned, checkedAt: named.checkedAt,
                    lastUsed: named.lastUsed)
            }
            return Listed(entries, upTo: page.count, name: \.name)
        }
    }

    private static func tagged(
        _ page: NamePage, of one: String?, _ search: NameSearch?, isHosted: Bool, _ db: Database
    ) throws -> [Named] {
        let (name, tag) = split(page.last ?? "")
        let rows = try Row.fetchCursor(
            db.cachedStatement(sql: imagesByName(search, ofOne: one != nil, isHosted: isHosted)),
            arguments: [name, tag, search?.like, one])
        var found: [Named] = []
        while found.count <= page.count, let row = try rows.next() {
            guard let name = RepositoryName(row[2] as String), let digest = Digest(data: row[4]) else { continue }
            let repository = Repository(upstream: row[1], name: name)
            let tag: String = row[3]
            guard search?.finds(repository, tag: tag) ?? true else { continue }
            found.append(
                Named(
                    number: row[0], repository: repository, tag: tag, digest: digest, mediaType: row[5],
                    isIndex: row[6], isPinned: row[7], checkedAt: row[8], lastUsed: row[9]))
        }
        return found
    }

    /// `docker.io/library/debian:12` in its parts; a colon before the last slash is a port's.
    private static func split(_ name: String) -> (name: String, tag: String) {
        let afterSlash = name.lastIndex(of: "/").map { name.index(after: $0) } ?? name.startIndex
        guard let colon = name[afterSlash...].firstIndex(of: ":") else { return (name, "") }
        return (String(name[..<colon]), String(name[name.index(after: colon)...]))
    }

    /// `?1` and `?2`: behind which name and tag. CROSS: in the order of the names, so that a page ends as soon as it is
    /// full. What was pushed here has its repositories together in the order of their names (`upstream, name`).
    /// `?4`: of which name, if of one.
    static func imagesByName(_ search: NameSearch?, ofOne: Bool = false, isHosted: Bool) -> String {
        let table = isHosted ? "hostedTag" : "tag"
        let name = isHosted ? "repository.name" : "repository.fullName"
        let condition =
            switch search?.mayCrossColon {
            case nil: "?3 IS NULL"
            case false?: "(\(name) LIKE ?3 ESCAPE '\\' OR named.tag LIKE ?3 ESCAPE '\\')"
            case true?: "\(name) || ':' || named.tag LIKE ?3 ESCAPE '\\'"
            }
        let type =
            isHosted
            ? """
            ifnull((SELECT hosted.mediaType FROM hosted WHERE hosted.repository = named.repository
                AND hosted.isManifest = 1 AND hosted.digest = named.digest), manifest.mediaType)
            """ : "manifest.mediaType"
        return """
            SELECT named.digest, repository.upstream, repository.name, named.tag, digest.bytes,
                \(type), manifest.isIndex, blob.pinned, \(isHosted ? "NULL" : "named.checkedAt"), blob.lastUsed
            FROM repository
            CROSS JOIN \(table) AS named ON named.repository = repository.id
                AND named.tag > CASE \(name) WHEN ?1 THEN ?2 ELSE '' END
            CROSS JOIN blob ON blob.digest = named.digest CROSS JOIN manifest ON manifest.digest = named.digest
            CROSS JOIN digest ON digest.id = named.digest
            WHERE \(isHosted ? "repository.upstream = '' AND " : "")\(name) >= ?1 AND \(condition)
                AND \(ofOne ? "\(name) = ?4" : "?4 IS NULL")
            ORDER BY \(name), repository.id, named.tag
            """
    }

    /// Bytes of an image and what of them is here, each digest once. Of an index, the children that are stored; no more
    /// than anybody would make to be run, since a manifest may name as many as it likes.
    static let sizeOfImage = """
        WITH RECURSIVE
            document (digest, isIndex) AS (
                SELECT digest, isIndex FROM manifest WHERE digest = ?1
                UNION SELECT manifest.digest, manifest.isIndex
                FROM document CROSS JOIN child ON child.parent = document.digest
                CROSS JOIN manifest ON manifest.digest = child.child CROSS JOIN blob ON blob.digest = child.child
                WHERE document.isIndex = 1 LIMIT 1000),
            part (digest, size) AS (
                SELECT child.child, max(child.size)
                FROM document CROSS JOIN child ON child.parent = document.digest
                WHERE document.isIndex = 0 GROUP BY child.child),
            own (size) AS (SELECT ifnull(sum(blob.size), 0) FROM document JOIN blob ON blob.digest = document.digest)
        SELECT own.size + (SELECT ifnull(sum(part.size), 0) FROM part),
            own.size + (SELECT ifnull(sum(blob.size), 0) FROM part JOIN blob ON blob.digest = part.digest)
        FROM own
        """
}
