// What the cache wants people to know, in memory: the last few events, and who is told of each as it comes.

package import OCI
import Synchronization

/// Something that happened to what is served here.
package struct Event: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// The upstream gave another digest for a tag that was known.
        case tagMoved(Repository, Tag, from: Digest, to: Digest)
        /// The upstream has no such tag any more, and it is not served any longer.
        case tagForgotten(Repository, Tag, Digest)
    }

    /// One more than the event's before it, so that who has missed one can tell.
    package let id: Int64
    /// Unix time in milliseconds.
    package let at: Int64
    package let kind: Kind
}

/// The newest 256 events, for whoever wants to hear of them.
///
/// Who comes late and who listens already read the same list, each up to a place of his own: an event that is kept is
/// one that was told before somebody asked. A listener has no queue, so a thousand cost no memory for what comes.
package final class EventLog: Sendable {
    /// So many events are kept.
    package static let mostKept = 256

    private struct Follower {
        let listener: @Sendable (Event) -> Void
        /// The id of the last event that he was told of.
        var told: Int64
        /// Somebody is in a call of the listener, or between two. Others leave what is new to him: so events come in
        /// order, and never two at once.
        var isBeingTold = false
    }

    private struct State {
        /// Ids without a gap, the oldest first.
        var kept: [Event] = []
        var nextID: Int64
        var followers: [Int: Follower] = [:]
        var nextFollower = 0

        /// - Parameter goesOn: asked by whoever is telling this follower.
        /// - Returns: what he is to be told now, and by the caller; `nil` if there is nothing, or somebody tells him.
        mutating func next(for number: Int, goesOn: Bool) -> (event: Event, listener: @Sendable (Event) -> Void)? {
            guard var follower = followers[number], goesOn || !follower.isBeingTold else { return nil }
            let oldest = nextID - Int64(kept.count)
            let place = Int(max(follower.told + 1 - oldest, 0))
            let event = place < kept.count ? kept[place] : nil
            follower.isBeingTold = event != nil
            if let event { follower.told = event.id }
            followers[number] = follower
            return event.map { ($0, follower.listener) }
        }
    }

    /// Ends what `subscribe` began.
    package struct Subscription: Sendable {
        fileprivate let log: EventLog
        fileprivate let number: Int

        /// The listener is not called any more, but for a call that is under way on another thread. Calling it again
        /// changes nothing; it may be called inside the listener.
        package func cancel() { log.cancel(number) }
    }

    private let now: @Sendable () -> Int64
    private let state: Mutex<State>

    /// Ids go on from the time of the start: one of an earlier run is less than all of this one.
    ///
    /// - Parameter now: Unix time in milliseconds.
    package init(now: @escaping @Sendable () -> Int64) {
        self.now = now
        state = Mutex(State(nextID: now()))
    }

    /// How many are listening.
    package var subscriptions: Int { state.withLock { $0.followers.count } }

    /// Keeps it, and calls every listener that is not being told something at this moment by somebody else; that one
    /// is told of it right after.
    package func post(_ kind: Event.Kind) {
        let at = now()
        let numbers = state.withLock { state in
            state.kept.append(Event(id: state.nextID, at: at, kind: kind))
            state.nextID += 1
            if state.kept.count > Self.mostKept { state.kept.removeFirst() }
            return Array(state.followers.keys)
        }
        for number in numbers { tell(number) }
    }

    /// Tells the listener first what is kept and newer than `id`, then each event as it comes: in order, none twice,
    /// and one after the other.
    ///
    /// The listener is called by whoever posts, and by this call for what is kept, without any lock: be quick, never
    /// block. One that stays in a single call for 256 further events goes on with the oldest that is kept.
    ///
    /// - Parameter id: `nil` for all that is kept; so is an id that was not given yet, which can only be an earlier
    ///   run's by a clock that was ahead.
    package func subscribe(after id: Int64?, _ listener: @escaping @Sendable (Event) -> Void) -> Subscription {
        let number = state.withLock { state in
            let oldest = state.nextID - Int64(state.kept.count)
            let told = id.flatMap { $0 < state.nextID ? $0 : nil } ?? oldest - 1
            state.nextFollower += 1
            // Never far below the oldest: what a client wrote is not to overflow.
            state.followers[state.nextFollower] = Follower(listener: listener, told: max(told, oldest - 1))
            return state.nextFollower
        }
        tell(number)
        return Subscription(log: self, number: number)
    }

    private func tell(_ number: Int) {
        var goesOn = false
        while let (event, listener) = state.withLock({ $0.next(for: number, goesOn: goesOn) }) {
            goesOn = true
            listener(event)
        }
    }

    private func cancel(_ number: Int) {
        // What the listener holds goes after the lock: it may be the last to hold something that calls here.
        _ = state.withLock { $0.followers.removeValue(forKey: number) }
    }
}
