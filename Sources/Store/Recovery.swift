// At start and after damage: one process a directory, a database that opens, and files and rows that agree in the end.

import Glibc
import Logging
import OCI

extension ContentStore {
    /// The directory itself is the lock: it goes with the process, however that ends.
    static func lock(_ root: String) throws(StoreError) -> CInt {
        let descriptor = try system("open", root) { Glibc.open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return descriptor }
        Glibc.close(descriptor)
        throw .inUse(root: root)
    }

    /// A damaged database is moved aside and a new one begun: a cache may forget what things were called, it may not refuse to
    /// start. The files are adopted again by `reconcile`.
    static func openDatabase(_ layout: DiskLayout, at now: Int64, logger: Logger) throws(StoreError) -> MetadataDatabase {
        do throws(StoreError) {
            return try MetadataDatabase(path: layout.metadata)
        } catch {
            let aside = "\(layout.metadata).damaged-\(now)"
            logger.error(
                "the metadata database cannot be used and was moved aside; a new one is begun",
                metadata: ["error": "\(error)", "aside": "\(aside)"])
            for suffix in ["", "-wal", "-shm"] { rename(layout.metadata + suffix, aside + suffix) }
            return try MetadataDatabase(path: layout.metadata)
        }
    }

    /// Files that no row knows (a kill between rename and row, a lost database): hashed, and adopted or quarantined. Missing files
    /// are found when they are opened. Slow on purpose, a file at a time, and never in a client's way.
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
            try await database.insert(blob: digest, size: file.size, at: now(), linkedTo: [])
            capacity.change { $0.committed += onDisk(file.size) }
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
