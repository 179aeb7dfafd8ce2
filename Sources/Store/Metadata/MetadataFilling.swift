// Rows in bulk, for the bench: the product's own tables, without the pulls that would take hours to fill them.

import Foundation
import GRDB
import OCI

struct MetadataFilling {
    let content: BenchContent
    /// Images a transaction.
    private static let images = 10_000

    /// Into a database that this program has made and that nobody has open. Ends early where the task is cancelled.
    func fill(_ path: String) throws(StoreError) {
        do {
            let queue = try DatabaseQueue(path: path)
            try queue.writeWithoutTransaction { db in
                try db.execute(
                    sql: "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536")
            }
            for first in stride(from: 0, to: content.images, by: Self.images) where !Task.isCancelled {
                try queue.write { db in try fill(first..<min(content.images, first + Self.images), db) }
            }
            try queue.close()
        } catch {
            throw .database("\(error)")
        }
    }

    private func fill(_ images: Range<Int>, _ db: Database) throws {
        let name = try db.cachedStatement(sql: "INSERT INTO digest (id, bytes) VALUES (?, ?)")
        let blob = try db.cachedStatement(
            sql: "INSERT INTO blob (digest, size, storedAt, lastUsed) VALUES (?, ?, ?, ?)")
        let link = try db.cachedStatement(
            sql: "INSERT INTO link (digest, repository, size, named) VALUES (?, ?, NULL, 0)")
        for image in images where !Task.isCancelled {
            let number = image / BenchContent.imagesPerRepository
            guard let repository = try content.repository(number)?.idMakingOne(in: db) else { continue }
            for number in content.blobs(ofImage: image) {
                try name.execute(arguments: [number + 1, content.digest(number)?.data])
                try blob.execute(
                    arguments: [
                        number + 1, content.size(number), content.storedAt(number), content.lastUsed(number),
                    ])
                try link.execute(arguments: [number + 1, repository])
                if content.isManifest(number) { try fillManifest(number, db) }
            }
            guard image.isMultiple(of: 2) else { continue }
            try db.cachedStatement(sql: "INSERT INTO tag (repository, tag, digest, checkedAt) VALUES (?, ?, ?, ?)")
                .execute(
                    arguments: [
                        repository, "1.\(image)", content.blobs(ofImage: image).lowerBound + 1,
                        content.lastUsed(content.blobs(ofImage: image).lowerBound),
                    ])
        }
    }

    private func fillManifest(_ number: Int, _ db: Database) throws {
        let isIndex = number.isMultiple(of: BenchContent.blobsPerImage)
        try db.cachedStatement(sql: "INSERT INTO manifest (digest, mediaType, isIndex) VALUES (?, ?, ?)").execute(
            arguments: [
                number + 1, (isIndex ? MediaType.ociIndex : .ociManifest).rawValue, isIndex,
            ])
        let child = try db.cachedStatement(sql: "INSERT INTO child (parent, child, size) VALUES (?, ?, ?)")
        for named in content.children(of: number) {
            try child.execute(arguments: [number + 1, named + 1, content.size(named)])
        }
    }
}
