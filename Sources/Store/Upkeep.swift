// What the store does beside its clients: writes down uses and totals, keeps its bounds, agrees with its files.

import Glibc
import Logging
import OCI
import ServiceLifecycle
import Synchronization

/// Runs until the program stops; what is in memory is written down last of all.
package struct Upkeep: Service {
    private let store: ContentStore
    private let interval: Duration
    private let clock: any Clock<Duration>
    private let totals: @Sendable () -> [String: Int64]
    private let uses: @Sendable () -> [RepositoryUse]
    private let memos: @Sendable () -> [String: String]
    private let beforeEnd: @Sendable () async -> Void

    /// - Parameters:
    ///   - totals: figures to keep across restarts, asked at each turn: `ContentStore.writeDown`.
    ///   - uses: of the repositories that are asked for most, the same.
    ///   - memos: texts to keep across restarts, asked at each turn and written where they have changed; one that is
    ///     no longer among them is forgotten.
    ///   - beforeEnd: waits for whoever still writes, once the program stops.
    package init(
        of store: ContentStore, every interval: Duration, clock: any Clock<Duration>,
        totals: @escaping @Sendable () -> [String: Int64],
        uses: @escaping @Sendable () -> [RepositoryUse] = { [] },
        memos: @escaping @Sendable () -> [String: String] = { [:] },
        beforeEnd: @escaping @Sendable () async -> Void
    ) {
        self.store = store
        self.interval = interval
        self.clock = clock
        self.totals = totals
        self.uses = uses
        self.memos = memos
        self.beforeEnd = beforeEnd
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await reconcile() }
                await attempt("pin") { () async throws(StoreError) in try await store.applyPins() }
                // The sleep fails only when it is cancelled, which is the end.
                var turns = 0
                while (try? await clock.sleep(for: interval)) != nil {
                    await turn()
                    if turns.isMultiple(of: Self.turnsBetweenTrims) { HashQueue.run(giveBackFreeMemory) }
                    if turns.isMultiple(of: Self.turnsBetweenSweeps) { await sweep() }
                    turns += 1
                    if store.mayReconcile { group.addTask { await reconcile() } }
                }
                await group.waitForAll()
            }
        }
        await beforeEnd()
        await turn()
        store.close()
    }

    /// At start, and again after the rows were lost. Beside the turns: hashing may take hours.
    private func reconcile() async {
        await attempt("reconcile") { () async throws(StoreError) in try await store.reconcile() }
    }

    private func turn() async {
        await store.recover()
        await attempt("write down uses") { () async throws(StoreError) in
            try await store.writeDown(totals: totals(), uses: uses(), memos: memos())
        }
        await store.partials.removeForgotten(at: store.now())
        await store.evictor.settle()
    }

    /// A minute, where a turn takes seconds.
    private static let turnsBetweenTrims = 12
    /// Hours, where a turn takes seconds: what is swept costs no more than a question if it is asked for again.
    private static let turnsBetweenSweeps = 720

    private func sweep() async {
        await attempt("forget what nothing needs") { () async throws(StoreError) in
            try await store.sweep()
        }
    }

    private func attempt(_ what: String, _ body: () async throws(StoreError) -> Void) async {
        do throws(StoreError) {
            try await body()
        } catch {
            // A database that does not answer has been told of, once.
            store.logger.debug("could not \(what)", metadata: ["error": "\(error)"])
        }
    }
}

/// What the store holds, for the figures. Bytes.
package struct StorageFigures: Sendable {
    package let ledger: Ledger
    package let free: Int64
    package let stored: StoredFigures
    package let evictedBlobs: Int64
    package let evictedBytes: Int64
    package let quarantined: Int
    /// Times that bytes were put aside, since the start.
    package let quarantines: Int64
    /// Jobs that wait or are being done: hashing, and waits for the disk.
    package let hashing, diskWaits: Int
}

extension ContentStore {
    package func figures() async -> StorageFigures {
        let evicted = await evictor.evicted
        return StorageFigures(
            ledger: capacity.snapshot, free: capacity.free,
            // Of a database that is away nothing is known.
            stored: (try? await database.figures()) ?? StoredFigures(),
            evictedBlobs: evicted.blobs, evictedBytes: evicted.bytes, quarantined: quarantine.content.files,
            quarantines: quarantines.load(ordering: .relaxed), hashing: HashQueue.load.load(ordering: .relaxed),
            diskWaits: DiskQueue.load.load(ordering: .relaxed))
    }

    /// Whether the database answers.
    package func isReadable() async -> Bool {
        // Which error it is stands in the log of whoever met it; here it is a yes or no.
        (try? await database.answer()) != nil
    }

    /// The totals of earlier runs, as far as the database is to be had.
    package func totals() -> [String: Int64] { (try? database.totals()) ?? [:] }

    /// The names under which the store's own totals are kept.
    static let evictedBlobs = "evicted.blobs", evictedBytes = "evicted.bytes"

    /// - Parameters:
    ///   - totals: by names of words with points between: the first two say what is counted, the rest of whom
    ///     (`History`). They never go back.
    ///   - memos: as `Upkeep` has them.
    package func writeDown(
        totals: [String: Int64], uses asked: [RepositoryUse] = [], memos: [String: String] = [:]
    ) async throws(StoreError) {
        var kept = totals
        let evicted = await evictor.evicted
        if evicted.blobs > 0 { (kept[Self.evictedBlobs], kept[Self.evictedBytes]) = evicted }
        try await uses.write(to: database)
        try await history.write(totals) { [kept] growth async throws(StoreError) in
            try await database.save(totals: kept, growth: growth, at: now() / 1000, uses: asked)
        }
        try await database.save(memos: memos)
        await database.truncateLog()
        measureOverhead()
    }

    /// The writer is free for others after each piece.
    func sweep() async throws(StoreError) {
        var place: Int64? = 0
        while let last = place { place = try await database.sweep(behind: last, limit: 2000) }
    }

    /// What is neither blob nor promise: the quarantine, what was pushed and is damaged, the database, and the folders,
    /// which a million names make large.
    func measureOverhead() {
        let damaged = names(in: tree.damaged).map { "\(tree.damaged)/\($0)" }
        let shards = Digest.Algorithm.allCases.flatMap { algorithm in
            let folder = "\(layout.blobs)/\(algorithm.name)"
            return [folder] + names(in: folder).map { "\(folder)/\($0)" }
        }
        let database = names(in: layout.root).filter { $0.hasPrefix("metadata.sqlite") }
        let all = database.map { "\(layout.root)/\($0)" } + layout.folders + shards
        let (quarantined, overhead) = (quarantine.content.bytes + Self.blocks(of: damaged), Self.blocks(of: all))
        capacity.change {
            $0.quarantined = quarantined
            $0.overhead = overhead
        }
    }

    /// Bytes that they take on the disk.
    private static func blocks(of paths: [String]) -> Int64 {
        paths.reduce(0) { total, path in
            var status = stat()
            return stat(path, &status) == 0 ? total + Int64(status.st_blocks) * 512 : total
        }
    }

    package func close() { database.close() }
}
