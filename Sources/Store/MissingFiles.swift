// Rows whose files are gone: an eviction that ended between the two, or a power cut that lost the row's going.

import Glibc
import OCI

extension ContentStore {
    /// Forgets them, and those whose file has another size. Each would be found when somebody opened it; but one that
    /// nobody asks for counts as bytes that are not on the disk, and for as many as a whole batch of an eviction
    /// others would go.
    func forgetMissing() async throws(StoreError) {
        var last: Digest?
        while !Task.isCancelled {
            let page = try await database.blobs(after: last, limit: 1000)
            guard let end = page.last else { return }
            last = end.digest
            let gone = try await DiskQueue.run { [layout] () throws(StoreError) in
                page.filter { row in
                    var status = stat()
                    // What cannot be looked at just now is not gone.
                    guard stat(layout.blob(row.digest), &status) == 0 else { return errno == ENOENT }
                    return Int64(status.st_size) != row.size
                }
            }
            for row in gone {
                try await gate.turn(row.digest) { () async throws(StoreError) in
                    // It may have been evicted since, or fetched again.
                    guard let size = try await database.size(of: row.digest) else { return }
                    _ = try await open(row.digest, size: size)
                }
            }
        }
    }
}
