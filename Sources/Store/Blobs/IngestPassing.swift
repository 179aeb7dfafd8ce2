// A blob for which there is no room: it only passes, and what every follower has behind him is given back to the disk.

import Synchronization

extension IngestWriter {
    /// Whole blocks of this many bytes are given back: no page of the cache is larger. What `sendfile` has handed over
    /// may still wait in a socket as that very page, and punching a part of a page zeroes that part: a client would
    /// get zeroes. A page that goes as a whole is only let go of.
    private static let block: Int64 = 2 << 20

    /// Passing: bytes that may stand ahead of the slowest follower. Nil: a fill that is to be stored.
    package var window: Int64? { state.withLock { $0.window } }

    /// The disk was full on the way: from now on this only passes, and nothing will be committed. What has landed
    /// stays until it is released; the file has no name any more, so that nothing with holes in it is found after a
    /// kill.
    ///
    /// - Parameter window: bytes that may stand ahead of the slowest follower, and no more than were promised it.
    package func becomePassing(window: Int64) {
        whileNotWriting { state in
            guard state.window == nil, state.ingest != nil else { return }
            state.window = min(window, max(reservation.size, Self.block))
            state.ingest?.forgetName()
            // Blocks that cannot be given back go with the file.
            try? state.ingest?.trim(to: state.extents)
        }
        shrinkReservation()
    }

    /// Passing: all followers have what lies before `offset`, and its blocks may go. They stay while they are still to
    /// be hashed, for as long as what was not hashed can be; they go then, without another call.
    package func release(upTo offset: Int64) {
        let isNew = state.withLock { state in
            guard state.window != nil, offset > state.passed else { return false }
            state.passed = offset
            return true
        }
        if isNew { giveBackPassed() }
    }

    /// The same, soon, and not on the thread that says so: giving back may wait for the disk.
    package func releaseSoon(upTo offset: Int64) { HashQueue.run { self.release(upTo: offset) } }

    func giveBackPassed() {
        guard window != nil else { return }
        let hasPunched = whileNotWriting { state in
            guard state.window != nil else { return false }
            // Behind a follower beyond a gap nobody fills it any more, and there will be no hash of the whole.
            let limit = state.passed > state.prefix ? state.passed : min(state.passed, state.hashed)
            let end = min(limit, state.extents.end) / Self.block * Self.block
            guard end > state.released else { return false }
            // Blocks that cannot be given back go with the file.
            try? state.ingest?.punch(state.released..<end)
            state.released = end
            return true
        }
        if hasPunched { shrinkReservation() }
    }

    /// What became passing had room for the whole promised to it.
    private func shrinkReservation() {
        let needed = state.withLock { state -> Int64? in
            guard let window = state.window, reservation.size > window else { return nil }
            var extents = state.extents
            extents.remove(0..<state.released)
            return max(window, extents.count)
        }
        if let needed { reservation.shrink(to: needed) }
    }
}
