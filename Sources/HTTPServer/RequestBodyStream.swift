// A request's body as its responder takes it: piece by piece, while the client waits.
import Synchronization

/// The responder pulls: nothing is read of the client before he first asks, and no more while `most` bytes wait for
/// him. That first asking is what sends `100 Continue` (RFC 9110 §10.1.1), so who is refused before never sends his
/// body. There is one who asks.
package final class RequestBodyStream: Sendable {
    /// Why there is no more of it, though its end has not come.
    package enum Fault: Error, Equatable, Sendable {
        /// The client left, or has said that it sends nothing more.
        case clientLeft
        /// What came is no body by its framing (RFC 9112 §7.1).
        case malformed
        /// No byte came for the stall timeout.
        case stalled
    }

    /// Bytes that may wait to be taken; one read of the socket may come on top.
    static let most = 256 << 10

    /// What whoever asks gets.
    fileprivate typealias Piece = Result<[UInt8]?, Fault>

    fileprivate struct State {
        var pending: [UInt8] = []
        var taken: Int64 = 0
        var ending: Result<Void, Fault>?
        var waiter: CheckedContinuation<Piece, Never>?
        var isAsked = false
        var isPassedOver = false
        /// The connection reads on without being called.
        var isFlowing = false
    }

    /// The announced length in bytes; nil if nobody said (chunked).
    package let length: Int64?
    let expectsContinue: Bool
    private let state = Mutex(State())
    private let call: @Sendable () -> Void

    /// - Parameter call: has the connection come by, on its event loop: more is wanted.
    init(length: Int64?, expectsContinue: Bool, call: @escaping @Sendable () -> Void) {
        self.length = length
        self.expectsContinue = expectsContinue
        self.call = call
    }

    /// A body that is all here.
    package init(whole bytes: [UInt8]) {
        length = Int64(bytes.count)
        expectsContinue = false
        call = {}
        state.withLock { state in
            state.pending = bytes
            state.ending = .success(())
        }
    }

    /// The next bytes, in order and never empty; nil once all have been taken.
    package func next() async throws(Fault) -> [UInt8]? {
        let result: Piece = await withCheckedContinuation { continuation in
            let (ready, isCalled) = state.withLock { state in
                let ready = state.take()
                if ready == nil { state.waiter = continuation }
                state.isAsked = true
                let isCalled = state.ending == nil && !state.isFlowing
                if isCalled { state.isFlowing = true }
                return (ready, isCalled)
            }
            if isCalled { call() }
            if let ready { continuation.resume(returning: ready) }
        }
        return try result.get()
    }

    /// Takes and drops what is left, where that is known to be little, or turns out so. Who was refused may still be
    /// sending it, and then his connection can go on.
    ///
    /// - Parameter limit: bytes.
    func passOver(_ limit: Int) async {
        let (isAsked, taken) = state.withLock { state in
            state.isPassedOver = true
            return (state.isAsked, state.taken)
        }
        // He waits for the word, and gets another.
        if expectsContinue, !isAsked { return }
        if let length, length - taken > Int64(limit) { return }
        var passed = 0
        // What breaks it ends it, here as elsewhere.
        while passed <= limit, let piece = (try? await next()) ?? nil { passed += piece.count }
    }

    // MARK: The connection's side

    /// Whether the answer only waits for what is left to be out of the way: not for long, since the client may wait
    /// for it.
    var isPassedOver: Bool { state.withLock { $0.isPassedOver } }

    /// Whether all of it has come. What has not is in the way of the connection's next request.
    var isWhole: Bool { state.withLock { if case .success? = $0.ending { true } else { false } } }

    /// These bytes of it have come.
    ///
    /// - Returns: whether to read on; else the connection is called.
    func feed(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let (told, isFlowing): (Told?, Bool) = state.withLock { state in
            guard state.ending == nil else { return (nil, false) }
            state.pending.append(contentsOf: bytes)
            let told = state.tell()
            state.isFlowing = state.isAsked && state.pending.count < Self.most
            return (told, state.isFlowing)
        }
        if let told { told.waiter.resume(returning: told.piece) }
        return isFlowing
    }

    /// Once; later calls change nothing.
    func end(_ ending: Result<Void, Fault>) {
        let told: Told? = state.withLock { state in
            guard state.ending == nil else { return nil }
            state.ending = ending
            return state.tell()
        }
        if let told { told.waiter.resume(returning: told.piece) }
    }
}

/// Who waited, and what he gets.
private struct Told {
    let waiter: CheckedContinuation<RequestBodyStream.Piece, Never>
    let piece: RequestBodyStream.Piece
}

extension RequestBodyStream.State {
    /// For who waits, if there is anything for him.
    fileprivate mutating func tell() -> Told? {
        guard let waiter, let piece = take() else { return nil }
        self.waiter = nil
        return Told(waiter: waiter, piece: piece)
    }

    /// What whoever asks gets now; nil if he has to wait.
    fileprivate mutating func take() -> RequestBodyStream.Piece? {
        guard pending.isEmpty else {
            defer { pending = [] }
            taken += Int64(pending.count)
            return .success(pending)
        }
        switch ending {
        case nil: return nil
        case .success: return .success(nil)
        case .failure(let fault): return .failure(fault)
        }
    }
}
