// What is amiss with the disk or the database: said once in the log when it begins and when it ends, listed meanwhile.

import Glibc
import Logging
import OCI
import Synchronization

/// Whoever meets a failure says so here; `Upkeep` finds out when it is over. Reading what is stored goes on through all
/// of these, and so do pulls: what cannot be kept only passes.
final class StoreHealth: Sendable {
    enum Trouble: CaseIterable, Sendable {
        /// Nothing that may go makes room: by the bound, or by the disk itself.
        case room
        /// Files cannot be written.
        case disk
        /// What the files are called cannot be read or written down.
        case metadata
    }

    private struct State {
        var words: [Trouble: String] = [:]
        /// Bytes that there was no room for, the least that it was said of since it began.
        var needed: Int64 = .max
    }

    /// Whether files and rows may disagree: there may be files that no row knows, and rows without a file.
    let mustReconcile = Atomic<Bool>(true)
    private let state = Mutex(State())
    private let root: String
    private let logger: Logger

    init(root: String, logger: Logger) {
        self.root = root
        self.logger = logger
    }

    /// What lasts at this moment, each in a sentence for people.
    var amiss: [String] {
        state.withLock { state in Trouble.allCases.compactMap { state.words[$0] } }
    }

    func has(_ trouble: Trouble) -> Bool { state.withLock { $0.words[trouble] != nil } }

    /// Bytes that there was no room for.
    var needed: Int64? { state.withLock { $0.words[.room] == nil ? nil : $0.needed } }

    /// What a file's making or writing met.
    func met(_ error: StoreError) {
        switch error {
        case .noSpace(let needed):
            state.withLock { $0.needed = min($0.needed, needed) }
            begins(
                .room,
                "there is no room: what does not fit passes through and is not kept"
                    + " (raise cache.max-size, free disk space, or pin less)")
        case .io:
            begins(
                .disk, "\(root) cannot be written (\(error)): pulls pass through and nothing new is kept until it can")
        case .database:
            begins(
                .metadata,
                "the metadata database does not answer (\(error)): what is not known is asked of the upstream")
        case .digestMismatch, .sizeMismatch, .inUse, .ended, .overQuota, .hostedUnread: break
        }
    }

    func ends(_ trouble: Trouble) {
        let words = state.withLock { state in
            if trouble == .room { state.needed = .max }
            return state.words.removeValue(forKey: trouble)
        }
        guard words != nil else { return }
        switch trouble {
        case .room: logger.notice("there is room again: what is pulled is kept")
        case .disk: logger.notice("the data directory can be written again: what is pulled is kept")
        case .metadata: logger.notice("the metadata database answers again")
        }
    }

    private func begins(_ trouble: Trouble, _ words: String) {
        let isNew = state.withLock { state in
            guard state.words[trouble] == nil else { return false }
            state.words[trouble] = words
            return true
        }
        if isNew { logger.error("\(words)") }
    }
}

extension ContentStore {
    /// All that may be amiss, in a word, and whether it is.
    package var troubles: [(what: String, isAmiss: Bool)] {
        [
            ("room", health.has(.room)), ("disk", health.has(.disk)), ("metadata", health.has(.metadata)),
            ("hosted", !isHostedKnown), ("adopting", capacity.snapshot.unknown > 0),
        ]
    }

    /// What is amiss, each in a sentence for people; empty when all is well.
    package var amiss: [String] {
        let unknown = capacity.snapshot.unknown
        let adopting =
            unknown == 0 ? [] : ["\(unknown) bytes of files that the database does not know are being hashed"]
        let hosted = isHostedKnown ? [] : ["what was pushed here is being read in, or cannot be: it is not served"]
        return health.amiss + hosted + adopting
    }

    /// Whether what was amiss is over: tried once, at little cost.
    func recover() async {
        if !database.isOpen, let committed = (try? database.open()).flatMap({ $0 }) {
            capacity.change { $0.committed = committed }
            uses.start(after: database.latestUse())
            health.mustReconcile.store(true, ordering: .relaxed)
        } else if database.isShutOutByFullDisk {
            await makeRoomForDatabase()
        }
        if health.has(.metadata), await database.canBeWritten() { health.ends(.metadata) }
        if health.has(.disk), await canBeWritten() { health.ends(.disk) }
        if let needed = health.needed, await evictor.canMakeRoom(for: needed) { health.ends(.room) }
    }

    /// Takes a file of one block the way that blobs go, from `ingest/` into a folder of `blobs/` and out through
    /// `trash/`: what fails for one of them fails here.
    private func canBeWritten() async -> Bool {
        let id = nextID()
        let (path, folder, aside) = (layout.ingest(id), "\(layout.blobs)/trial-\(id)", layout.trash(id))
        do throws(StoreError) {
            try await DiskQueue.run { [layout] () throws(StoreError) in
                defer {
                    unlink("\(folder)/trial")
                    rmdir(folder)
                    unlink(aside)
                }
                let ingest = try Ingest.create(path, size: 4096)
                try ingest.sync(size: 4096)
                try ingest.publish(as: "\(folder)/trial", in: folder, under: layout.blobs, inPlaceOfAnother: false)
                try system("rename", aside) { rename("\(folder)/trial", aside) }
            }
            return true
        } catch {
            // A full disk is another matter, told by whoever needs the room.
            if case .noSpace = error { return true }
            return false
        }
    }

    /// The disk is full of what is here, and no row says what of it may go: what is aside goes first, then the files
    /// that were stored longest ago, until a database can be begun. None that was pushed here.
    private func makeRoomForDatabase() async {
        let wanted: Int64 = 16 << 20
        logger.warning("the disk is too full for a metadata database: the oldest files go")
        // It throws nothing.
        try? await DiskQueue.run { [layout, capacity, self] () throws(StoreError) in
            for folder in [layout.quarantine, layout.trash] {
                for name in names(in: folder) { unlink("\(folder)/\(name)") }
            }
            for name in names(in: layout.root) where name.hasPrefix(DiskLayout.damaged) {
                unlink("\(layout.root)/\(name)")
            }
            // Where that cannot be told, nothing goes.
            guard let kept = hostedDigests().map({ Set($0.map(layout.blob)) }) else { return }
            let shards = Digest.Algorithm.allCases.flatMap { algorithm in
                names(in: "\(layout.blobs)/\(algorithm.name)").map { "\(layout.blobs)/\(algorithm.name)/\($0)" }
            }
            let files = shards.flatMap { shard in
                names(in: shard).compactMap { name -> (path: String, stored: Int)? in
                    var status = stat()
                    let path = "\(shard)/\(name)"
                    return stat(path, &status) == 0 ? (path, Int(status.st_ctim.tv_sec)) : nil
                }
            }
            for file in files.sorted(by: { $0.stored < $1.stored })
            where capacity.free < wanted && !kept.contains(file.path) { unlink(file.path) }
        }
        measureOverhead()
    }
}
