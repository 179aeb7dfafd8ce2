// How the store's metadata bears so many blobs: a database of its tables is filled, and what the mirror does with it is
// timed, by the mirror's own code.

import Glibc
package import Logging
import OCI

package struct MetadataBench<C: Clock>: Sendable where C.Duration == Duration {
    package struct Figures: Sendable, Equatable {
        /// From nothing to a store that answers, as at the start of the mirror.
        package var openSeconds: Double = 0
        /// Of what a pull asks of a digest, in microseconds.
        package var lookupMedian: Double = 0
        package var lookupP99: Double = 0
        /// Blobs, with all that belongs to them; without files: the database's side, and the evictor's own.
        package var evictionsPerSecond: Double = 0
        /// The same, with a file of 4 KiB for each.
        package var evictionsWithFilesPerSecond: Double = 0
        /// Uses written down, of blobs and manifests, with what those name.
        package var touchesPerSecond: Double = 0
        /// Bytes of the database's file.
        package var bytesPerBlob: Double = 0
        /// MB of 10^6 bytes that the process had in memory at most since the filling ended, its own program included.
        package var peakMB: Double = 0
    }

    private let content: BenchContent
    private let root: String
    private let clock: C
    private let now: @Sendable () -> Int64
    private let logger: Logger

    /// - Parameters:
    ///   - folder: an empty one, whose content is the caller's to remove.
    ///   - now: Unix time in milliseconds.
    package init(
        blobs: Int, in folder: String, clock: C, now: @escaping @Sendable () -> Int64, logger: Logger
    ) {
        content = BenchContent(blobs: blobs)
        root = folder
        self.clock = clock
        self.now = now
        self.logger = logger
    }

    /// - Returns: nil if the task was cancelled.
    package func run(_ step: (String) -> Void) async throws(StoreError) -> Figures? {
        step("filling")
        let path = DiskLayout(root: root).metadata
        try open().close()
        try MetadataFilling(content: content).fill(path)
        if Task.isCancelled { return nil }
        try sync(path)
        forgetPeak()

        var figures = Figures()
        step("opening")
        let start = clock.now
        let store = try open()
        _ = (store.totals(), store.memos(), await store.isReadable())
        figures.openSeconds = seconds(since: start)
        defer { store.close() }
        figures.bytesPerBlob = Double(fileSize(path)) / Double(content.blobs)

        step("looking up")
        (figures.lookupMedian, figures.lookupP99) = try await lookUps(store)
        step("touching")
        figures.touchesPerSecond = try await touches(store)
        step("evicting")
        figures.evictionsPerSecond = try await evictions(store, min(content.blobs / 4, 100_000))
        step("evicting with files")
        figures.evictionsWithFilesPerSecond = try await evictionsWithFiles(store, min(content.blobs / 4, 20_000))
        figures.peakMB = Double(peak()) / 1e6
        return Task.isCancelled ? nil : figures
    }

    /// As the mirror opens it, with the bounds far away.
    private func open() throws(StoreError) -> ContentStore {
        try ContentStore(configuration(limit: .max / 4, lowWatermark: 1), now: now, logger: logger)
    }

    private func configuration(limit: Int64, lowWatermark: Double) -> StoreConfiguration {
        var configuration = StoreConfiguration(root: root)
        configuration.maxSize = .bytes(limit)
        configuration.minFree = .bytes(0)
        configuration.lowWatermark = lowWatermark
        return configuration
    }

    // MARK: What is timed

    private func lookUps(_ store: ContentStore) async throws(StoreError) -> (median: Double, p99: Double) {
        var random = BenchRandom(seed: 1)
        var times: [Double] = []
        for _ in 0..<max(1000, min(content.blobs, 50_000)) where !Task.isCancelled {
            let blob = Int.random(in: 0..<content.blobs, using: &random)
            guard let digest = content.digest(blob), let repository = content.repository(ofBlob: blob) else { continue }
            let start = clock.now
            let knowledge = try await store.knowledge(of: digest, in: repository)
            times.append(seconds(since: start) * 1e6)
            guard knowledge.isLinked, knowledge.storedSize == content.size(blob) else {
                throw .database("what was filled in is not found")
            }
        }
        times.sort()
        return times.isEmpty ? (0, 0) : (times[times.count / 2], times[times.count * 99 / 100])
    }

    /// As many at a time as a busy mirror gathers until they are written down; of the quarter that came last, so that
    /// what they lease leaves enough that may go.
    private func touches(_ store: ContentStore) async throws(StoreError) -> Double {
        let (rounds, uses) = (10, min(content.blobs, 2000))
        var random = BenchRandom(seed: 2)
        let start = clock.now
        for _ in 0..<rounds where !Task.isCancelled {
            for _ in 0..<uses {
                let blob = Int.random(in: content.blobs * 3 / 4..<content.blobs, using: &random)
                if let digest = content.digest(blob) { store.recordUse(digest, lease: content.isManifest(blob)) }
            }
            try await store.uses.write(to: store.database)
        }
        return Double(rounds * uses) / seconds(since: start)
    }

    /// Sets a bound that is just passed, and a watermark so far below that about `count` blobs go.
    private func evictions(_ store: ContentStore, _ count: Int) async throws(StoreError) -> Double {
        let (used, all) = (store.capacity.snapshot, await store.figures().stored)
        let share = Double(count) / Double(max(1, all.blobs + all.manifests))
        let goal = Double(used.used) - Double(used.committed) * share
        try await store.reconfigure(configuration(limit: used.used - 1, lowWatermark: goal / Double(used.used)))
        let before = await store.evictor.evicted.blobs
        let start = clock.now
        await store.evictor.settle()
        let elapsed = seconds(since: start)
        let gone = await store.evictor.evicted.blobs - before
        guard gone > 0 else { throw .database("nothing was evicted") }
        return Double(gone) / elapsed
    }

    private func evictionsWithFiles(_ store: ContentStore, _ count: Int) async throws(StoreError) -> Double {
        let next = try await store.database.leastRecentlyUsed(count * 5 / 4, at: now(), lease: .zero)
        let bytes = [UInt8](repeating: 7, count: 4096)
        for row in next.candidates where !Task.isCancelled {
            try makeDirectory(store.layout.blobDirectory(row.digest))
            let path = store.layout.blob(row.digest)
            let descriptor = try system("open", path) { Glibc.open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o444) }
            defer { Glibc.close(descriptor) }
            try system("write", path) { CInt(write(descriptor, bytes, bytes.count)) }
        }
        return try await evictions(store, count)
    }

    // MARK: Measuring

    private func seconds(since start: C.Instant) -> Double {
        let (seconds, attoseconds) = start.duration(to: clock.now).components
        return Double(seconds) + Double(attoseconds) / 1e18
    }

    /// Whoever syncs next shall not wait for what the filling wrote.
    private func sync(_ path: String) throws(StoreError) {
        let descriptor = try system("open", path) { Glibc.open(path, O_RDONLY | O_CLOEXEC) }
        defer { Glibc.close(descriptor) }
        try system("fsync", path) { fsync(descriptor) }
    }

    private func fileSize(_ path: String) -> Int64 {
        var status = stat()
        return stat(path, &status) == 0 ? Int64(status.st_size) : 0
    }

    /// What filling took does not count (proc(5): `clear_refs`). Where the kernel refuses, it does.
    private func forgetPeak() {
        giveBackFreeMemory()
        guard let file = fopen("/proc/self/clear_refs", "w") else { return }
        fputs("5", file)
        fclose(file)
    }

    /// Bytes: `VmHWM`, the most that was resident, anonymous memory and files.
    private func peak() -> Int64 {
        let descriptor = Glibc.open("/proc/self/status", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return 0 }
        defer { Glibc.close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 8192)
        let count = max(0, read(descriptor, &bytes, bytes.count))
        let lines = String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("VmHWM:") }) else { return 0 }
        return (Int64(line.filter(\.isNumber)) ?? 0) * 1024
    }
}
