// Makes room: what is unfinished goes first, then the least recently used, in passes down to the low watermark.

import Glibc
import Logging
import OCI
import Synchronization

actor Evictor {
    /// Digests a pass looks at first: few blobs may be enough.
    private static let firstBatch = 500
    /// Those it takes at once from then on: a transaction of some 100 ms, so the writer is never held for long.
    /// Fewer would write the same pages of the database once for each batch.
    private static let batch = 8000
    /// Bytes of the database's log during a pass, at most: a wait for the disk every twenty thousand blobs or so.
    private static let log: Int64 = 64 << 20

    private let layout: DiskLayout
    private let database: MetadataDatabase
    private let gate: DigestGate
    private let hot: HotSet
    private let capacity: Capacity
    private let uses: UseRecorder
    private let partials: Partials
    private let health: StoreHealth
    private let settings: StoreSettings
    private let hosted: HostedState
    private let now: @Sendable () -> Int64
    private let logger: Logger
    /// Passes run one after another, each in a task that waits for the one before.
    private var last: Task<Void, Never>?
    private var trashed = 0
    private var lease: Duration { settings.now.lease }

    /// What went, earlier runs included.
    private(set) var evicted: (blobs: Int64, bytes: Int64)

    init(
        layout: DiskLayout, database: MetadataDatabase, gate: DigestGate, hot: HotSet, capacity: Capacity,
        uses: UseRecorder, partials: Partials, health: StoreHealth, settings: StoreSettings,
        hosted: HostedState, evicted: (blobs: Int64, bytes: Int64),
        now: @escaping @Sendable () -> Int64, logger: Logger
    ) {
        self.evicted = evicted
        self.layout = layout
        self.database = database
        self.gate = gate
        self.hot = hot
        self.capacity = capacity
        self.uses = uses
        self.partials = partials
        self.health = health
        self.settings = settings
        self.hosted = hosted
        self.now = now
        self.logger = logger
    }

    /// Promises `size` bytes, evicting if they do not fit.
    ///
    /// - Throws: `.noSpace` if what may be evicted does not make enough room, or all of it would not.
    func reserve(_ size: Int64) async throws(StoreError) -> Reservation {
        if let reservation = capacity.reserve(size) { return reservation }
        guard size <= capacity.snapshot.limit else { throw .noSpace(needed: size) }
        let previous = last
        let pass = Task<Reservation?, Never> {
            await previous?.value
            // The pass before may have made the room.
            if let reservation = capacity.reserve(size) { return reservation }
            guard await canMakeRoom(for: size) else { return nil }
            await evict { $0.goal(for: size, free: $1) }
            return capacity.reserve(size)
        }
        last = Task { _ = await pass.value }
        guard let reservation = await pass.value else { throw .noSpace(needed: size) }
        return reservation
    }

    /// Brings usage back under its bounds if something else (a smaller limit, a fuller disk, a grown database) put it
    /// over them.
    func settle() async {
        guard capacity.snapshot.shortfall(for: 0, free: capacity.free) > 0 else { return }
        let previous = last
        let pass = Task {
            await previous?.value
            await evict { $0.goal(for: 0, free: $1) }
        }
        last = pass
        await pass.value
    }

    /// Makes room because somebody says so, until no more than `size` bytes are used or nothing more may go. Leases are
    /// no obstacle; pins and what was pushed here are.
    ///
    /// - Returns: what went in this pass, in blobs and bytes on disk.
    func evict(to size: Int64) async -> (blobs: Int64, bytes: Int64) {
        let previous = last
        let pass = Task {
            await previous?.value
            return await evict(mindingLeases: false) { ledger, _ in ledger.used - size }
        }
        last = Task { _ = await pass.value }
        return await pass.value
    }

    /// Whether evicting all that may go would be enough: nothing goes for what then does not fit all the same.
    func canMakeRoom(for size: Int64) async -> Bool {
        guard size <= capacity.snapshot.limit else { return false }
        do throws(StoreError) {
            await noteUses()
            let idle = hosted.isKnown ? try await database.evictableBytes(at: now(), lease: lease) : 0
            let evictable = idle + partials.bytes
            return capacity.snapshot.shortfall(for: onDisk(size), free: capacity.free) <= evictable
        } catch {
            logger.debug("cannot tell what may be evicted", metadata: ["error": "\(error)"])
            return false
        }
    }

    /// What a pass would take first if it began now, in that order.
    func order(_ count: Int) async throws(StoreError) -> [EvictionCandidate] {
        await noteUses()
        let unfinished = partials.oldestFirst.prefix(count).map { partial in
            EvictionCandidate(
                digest: partial.digest, size: partial.allocated, lastUsed: partial.keptAt, kind: .partial, images: [])
        }
        guard unfinished.count < count else { return unfinished }
        return try await unfinished + database.uses(of: candidates(count - unfinished.count))
    }

    /// The least recently used that may go. It looks further until the places of all before them are known.
    private func candidates(_ count: Int) async throws(StoreError) -> [MetadataDatabase.Candidate] {
        // Until it is known what was pushed here, any of it might go.
        guard hosted.isKnown else { return [] }
        var looked = max(count, Self.firstBatch)
        while true {
            let order = try await database.leastRecentlyUsed(looked, at: now(), lease: lease, isLook: true)
            let isAll = order.candidates.count + order.places.count < looked
            if order.candidates.count >= count || isAll { return Array(order.candidates.prefix(count)) }
            looked *= 4
        }
    }

    /// Evicts until `goal` is met or nothing more may go.
    ///
    /// While the rows of one batch go, the next is chosen and its files are put aside: the one is the database's
    /// writer's work, the other a reader's and the file system's.
    @discardableResult
    private func evict(
        mindingLeases: Bool = true, until goal: (Ledger, _ free: Int64) -> Int64
    ) async -> (blobs: Int64, bytes: Int64) {
        var gone: (blobs: Int64, bytes: Int64) = (0, 0)
        var batch = Self.firstBatch
        var leaving: Leaving?
        // What is forgotten takes less of the log than its file gave back, and it is emptied at the end.
        await database.letLogGrow(to: min(Self.log, capacity.snapshot.limit / 200))
        do throws(StoreError) {
            while true {
                // Again before each batch: a manifest served during a long pass leases what it names.
                await noteUses()
                // What is on its way out is not counted as gone yet; its files may be.
                let excess = goal(capacity.snapshot, capacity.free) - (leaving?.bytes ?? 0)
                if excess > 0, await partials.removeOldest() { continue }
                let next =
                    excess > 0
                    ? try await takeOut(batch, atLeast: excess, mindingLeases, behind: leaving) : nil
                guard next != nil || leaving != nil else { break }
                let before = leaving
                leaving = next
                if let before {
                    let went = try await finish(before)
                    gone = (gone.blobs + went.blobs, gone.bytes + went.bytes)
                }
                batch = Self.batch
            }
        } catch {
            // What is amiss has been told, once.
            logger.debug("eviction failed", metadata: ["error": "\(error)"])
            if let leaving, let went = try? await finish(leaving) {
                gone = (gone.blobs + went.blobs, gone.bytes + went.bytes)
            }
        }
        await database.endLogGrowth()
        guard gone.blobs > 0 else { return gone }
        logger.info("evicted", metadata: ["blobs": "\(gone.blobs)", "bytes": "\(gone.bytes)"])
        return gone
    }

    /// On a full disk they cannot be written down, and making room matters more than who was used last.
    private func noteUses() async {
        do throws(StoreError) {
            try await uses.write(to: database)
        } catch {
            logger.debug("uses could not be written down", metadata: ["error": "\(error)"])
        }
    }

    /// A batch whose files are aside, in its digests' turns, while its rows go.
    private struct Leaving {
        let rows: [MetadataDatabase.Candidate]
        let held: [MetadataDatabase.Candidate]
        /// The last use up to which all are known.
        let last: Int64
        /// Of the manifests that only get their places with it, and have to be looked for there: the first.
        let nextPlace: Int64?
        /// On the disk.
        let bytes: Int64
        let life: Int
        let forgetting: Task<Result<Void, StoreError>, Never>
    }

    /// One batch: gates by try, files out of sight; then its rows begin to go, in one transaction.
    ///
    /// - Parameter before: whose rows may still be seen, and whose gates are held: so nobody is taken twice.
    /// - Returns: nil if there is nobody to take, and nothing to write down; behind another batch it may be that only
    ///   who was used at one time with its last, or was passed over in it, is left.
    private func takeOut(
        _ count: Int, atLeast bytes: Int64, _ mindsLeases: Bool, behind before: Leaving?
    ) async throws(StoreError) -> Leaving? {
        let life = database.life
        // Until it is known what was pushed here, any of it might go.
        guard hosted.isKnown else { return nil }
        // At the end of time every lease has ended.
        let (time, lease) = mindsLeases ? (now(), lease) : (.max, .zero)
        // From where the one before has ended. Who was passed over there, because he is in use, is behind this; a
        // manifest whose place that one writes down meanwhile is found by the next, if it is not seen by this.
        let order = try await database.leastRecentlyUsed(count, from: before?.last ?? .min, at: time, lease: lease)
        var promised: Int64 = 0
        let held = order.candidates.filter { candidate in
            guard promised < bytes, gate.tryEnter(candidate.digest) else { return false }
            // Before its file goes: an open one would keep its room.
            hot.drop(candidate.digest)
            promised += onDisk(candidate.size)
            return true
        }
        guard !held.isEmpty || !order.places.isEmpty else { return nil }
        do throws(StoreError) {
            // One may have been pushed, mounted or pinned since it was chosen, or leased by what was written down
            // meanwhile; from here on nobody pushes or mounts it.
            let taken = try await database.held(among: held, at: time, lease: lease)
            let (rows, aside) = try await putAside(held.filter { !taken.contains($0.number) })
            // Where not all were needed the next begins anew.
            let last = promised < bytes ? min(order.last, before?.nextPlace ?? .max) : .min
            return Leaving(
                rows: rows, held: held, last: last, nextPlace: order.places.values.filter { $0 > order.last }.min(),
                bytes: rows.reduce(0) { $0 + onDisk($1.size) }, life: life,
                forgetting: Task { await forget(rows, aside, order.places, chosenIn: life) })
        } catch {
            for candidate in held { gate.leave(candidate.digest) }
            throw error
        }
    }

    /// - Returns: whose files are out of sight, and under which names they wait to be unlinked.
    private func putAside(
        _ going: [MetadataDatabase.Candidate]
    ) async throws(StoreError) -> (gone: [MetadataDatabase.Candidate], aside: [String]) {
        guard !going.isEmpty else { return ([], []) }
        let names = nextTrash(going.count)
        let (gone, aside, failure) = try await DiskQueue.run { [layout] () throws(StoreError) in
            var gone: [MetadataDatabase.Candidate] = []
            var aside: [String] = []
            var failure: StoreError?
            for (candidate, name) in zip(going, names) {
                do throws(StoreError) {
                    if try Self.takeAway(layout.blob(candidate.digest), to: layout.trash(name)) { aside.append(name) }
                    gone.append(candidate)
                } catch {
                    failure = error
                }
            }
            return (gone, aside, failure)
        }
        // Whose file stays, its row stays: it takes its room all the same.
        if let failure { health.met(failure) }
        if gone.isEmpty, let failure { throw failure }
        return (gone, aside)
    }

    private func forget(
        _ rows: [MetadataDatabase.Candidate], _ aside: [String], _ places: [Int64: Int64], chosenIn life: Int
    ) async -> Result<Void, StoreError> {
        do throws(StoreError) {
            do throws(StoreError) {
                try await database.forget(rows, places: places, chosenIn: life)
                await empty(aside)
            } catch {
                // A full disk is no place for a transaction: the files make the room to forget them in. Rows that are
                // left without a file go when files and rows are reconciled.
                await empty(aside)
                health.mustReconcile.store(true, ordering: .relaxed)
                try await database.forget(rows, places: places, chosenIn: life)
            }
            return .success(())
        } catch {
            return .failure(error)
        }
    }

    /// Waits until its rows are gone, and lets go of its digests.
    ///
    /// - Returns: what went.
    private func finish(_ batch: Leaving) async throws(StoreError) -> (blobs: Int64, bytes: Int64) {
        let result = await batch.forgetting.value
        for candidate in batch.held { gate.leave(candidate.digest) }
        try result.get()
        // Where the rows were lost meanwhile, what was committed counts as unknown.
        capacity.forget(batch.bytes, in: batch.life)
        let went = (blobs: Int64(batch.rows.count), bytes: batch.bytes)
        evicted = (evicted.blobs + went.blobs, evicted.bytes + went.bytes)
        return went
    }

    /// A file that is not there is as good as taken away. One that cannot be moved (a full directory, a folder that
    /// somebody has removed) goes at once.
    ///
    /// - Returns: whether it is aside, and must be unlinked there.
    private static func takeAway(_ path: String, to aside: String) throws(StoreError) -> Bool {
        if rename(path, aside) == 0 { return true }
        if unlink(path) == 0 || errno == ENOENT { return false }
        throw .io(operation: "unlink", path: path, errno: errno)
    }

    private func empty(_ trash: [String]) async {
        if trash.isEmpty { return }
        // It throws nothing.
        try? await DiskQueue.run { [layout] () throws(StoreError) in for id in trash { unlink(layout.trash(id)) } }
    }

    /// Names under which so many files are aside until they are unlinked.
    private func nextTrash(_ count: Int) -> [String] {
        let now = now()
        defer { trashed += count }
        return (trashed + 1...trashed + count).map { "\(now)-\($0)" }
    }
}
