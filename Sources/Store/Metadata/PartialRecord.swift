// Rows about unfinished blobs: which of their bytes are on the disk, for a start after a kill.

import Foundation
import GRDB
import OCI

/// What was durable when the row was written; the file may hold more by now, and never less.
struct PartialRow: Equatable, Sendable {
    let digest: Digest
    /// The file's name in `ingest/`.
    let file: String
    /// Of the whole blob, bytes.
    let size: Int64
    let extents: Extents
    /// Unix time, milliseconds.
    let keptAt: Int64
}

extension MetadataDatabase {
    /// Writes the row, unless the file has met another end by the time it is its turn: one transaction runs at a time,
    /// and an end takes the file first and deletes the row then, so none is left behind.
    func checkpoint(_ row: PartialRow, if isStillTrue: @escaping @Sendable () -> Bool) async throws(StoreError) {
        try await write { db in
            guard isStillTrue() else { return }
            try db.cachedStatement(
                sql: "INSERT OR REPLACE INTO partial (digest, file, size, extents, keptAt) VALUES (?, ?, ?, ?, ?)"
            ).execute(arguments: [row.digest.data, row.file, row.size, row.extents.data, row.keptAt])
        }
    }

    /// Deletes the row if it tells of this file, and not of one begun since.
    func forgetPartial(_ digest: Digest, file: String) async throws(StoreError) {
        try await write { db in
            try db.cachedStatement(sql: "DELETE FROM partial WHERE digest = ? AND file = ?")
                .execute(arguments: [digest.data, file])
        }
    }

    /// The blob is stored.
    static func forgetPartial(_ digest: Digest, in db: Database) throws {
        try db.cachedStatement(sql: "DELETE FROM partial WHERE digest = ?").execute(arguments: [digest.data])
    }

    /// At start.
    func partials() throws(StoreError) -> [PartialRow] {
        try readNow { db in
            let rows = try Row.fetchAll(db, sql: "SELECT digest, file, size, extents, keptAt FROM partial")
            return rows.compactMap { row in
                guard let digest = Digest(data: row[0]) else { return nil }
                // Unreadable extents are none: the file goes.
                let extents = Extents(data: row[3]) ?? Extents()
                return PartialRow(digest: digest, file: row[1], size: row[2], extents: extents, keptAt: row[4])
            }
        }
    }

    /// At start.
    func forgetPartialsNow(_ digests: [Digest]) throws(StoreError) {
        try writeNow { db in for digest in digests { try Self.forgetPartial(digest, in: db) } }
    }
}

extension Extents {
    /// The database's form: the bounds of each range in order, 8 bytes each, little-endian.
    var data: Data {
        var data = Data(capacity: ranges.count * 16)
        for range in ranges {
            for bound in [range.lowerBound, range.upperBound] {
                withUnsafeBytes(of: bound.littleEndian) { data.append(contentsOf: $0) }
            }
        }
        return data
    }

    /// nil for bytes that this cannot have written.
    init?(data: Data) {
        guard data.count.isMultiple(of: 16) else { return nil }
        let bytes = [UInt8](data)
        let bounds = stride(from: 0, to: bytes.count, by: 8).map { place in
            bytes[place..<place + 8].reversed().reduce(Int64(0)) { $0 << 8 | Int64($1) }
        }
        var previous: Int64 = -1
        self.init()
        for place in stride(from: 0, to: bounds.count, by: 2) {
            let (lower, upper) = (bounds[place], bounds[place + 1])
            guard lower > previous, upper > lower else { return nil }
            insert(lower..<upper)
            previous = upper
        }
    }
}
