// The moving ends of a body: which of its bytes are here, whether they are known to be good, and who waits for more.

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
        /// The place in the file up to which this reader may read on from its offset, without a gap; the offset itself
        /// if nothing is there for it.
        package let available: Int64
        package let ending: Ending?
    }

    private struct Waiter {
        let offset: Int64
        let atLeast: Int64
        let reader: Reader
        let group: WakeGroup
        let call: @Sendable () -> Void
    }

    private struct State {
        var extents: Extents
        var size: Int64?
        var ending: Ending?
        var waiters: [Waiter] = []
        /// Before the newest byte is this far no waiter is due; `.max`: nobody waits, or only for the end.
        var due = Int64.max
        /// No waiter reads on from beyond this.
        var furthest = Int64.min
    }

    private let state: Mutex<State>

    /// A body of `size` bytes (nil: nobody said) of which so much is here already.
    package init(size: Int64?, extents: Extents = Extents()) { state = Mutex(State(extents: extents, size: size)) }

    /// A body that is all here.
    package init(complete size: Int64) {
        state = Mutex(State(extents: Extents(upTo: size), size: size, ending: .complete(size: size)))
    }

    /// What `reader` may have now, reading on from `offset`. If that does not go as far as `atLeast`, a place in the
    /// file like `available`, and nothing has ended, `call` is kept and runs once, through `wake`, when it does. One
    /// step under one lock, so no wake-up is lost between looking and waiting.
    package func view(
        offset: Int64, atLeast: Int64, as reader: Reader, wake: WakeGroup, orCall call: @escaping @Sendable () -> Void
    ) -> View {
        state.withLock { state in
            let view = View(available: Self.available(state, offset, reader), ending: state.ending)
            if view.available < atLeast, state.ending == nil {
                let waiter = Waiter(offset: offset, atLeast: atLeast, reader: reader, group: wake, call: call)
                state.waiters.append(waiter)
                Self.watch(waiter, &state)
            }
            return view
        }
    }

    /// What is on disk, in bytes, all extents together, verified or not.
    package var landed: Int64 { state.withLock { $0.extents.count } }

    /// Which bytes those are.
    package var extents: Extents { state.withLock { $0.extents } }

    package var ending: Ending? { state.withLock { $0.ending } }

    /// These bytes are in the file.
    func insert(_ range: Range<Int64>) {
        fire(
            state.withLock { state in
                state.extents.insert(range)
                return Self.mayBeDue(state, since: range) ? Self.takeDue(&state) : []
            })
    }

    func end(_ ending: Ending) {
        fire(
            state.withLock { state in
                guard state.ending == nil else { return [] }
                state.ending = ending
                if case .complete(let size) = ending {
                    state.extents = Extents(upTo: size)
                    state.size = size
                }
                defer { state.waiters = [] }
                return state.waiters
            })
    }

    private static func available(_ state: State, _ offset: Int64, _ reader: Reader) -> Int64 {
        let end = state.extents.end(from: offset)
        if case .complete = state.ending { return end }
        switch reader {
        case .piece: return end
        case .whole: return max(offset, min(end, (state.size ?? state.extents.end) - heldBack))
        }
    }

    // MARK: Waiting

    /// The usual `insert` has nobody to wake and finds that out by two comparisons.
    private static func mayBeDue(_ state: State, since range: Range<Int64>) -> Bool {
        guard state.extents.end >= state.due else { return false }
        // Bytes beyond a gap help only whom they join. While the size is not known they help others too: the newest
        // byte lets older ones go.
        return state.size == nil || (state.extents.extent(holding: range.lowerBound)?.lowerBound ?? 0) <= state.furthest
    }

    private static func watch(_ waiter: Waiter, _ state: inout State) {
        state.due = min(state.due, dueAt(waiter, state.size))
        state.furthest = max(state.furthest, waiter.offset)
    }

    /// How far the newest byte must be at the least before this one can be due.
    private static func dueAt(_ waiter: Waiter, _ size: Int64?) -> Int64 {
        switch waiter.reader {
        case .piece: return waiter.atLeast
        case .whole:
            guard let size else { return min(waiter.atLeast, .max - heldBack) + heldBack }
            return waiter.atLeast <= size - heldBack ? waiter.atLeast : .max
        }
    }

    private static func takeDue(_ state: inout State) -> [Waiter] {
        var due: [Waiter] = []
        var rest: [Waiter] = []
        for waiter in state.waiters {
            if available(state, waiter.offset, waiter.reader) >= waiter.atLeast {
                due.append(waiter)
            } else {
                rest.append(waiter)
            }
        }
        guard !due.isEmpty else { return [] }
        (state.waiters, state.due, state.furthest) = (rest, .max, .min)
        for waiter in rest { watch(waiter, &state) }
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
