// What unfinished fills have left, to be gone on with: in memory, beside their files in `ingest/`, whoever asks next.

import Glibc
import Logging
import OCI
import Synchronization

/// A lock around a small table, so that what is here can be said on an event loop. A row without a file goes at start,
/// a file without a row as well.
final class Partials: Sendable {
    struct Kept: Sendable {
        let digest: Digest
        /// The file's name in `ingest/`.
        let file: String
        /// Of the whole blob, bytes.
        let size: Int64
        /// What is in the file; never all of it.
        let extents: Extents
        /// Unix time, milliseconds.
        let keptAt: Int64
        /// Bytes that the file takes on the disk.
        let allocated: Int64
    }

    /// What has fewer bytes is not worth a file and a row.
    static let leastBytes: Int64 = 1 << 20
    /// How long one lies here unasked; milliseconds.
    private static let longest: Int64 = 24 * 3600 * 1000
    /// Where nothing is missing but the hash was never known to be right, so much is asked for again.
    private static let askedAgain: Int64 = 64 << 10

    private let kept = Mutex<[Digest: Kept]>([:])
    /// What could not be removed at start (the disk was read-only), by the file's name.
    private let litter = Mutex<[String]>([])
    private let layout: DiskLayout
    private let database: MetadataDatabase
    private let capacity: Capacity
    private let logger: Logger

    init(layout: DiskLayout, database: MetadataDatabase, capacity: Capacity, logger: Logger) {
        self.layout = layout
        self.database = database
        self.capacity = capacity
        self.logger = logger
    }

    /// The extents to go on from: with all bytes there, there would be nothing to ask an upstream for.
    static func worth(_ extents: Extents, of size: Int64) -> Extents {
        guard extents.contains(0..<size) else { return extents }
        return Extents(upTo: max(0, size - askedAgain))
    }

    subscript(digest: Digest) -> Kept? { kept.withLock { $0[digest] } }

    /// Their files' names.
    var files: Set<String> { kept.withLock { Set($0.values.map(\.file)) } }

    /// Bytes on disk of all that lie here.
    var bytes: Int64 { kept.withLock { $0.values.reduce(0) { $0 + $1.allocated } } }

    /// Its file lies in `ingest/`, durable, and counts as partial; now it is gone on with by whoever asks, over a
    /// restart too. One of the same digest goes, where more than one fill was at work.
    ///
    /// The row comes last, and only while this is what is kept: there is one row a digest, and another fill's end may
    /// have taken it away or put its own in its place just now.
    ///
    /// - Throws: `.database`; then it is gone.
    func keep(_ partial: Kept) async throws(StoreError) {
        if let other = put(partial) { await remove(other) }
        do throws(StoreError) {
            try await writeRow(of: partial)
        } catch {
            let mine = kept.withLock { kept in
                kept[partial.digest]?.file == partial.file ? kept.removeValue(forKey: partial.digest) : nil
            }
            if let mine { await remove(mine) }
            throw error
        }
    }

    /// The same of one that was taken out and stays after all. Without the database its row is what it was.
    func putBack(_ partial: Kept) async {
        if let other = put(partial) { await remove(other) }
        try? await writeRow(of: partial)
    }

    private func writeRow(of partial: Kept) async throws(StoreError) {
        let row = PartialRow(
            digest: partial.digest, file: partial.file, size: partial.size, extents: partial.extents,
            keptAt: partial.keptAt)
        try await database.checkpoint(row) { self[partial.digest]?.file == partial.file }
    }

    private func put(_ partial: Kept) -> Kept? {
        kept.withLock { $0.updateValue(partial, forKey: partial.digest) }
    }

    /// Takes one out, to go on with it or to remove it; its bytes count as partial still.
    func take(_ digest: Digest) -> Kept? { kept.withLock { $0.removeValue(forKey: digest) } }

    // MARK: Going

    /// The blob has come another way.
    func drop(_ digest: Digest) async {
        if let kept = take(digest) { await remove(kept) }
    }

    /// Removes the file and the row of one that was taken out.
    func remove(_ partial: Kept) async {
        let path = layout.ingest(partial.file)
        do throws(StoreError) {
            try await DiskQueue.run { () throws(StoreError) in _ = unlink(path) }
            capacity.change { $0.partial -= partial.allocated }
            try await database.forgetPartial(partial.digest, file: partial.file)
        } catch {
            logger.warning(
                "could not forget an unfinished blob", metadata: ["digest": "\(partial.digest)", "error": "\(error)"])
        }
    }

    /// In the order in which they go when room is needed.
    var oldestFirst: [Kept] { kept.withLock { $0.values.sorted(by: Self.isOlder) } }

    private static func isOlder(_ one: Kept, than other: Kept) -> Bool { one.keptAt < other.keptAt }

    /// Makes room.
    ///
    /// - Returns: whether there was one to remove.
    func removeOldest() async -> Bool {
        let oldest = kept.withLock { kept in
            kept.values.min(by: Self.isOlder).flatMap { kept.removeValue(forKey: $0.digest) }
        }
        guard let oldest else { return false }
        logger.info("gave up an unfinished blob to make room", metadata: ["digest": "\(oldest.digest)"])
        await remove(oldest)
        return true
    }

    /// Removes what has lain here for a day and nobody asked for.
    func removeForgotten(at now: Int64) async {
        let forgotten = kept.withLock { kept in
            let forgotten = kept.values.filter { Self.isForgotten($0.keptAt, at: now) }
            for partial in forgotten { kept[partial.digest] = nil }
            return forgotten
        }
        for partial in forgotten { await remove(partial) }
        removeLitter(litter.withLock { $0 })
    }

    private func removeLitter(_ files: [String]) {
        if files.isEmpty { return }
        let left = files.filter { unlink(layout.ingest($0)) != 0 && errno != ENOENT }
        litter.withLock { $0 = left }
    }

    /// Also what comes from a day ahead: the clock has been set back since.
    private static func isForgotten(_ keptAt: Int64, at now: Int64) -> Bool { abs(now - keptAt) >= longest }

    // MARK: At start

    /// Finds what an earlier run has left, and removes all else from `ingest/`. What a row names is on the disk; what
    /// lies outside of it may be anything, and goes. Where the rows cannot be had, nothing is gone on with: a cache may
    /// not refuse to start for that.
    func recover(at now: Int64) {
        var files = Set(names(in: layout.ingest))
        do throws(StoreError) {
            var stale: [Digest] = []
            for row in try database.partials() {
                // A name that does not lie there is no name of ours.
                let isThere = files.contains(row.file) && !Self.isForgotten(row.keptAt, at: now)
                if isThere, let partial = reopened(row) {
                    files.remove(row.file)
                    capacity.change { $0.partial += partial.allocated }
                    _ = put(partial)
                } else {
                    stale.append(row.digest)
                }
            }
            if !stale.isEmpty { try database.forgetPartialsNow(stale) }
        } catch {
            logger.warning("cannot look after unfinished blobs", metadata: ["error": "\(error)"])
        }
        removeLitter(Array(files))
    }

    /// nil if the file is not what the row says; it is removed then with the others.
    private func reopened(_ row: PartialRow) -> Kept? {
        let extents = Self.worth(row.extents, of: row.size)
        guard !extents.isEmpty, row.extents.end <= row.size else { return nil }
        let path = layout.ingest(row.file)
        do throws(StoreError) {
            let allocated = try Ingest.trim(path, to: extents)
            return Kept(
                digest: row.digest, file: row.file, size: row.size, extents: extents, keptAt: row.keptAt,
                allocated: allocated)
        } catch {
            logger.warning(
                "an unfinished blob cannot be gone on with", metadata: ["digest": "\(row.digest)", "error": "\(error)"])
            return nil
        }
    }
}
