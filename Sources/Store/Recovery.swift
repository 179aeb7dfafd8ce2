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
        // A program that is just being started holds what its parent held, until it runs: not for long.
        for attempt in 0... {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { break }
            guard attempt < 20 else {
                close(descriptor)
                throw .inUse(root: root)
            }
            usleep(10_000)
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }
}

extension ContentStore {
    /// In the place of an upstream's name: who brought an adopted file is not known, so no naming manifest shows it.
    private static let nobody = ""

    /// A damaged database is moved aside and a new one begun: a cache may forget what things were called, it may not
    /// refuse to start. The files are adopted again by `reconcile`. One that only cannot be had now (a full disk, no
    /// permission) is left alone.
    ///
    /// - Returns: the database and the bytes on disk that it says are committed. Counting them reads every row, so
    ///   that damage among them shows here.
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
    /// Then the rows without a file go (`MissingFiles.swift`). What is unknown counts at once, so that the bounds hold
    /// meanwhile; hashing it is slow on purpose, a file at a time, and never in a client's way.
    package func reconcile() async throws(StoreError) {
        var unknown: [(digest: Digest, size: Int64)] = []
        for algorithm in Digest.Algorithm.allCases {
            for shard in names(in: "\(layout.blobs)/\(algorithm.name)") {
                let files = names(in: "\(layout.blobs)/\(algorithm.name)/\(shard)")
                let digests = files.compactMap { Digest("\(algorithm.name):\($0)") }
                let known = try await database.known(digests)
                for digest in digests where !known.contains(digest) {
                    var status = stat()
                    guard stat(layout.blob(digest), &status) == 0 else { continue }
                    unknown.append((digest, onDisk(Int64(status.st_size))))
                }
            }
        }
        let all = unknown.reduce(0) { $0 + $1.size }
        capacity.change { $0.unknown = all }
        for (digest, size) in unknown {
            if !Task.isCancelled { await tryToAdopt(digest) }
            capacity.change { $0.unknown -= size }
        }
        try await forgetMissing()
    }

    /// One file that cannot be read is no reason to leave the others.
    private func tryToAdopt(_ digest: Digest) async {
        do throws(StoreError) {
            try await adopt(digest)
        } catch {
            logger.error("a file could not be adopted", metadata: ["digest": "\(digest)", "error": "\(error)"])
        }
    }

    private func adopt(_ digest: Digest) async throws(StoreError) {
        guard let file = try BlobFile(opening: layout.blob(digest), digest: digest) else { return }
        // Outside the turn: a client may ask for the digest meanwhile, and fetch it.
        let actual = try await DiskQueue.run { () throws(StoreError) in try file.hash() }
        try await gate.turn(digest) { () async throws(StoreError) in
            // It may have been committed, or replaced, since the listing.
            guard try await database.known([digest]).isEmpty, try file.isStill(at: layout.blob(digest)) else { return }
            guard actual == digest else {
                logger.error("a file is not what its name says: quarantined", metadata: ["digest": "\(digest)"])
                try quarantine.take(stored: digest, id: nextID())
                return measureOverhead()
            }
            let earlier = try await database.insert(
                blob: digest, size: file.size, at: uses.stamp(now()), linkedTo: [], broughtBy: Self.nobody)
            capacity.change { $0.committed += onDisk(file.size) - onDisk(earlier ?? 0) }
            await partials.drop(digest)
            logger.info("adopted a file without a row", metadata: ["digest": "\(digest)"])
        }
    }
}

extension BlobFile {
    /// Whether the path still leads to this very file.
    fileprivate func isStill(at path: String) throws(StoreError) -> Bool {
        let descriptor = try duplicate()
        defer { Glibc.close(descriptor) }
        var (mine, there) = (stat(), stat())
        return fstat(descriptor, &mine) == 0 && stat(path, &there) == 0
            && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev
    }

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
