// Last uses, leases and pins in the database, and who goes first when room is needed.

import Foundation
import GRDB
import OCI

extension MetadataDatabase {
    /// Writes what was gathered. A use of a manifest is one of its config and layers too, since a client that has the
    /// base layer never asks for it; a use of an index is one of itself only. A lease covers all that a client may
    /// come to ask for: of an index the children, and what those that are stored name.
    func record(_ uses: [Digest: UseRecorder.Use]) async throws(StoreError) {
        guard !uses.isEmpty else { return }
        try await write { db in
            let kind = try db.cachedStatement(
                sql: """
                    SELECT digest.id, manifest.isIndex FROM digest LEFT JOIN manifest ON manifest.digest = digest.id
                    WHERE digest.bytes = ?
                    """)
            let own = try db.cachedStatement(sql: Self.useOfItself)
            let named = try db.cachedStatement(sql: Self.useOfNamed)
            let below = try db.cachedStatement(sql: Self.leaseBelowNamed)
            for (digest, use) in uses {
                guard let row = try Row.fetchOne(kind, arguments: [digest.data]) else { continue }
                let number: Int64 = row[0]
                try own.execute(arguments: [number, use.at, use.leasedUntil])
                guard let isIndex: Bool = row[1] else { continue }
                // Before the manifest itself: so it is behind its own, and need not be moved there.
                try named.execute(arguments: [number, isIndex ? 0 : use.at - 1, use.leasedUntil])
                guard isIndex, use.leasedUntil > 0 else { continue }
                try below.execute(arguments: [number, use.leasedUntil])
            }
        }
    }

    static let useOfItself = """
        UPDATE blob SET lastUsed = max(lastUsed, ?2), leasedUntil = max(leasedUntil, ?3) WHERE digest = ?1
        """
    static let useOfNamed = """
        UPDATE blob SET lastUsed = max(lastUsed, ?2), leasedUntil = max(leasedUntil, ?3)
        WHERE digest IN (SELECT child FROM child WHERE parent = ?1)
        """
    /// CROSS: from the index down. The limit is beyond every image that is meant to be run; without it, manifests made
    /// for the purpose could keep the only writer busy for minutes with each use.
    static let leaseBelowNamed = """
        UPDATE blob SET leasedUntil = max(leasedUntil, ?2)
        WHERE digest IN (
            SELECT own.child FROM child AS named CROSS JOIN child AS own ON own.parent = named.child
            WHERE named.parent = ?1 LIMIT \(leasedBelowNamed))
        """
    /// Blobs.
    static let leasedBelowNamed = 10_000

    struct Candidate: Equatable, Sendable {
        /// The digest's number in this life of the database.
        let number: Int64
        let digest: Digest
        let size: Int64
    }

    /// Who goes next, and what is to be written down of it.
    struct Order: Equatable, Sendable {
        /// The first to go is the first.
        var candidates: [Candidate] = []
        /// Manifests by their numbers, each with the time of use that puts it behind the blobs that only it names.
        var places: [Int64: Int64] = [:]
        /// The last use of the last that was looked at: all before it are known.
        var last = Int64.min
    }

    /// What may go. A lease that ends later than one given now would was given by a clock that has been set back
    /// since: void.
    private static let idle = "pinned = 0 AND hosted = 0 AND (leasedUntil <= ?1 OR leasedUntil > ?2)"

    /// The least recently used, up to `limit` of them, that nothing holds.
    ///
    /// A manifest goes with, or after, the blobs only it names: one whose own blobs were used later than itself takes
    /// its place behind them, here, where it costs once, and not at every use. Those whose place is behind the last
    /// that was looked at are not among the candidates.
    ///
    /// - Parameters:
    ///   - from: who was used last before that is not looked at.
    ///   - isLook: nothing is to go: whoever makes room does not wait for this.
    func leastRecentlyUsed(
        _ limit: Int, from: Int64 = .min, at now: Int64, lease: Duration, isLook: Bool = false
    ) async throws(StoreError) -> Order {
        let arguments: StatementArguments = [now, now + lease.milliseconds, limit, from]
        return try await read(toMakeRoom: !isLook) { db in
            let rows = try Row.fetchCursor(db.cachedStatement(sql: Self.inOrderOfUse), arguments: arguments)
            var (result, isAll) = (Order(), true)
            var order: [(candidate: Candidate, place: Int64)] = []
            while let row = try rows.next() {
                guard order.count < limit else {
                    isAll = false
                    break
                }
                guard let candidate = Candidate(row) else { continue }
                result.last = row[3]
                let place: Int64? = row[4]
                if let place { result.places[candidate.number] = place }
                order.append((candidate, place ?? result.last))
            }
            if !result.places.isEmpty {
                // Behind the last of all there is nobody to wait for.
                if !isAll { order.removeAll { [last = result.last] in $0.place > last } }
                // It is stable: who was used at the same time goes as he came.
                order.sort { $0.place < $1.place }
            }
            result.candidates = order.map(\.candidate)
            return result
        }
    }

    /// One walk: the place of a manifest, if its own blobs were used later than itself, is found beside its row.
    /// CROSS: from the order of use on, and from a manifest to what it names.
    private static let inOrderOfUse = """
        SELECT id, bytes, size, lastUsed,
            CASE WHEN manifest.isIndex = 0 THEN (
                SELECT max(own.lastUsed) + 1 FROM child CROSS JOIN blob AS own ON own.digest = child.child
                WHERE child.parent = blob.digest AND own.lastUsed >= blob.lastUsed
                    AND NOT EXISTS (SELECT 1 FROM child AS other
                                    CROSS JOIN blob AS holder ON holder.digest = other.parent
                                    WHERE other.child = own.digest AND other.parent <> blob.digest)) END
        FROM blob CROSS JOIN digest ON digest.id = blob.digest LEFT JOIN manifest ON manifest.digest = blob.digest
        WHERE \(idle) AND lastUsed >= ?4 ORDER BY lastUsed LIMIT ?3 + 1
        """

    /// The numbers of those that something holds by now: pushed here, pinned or leased since they were chosen.
    func held(
        among candidates: [Candidate], at now: Int64, lease: Duration
    ) async throws(StoreError) -> Set<Int64> {
        let numbers = candidates.map { "\($0.number)" }.joined(separator: ",")
        return try await read(toMakeRoom: true) { db in
            try Int64.fetchSet(
                db.cachedStatement(
                    sql: """
                        SELECT digest FROM blob
                        WHERE digest IN (SELECT value FROM json_each(?3)) AND NOT (\(Self.idle))
                        """),
                arguments: [now, now + lease.milliseconds, "[\(numbers)]"])
        }
    }

    /// Bytes on disk of all that nothing holds. A walk over the index: asked only when something must go.
    func evictableBytes(at now: Int64, lease: Duration) async throws(StoreError) -> Int64 {
        try await read(toMakeRoom: true) { db in
            try Int64.fetchOne(
                db, sql: "SELECT ifnull(sum((size + 4095) & ~4095), 0) FROM blob WHERE \(Self.idle)",
                arguments: [now, now + lease.milliseconds]) ?? 0
        }
    }

    /// The latest use that is remembered; Unix time in milliseconds.
    func latestUse() -> Int64 {
        let latest = try? readNow { db in
            try Int64.fetchOne(db, sql: "SELECT max(lastUsed) FROM blob WHERE pinned = 0 AND hosted = 0")
        }
        return latest.flatMap { $0 } ?? 0
    }

    /// Forgets the digest wholly: content, what it is as a manifest and referrer, links and tags.
    func forget(_ digest: Digest) async throws(StoreError) {
        try await write { db in
            if let number = try digest.number(in: db) { try Self.forget([number], in: db) }
        }
    }

    /// Forgets these wholly, and writes down the places of others, in one transaction; nothing if the database was
    /// begun anew since they were chosen.
    ///
    /// - Parameter life: the database's, before they were chosen.
    func forget(
        _ rows: [Candidate], places: [Int64: Int64] = [:], chosenIn life: Int
    ) async throws(StoreError) {
        try await write { db in
            // A new one is not open before its life has begun, so this is the one that the numbers are of.
            guard self.life == life else { return }
            try Self.forget(rows.map(\.number), in: db)
            // Who was used meanwhile stays where that put him.
            let place = try db.cachedStatement(sql: "UPDATE blob SET lastUsed = max(lastUsed, ?) WHERE digest = ?")
            for (number, lastUsed) in places { try place.execute(arguments: [lastUsed, number]) }
        }
    }

    /// Of the writer's connection, in memory: what `forget` is about, and the manifests among it.
    static let makeGoing = """
        CREATE TEMP TABLE going (id INTEGER PRIMARY KEY); CREATE TEMP TABLE goingManifest (id INTEGER PRIMARY KEY)
        """

    /// Table by table: a few statements for all of them, and not for each. What only manifests have is not looked for
    /// in vain where layers have none: each look is a page.
    private static func forget(_ numbers: [Int64], in db: Database) throws {
        try choose(numbers, in: db)
        try deleteGoing(in: db)
        try delete("link.digest", of: "going")
        for place in ["child.parent", "tag.digest", "referrer.digest", "unlinkedChild.parent", "manifest.digest"] {
            try delete(place, of: "goingManifest")
        }

        func delete(_ place: String, of going: String) throws {
            let table = place.prefix { $0 != "." }
            try db.cachedStatement(sql: "DELETE FROM \(table) WHERE \(place) IN temp.\(going)").execute()
        }
    }

    static func choose(_ numbers: [Int64], in db: Database) throws {
        for table in ["going", "goingManifest"] { try db.cachedStatement(sql: "DELETE FROM temp.\(table)").execute() }
        try db.cachedStatement(sql: "INSERT INTO temp.going SELECT value FROM json_each(?)").execute(
            arguments: ["[\(numbers.map(String.init).joined(separator: ","))]"])
        try db.cachedStatement(
            sql: "INSERT INTO temp.goingManifest SELECT digest FROM manifest WHERE digest IN temp.going"
        ).execute()
    }

    /// The content of what was chosen is not stored any more, and not counted (`SchemaOfFigures`).
    static func deleteGoing(in db: Database) throws {
        try db.cachedStatement(
            sql: """
                UPDATE stored SET files = stored.files - gone.files, manifests = stored.manifests - gone.manifests,
                    pinnedBytes = pinnedBytes - gone.pinned, hostedBytes = hostedBytes - gone.hosted
                FROM (SELECT count(*) AS files, ifnull(sum(blob.digest IN temp.goingManifest), 0) AS manifests,
                        ifnull(sum(pinned * size), 0) AS pinned, ifnull(sum(hosted * size), 0) AS hosted
                    FROM temp.going CROSS JOIN blob ON blob.digest = going.id) AS gone
                """
        ).execute()
        try db.cachedStatement(sql: "DELETE FROM blob WHERE digest IN temp.going").execute()
    }

    /// What a pinned manifest names may be here before it (another image's base layer): it is pinned from now on.
    static func passPinDown(from manifest: Int64, in db: Database) throws {
        let pinned = try Int.fetchOne(
            db.cachedStatement(sql: "SELECT pinned FROM blob WHERE digest = ?"), arguments: [manifest])
        if pinned == 1 { try pinAll(under: manifest, in: db) }
    }

    static func pinAll(under root: Int64, in db: Database) throws {
        try db.execute(
            sql: """
                WITH RECURSIVE held (digest) AS (
                    SELECT ? UNION SELECT child.child FROM child JOIN held ON held.digest = child.parent)
                UPDATE blob SET pinned = 1 WHERE digest IN (SELECT digest FROM held)
                """, arguments: [root])
    }
}

extension MetadataDatabase.Candidate {
    /// - Parameter row: number, bytes and size first.
    init?(_ row: Row) {
        // As it lies there: a row costs less than a copy of its bytes. What is no blob is no digest.
        let digest = try? row.withUnsafeData(atIndex: 1) { data in
            data.flatMap { $0.withUnsafeBytes { Digest(storedBytes: $0) } }
        }
        guard let digest else { return nil }
        self.init(number: row[0], digest: digest, size: row[2])
    }
}
