// One blob being written: its file, how far it has landed, and the hash that runs behind.

import Glibc
package import OCI
import Synchronization

/// Bytes are written by the transport's thread; a hash job follows, at most one at a time; readers follow the
/// landing. The file and its reservation end exactly once: by `ContentStore.commit`, or with the last reference to
/// this.
package final class IngestWriter: Sendable {
    /// Unhashed bytes after which the source is asked to pause, and those at which it goes on.
    private static let highLag: Int64 = 64 << 20, lowLag: Int64 = 32 << 20
    /// Bytes hashed before another fill gets its turn on the thread, and bytes read back at once.
    private static let slice: Int64 = 8 << 20, piece = 128 << 10

    package let digest: Digest
    /// The whole length in bytes as announced, if anybody did.
    package let announced: Int64?
    package let landing: Landing

    private struct State: ~Copyable {
        var ingest: Ingest?
        var digester: Digester?
        var landed: Int64 = 0
        var hashed: Int64 = 0
        var isHashing = false
        var isSealed = false
        var failure: StoreError?
        var whenCaughtUp: (@Sendable () -> Void)?
        var whenHashed: CheckedContinuation<Result<Digest, StoreError>, Never>?
    }

    private let state: Mutex<State>
    private let reservation: Reservation
    /// For reading back; the hash job's alone.
    private let readBack: CInt
    private let path: String

    init(path: String, digest: Digest, announced: Int64?, reservation: Reservation) throws(StoreError) {
        self.path = path
        self.digest = digest
        self.announced = announced
        self.reservation = reservation
        let ingest = try Ingest.create(path, size: announced)
        readBack = try ingest.duplicate()
        landing = Landing(size: announced)
        state = Mutex(State(ingest: ingest, digester: Digester(digest.algorithm)))
    }

    deinit { close(readBack) }

    /// A descriptor of the caller's own for reading what lands.
    package func duplicate() throws(StoreError) -> CInt {
        try system("dup", path) { fcntl(readBack, F_DUPFD_CLOEXEC, 0) }
    }

    /// Whether the hash is so far behind that the source should pause; `call` runs once when it may go on.
    func isLagging(orCall call: @escaping @Sendable () -> Void) -> Bool {
        state.withLock { state in
            guard state.landed - state.hashed > Self.highLag else { return false }
            state.whenCaughtUp = call
            return true
        }
    }

    /// Appends to the file and lets followers have it. Called by one thread at a time.
    func append(_ bytes: UnsafeRawBufferPointer) throws(StoreError) {
        guard !bytes.isEmpty else { return }
        let result: Result<(landed: Int64, startHash: Bool), StoreError> = state.withLock { state in
            guard state.ingest != nil, !state.isSealed else { return .failure(.ended) }
            let end = state.landed + Int64(bytes.count)
            if let announced, end > announced { return .failure(.sizeMismatch(expected: announced, actual: end)) }
            do throws(StoreError) {
                try reservation.cover(end)
                try state.ingest?.write(bytes, at: state.landed)
            } catch {
                return .failure(error)
            }
            state.landed = end
            let startHash = !state.isHashing
            state.isHashing = true
            return .success((end, startHash))
        }
        let (landed, startHash) = try result.get()
        landing.advance(to: landed)
        if startHash { HashQueue.run { self.hash() } }
    }

    /// No more bytes come. Waits until all that landed is hashed, and answers whether it is what was asked for.
    ///
    /// - Returns: the size in bytes.
    /// - Throws: `.sizeMismatch`, `.digestMismatch`, or what reading back met.
    package func verify() async throws(StoreError) -> Int64 {
        let result: Result<Digest, StoreError> = await withCheckedContinuation { continuation in
            let startHash = state.withLock { state in
                state.isSealed = true
                state.whenHashed = continuation
                defer { state.isHashing = true }
                return !state.isHashing
            }
            if startHash { HashQueue.run { self.hash() } }
        }
        let actual = try result.get()
        let size = state.withLock { $0.landed }
        if let announced, announced != size { throw .sizeMismatch(expected: announced, actual: size) }
        guard actual == digest else { throw .digestMismatch(expected: digest, actual: actual) }
        return size
    }

    /// The content is verified: followers may have its last bytes, before it is durable.
    package func complete(size: Int64) { landing.end(.complete(size: size)) }

    /// It will never be whole: followers are told, unless they already have all of it.
    package func breakOff() {
        landing.end(.broken)
        _ = takeIngest()  // going out of scope removes the file
        reservation.giveBack()
    }

    /// The file, taken out to be published or thrown away, once.
    func takeIngest() -> Ingest? { state.withLock { $0.ingest.take() } }

    /// The promised room is a blob's now; `earlier`: bytes of the same digest that counted already.
    func commitReservation(_ size: Int64, inPlaceOf earlier: Int64?) { reservation.commit(size, inPlaceOf: earlier) }

    /// The file has gone another way: nothing is promised any more, however long followers keep this.
    func giveBackReservation() { reservation.giveBack() }

    /// Makes the content durable; the file is not published yet.
    func sync() throws(StoreError) {
        let result: Result<Void, StoreError> = state.withLock { state in
            guard state.ingest != nil else { return .failure(.ended) }
            do throws(StoreError) {
                try state.ingest?.sync(size: state.landed)
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    /// One slice on a hash thread; goes on in a later job if more has landed, so that many fills share few threads.
    private func hash() {
        withUnsafeTemporaryAllocation(byteCount: Self.piece, alignment: 64) { buffer in
            let end = state.withLock { $0.hashed } + Self.slice
            while hashPiece(into: buffer, until: end) {}
        }
    }

    /// Hashes the next piece; false when this job is over.
    private func hashPiece(into buffer: UnsafeMutableRawBufferPointer, until end: Int64) -> Bool {
        let (from, landed) = state.withLock { ($0.hashed, $0.landed) }
        guard from < landed else { return rest() }
        guard from < end else {
            HashQueue.run { self.hash() }
            return false
        }
        let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, Int(landed - from))])
        var failure: StoreError?
        do throws(StoreError) {
            let count = try readFully(readBack, piece, at: from, path: path)
            if count < piece.count { failure = .io(operation: "read back", path: path, errno: EIO) }
        } catch {
            failure = error
        }
        // The digester is out of the lock while it works: this job is the only one.
        var digester = state.withLock { $0.digester.take() }
        digester?.update(UnsafeRawBufferPointer(piece))
        let caughtUp: (@Sendable () -> Void)? = state.withLock { state in
            state.digester = digester.take()
            state.failure = state.failure ?? failure
            state.hashed = from + Int64(piece.count)
            guard state.landed - state.hashed < Self.lowLag else { return nil }
            defer { state.whenCaughtUp = nil }
            return state.whenCaughtUp
        }
        caughtUp?()
        return true
    }

    /// Nothing more is here: rests until the next append, or says the result if none will come. Both are decided in one
    /// step, so an append between looking and resting starts a job of its own.
    private func rest() -> Bool {
        let (goOn, waiter): (Bool, CheckedContinuation<Result<Digest, StoreError>, Never>?) = state.withLock { state in
            if state.hashed < state.landed { return (true, nil) }
            state.isHashing = false
            defer { if state.isSealed { state.whenHashed = nil } }
            return (false, state.isSealed ? state.whenHashed : nil)
        }
        guard let waiter else { return goOn }
        let (digester, failure) = state.withLock { state -> (Digest?, StoreError?) in
            (state.digester.take()?.finish(), state.failure)
        }
        waiter.resume(returning: failure.map { .failure($0) } ?? digester.map { .success($0) } ?? .failure(.ended))
        return false
    }
}
