// What the state of a fill decides: what is to be asked, done and given up.

import Upstream

extension FillState {
    enum Outcome: Equatable, Sendable {
        /// Every byte has landed; whether they are the right ones is still to be seen.
        case whole
        /// What has landed is kept, to go on from another time.
        case kept
        /// `isLie`: nothing that came is worth keeping.
        case failed(PullThroughError, isLie: Bool)
    }

    struct Ask: Equatable, Sendable {
        let id: Int
        /// nil: all of it.
        let range: BlobRange?
        /// Among the fill's sources.
        let source: Int
        let isFirst: Bool
    }

    enum Action: Equatable, Sendable {
        case ask(Ask)
        case cancel(Int)
        /// It waits for a slot, and is the only one the fill has now.
        case promote(Int)
        /// It has moved too little for too long, and there is another way.
        case replace(Int)
        /// Make the file; bytes, if the upstream said.
        case open(size: Int64?)
        /// What was held back for the window's sake may flow.
        case resume(Int)
        case checkpoint
        /// No follower needs what is before this any more.
        case release(upTo: Int64)
        case end(Outcome)
    }

    /// How far a connection may go on.
    enum Allowance: Equatable, Sendable {
        case upTo(Int64)
        case hold
        case done
    }
}
