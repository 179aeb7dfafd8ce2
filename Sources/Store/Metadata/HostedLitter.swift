// Rows about what nothing in a hosted repository leads to, and who needs what.

import Foundation
import GRDB
import OCI

extension MetadataDatabase {
    /// Blobs of the repository that none of its manifests names, and that nobody has pushed since `instant`, Unix
    /// milliseconds.
    func litter(in name: RepositoryName, before instant: Int64) async throws(StoreError) -> [Digest] {
        try await unneeded(
            in: name, before: instant,
            """
            SELECT bytes FROM hosted CROSS JOIN digest ON digest.id = hosted.digest
            WHERE hosted.repository = ?1 AND hosted.isManifest = 0 AND hosted.touchedAt < ?2
                AND NOT EXISTS (
                    SELECT 1 FROM (
                        SELECT parent FROM child WHERE child = hosted.digest
                        UNION ALL SELECT parent FROM unlinkedChild WHERE child = hosted.digest) AS naming
                    JOIN hosted AS own ON own.repository = ?1 AND own.isManifest = 1
                        AND own.digest = naming.parent)
            """)
    }

    /// Manifests of the repository that neither a tag leads to nor an index, nor a subject that is there, and that
    /// nobody has pushed since `instant`, Unix milliseconds.
    func unreached(in name: RepositoryName, before instant: Int64) async throws(StoreError) -> [Digest] {
        try await unneeded(
            in: name, before: instant,
            """
            SELECT digest.bytes FROM hosted CROSS JOIN digest ON digest.id = hosted.digest
            WHERE hosted.repository = ?1 AND hosted.isManifest = 1 AND hosted.touchedAt < ?2
                AND NOT EXISTS (
                    SELECT 1 FROM hostedTag
                    WHERE hostedTag.digest = hosted.digest AND hostedTag.repository = ?1)
                AND NOT EXISTS (
                    SELECT 1 FROM child JOIN hosted AS own ON own.repository = ?1 AND own.isManifest = 1
                        AND own.digest = child.parent
                    WHERE child.child = hosted.digest)
                AND NOT EXISTS (
                    SELECT 1 FROM referrer JOIN digest AS subject ON subject.bytes = referrer.subject
                    JOIN hosted AS own ON own.repository = ?1 AND own.isManifest = 1
                        AND own.digest = subject.id
                    WHERE referrer.digest = hosted.digest)
            """)
    }

    /// - Parameter sql: asks for the bytes of digests; `?1` is the repository's number, `?2` the instant.
    private func unneeded(
        in name: RepositoryName, before instant: Int64, _ sql: String
    ) async throws(StoreError) -> [Digest] {
        try await read { db in
            guard let id = try Repository(hosted: name).id(in: db) else { return [] }
            return try Data.fetchAll(db, sql: sql, arguments: [id, instant]).compactMap { Digest(data: $0) }
        }
    }
}
