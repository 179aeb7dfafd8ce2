// The room's front door: bytes by digest on disk, what they are called in SQLite, and room made for more.

import Glibc
package import Logging
package import OCI
import Synchronization

package final class ContentStore: Sendable {
    /// Serialises all that happens to one digest.
    package let gate = DigestGate()
    /// Serialises all that changes one hosted repository; entered before any digest's turn.
    package let hostedGate = Gate<RepositoryName>()
    package let capacity: Capacity
    let layout: DiskLayout
    let tree: HostedTree
    let health: StoreHealth
    let hosted = HostedState()
    let database: MetadataDatabase
    /// What is asked for again and again, in memory.
    package let hot = HotSet()
    let uses = UseRecorder()
    let history: History
    let evictor: Evictor
    let partials: Partials
    let quarantine: Quarantine
    let pins = Pins()
    let settings: StoreSettings
    let now: @Sendable () -> Int64
    let logger: Logger
    private let lock: DirectoryLock
    private let startedAt: Int64
    private let serial = Atomic<Int64>(0)
    /// Times that bytes did not match their digest and were put aside, since the start.
    let quarantines = Atomic<Int64>(0)
    let isReconciling = Atomic<Bool>(false)
    let spotChecks = Mutex(SpotChecks())

    /// Opens the store, or makes it. Reads the database and asks nothing else, so a million blobs open in well under
    /// a second.
    ///
    /// - Parameter now: Unix time in milliseconds.
    /// - Throws: `.inUse` if another process has this directory, `.io` if it cannot be made or written.
    package init(
        _ configuration: StoreConfiguration, now: @escaping @Sendable () -> Int64, logger: Logger
    ) throws(StoreError) {
        settings = StoreSettings(configuration)
        self.now = now
        self.logger = logger
        startedAt = now()
        layout = DiskLayout(root: configuration.root)
        tree = HostedTree(root: layout.hosted)
        try layout.make()
        lock = try DirectoryLock(layout.root)
        for name in names(in: layout.trash) { unlink(layout.trash(name)) }
        for name in names(in: layout.uploads) { unlink(layout.upload(name)) }
        health = StoreHealth(root: layout.root, logger: logger)
        database = MetadataDatabase(layout, health: health, now: now, logger: logger)
        let committed = try database.open() ?? 0
        var ledger = Ledger(limit: 0, minFree: 0, lowWatermark: 1)
        ledger.committed = committed
        ledger.bound(by: configuration, onDiskOf: layout.root)
        let capacity = Capacity(ledger, root: layout.root) { [database] in database.life }
        self.capacity = capacity
        quarantine = Quarantine(layout: layout) { capacity.snapshot.limit }
        partials = Partials(layout: layout, database: database, capacity: capacity, logger: logger)
        partials.recover(at: startedAt)
        let totals = (try? database.totals()) ?? [:]
        history = History(totals)
        evictor = Evictor(
            layout: layout, database: database, gate: gate, hot: hot, capacity: capacity, uses: uses,
            partials: partials, health: health, settings: settings, hosted: hosted,
            evicted: (totals[Self.evictedBlobs] ?? 0, totals[Self.evictedBytes] ?? 0), now: now, logger: logger)
        uses.start(after: database.latestUse())
        measureOverhead()
        // Before anything is evicted; of a database that is away now they are read with the first upkeep.
        pins.set((try? database.pins()) ?? [])
        // One that cannot be had now says nothing.
        hosted.set((try? database.isHostedKnown()) ?? false || tree.isEmpty)
        database.onLoss { [weak self] in self?.lostRows() }
    }

    // MARK: Reading

    /// What is known of a digest, asked through one repository.
    package func knowledge(of digest: Digest, in repository: Repository) async throws(StoreError) -> BlobKnowledge {
        try await database.knowledge(of: digest, in: repository)
    }

    /// The content, open, or nil if it is not here. A file that is missing, cannot be read, or is of another size than
    /// its row says is no content: the row goes, and the caller fetches it anew. Call it in the digest's turn.
    package func open(_ digest: Digest, size: Int64) async throws(StoreError) -> BlobFile? {
        let path = layout.blob(digest)
        let file: BlobFile?
        do throws(StoreError) {
            file = try await DiskQueue.run { () throws(StoreError) in try BlobFile(opening: path, digest: digest) }
        } catch {
            guard error.isUnreadable else { throw error }
            await drop(digest, .unreadable)
            return nil
        }
        if let file, file.size == size { return file }
        await drop(digest, file == nil ? .missing : .damaged)
        return nil
    }

    /// The manifest's bytes, hashed again on the way out, or nil if they are not here. Call it in the digest's turn.
    package func manifestBytes(_ digest: Digest, size: Int64) async throws(StoreError) -> [UInt8]? {
        guard let file = try await open(digest, size: size) else { return nil }
        let bytes: [UInt8]
        do throws(StoreError) {
            bytes = try await DiskQueue.run { () throws(StoreError) in try file.readAll() }
        } catch {
            guard error.isUnreadable else { throw error }
            await drop(digest, .unreadable)
            return nil
        }
        if Digest.of(bytes, digest.algorithm) == digest { return bytes }
        await drop(digest, .damaged)
        return nil
    }

    package func tag(_ tag: Tag, of repository: Repository) async throws(StoreError) -> StoredTag? {
        try await database.tag(tag, of: repository)
    }

    package func tags(of repository: Repository) async throws(StoreError) -> [String] {
        try await database.tags(of: repository)
    }

    // MARK: Writing

    /// Publishes a verified ingest, durably, and links it. The `fsync` runs before the digest's turn, rename and row
    /// inside it.
    ///
    /// - Parameter upstream: whose credentials brought it, if it took any.
    package func commit(
        _ writer: IngestWriter, size: Int64, linkedTo repositories: [Repository], broughtBy upstream: String? = nil
    ) async throws(StoreError) {
        try await told { () async throws(StoreError) in
            try await DiskQueue.run { () throws(StoreError) in try writer.sync() }
            try await gate.turn(writer.digest) { () async throws(StoreError) in
                try await publish(writer, size: size) { () async throws(StoreError) in
                    try await database.insert(
                        blob: writer.digest, size: size, at: uses.stamp(now()), linkedTo: repositories,
                        broughtBy: upstream)
                }
            }
        }
    }

    /// Keeps the bytes that turned out wrong where they can be looked at.
    package func quarantine(_ writer: IngestWriter) async {
        // What only passes has holes, and no name to be moved by.
        if writer.window != nil { return await discard(writer) }
        guard let ingest = writer.takeIngest() else { return }
        do throws(StoreError) {
            quarantines.add(1, ordering: .relaxed)
            try quarantine.take(ingest, digest: writer.digest, id: nextID(), size: writer.landing.landed)
        } catch {
            logger.warning("could not quarantine", metadata: ["digest": "\(writer.digest)", "error": "\(error)"])
        }
        writer.giveBackReservation()
        measureOverhead()
        await forgetRow(of: writer)
    }

    /// Stores a manifest whose digest the caller computed, and its link.
    ///
    /// - Parameter upstream: whose credentials brought it, if it took any.
    package func store(
        _ manifest: NewManifest, in repository: Repository, broughtBy upstream: String? = nil
    ) async throws(StoreError) {
        let size = Int64(manifest.bytes.count)
        try await told { () async throws(StoreError) in
            try checkDisk()
            // Anew: nobody hashes here what may have been kept.
            let writer = try await begin(manifest.digest, size: size)
            try await DiskQueue.run { () throws(StoreError) in
                let result: Result<Void, StoreError> = manifest.bytes.withUnsafeBytes { bytes in
                    Result { () throws(StoreError) in try writer.write(bytes, at: 0) }
                }
                try result.get()
                try writer.sync()
            }
            try await gate.turn(manifest.digest) { () async throws(StoreError) in
                try await publish(writer, size: size) { () async throws(StoreError) in
                    try await database.insert(
                        manifest: manifest, in: repository, usedAt: uses.stamp(now()), broughtBy: upstream)
                }
            }
        }
    }

    /// The upstream answered for this digest in this repository, or (`isNamed`) a manifest linked there names it.
    package func link(
        _ digest: Digest, size: Int64?, to repository: Repository, isNamed: Bool
    ) async throws(StoreError) {
        try await database.link(digest, size: size, to: repository, isNamed: isNamed)
    }

    /// The upstream confirmed what the tag points to, or said something new.
    ///
    /// - Returns: what it pointed to before, if to anything.
    @discardableResult
    package func set(_ tag: Tag, of repository: Repository, to digest: Digest) async throws(StoreError) -> Digest? {
        // Whether or not it can be written: what was known of it holds no more.
        defer { hot.drop(tag, of: repository) }
        let before = try await database.set(
            tag, of: repository, to: digest, at: now(), configuration.isPinned)
        // A new tag has pinned what it names, and nothing else changes by it. What one that moved has left may be
        // pinned by others.
        if let before, before != digest, isPinned(repository, tag.description) { try await applyPins() }
        return before
    }

    /// What it names by now, if that is another, is not forgotten.
    ///
    /// - Returns: whether there was anything to forget.
    @discardableResult
    package func forget(
        _ tag: Tag, of repository: Repository, ifNaming digest: Digest
    ) async throws(StoreError) -> Bool {
        defer { hot.drop(tag, of: repository) }
        let isForgotten = try await database.forget(tag, of: repository, ifNaming: digest)
        if isForgotten, isPinned(repository, tag.description) { try await applyPins() }
        return isForgotten
    }

    /// Forgets a digest wholly, now: its content, what it is as a manifest, its links and the tags that name it. Who
    /// reads it goes on reading; a transfer that is under way goes on, and is committed at its end. What was pushed
    /// here stays.
    ///
    /// - Returns: whether there was content.
    @discardableResult
    package func invalidate(_ digest: Digest) async throws(StoreError) -> Bool {
        try await gate.turn(digest) { () async throws(StoreError) in
            try await database.isHosted(digest) ? false : try await remove(digest)
        }
    }

    /// The same, whoever has it; in its turn.
    func remove(_ digest: Digest) async throws(StoreError) -> Bool {
        let (name, aside) = (layout.blob(digest), layout.trash(nextID()))
        hot.drop(digest)
        let life = database.life
        let size = try await database.size(of: digest)
        try await DiskQueue.run { () throws(StoreError) in _ = rename(name, aside) }
        try await database.forget(digest)
        if let size { capacity.forget(onDisk(size), in: life) }
        try await DiskQueue.run { () throws(StoreError) in _ = unlink(aside) }
        await partials.drop(digest)
        return size != nil
    }

    /// A use, remembered in memory; `lease`: of a manifest that was served, whose content must not go while it is
    /// being pulled.
    package func recordUse(_ digest: Digest, lease: Bool) {
        let now = now()
        let leased = lease && configuration.lease > .zero
        uses.record(digest, at: uses.stamp(now), leasedUntil: leased ? now + configuration.lease.milliseconds : 0)
    }

    func nextID() -> String { "\(startedAt)-\(serial.add(1, ordering: .relaxed).newValue)" }

    // MARK: Inside a turn

    private func publish(
        _ writer: IngestWriter, size: Int64, record: () async throws(StoreError) -> CountedRow
    ) async throws(StoreError) {
        let row = try await publish(writer.digest, of: { writer.takeIngest() }, record: record)
        writer.commitReservation(size, as: row)
    }

    /// Gives the file its name and its row. What the room it took counts for is known when its row is written: a file
    /// alone may have been left by a crash and counted by nobody. Without a row it goes again: it would be counted by
    /// nobody and never be evicted.
    ///
    /// - Returns: the row that `record` has written.
    func publish(
        _ digest: Digest, of takeIngest: @escaping @Sendable () -> Ingest?,
        record: () async throws(StoreError) -> CountedRow
    ) async throws(StoreError) -> CountedRow {
        let (name, directory) = (layout.blob(digest), layout.blobDirectory(digest))
        let parent = "\(layout.blobs)/\(digest.algorithm.name)"
        let isInPlaceOfAnother = try await DiskQueue.run { () throws(StoreError) in
            guard let ingest = takeIngest() else { throw .ended }
            let isThere = access(name, F_OK) == 0
            try ingest.publish(as: name, in: directory, under: parent, inPlaceOfAnother: isThere)
            return isThere
        }
        let row: CountedRow
        do throws(StoreError) {
            row = try await record()
        } catch {
            // Where a file was before, with a row that cannot be seen now, there is one as good now.
            if !isInPlaceOfAnother { try await DiskQueue.run { () throws(StoreError) in _ = unlink(name) } }
            throw error
        }
        // Kept of another transfer of the same: its row has just gone.
        await partials.drop(digest)
        return row
    }

    /// What was pushed here exists nowhere else: its file is not taken to the quarantine, which is bounded.
    ///
    /// - Returns: whether the file is out of the way.
    func putAside(_ digest: Digest, _ kind: ScrubFinding.Kind) async -> Bool {
        // A database that does not answer may know of it.
        let isPushed = (try? await database.isHosted(digest)) ?? !tree.isEmpty
        if isPushed { return kind == .damaged && putAside(pushed: digest) }
        do throws(StoreError) {
            try quarantine.take(stored: digest, id: nextID())
            return true
        } catch {
            logger.warning("could not quarantine", metadata: ["digest": "\(digest)", "error": "\(error)"])
            return unlink(layout.blob(digest)) == 0 || errno == ENOENT
        }
    }

    /// What the disk did not give once it may give the next time; what is damaged is kept for whoever can use it.
    private func putAside(pushed digest: Digest) -> Bool {
        let aside = tree.damaged(digest)
        let isAside = (try? makeDirectory(tree.damaged)) != nil && rename(layout.blob(digest), aside) == 0
        logger.error(
            "what was pushed here is damaged: push it again",
            metadata: ["digest": "\(digest)", "kept": "\(isAside ? aside : layout.blob(digest))"])
        return isAside
    }

    /// What turned out not to be what it is called is put aside and forgotten, as far as the disk allows: the next who
    /// asks for it fetches it, and that takes its place. What it is linked to stays, since the upstream's word is not
    /// undone by a lost file.
    func drop(_ digest: Digest, _ kind: ScrubFinding.Kind) async {
        logger.warning("a stored file is \(kind.rawValue): forgotten", metadata: ["digest": "\(digest)"])
        hot.drop(digest)
        if kind == .damaged { quarantines.add(1, ordering: .relaxed) }
        let isGone = if kind == .missing { true } else { await putAside(digest, kind) }
        do throws(StoreError) {
            let life = database.life
            let counted = onDisk(try await database.forgetContent(of: digest) ?? 0)
            capacity.forget(counted, in: life)
            // It takes its room all the same, until the disk lets it go.
            if !isGone { capacity.change { $0.unknown += counted } }
            if !isGone { health.mustReconcile.store(true, ordering: .relaxed) }
        } catch {
            // The store says what is amiss with the database. The row is met again by who asks next.
        }
        measureOverhead()
    }
}

extension Duration {
    /// Whole milliseconds, rounded down.
    package var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }
}
