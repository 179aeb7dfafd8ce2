// A file on its way into the store, invisible to readers by name until it is published.

import Glibc

/// Noncopyable: it ends exactly once, by `publish`, `quarantine` or `keep`, or, when it goes out of scope, by removal.
struct Ingest: ~Copyable {
    let path: String
    private let descriptor: CInt
    private var isNamed: Bool

    /// Makes the file and, where its size is known, takes its blocks at once. Its first byte is written, so that a disk
    /// that takes none is found out before any client is promised anything.
    static func create(_ path: String, size: Int64?) throws(StoreError) -> Ingest {
        let descriptor = try system("open", path) { open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644) }
        let ingest = Ingest(path: path, descriptor: descriptor, isNamed: true)
        try allocate(descriptor, size: size ?? 0, path: path)
        guard size != 0 else { return ingest }
        try withUnsafeBytes(of: UInt8(0)) { (byte) throws(StoreError) in try ingest.write(byte, at: 0) }
        return ingest
    }

    /// A file that no directory names from its first moment on: it can neither be published nor found after a kill.
    static func createNameless(_ path: String) throws(StoreError) -> Ingest {
        var ingest = try create(path, size: nil)
        ingest.forgetName()
        return ingest
    }

    /// As nameless, where not one block of the disk can be had.
    static func createInMemory(_ name: String) throws(StoreError) -> Ingest {
        Ingest(path: name, descriptor: try memoryFile(name), isNamed: false)
    }

    /// Opens a kept file, with `extents` of it written, and takes the blocks that are missing. If that fails it lies
    /// there as it did before.
    static func reopen(_ path: String, extents: Extents, size: Int64) throws(StoreError) -> Ingest {
        let descriptor = try system("open", path) { open(path, O_RDWR | O_CLOEXEC) }
        let ingest = Ingest(path: path, descriptor: descriptor, isNamed: true)
        do throws(StoreError) {
            try allocate(descriptor, size: size, path: path)
        } catch {
            _ = try ingest.keep(extents)
            throw error
        }
        return ingest
    }

    /// Gives back every block of a kept file but those of `extents`.
    ///
    /// - Returns: the bytes it takes on the disk.
    /// - Throws: `.sizeMismatch` if not all of them can be in it.
    static func trim(_ path: String, to extents: Extents) throws(StoreError) -> Int64 {
        let descriptor = try system("open", path) { open(path, O_RDWR | O_CLOEXEC) }
        let ingest = Ingest(path: path, descriptor: descriptor, isNamed: true)
        let size = try fileSize(descriptor, path: path)
        guard size >= extents.end else { throw .sizeMismatch(expected: extents.end, actual: size) }
        // Outwards to whole large pages: the killed process's clients may still be reading what it had sent, as the
        // very pages of this file, and punching a part of a page zeroes that part.
        let page: Int64 = 2 << 20
        let padded = Extents(
            extents.ranges.map { $0.lowerBound / page * page..<min(size, ($0.upperBound + page - 1) / page * page) })
        return try ingest.keep(padded)
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

    /// Gives back the blocks of a range.
    func punch(_ range: Range<Int64>) throws(StoreError) { try punchHole(descriptor, range, path: path) }

    /// Gives back every block but those of `extents`.
    func trim(to extents: Extents) throws(StoreError) {
        try system("truncate", path) { ftruncate(descriptor, off_t(extents.end)) }
        for gap in extents.gaps(in: 0..<extents.end) { try punch(gap) }
    }

    /// From here on nothing but descriptors leads to the file.
    mutating func forgetName() {
        if isNamed { unlink(path) }
        isNamed = false
    }

    /// Gives the synced file its name, durably. The directory is made if it is the shard's first blob.
    ///
    /// - Parameter inPlaceOfAnother: a file of that name, as good as this one, is there already: so there is one even
    ///   if this fails.
    consuming func publish(
        as name: String, in directory: String, under parent: String, inPlaceOfAnother: Bool
    ) throws(StoreError) {
        if try makeDirectory(directory) { try syncDirectory(parent) }
        try system("rename", path) { rename(path, name) }
        isNamed = false
        do throws(StoreError) {
            try syncDirectory(directory)
        } catch {
            // It may be there after a power cut or not; for this run it is not.
            if !inPlaceOfAnother { unlink(name) }
            throw error
        }
    }

    /// Moves the file to where it may be looked at and is never served.
    consuming func quarantine(as name: String) throws(StoreError) {
        try system("rename", path) { rename(path, name) }
        isNamed = false
    }

    /// Leaves the file where it lies, to be gone on with, with nothing but `extents` in it.
    ///
    /// - Returns: the bytes it takes on the disk.
    consuming func keep(_ extents: Extents) throws(StoreError) -> Int64 {
        try trim(to: extents)
        let allocated = try allocatedSize(descriptor, path: path)
        isNamed = false
        return allocated
    }

    deinit {
        if isNamed { unlink(path) }
        close(descriptor)
    }
}
