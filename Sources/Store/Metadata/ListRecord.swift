// Rows about lists: pages of tags and referrers as an upstream wrote them; the least recently kept go first.

import Foundation
import GRDB
package import OCI

/// A page of a list as the upstream wrote it.
package struct KeptList: Equatable, Sendable {
    package let bytes: [UInt8]
    /// The `Content-Type` it came with.
    package let mediaType: String?
    /// The `Link` it came with: where the next page is, in the upstream's words.
    package let link: String?
    /// Unix time in milliseconds when the upstream said so.
    package let fetchedAt: Int64

    package init(bytes: [UInt8], mediaType: String?, link: String?, fetchedAt: Int64) {
        self.bytes = bytes
        self.mediaType = mediaType
        self.link = link
        self.fetchedAt = fetchedAt
    }
}

/// Which page of which of a repository's lists.
package struct ListKey: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// distribution-spec v1.1, end-8.
        case tags
        /// Of what names this as its subject: end-12.
        case referrers(Digest)
    }

    package let kind: Kind
    /// As asked of the upstream, without the question mark; empty if there was none.
    package let query: String

    package init(kind: Kind, query: String) {
        self.kind = kind
        self.query = query
    }
}

extension ListKey.Kind {
    /// The database's form: a digest, or nothing for the tags.
    fileprivate var data: Data {
        switch self {
        case .tags: Data()
        case .referrers(let subject): subject.data
        }
    }
}

extension KeptList {
    /// What counts towards the bound: bytes of all that the page and its key bring from outside.
    fileprivate func size(under key: ListKey) -> Int64 {
        Int64(bytes.count + (mediaType ?? "").utf8.count + (link ?? "").utf8.count + key.query.utf8.count)
    }

    fileprivate static let columns = "bytes, mediaType, link, fetchedAt"

    fileprivate init(_ row: Row) {
        self.init(bytes: [UInt8](row[0] as Data), mediaType: row[1], link: row[2], fetchedAt: row[3])
    }
}

/// How much of all lists is kept.
struct ListBound: Equatable, Sendable {
    let pages: Int
    /// Of all pages together.
    let bytes: Int64
}

extension ListBound {
    /// 4096 pages, of 64 MiB, and no more than a tenth of what may be stored: they take room that no blob can drive
    /// them from.
    ///
    /// - Parameter limit: bytes that may be stored in all.
    init(limit: Int64) { self.init(pages: 4096, bytes: min(64 << 20, limit / 10)) }
}

extension MetadataDatabase {
    func list(_ key: ListKey, of repository: Repository) async throws(StoreError) -> KeptList? {
        try await lookUp { db in
            guard let id = try repository.id(in: db) else { return nil }
            return try Row.fetchOne(
                db.cachedStatement(
                    sql: "SELECT \(KeptList.columns) FROM list WHERE repository = ? AND subject = ? AND query = ?"),
                arguments: [id, key.kind.data, key.query]
            ).map { KeptList($0) }
        }
    }

    func lists(_ kind: ListKey.Kind, of repository: Repository) async throws(StoreError) -> [KeptList] {
        try await read { db in
            guard let id = try repository.id(in: db) else { return [] }
            return try Row.fetchAll(
                db.cachedStatement(sql: "SELECT \(KeptList.columns) FROM list WHERE repository = ? AND subject = ?"),
                arguments: [id, kind.data]
            ).map { KeptList($0) }
        }
    }

    /// Takes the place of what was kept under the key. What alone is over the bound drives nothing out: it is not
    /// kept, and what it contradicts goes.
    func keep(
        _ list: KeptList, as key: ListKey, of repository: Repository, within bound: ListBound
    ) async throws(StoreError) {
        let size = list.size(under: key)
        guard size <= bound.bytes else { return try await forget(key, of: repository) }
        try await write { db in
            let id = try repository.idMakingOne(in: db)
            // Replacing gives a new number, the highest: the numbers are the order of keeping.
            try db.cachedStatement(
                sql: """
                    INSERT OR REPLACE INTO list (repository, subject, query, size, \(KeptList.columns))
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    """
            ).execute(
                arguments: [
                    id, key.kind.data, key.query, size, Data(list.bytes), list.mediaType, list.link, list.fetchedAt,
                ])
            try Self.trimLists(to: bound, in: db)
        }
    }

    private func forget(_ key: ListKey, of repository: Repository) async throws(StoreError) {
        try await write { db in
            guard let id = try repository.id(in: db) else { return }
            try db.cachedStatement(sql: "DELETE FROM list WHERE repository = ? AND subject = ? AND query = ?")
                .execute(arguments: [id, key.kind.data, key.query])
        }
    }

    func forget(_ kind: ListKey.Kind, of repository: Repository) async throws(StoreError) {
        try await write { db in
            guard let id = try repository.id(in: db) else { return }
            try db.cachedStatement(sql: "DELETE FROM list WHERE repository = ? AND subject = ?")
                .execute(arguments: [id, kind.data])
        }
    }

    private static func trimLists(to bound: ListBound, in db: Database) throws {
        // From the index alone: the pages themselves are not touched.
        let all = try Row.fetchOne(db.cachedStatement(sql: "SELECT count(*), ifnull(sum(size), 0) FROM list"))
        guard let all, all[0] > bound.pages || all[1] > bound.bytes else { return }
        try db.execute(
            sql: """
                DELETE FROM list WHERE id IN (
                    SELECT id FROM (
                        SELECT id, count(*) OVER newer AS pages, sum(size) OVER newer AS bytes
                        FROM list WINDOW newer AS (ORDER BY id DESC))
                    WHERE pages > ? OR bytes > ?)
                """, arguments: [bound.pages, bound.bytes])
    }
}
