// A body without an end of its own: pieces that are pushed as they come to be, from any thread.
import Synchronization

/// What happens, told while it happens: server-sent events, say. Sent in chunks, or until the close to HTTP/1.0.
package struct LiveBody: Sendable {
    /// Written again and again, whatever else is: only what is written finds out that a client is gone.
    package struct Heartbeat: Sendable {
        package let bytes: [UInt8]
        package let every: Duration

        package init(_ bytes: [UInt8], every: Duration) {
            self.bytes = bytes
            self.every = every
        }
    }

    package let heartbeat: Heartbeat
    /// Called once, on the connection's event loop, when the head is on its way: be quick, never block. Never called
    /// for HEAD, nor when nobody was left to answer.
    package let begin: @Sendable (LiveWriter) -> Void

    package init(heartbeat: Heartbeat, begin: @escaping @Sendable (LiveWriter) -> Void) {
        self.heartbeat = heartbeat
        self.begin = begin
    }
}

/// The producer's end of a live body. Every call may come from any thread, does not wait, and changes nothing once the
/// body is over.
package final class LiveWriter: Sendable {
    /// Bytes that may wait for a client. One that lets more come together does not read, and is reset.
    package static let mostWaiting = 256 << 10

    /// What the connection is to do.
    enum Step {
        case nothing
        case piece([UInt8])
        case end
        case overrun
    }

    private enum Phase {
        case open
        /// By the producer: what is pending goes out first.
        case ended
        /// More came together than may wait: nothing of it is kept.
        case overrun
        /// The connection has let go of it.
        case over
    }

    private struct State {
        var phase = Phase.open
        /// Bytes that the connection has not fetched yet.
        var pending: [UInt8] = []
        /// How many it has fetched and the kernel not taken.
        var inFlight = 0
        /// The connection comes by without being called.
        var isExpected = false

        var hasCaughtUp: Bool { pending.count + inFlight <= LiveWriter.mostWaiting / 4 }
        var onClose: [@Sendable () -> Void] = []
        var whenCaughtUp: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private let call: @Sendable () -> Void

    /// - Parameter call: has the connection come by, on its event loop, and `next` be asked there.
    init(call: @escaping @Sendable () -> Void) {
        self.call = call
    }

    /// Sends these bytes as soon as the client has taken what was written before, in the order of the calls. No other
    /// writer's bytes get in between.
    package func write(_ bytes: [UInt8]) {
        advance { state in
            guard state.phase == .open else { return false }
            state.pending += bytes
            guard state.pending.count + state.inFlight > Self.mostWaiting else { return !state.isExpected }
            state.pending = []
            state.phase = .overrun
            // At once, though a piece be in flight: it may stay there for ever.
            return true
        }
    }

    /// Waits until the client has taken most of what was written, or the body is over: for who has more to say than may
    /// wait, and the time to.
    package func caughtUp() async {
        await withCheckedContinuation { continuation in
            let isSo = state.withLock { state in
                if state.phase != .open || state.hasCaughtUp { return true }
                state.whenCaughtUp.append(continuation)
                return false
            }
            if isSo { continuation.resume() }
        }
    }

    /// Whether the client has taken all that was written: for who would rather say something newer later.
    package var isIdle: Bool {
        state.withLock { $0.phase == .open && $0.pending.isEmpty && $0.inFlight == 0 }
    }

    /// Ends the body properly, behind what was written before.
    package func end() {
        advance { state in
            guard state.phase == .open else { return false }
            state.phase = .ended
            return !state.isExpected
        }
    }

    /// Calls `work` once when the body is over, whoever ended it: the producer, the client by leaving or by not
    /// reading, the server by stopping. On the connection's event loop; at once, and here, if it is over already.
    package func onClose(_ work: @escaping @Sendable () -> Void) {
        let isOver = state.withLock { state in
            if state.phase != .over { state.onClose.append(work) }
            return state.phase == .over
        }
        if isOver { work() }
    }

    private func advance(_ change: (inout State) -> Bool) {
        let isCalled = state.withLock { state in
            let isCalled = change(&state)
            if isCalled { state.isExpected = true }
            return isCalled
        }
        if isCalled { call() }
    }

    // MARK: The connection's side

    /// - Parameter isInFlight: the kernel has not taken the last piece whole; when it has, this is asked again.
    func next(isInFlight: Bool) -> Step {
        let (step, waiters): (Step, [CheckedContinuation<Void, Never>]) = state.withLock { state in
            let step = Self.step(&state, isInFlight)
            guard state.hasCaughtUp else { return (step, []) }
            defer { state.whenCaughtUp = [] }
            return (step, state.whenCaughtUp)
        }
        for waiter in waiters { waiter.resume() }
        return step
    }

    private static func step(_ state: inout State, _ isInFlight: Bool) -> Step {
        switch state.phase {
        case .overrun: return .overrun
        case .open where isInFlight, .ended where isInFlight, .over: return .nothing
        case .open, .ended: break
        }
        state.inFlight = state.pending.count
        guard state.pending.isEmpty else {
            defer { state.pending = [] }
            return .piece(state.pending)
        }
        state.isExpected = false
        return state.phase == .ended ? .end : .nothing
    }

    func close() {
        let (works, waiters) = state.withLock { state in
            defer { state = State(phase: .over) }
            return (state.onClose, state.whenCaughtUp)
        }
        for work in works { work() }
        for waiter in waiters { waiter.resume() }
    }
}
