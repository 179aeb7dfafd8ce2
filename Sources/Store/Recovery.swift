// At start and after damage: one process a directory, a database that opens, and files and rows that agree in the end.

import Glibc
import Logging
import OCI
import Synchronization

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

    /// First what was pushed here (`Hosted/HostedRecovery.swift`). Then files that no row knows (a kill between rename
    /// and row, a lost database): hashed, and adopted or quarantined. Then the rows without a file go
    /// (`MissingFiles.swift`). What is unknown counts at once, so that the bounds hold meanwhile; hashing it is slow on
    /// purpose, a file at a time, and never in a client's way. While one runs, another does nothing.
    package func reconcile() async throws(StoreError) {
        if isReconciling.exchange(true, ordering: .relaxed) { return }
        defer { isReconciling.store(false, ordering: .relaxed) }
        health.mustReconcile.store(false, ordering: .relaxed)
        do throws(StoreError) {
            try await readHosted()
            try await adoptUnknown()
        } catch {
            health.mustReconcile.store(true, ordering: .relaxed)
            throw error
        }
    }

    /// Whether there is something to reconcile, and rows can be written.
    var mayReconcile: Bool {
        health.mustReconcile.load(ordering: .relaxed) && database.isOpen && !health.has(.metadata)
    }

    /// The database was begun anew: what it said is committed is so many bytes of files that no row knows.
    func lostRows() {
        hosted.set(tree.isEmpty)
        hot.dropAll()
        capacity.change {
            $0.unknown += $0.committed
            $0.committed = 0
        }
        health.mustReconcile.store(true, ordering: .relaxed)
    }

    private func adoptUnknown() async throws(StoreError) {
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
        for (digest, size) in unknown where !Task.isCancelled {
            // What could not be settled takes its room all the same.
            if try await tryToAdopt(digest) { capacity.change { $0.unknown = max(0, $0.unknown - size) } }
        }
        try await forgetMissing()
    }

    /// One file that cannot be read is no reason to leave the others; a database that does not answer is one, until it
    /// does.
    ///
    /// - Returns: whether it is known what it is, or it is gone.
    private func tryToAdopt(_ digest: Digest) async throws(StoreError) -> Bool {
        do throws(StoreError) {
            try await adopt(digest)
            return true
        } catch {
            if case .database = error { throw error }
            logger.warning("a file could not be adopted", metadata: ["digest": "\(digest)", "error": "\(error)"])
            return error.isUnreadable ? await putAside(digest, .unreadable) : false
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
                guard await putAside(digest, .damaged) else {
                    throw .io(operation: "quarantine", path: layout.blob(digest), errno: EACCES)
                }
                return measureOverhead()
            }
            let row = try await database.insert(
                blob: digest, size: file.size, at: uses.stamp(now()), linkedTo: [], broughtBy: Self.nobody)
            capacity.commit(file.size, as: row)
            await partials.drop(digest)
            logger.info("adopted a file without a row", metadata: ["digest": "\(digest)"])
        }
    }
}

extension BlobFile {
    /// Whether the path still leads to this very file.
    func isStill(at path: String) throws(StoreError) -> Bool {
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
