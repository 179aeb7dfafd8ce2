// One blob being written: its file, which of its bytes have landed, and how it ends.

import Glibc
package import OCI
import Synchronization

/// Bytes are written in any order and by any thread, one write at a time; a hash job follows their contiguous prefix,
/// at most one at a time (`IngestHash.swift`), and is not held up by writes; readers follow the landing. The file and
/// its reservation end exactly once: by `ContentStore.commit` or `keep`, or with the last reference to this. One that
/// is passing (`IngestPassing.swift`) only lets its bytes through.
package final class IngestWriter: Sendable {
    package let digest: Digest
    /// The whole length in bytes as announced, if anybody did.
    package let announced: Int64?
    package let landing: Landing
    /// What was on disk when this was opened; empty for a new one.
    package let resumed: Extents

    struct State: ~Copyable {
        var ingest: Ingest?
        var digester: Digester?
        /// What is written: the landing's extents, and a little ahead of them.
        var extents: Extents
        /// How many bytes of the prefix are hashed.
        var hashed: Int64 = 0
        /// Written and to be hashed, in the file's order; what is in none of them is read back.
        var handedOver: [(start: Int64, chunk: Chunk)] = []
        var isHashing: Bool
        var isSealed = false
        var failure: StoreError?
        /// Sources that were told to pause, one or more a connection.
        var whenCaughtUp: [@Sendable () -> Void] = []
        var whenHashed: CheckedContinuation<Result<Digest, StoreError>, Never>?
        /// Of one that is passing.
        var window: Int64?
        /// Passing: how far the slowest follower is, and up to which whole block bytes were given back.
        var passed: Int64 = 0
        var released: Int64 = 0
        /// Whether a row tells of the file, or is about to, and of how many bytes.
        var hasRow: Bool
        var rowBytes: Int64 = 0

        /// How far the bytes go from the start without a gap.
        var prefix: Int64 { extents.prefix }
    }

    /// Held while the file is written to, punched or taken away; taken before `state`, never inside it.
    let writing = Mutex<Void>(())
    let state: Mutex<State>
    let reservation: Reservation
    private let health: StoreHealth
    let path: String
    /// For writing, and for reading back and syncing beside it.
    let descriptor: CInt

    /// - Parameters:
    ///   - resumed: what of the file is written already. It is hashed at once, beside what more comes.
    ///   - window: of a file without a name, that is passing from the start.
    init(
        _ ingest: consuming Ingest, digest: Digest, announced: Int64?, reservation: Reservation, health: StoreHealth,
        resumed: Extents = Extents(), window: Int64? = nil
    ) throws(StoreError) {
        self.digest = digest
        self.announced = announced
        self.reservation = reservation
        self.health = health
        self.resumed = resumed
        path = ingest.path
        descriptor = try ingest.duplicate()
        landing = Landing(size: announced, extents: resumed)
        state = Mutex(
            State(
                ingest: ingest, digester: Digester(digest.algorithm), extents: resumed,
                isHashing: resumed.prefix > 0, window: window, hasRow: !resumed.isEmpty))
        if resumed.prefix > 0 { HashQueue.run { self.hash() } }
    }

    deinit { close(descriptor) }

    /// A descriptor of the caller's own for reading what lands.
    package func duplicate() throws(StoreError) -> CInt {
        try system("dup", path) { fcntl(descriptor, F_DUPFD_CLOEXEC, 0) }
    }

    /// Puts bytes at their place and lets followers have them. What is there already stays as it is: somebody may have
    /// read it, and the hash may have passed.
    ///
    /// - Throws: `.noSpace`: where it was met nothing landed, and the same may be tried again once there is room
    ///   (`ContentStore.grow`) or once this is passing. `.sizeMismatch` beyond what was announced.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
        if !bytes.isEmpty { try write(bytes, at: offset) { _, _ in } }
    }

    /// The same. A whole chunk whose turn it is to be hashed is kept for that.
    ///
    /// - Parameter count: bytes, from the chunk's first on.
    /// - Returns: the chunk to go on with: this one, or another in its place.
    func write(_ chunk: Chunk, _ count: Int, at offset: Int64) throws(StoreError) -> Chunk {
        var next = chunk
        try chunk.withBytes { (memory) throws(StoreError) in
            try write(UnsafeRawBufferPointer(rebasing: memory[..<count]), at: offset) { written, state in
                // No gap lies between it and the hash, and not much; and none of it was there before.
                guard written == [offset..<offset + Int64(Chunk.capacity)], written[0].upperBound <= state.prefix,
                    offset - state.hashed <= Self.highLag, let another = Chunk.another()
                else { return }
                state.handedOver.append((offset, chunk))
                next = another
            }
        }
        return next
    }

    private func write(
        _ bytes: UnsafeRawBufferPointer, at offset: Int64, then hand: ([Range<Int64>], inout State) -> Void
    ) throws(StoreError) {
        let (range, startHash) = try writing.withLock { (_: inout Void) throws(StoreError) in
            let (range, gaps) = try missing(in: offset..<offset + Int64(bytes.count))
            for gap in gaps {
                let part = bytes[Int(gap.lowerBound - offset)..<Int(gap.upperBound - offset)]
                do throws(StoreError) {
                    try writeFully(
                        descriptor, UnsafeRawBufferPointer(rebasing: part), at: gap.lowerBound, path: path)
                } catch {
                    if case .io = error { health.met(error) }
                    throw error
                }
            }
            return state.withLock { state in
                state.extents.insert(range)
                hand(gaps, &state)
                let startHash = state.hashed < state.prefix && !state.isHashing
                if startHash { state.isHashing = true }
                return (range, startHash)
            }
        }
        landing.insert(range)
        if startHash { HashQueue.run { self.hash() } }
    }

    /// What of a range is not here yet, and the part of it that anybody is to have.
    private func missing(in range: Range<Int64>) throws(StoreError) -> (range: Range<Int64>, gaps: [Range<Int64>]) {
        try state.withLock { (state: inout State) throws(StoreError) in
            guard state.ingest != nil, !state.isSealed else { throw .ended }
            if let announced, range.upperBound > announced {
                throw .sizeMismatch(expected: announced, actual: range.upperBound)
            }
            if state.window == nil { try reservation.cover(range.upperBound) }
            // Passing, what all followers have behind them is for nobody.
            let left = max(range.lowerBound, state.released)..<max(range.upperBound, state.released)
            return (left, state.extents.gaps(in: left))
        }
    }

    // MARK: Ends

    /// The content is verified: followers may have its last bytes, before it is durable.
    package func complete(size: Int64) { landing.end(.complete(size: size)) }

    /// It will never be whole: followers are told, unless they already have all of it. Nothing stays on the disk.
    package func breakOff() {
        landing.end(.broken)
        _ = takeIngest()  // going out of scope removes the file
        reservation.giveBack()
    }

    /// It will not be whole this time: followers are told, and nothing more is taken.
    package func stop() {
        landing.end(.broken)
        whileNotWriting { $0.isSealed = true }
    }

    /// The file, taken out to be published, kept or thrown away, once.
    func takeIngest() -> Ingest? { whileNotWriting { $0.ingest.take() } }

    /// Where a write that is under way would undo what is done, or be undone by it.
    func whileNotWriting<Value: ~Copyable>(_ body: (inout sending State) -> sending Value) -> sending Value {
        writing.withLock { _ in state.withLock(body) }
    }

    /// The promised room is a blob's now.
    func commitReservation(_ size: Int64, as row: CountedRow) { reservation.commit(size, as: row) }

    /// The file has gone another way: nothing is promised any more, however long followers keep this.
    func giveBackReservation() { reservation.giveBack() }

    // MARK: On disk

    /// The file's name in its directory.
    var file: String { path.split(separator: "/").last.map(String.init) ?? path }

    /// Whether the file may be found again after a kill: it is there, has a name, and its size is known.
    var canBeKept: Bool { announced != nil && state.withLock { $0.ingest != nil && $0.window == nil } }

    /// Whether a row tells of the file, or is about to.
    var hasRow: Bool { state.withLock { $0.hasRow } }

    func expectRow() { state.withLock { $0.hasRow = true } }

    /// Whether a row of so many bytes may still be written: not when the file has met an end since, nor in the place
    /// of one that says more.
    func claimRow(of bytes: Int64) -> Bool {
        state.withLock { state in
            guard state.ingest != nil, state.window == nil, bytes >= state.rowBytes else { return false }
            state.rowBytes = bytes
            return true
        }
    }

    /// Makes what has been written so far durable, while more is being written.
    func syncData() throws(StoreError) { try system("fdatasync", path) { fdatasync(descriptor) } }

    /// Makes the content durable; the file is not published yet.
    func sync() throws(StoreError) {
        try writing.withLock { (_: inout Void) throws(StoreError) in
            try state.withLock { (state: inout State) throws(StoreError) in
                guard state.ingest != nil, state.window == nil else { throw .ended }
                try state.ingest?.sync(size: state.extents.end)
            }
        }
    }
}
