// Bytes that did not match their digest: kept a while for whoever wants to know why, never served.

import Glibc
import OCI

/// At most 16 files and 1 GiB, the newest, and no more than a tenth of what may be stored; what alone is larger is
/// not kept at all.
struct Quarantine: Sendable {
    static let mostFiles = 16

    let layout: DiskLayout
    /// Bytes that may be stored in all, at this moment.
    let limit: @Sendable () -> Int64

    /// Bytes.
    var bound: Int64 { min(1 << 30, limit() / 10) }

    /// Moves an ingest here and makes room by removing the oldest.
    func take(_ ingest: consuming Ingest, digest: Digest, id: String, size: Int64) throws(StoreError) {
        guard size <= bound else { return }  // going out of scope removes it
        try ingest.quarantine(as: layout.quarantined(digest, id))
        trim()
    }

    /// Moves a stored file here that turned out to be damaged.
    func take(stored digest: Digest, id: String) throws(StoreError) {
        let path = layout.blob(digest)
        let aside = layout.quarantined(digest, id)
        try system("rename", path) { rename(path, aside) }
        var status = stat()
        if stat(aside, &status) == 0, Int64(status.st_size) > bound { unlink(aside) }
        trim()
    }

    /// Bytes and files that lie here.
    var content: (bytes: Int64, files: Int) {
        let files = listed()
        return (files.reduce(0) { $0 + $1.size }, files.count)
    }

    private func trim() {
        var files = listed().sorted { $0.came > $1.came }
        var bytes = files.reduce(0) { $0 + $1.size }
        while files.count > Self.mostFiles || bytes > bound, let oldest = files.popLast() {
            unlink(oldest.path)
            bytes -= oldest.size
        }
    }

    /// `size`: bytes on the disk. `came`: nanoseconds; the rename hither is what last changed the inode, while a stored
    /// file's content may be old.
    private func listed() -> [(path: String, size: Int64, came: Int)] {
        names(in: layout.quarantine).compactMap { name in
            let path = "\(layout.quarantine)/\(name)"
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            let size = max(onDisk(Int64(status.st_size)), Int64(status.st_blocks) * 512)
            return (path, size, status.st_ctim.tv_sec * 1_000_000_000 + status.st_ctim.tv_nsec)
        }
    }
}
