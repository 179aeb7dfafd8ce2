// At start and after damage: one process a directory, a database that opens, and files and rows that agree in the end.

import Glibc
import Logging
import OCI

/// The directory itself is the lock: it goes with the process, however that ends, and with an opening that fails
/// half-way.
struct DirectoryLock: ~Copyable {
    private let descriptor: CInt

    init(_ root: String) throws(StoreError) {
        let descriptor = try system("open", root) { open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw .inUse(root: root)
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }
}

extension ContentStore {
    /// A damaged database is moved aside and a new one begun: a cache may forget what things were called, it may not
    /// refuse to start. The files are adopted again by `reconcile`. One that only cannot be had now (a full disk, no
    /// permission) is left alone.
    ///
    /// - Returns: the database and the bytes on disk that it says are committed. Counting them reads every row, so
    ///   that damage among
    ///   them shows here.
    static func openDatabase(
        _ layout: DiskLayout, at now: Int64, logger: Logger
    ) throws(StoreError) -> (MetadataDatabase, committed: Int64) {
        do throws(MetadataDatabase.OpeningFailure) {
            return try MetadataDatabase.opened(layout.metadata)
        } catch {
            guard error.isDamage else { throw error.reason }
            let aside = layout.damagedMetadata(now)
            logger.error(
                "the metadata database cannot be used and was moved aside; a new one is begun",
                metadata: ["error": "\(error.reason)", "aside": "\(aside)"])
        }
        // One is kept for whoever wants to know why.
        for name in names(in: layout.root) where name.hasPrefix(DiskLayout.damaged) { unlink("\(layout.root)/\(name)") }
        for suffix in ["", "-wal", "-shm"] { rename(layout.metadata + suffix, layout.damagedMetadata(now) + suffix) }
        do throws(MetadataDatabase.OpeningFailure) {
            return try MetadataDatabase.opened(layout.metadata)
        } catch {
            throw error.reason
        }
    }

    /// Files that no row knows (a kill between rename and row, a lost database): hashed, and adopted or quarantined.
    /// Missing files are found when they are opened. Slow on purpose, a file at a time, and never in a client's way.
    package func reconcile() async throws(StoreError) {
        for algorithm in Digest.Algorithm.allCases {
            for shard in names(in: "\(layout.blobs)/\(algorithm.name)") {
                let files = names(in: "\(layout.blobs)/\(algorithm.name)/\(shard)")
                let digests = files.compactMap { Digest("\(algorithm.name):\($0)") }
                let known = try await database.known(digests)
                for digest in digests where !known.contains(digest) {
                    if Task.isCancelled { return }
                    try await adopt(digest)
                }
            }
        }
    }

    private func adopt(_ digest: Digest) async throws(StoreError) {
        try await gate.turn(digest) { () async throws(StoreError) in
            // It may have been committed since the listing.
            guard try await database.known([digest]).isEmpty else { return }
            guard let file = try BlobFile(opening: layout.blob(digest), digest: digest) else { return }
            let actual = try await DiskQueue.run { () throws(StoreError) in try file.hash() }
            guard actual == digest else {
                logger.error("a file is not what its name says: quarantined", metadata: ["digest": "\(digest)"])
                try quarantine.take(stored: digest, id: nextID())
                return measureOverhead()
            }
            let earlier = try await database.insert(
                blob: digest, size: file.size, at: uses.stamp(now()), linkedTo: [])
            capacity.change { $0.committed += onDisk(file.size) - onDisk(earlier ?? 0) }
            logger.info("adopted a file without a row", metadata: ["digest": "\(digest)"])
        }
    }
}

extension BlobFile {
    /// Reads and hashes all of it; blocks.
    func hash() throws(StoreError) -> Digest {
        let descriptor = try duplicate()
        defer { Glibc.close(descriptor) }
        var digester = Digester(digest.algorithm)
        var offset: Int64 = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        while true {
            let count = try readFully(descriptor, buffer, at: offset, path: "\(digest)")
            guard count > 0 else { return digester.finish() }
            digester.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            offset += Int64(count)
        }
    }
}
