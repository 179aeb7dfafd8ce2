// SQLite through GRDB: one writer, readers beside it (WAL). What the blobs are called; the blobs themselves are files.

import Foundation
import GRDB
import Logging
import OCI
import Synchronization

/// SQL stays behind the verbs of this folder, so that metadata may one day live elsewhere.
///
/// It may be away for a while (a disk that is full or fails, another program that holds it), at start too: every verb
/// throws `.database` then, and `open` is tried again. One that is damaged is moved aside and begun anew, whenever that
/// shows: a cache may forget what things were called, it may neither refuse to start nor fail for ever.
final class MetadataDatabase: Sendable {
    private let pool = Mutex<Opened?>(nil)
    private struct Opened {
        let pool: DatabasePool
        let readers: Readers
        let life: Int
    }
    /// Held by who opens: opening may wait for whoever else has the file, and readers must not.
    private let opening = Mutex<Opening>(Opening())
    private struct Opening {
        /// Why it could not be had the last time.
        var cause: OpeningFailure.Cause?
        /// How often in a row its bytes could not be read.
        var unread = 0
    }
    private let layout: DiskLayout
    private let health: StoreHealth
    private let logger: Logger
    private let now: @Sendable () -> Int64
    private let whenLost = Mutex<@Sendable () -> Void>({})
    private let lives = Atomic<Int>(0)
    /// Of those who read for long. Each look-up finds a connection free, whatever these are at.
    private let seats = Seats(longReads)
    private static let longReads = 3
    /// Whoever makes room waits for nobody who looks around.
    private let makingRoom = Seats(1)
    /// An eviction is under way: its log may be large until it ends.
    private let logMayGrow = Atomic<Bool>(false)

    init(_ layout: DiskLayout, health: StoreHealth, now: @escaping @Sendable () -> Int64, logger: Logger) {
        self.layout = layout
        self.health = health
        self.now = now
        self.logger = logger
    }

    /// `call` runs after each time that all rows were lost.
    func onLoss(_ call: @escaping @Sendable () -> Void) { whenLost.withLock { $0 = call } }

    // MARK: Opening

    var isOpen: Bool { pool.withLock { $0 != nil } }

    /// Another one each time that it is begun anew: numbers of digests hold in one life only.
    var life: Int { lives.load(ordering: .acquiring) }

    /// Opens or makes the database, or begins it anew where it is damaged.
    ///
    /// - Returns: the bytes on disk that it says are committed, or nil if it cannot be had now. Counting them reads
    ///   every row, so that damage among them shows here.
    /// - Throws: `.database` if it is a newer program's, which this one must not touch.
    @discardableResult
    func open() throws(StoreError) -> Int64? {
        let result: Result<Int64, OpeningFailure> = opening.withLock { opening in
            do throws(OpeningFailure) {
                let (opened, readers, committed) = try Self.opened(layout.metadata) { self.setAside($0) }
                opening = Opening()
                pool.withLock { $0 = Opened(pool: opened, readers: readers, life: life) }
                return .success(committed)
            } catch {
                opening.cause = error.cause
                opening.unread = error.cause == .unread ? opening.unread + 1 : 0
                // A moment's failure is none; a disk that goes on refusing these bytes will not give them any more.
                if opening.unread >= Self.mostUnread { setAside(error) }
                return .failure(error)
            }
        }
        do throws(OpeningFailure) {
            let committed = try result.get()
            // The directory's entry of a new one.
            try? syncDirectory(layout.root)
            return committed
        } catch {
            if error.cause == .newer { throw error.reason }
            health.met(error.reason)
            return nil
        }
    }

    /// Tries, some seconds apart, after which bytes that cannot be read are given up.
    private static let mostUnread = 6

    /// Whether the disk is too full to begin one.
    var isShutOutByFullDisk: Bool { !isOpen && opening.withLock { $0.cause == .full } }

    private static func opened(
        _ path: String, ifDamaged setAside: (OpeningFailure) -> Void
    ) throws(OpeningFailure) -> (DatabasePool, Readers, committed: Int64) {
        do throws(OpeningFailure) {
            return try opened(path)
        } catch {
            guard error.cause == .damage else { throw error }
            setAside(error)
            return try opened(path)
        }
    }

    private static func opened(_ path: String) throws(OpeningFailure) -> (DatabasePool, Readers, committed: Int64) {
        do {
            var configuration = Configuration()
            // Who makes room, and a look-up that found its own connections in use, beside those who read for long.
            configuration.maximumReaderCount = longReads + 2
            // Whoever else looks into it (a shell, a backup) is waited for a little.
            configuration.busyMode = .timeout(1)
            // No mmap: a read that fails would end the process by a signal.
            configuration.prepareDatabase { db in
                try db.execute(
                    sql: """
                        PRAGMA page_size = \(pageSize); PRAGMA cache_size = -\(cacheKiB); PRAGMA mmap_size = 0;
                        PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;
                        PRAGMA journal_size_limit = 1048576
                        """)
                try bound(logOf: logBytes, in: db)
                if !db.configuration.readonly { try db.execute(sql: makeGoing) }
            }
            let pool = try DatabasePool(path: path, configuration: configuration)
            if try pool.read(Schema.migrator.hasBeenSuperseded) { throw Superseded() }
            try Schema.migrator.migrate(pool)
            // Look-ups run on the threads of the shared pool of tasks, of which there are as many as cores.
            let readers = try Readers(path, configuration, count: ProcessInfo.processInfo.activeProcessorCount)
            return (pool, readers, try pool.read(committedBytes))
        } catch {
            throw OpeningFailure(error, path)
        }
    }

    /// KiB a connection, taken as it is needed: above the leaves, the trees of a million blobs take two or three MiB.
    private static let cacheKiB = 8192
    /// Of the writer while it writes much: each image that goes has its rows on some eight pages of their own.
    private static let cacheKiBForMuch = 32_768
    /// Bytes of the log after which it is moved into the database.
    private static let logBytes: Int64 = 1 << 20
    /// Bytes, of a database that is begun now. What changes together lies on pages of every table and index, a row or a
    /// few on each: the larger they are, the more is written for nothing.
    private static let pageSize = 1024

    private static func bound(logOf bytes: Int64, in db: Database) throws {
        // Of one that was begun earlier it is another.
        let pageSize = try Int64.fetchOne(db, sql: "PRAGMA page_size") ?? Int64(Self.pageSize)
        try db.execute(sql: "PRAGMA wal_autocheckpoint = \(bytes / pageSize)")
    }

    /// One is kept for whoever wants to know why. What is open of it goes on leading to the file that was moved.
    private func setAside(_ failure: OpeningFailure) {
        lives.add(1, ordering: .acquiringAndReleasing)
        let aside = layout.damagedMetadata(now())
        logger.error(
            "the metadata database cannot be used and was moved aside; a new one is begun",
            metadata: ["error": "\(failure.reason)", "aside": "\(aside)"])
        for name in names(in: layout.root) where name.hasPrefix(DiskLayout.damaged) { unlink("\(layout.root)/\(name)") }
        for suffix in ["", "-wal", "-shm"] { rename(layout.metadata + suffix, aside + suffix) }
    }

    func close() {
        guard let opened = pool.withLock({ $0.take() }) else { return }
        opened.readers.close()
        // It only fails while it is in use, and then the process is ending anyway.
        try? opened.pool.close()
    }

    // MARK: Use

    /// Finds some rows by their keys, on the thread of the task that asks: some 10 µs, where going to another thread
    /// and back takes 100. The disk is waited for here if the pages are not in its cache; so never more than that, and
    /// never on an event loop. Async, so that no caller's executor is held by it.
    ///
    /// - Parameter isOneStatement: it takes one statement, which needs no transaction around it.
    func lookUp<Value: Sendable>(
        isOneStatement: Bool = false, _ body: (Database) throws -> Value
    ) async throws(StoreError) -> Value {
        let opened = try current()
        do {
            if let value = try opened.readers.read(isOneStatement: isOneStatement, body) { return value }
        } catch {
            throw failed(error, opened.pool)
        }
        return try readNow(body)
    }

    /// Reads as much as there is, on a thread of its own, few at a time.
    ///
    /// In a task of its own, as is `write`: GRDB gives up in a cancelled task, and a client that leaves must not look
    /// like a database that fails, least of all between a file and its row.
    func read<Value: Sendable>(
        toMakeRoom isMakingRoom: Bool = false, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreError) -> Value {
        let seats = isMakingRoom ? makingRoom : seats
        await seats.take()
        defer { seats.leave() }
        let pool = try current().pool
        do {
            return try await Task { try await pool.read(body) }.value
        } catch {
            throw failed(error, pool)
        }
    }

    /// Until `endLogGrowth`, whoever writes much need not wait for the disk after each 1 MiB, and finds more of
    /// the pages it comes back to in memory.
    ///
    /// - Parameter bytes: of the log, at most; never less than usual.
    func letLogGrow(to bytes: Int64) async {
        logMayGrow.store(true, ordering: .relaxed)
        await onWriter { db in
            try Self.bound(logOf: max(Self.logBytes, bytes), in: db)
            try db.execute(sql: "PRAGMA cache_size = -\(Self.cacheKiBForMuch)")
        }
    }

    /// Moves the log into the database and empties it. While readers overlap without a gap SQLite cannot begin its log
    /// anew by itself, and it would grow, into the room that is meant for blobs.
    ///
    /// Nothing is done while it may grow: `endLogGrowth` will.
    func truncateLog() async {
        if logMayGrow.load(ordering: .relaxed) { return }
        // Busy readers put it off until the next time; nothing is lost by that.
        await onWriter { db in
            try Self.bound(logOf: Self.logBytes, in: db)
            try db.execute(sql: "PRAGMA cache_size = -\(Self.cacheKiB)")
            _ = try db.checkpoint(.truncate)
        }
    }

    /// After `letLogGrow`.
    func endLogGrowth() async {
        logMayGrow.store(false, ordering: .relaxed)
        await truncateLog()
    }

    private func onWriter(_ body: @escaping @Sendable (Database) throws -> Void) async {
        guard let pool = pool.withLock({ $0?.pool }) else { return }
        // What it is for is tried again by itself.
        _ = try? await Task { try await pool.writeWithoutTransaction(body) }.value
    }

    /// One transaction.
    ///
    /// While it is known not to take anything it fails at once: each try may wait for a second, and there is one
    /// writer. `canBeWritten` finds out when that is over.
    ///
    /// - Parameter isDurable: it is on the disk when this returns; else a power cut may take the last of them back.
    func write<Value: Sendable>(
        isDurable: Bool = false, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreError) -> Value {
        try await written(isDurable: isDurable, body).value
    }

    /// The same, for a row that makes bytes count.
    ///
    /// - Parameter body: answers the bytes of the row that it takes the place of, if there was one.
    func count(
        isDurable: Bool = false, _ body: @escaping @Sendable (Database) throws -> Int64?
    ) async throws(StoreError) -> CountedRow {
        let (earlier, life) = try await written(isDurable: isDurable, body)
        return CountedRow(earlier: earlier, life: life)
    }

    private func written<Value: Sendable>(
        isDurable: Bool, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreError) -> (value: Value, life: Int) {
        if health.has(.metadata) { throw .database("it cannot be written now") }
        let opened = try current()
        let pool = opened.pool
        do {
            let value = try await Task { [health] in
                try await pool.writeWithoutTransaction { db in
                    // Those that came together wait for one failure, not one after the other for each his own.
                    if health.has(.metadata) { throw NotNow() }
                    var value: Value?
                    if isDurable { try db.execute(sql: "PRAGMA synchronous = FULL") }
                    // It cannot be refused outside of a transaction.
                    defer { if isDurable { try? db.execute(sql: "PRAGMA synchronous = NORMAL") } }
                    try db.inTransaction(.immediate) {
                        value = try body(db)
                        return .commit
                    }
                    guard let value else { throw NotNow() }  // it would have thrown
                    return value
                }
            }.value
            return (value, opened.life)
        } catch {
            throw failed(error, pool)
        }
    }

    private struct NotNow: Error {}

    /// As `lookUp`; at start also for more, where there is nobody to make wait.
    func readNow<Value: Sendable>(_ body: (Database) throws -> Value) throws(StoreError) -> Value {
        let pool = try current().pool
        do { return try pool.read(body) } catch { throw failed(error, pool) }
    }

    /// As `readNow`; one transaction.
    func writeNow(_ body: (Database) throws -> Void) throws(StoreError) {
        let pool = try current().pool
        do { try pool.write(body) } catch { throw failed(error, pool) }
    }

    private func current() throws(StoreError) -> Opened {
        guard let opened = pool.withLock({ $0 }) else { throw .database("it could not be opened yet") }
        return opened
    }

    /// The store's word for a failure, after whoever should know has been told.
    private func failed(_ error: any Error, _ pool: DatabasePool) -> StoreError {
        // Ours: the transaction was given up, and the database has nothing to do with it.
        if let own = error as? StoreError { return own }
        let failure = StoreError.database("\(error)")
        // Of one that has been replaced since it says nothing.
        guard self.pool.withLock({ $0?.pool === pool }) else { return failure }
        health.met(failure)
        if OpeningFailure.isLoss(error) { replace(pool, because: OpeningFailure(error, layout.metadata)) }
        return failure
    }

    /// Once for all who have met the damage: the next finds another pool, or none.
    private func replace(_ damaged: DatabasePool, because failure: OpeningFailure) {
        let isFirst = pool.withLock { pool in
            guard pool?.pool === damaged else { return false }
            pool = nil
            setAside(failure)
            return true
        }
        guard isFirst else { return }
        // Before anybody can write into the new one.
        whenLost.withLock { $0 }()
        // Not now is not never: `Upkeep` tries again.
        if (try? open()) != nil, isOpen { health.ends(.metadata) }
    }

    /// Tries to write a row. One that was opened on a disk that was read-only stays so: it is opened again.
    func canBeWritten() async -> Bool {
        guard let pool = pool.withLock({ $0?.pool }) else { return false }
        do {
            try await Task { try await pool.write(Self.trial) }.value
            return true
        } catch {
            guard (error as? DatabaseError)?.resultCode == .SQLITE_READONLY else { return false }
            // What SQLite shares between the connections of a process is read-only too, until the last is closed.
            close()
            _ = try? open()
            return false
        }
    }
}
