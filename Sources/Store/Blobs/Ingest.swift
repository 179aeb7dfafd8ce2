// A file on its way into the store, invisible to readers by name until it is published.

import Glibc

/// Noncopyable: it ends exactly once, by `publish` or `quarantine`, or, when it goes out of scope, by removal.
struct Ingest: ~Copyable {
    private let descriptor: CInt
    private let path: String
    private var isKept = false

    /// Makes the file and, where its size is known, takes its blocks at once: a late ENOSPC becomes an early one, and
    /// writes into it are faster.
    static func create(_ path: String, size: Int64?) throws(StoreError) -> Ingest {
        let descriptor = try system("open", path) { open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644) }
        let ingest = Ingest(descriptor: descriptor, path: path)
        guard let size, size > 0 else { return ingest }
        let code = posix_fallocate(descriptor, 0, off_t(size))
        if code == ENOSPC || code == EDQUOT { throw .noSpace(needed: size) }
        // Any other refusal only means that blocks are taken as they come.
        return ingest
    }

    private init(descriptor: CInt, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
        try writeFully(descriptor, bytes, at: offset, path: path)
    }

    /// A descriptor of the caller's own on the same file.
    func duplicate() throws(StoreError) -> CInt {
        try system("dup", path) { fcntl(descriptor, F_DUPFD_CLOEXEC, 0) }
    }

    /// Cuts off what was preallocated beyond the end and makes the content durable. Costs what the disk costs.
    func sync(size: Int64) throws(StoreError) {
        try system("truncate", path) { ftruncate(descriptor, off_t(size)) }
        try system("chmod", path) { fchmod(descriptor, 0o444) }
        try system("fsync", path) { fsync(descriptor) }
    }

    /// Gives the synced file its name, durably. The directory is made if it is the shard's first blob.
    consuming func publish(as name: String, in directory: String, under parent: String) throws(StoreError) {
        if try makeDirectory(directory) { try syncDirectory(parent) }
        try system("rename", path) { rename(path, name) }
        isKept = true
        try syncDirectory(directory)
    }

    /// Moves the file to where it may be looked at and is never served.
    consuming func quarantine(as name: String) throws(StoreError) {
        try system("rename", path) { rename(path, name) }
        isKept = true
    }

    deinit {
        if !isKept { unlink(path) }
        close(descriptor)
    }
}
