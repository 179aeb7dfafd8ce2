// The hash that runs behind the writing of a blob, over what goes from its first byte on without a gap.

import Glibc
import OCI
import Synchronization

extension IngestWriter {
    /// Unhashed bytes after which the source is asked to pause, and those at which it goes on.
    /// Few: nobody has the last bytes before the hash has come there, so whoever writes right before it gains nothing
    /// by running ahead. Who brings a later part beside that does.
    static let highLag: Int64 = 8 << 20
    private static let lowLag: Int64 = 4 << 20, highLagOfOthers: Int64 = 64 << 20
    /// Bytes hashed before another fill gets its turn on the thread, and bytes read back at once.
    private static let slice: Int64 = 8 << 20, piece = 128 << 10

    /// Whether the hash is so far behind that the source should pause; `call` runs once when it may go on. What an
    /// earlier run has left is no reason, it is hashed beside what comes; nor is anything while only letting through,
    /// where followers set the pace.
    ///
    /// - Parameter offset: where the source's next bytes belong.
    func isLagging(for offset: Int64 = 0, orCall call: @escaping @Sendable () -> Void) -> Bool {
        state.withLock { state in
            guard state.ingest != nil, state.window == nil, state.hashed >= resumed.prefix,
                state.prefix - state.hashed > (offset <= state.prefix ? Self.highLag : Self.highLagOfOthers)
            else { return false }
            state.whenCaughtUp.append(call)
            return true
        }
    }

    /// No more bytes come. Waits until all that landed is hashed, and answers whether it is what was asked for.
    ///
    /// - Returns: the size in bytes.
    /// - Throws: `.sizeMismatch` if any byte is missing, `.digestMismatch`, what reading back met, or `.ended` if it
    ///   was given up meanwhile.
    package func verify() async throws(StoreError) -> Int64 {
        let extents = whileNotWriting { state in
            state.isSealed = true
            return state.extents
        }
        let size = announced ?? extents.end
        guard extents == Extents(upTo: size) else { throw .sizeMismatch(expected: size, actual: extents.count) }
        let result: Result<Digest, StoreError> = await withCheckedContinuation { continuation in
            let startHash = state.withLock { state in
                state.whenHashed = continuation
                defer { state.isHashing = true }
                return !state.isHashing
            }
            if startHash { HashQueue.run { self.hash() } }
        }
        let actual = try result.get()
        guard actual == digest else { throw .digestMismatch(expected: digest, actual: actual) }
        return size
    }

    /// One slice on a hash thread; goes on in a later job if more has landed, so that many fills share few threads.
    func hash() {
        withUnsafeTemporaryAllocation(byteCount: Self.piece, alignment: 64) { buffer in
            let end = state.withLock { $0.hashed } + Self.slice
            while hashPiece(into: buffer, until: end) {}
        }
        giveBackPassed()  // what only waited for the hash
    }

    /// Hashes the next piece; false when this job is over.
    private func hashPiece(into buffer: UnsafeMutableRawBufferPointer, until end: Int64) -> Bool {
        let (from, prefix, isGivenUp) = state.withLock { ($0.hashed, $0.prefix, $0.ingest == nil) }
        guard from < prefix, !isGivenUp else { return rest() }
        guard from < end else {
            HashQueue.run { self.hash() }
            return false
        }
        if let chunk = state.withLock({ $0.nextHandedOver() }) {
            chunk.withBytes { hashed(UnsafeRawBufferPointer($0)) }
            Chunk.giveBack(CollectionOfOne(chunk))
            return true
        }
        let limit = state.withLock { min($0.prefix, $0.handedOver.first?.start ?? .max) }
        let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, Int(limit - from))])
        do throws(StoreError) {
            let count = try readFully(descriptor, piece, at: from, path: path)
            if count < piece.count { throw .io(operation: "read back", path: path, errno: EIO) }
            hashed(UnsafeRawBufferPointer(piece))
        } catch {
            state.withLock { $0.failure = $0.failure ?? error }
            hashed(UnsafeRawBufferPointer(piece))
        }
        return true
    }

    /// The next bytes of all. This job is the only one.
    private func hashed(_ bytes: UnsafeRawBufferPointer) {
        // The digester is out of the lock while it works.
        var digester = state.withLock { $0.digester.take() }
        digester?.update(bytes)
        let caughtUp: [@Sendable () -> Void] = state.withLock { state in
            state.digester = digester.take()
            state.hashed += Int64(bytes.count)
            guard state.prefix - state.hashed < Self.lowLag else { return [] }
            defer { state.whenCaughtUp = [] }
            return state.whenCaughtUp
        }
        for call in caughtUp { call() }
    }

    /// Nothing more is here: rests until the next write, or says the result if none will come. Both are decided in one
    /// step, so a write between looking and resting starts a job of its own. What was given up is not hashed to its
    /// end.
    private func rest() -> Bool {
        enum Step {
            case goOn
            case rest([@Sendable () -> Void])
            case tell(CheckedContinuation<Result<Digest, StoreError>, Never>?, [@Sendable () -> Void])
        }
        var left: [Chunk] = []
        let step: Step = state.withLock { state in
            let isGivenUp = state.ingest == nil
            if state.hashed < state.prefix, !isGivenUp { return .goOn }
            state.isHashing = false
            // Of what was given up; there is none else.
            left = state.handedOver.map(\.chunk)
            state.handedOver = []
            defer { state.whenCaughtUp = [] }
            guard state.isSealed || isGivenUp else { return .rest(state.whenCaughtUp) }
            defer { state.whenHashed = nil }
            return .tell(state.whenHashed, state.whenCaughtUp)
        }
        Chunk.giveBack(left)
        switch step {
        case .goOn: return true
        case .rest(let paused): for call in paused { call() }
        case .tell(let waiter, let paused):
            for call in paused { call() }
            waiter?.resume(returning: result())
        }
        return false
    }

    private func result() -> Result<Digest, StoreError> {
        state.withLock { state in
            if let failure = state.failure { return .failure(failure) }
            guard state.hashed == state.prefix, let digester = state.digester.take() else { return .failure(.ended) }
            return .success(digester.finish())
        }
    }
}

extension IngestWriter.State {
    /// The chunk that begins where the hash is, if there is one.
    mutating func nextHandedOver() -> Chunk? {
        guard let first = handedOver.first, first.start == hashed else { return nil }
        return handedOver.removeFirst().chunk
    }
}
