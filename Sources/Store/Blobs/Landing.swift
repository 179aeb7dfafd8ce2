// The moving end of a body: how far it has come, whether it is known to be good, and who waits for more.

import Synchronization

/// Those who wake together: all followers on one event loop are woken in one hop.
package struct WakeGroup: Sendable {
    package let id: ObjectIdentifier
    package let execute: @Sendable (@escaping @Sendable () -> Void) -> Void

    package init(id: ObjectIdentifier, execute: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void) {
        self.id = id
        self.execute = execute
    }
}

/// A stored blob's landing has ended before anyone asks; a fill's moves. Readers cannot tell them apart.
package final class Landing: Sendable {
    /// The newest bytes, withheld from readers of the whole until the content is known to match its digest.
    package static let heldBack: Int64 = 64 * 1024

    package enum Ending: Equatable, Sendable {
        /// All of it is here and matched its digest; bytes.
        case complete(size: Int64)
        /// It will never be whole.
        case broken
    }

    package enum Reader: Sendable {
        /// Takes what it gets for a whole, so its last bytes wait for the hash.
        case whole
        /// Asked for a closed piece and checks it itself.
        case piece
    }

    package struct View: Sendable {
        /// Bytes from the start that this reader may have.
        package let available: Int64
        package let ending: Ending?
    }

    private struct Waiter {
        let group: WakeGroup
        let call: @Sendable () -> Void
        /// Fires when so much is on disk; `.max`: only at the end.
        let threshold: Int64
    }

    private struct State {
        var onDisk: Int64 = 0
        var size: Int64?
        var ending: Ending?
        var waiters: [Waiter] = []
        /// The lowest threshold, so that the usual `advance` is one comparison.
        var due = Int64.max
    }

    private let state: Mutex<State>

    /// A body of `size` bytes (nil: nobody said) of which nothing has come.
    package init(size: Int64?) { state = Mutex(State(size: size)) }

    /// A body that is all here.
    package init(complete size: Int64) {
        state = Mutex(State(onDisk: size, size: size, ending: .complete(size: size)))
    }

    /// What `reader` may have now. If that is less than `atLeast` and nothing has ended, `call` is kept and runs once,
    /// through `wake`, when it is not. One step under one lock, so no wake-up is lost between looking and waiting.
    package func view(
        atLeast: Int64, as reader: Reader, wake: WakeGroup, orCall call: @escaping @Sendable () -> Void
    ) -> View {
        state.withLock { state in
            let view = View(available: Self.available(state, reader), ending: state.ending)
            if view.available < atLeast, state.ending == nil {
                let threshold = Self.threshold(state, reader, atLeast)
                state.waiters.append(Waiter(group: wake, call: call, threshold: threshold))
                state.due = min(state.due, threshold)
            }
            return view
        }
    }

    /// What has landed, in bytes, verified or not.
    package var landed: Int64 { state.withLock { $0.onDisk } }

    package var ending: Ending? { state.withLock { $0.ending } }

    /// `onDisk` bytes from the start are in the file.
    func advance(to onDisk: Int64) {
        fire(
            state.withLock { state in
                state.onDisk = onDisk
                guard onDisk >= state.due else { return [] }
                return Self.takeWaiters(&state) { $0.threshold <= onDisk }
            })
    }

    func end(_ ending: Ending) {
        fire(
            state.withLock { state in
                guard state.ending == nil else { return [] }
                state.ending = ending
                if case .complete(let size) = ending {
                    state.onDisk = size
                    state.size = size
                }
                return Self.takeWaiters(&state) { _ in true }
            })
    }

    private static func available(_ state: State, _ reader: Reader) -> Int64 {
        if case .complete(let size) = state.ending { return size }
        switch reader {
        case .piece: return state.onDisk
        case .whole: return max(0, min(state.onDisk, (state.size ?? state.onDisk) - heldBack))
        }
    }

    private static func threshold(_ state: State, _ reader: Reader, _ atLeast: Int64) -> Int64 {
        switch reader {
        case .piece: return atLeast
        case .whole:
            guard let size = state.size else { return atLeast + heldBack }
            return atLeast <= size - heldBack ? atLeast : .max
        }
    }

    private static func takeWaiters(_ state: inout State, where isDue: (Waiter) -> Bool) -> [Waiter] {
        let due = state.waiters.filter(isDue)
        state.waiters.removeAll(where: isDue)
        state.due = state.waiters.lazy.map(\.threshold).min() ?? .max
        return due
    }

    /// All of one group in one hop, outside the lock.
    private func fire(_ waiters: [Waiter]) {
        guard let first = waiters.first else { return }
        if waiters.count == 1 { return first.group.execute(first.call) }
        for group in Dictionary(grouping: waiters, by: \.group.id).values {
            group[0].group.execute { for waiter in group { waiter.call() } }
        }
    }
}
