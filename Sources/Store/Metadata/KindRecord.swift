// Whether a digest is a manifest's, also where its content has been lost.

import GRDB
package import OCI

extension ContentStore {
    /// Whether it was stored as a manifest or an index: those are asked for by another path than blobs.
    package func isManifest(_ digest: Digest) async throws(StoreError) -> Bool {
        try await database.read { db in
            try Bool.fetchOne(
                db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM manifest WHERE digest = ?)"),
                arguments: [digest.data]) ?? false
        }
    }
}
