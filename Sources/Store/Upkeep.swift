// What the store does beside its clients: writes down uses and totals, keeps its bounds, agrees with its files.

import Glibc
import Logging
import OCI
import ServiceLifecycle

/// Runs until the program stops; what is in memory is written down last of all.
package struct Upkeep: Service {
    private let store: ContentStore
    private let interval: Duration
    private let clock: any Clock<Duration>
    private let totals: @Sendable () -> [String: Int64]
    private let memos: @Sendable () -> [String: String]
    private let beforeEnd: @Sendable () async -> Void

    /// - Parameters:
    ///   - totals: figures to keep across restarts, asked at each turn.
    ///   - memos: texts to keep across restarts, asked at each turn and written where they have changed; one that is
    ///     no longer among them is forgotten.
    ///   - beforeEnd: waits for whoever still writes, once the program stops.
    package init(
        of store: ContentStore, every interval: Duration, clock: any Clock<Duration>,
        totals: @escaping @Sendable () -> [String: Int64],
        memos: @escaping @Sendable () -> [String: String] = { [:] },
        beforeEnd: @escaping @Sendable () async -> Void
    ) {
        self.store = store
        self.interval = interval
        self.clock = clock
        self.totals = totals
        self.memos = memos
        self.beforeEnd = beforeEnd
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            async let reconciled: Void = attempt("reconcile") { () async throws(StoreError) in
                try await store.reconcile()
            }
            await attempt("pin") { () async throws(StoreError) in try await store.applyPins() }
            // The sleep fails only when it is cancelled, which is the end.
            while (try? await clock.sleep(for: interval)) != nil { await turn() }
            await reconciled
        }
        await beforeEnd()
        await turn()
        store.close()
    }

    private func turn() async {
        await attempt("write down uses") { () async throws(StoreError) in
            try await store.writeDown(totals: totals(), memos: memos())
        }
        await store.partials.removeForgotten(at: store.now())
        await store.evictor.settle()
    }

    private func attempt(_ what: String, _ body: () async throws(StoreError) -> Void) async {
        do throws(StoreError) {
            try await body()
        } catch {
            store.logger.error("could not \(what)", metadata: ["error": "\(error)"])
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
}

extension ContentStore {
    package func figures() async throws(StoreError) -> StorageFigures {
        let evicted = await evictor.evicted
        return StorageFigures(
            ledger: capacity.snapshot, free: capacity.free, stored: try await database.figures(),
            evictedBlobs: evicted.blobs, evictedBytes: evicted.bytes, quarantined: quarantine.content.files)
    }

    /// Whether the database answers.
    package func isReadable() async -> Bool {
        // Which error it is stands in the log of whoever met it; here it is a yes or no.
        (try? await database.answer()) != nil
    }

    /// The totals of earlier runs.
    package func totals() throws(StoreError) -> [String: Int64] { try database.totals() }

    package func applyPins() async throws(StoreError) { try await database.pin(configuration.isPinned) }

    /// The names under which the store's own totals are kept.
    static let evictedBlobs = "evicted.blobs", evictedBytes = "evicted.bytes"

    package func writeDown(totals: [String: Int64], memos: [String: String] = [:]) async throws(StoreError) {
        var totals = totals
        let evicted = await evictor.evicted
        if evicted.blobs > 0 { (totals[Self.evictedBlobs], totals[Self.evictedBytes]) = evicted }
        try await database.record(uses.takeAll())
        try await database.save(totals: totals)
        try await database.save(memos: memos)
        await database.truncateLog()
        measureOverhead()
    }

    /// What is neither blob nor promise: the database and the quarantine.
    func measureOverhead() {
        let quarantined = quarantine.content.bytes
        let database = names(in: layout.root).reduce(Int64(0)) { total, name in
            var status = stat()
            guard name.hasPrefix("metadata.sqlite"), stat("\(layout.root)/\(name)", &status) == 0 else { return total }
            return total + Int64(status.st_blocks) * 512
        }
        capacity.change {
            $0.quarantined = quarantined
            $0.database = database
        }
    }

    package func close() { database.close() }
}
