// What a repository can show of what is stored: who refers to a digest, and which repositories there are by name.

import Foundation
import GRDB
import OCI

extension MetadataDatabase {
    /// The stored manifests that name the subject, as far as the repository may show each of them: one by one by the
    /// rule of `knowledge`, so that there is no second rule.
    func referrers(
        of subject: Digest, in repository: Repository
    ) async throws(StoreError) -> [(digest: Digest, size: Int64, mediaType: MediaType)] {
        try await read { db in
            let digests = try Data.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT bytes FROM referrer JOIN digest ON digest.id = referrer.digest
                        WHERE subject = ? ORDER BY bytes
                        """),
                arguments: [subject.data])
            return try digests.compactMap { data -> (digest: Digest, size: Int64, mediaType: MediaType)? in
                guard let digest = Digest(data: data) else { return nil }
                let knowledge = try Self.knowledge(of: digest, in: repository, db)
                guard knowledge.isLinked, let size = knowledge.storedSize, let mediaType = knowledge.mediaType
                else { return nil }
                return (digest, size, mediaType)
            }
        }
    }

    /// Of a repository: whether anything of it is stored.
    static let hasAnything = """
        (EXISTS (SELECT 1 FROM tag JOIN blob ON blob.digest = tag.digest WHERE tag.repository = repository.id)
            OR EXISTS (SELECT 1 FROM link JOIN blob ON blob.digest = link.digest WHERE link.repository = repository.id)
            OR EXISTS (SELECT 1 FROM hosted WHERE hosted.repository = repository.id))
        """

    /// Repositories with something stored under a tag or a link of theirs, whose name contains the text.
    func repositories(matching text: String, limit: Int) async throws(StoreError) -> [Repository] {
        // Names are lower case by their grammar, and `instr` knows no wildcards.
        let part = text.lowercased()
        return try await read { db in
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT upstream, name FROM repository
                        WHERE instr(name, ?) > 0 AND \(Self.hasAnything)
                        ORDER BY length(name), name, upstream LIMIT ?
                        """), arguments: [part, max(0, limit)])
            return rows.compactMap { row in
                RepositoryName(row[1] as String).map { Repository(upstream: row[0], name: $0) }
            }
        }
    }
}
