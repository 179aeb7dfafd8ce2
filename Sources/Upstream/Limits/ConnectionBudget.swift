// The connections of one upstream that blobs may use at the same time, and the tickets of those who want one.
import Synchronization

/// Hands out the connections of one upstream. Manifests and tokens never come here.
///
/// A lock: claims, grants and releases are steps of microseconds, and whoever is told of one is told after it.
package final class ConnectionBudget: Sendable {
    /// Who wants a connection, as far as it matters for the order: followed before abandoned, a fill's first connection
    /// before further ones, small before large, then by arrival.
    package struct Claim: Equatable, Sendable {
        /// Whether the fill has no connection yet. With a follower it waits for 5 s at most: then it starts beyond the
        /// limit.
        package var isFirst: Bool
        /// Whether a client waits for what it will bring.
        package var isFollowed: Bool
        /// Bytes of the whole blob; nil, if nobody knows, counts as the largest.
        package var size: Int64?

        package init(isFirst: Bool, isFollowed: Bool, size: Int64?) {
            self.isFirst = isFirst
            self.isFollowed = isFollowed
            self.size = size
        }
    }

    private struct Entry {
        let yield: @Sendable () -> Void
        var continuation: CheckedContinuation<Bool, Never>?
    }

    private struct State {
        var budget: BudgetState
        var entries: [Int: Entry] = [:]
        var lastID = 0
        var alarm: (number: Int, task: Task<Void, Never>)?
        var lastAlarm = 0
    }

    private let state: Mutex<State>
    private let clock: any Clock<Duration>
    private let uptime: @Sendable () -> Duration

    /// - Parameter limit: connections at the same time; 1 at least.
    package init(limit: Int, clock: any Clock<Duration>) {
        state = Mutex(State(budget: BudgetState(limit: limit)))
        self.clock = clock
        uptime = stopwatch(clock)
    }

    deinit { state.withLock { $0.alarm?.task.cancel() } }

    /// Connections in use, and claims that wait for one.
    package var figures: (inUse: Int, waiting: Int) { state.withLock { ($0.budget.holding, $0.budget.waiting) } }

    /// Stakes a claim: from here on it has its place in the order, and may be granted.
    ///
    /// - Parameter yield: called at most once while the claim has no follower, from any thread and possibly before
    ///   `granted` has returned, when a client waits for its first byte and this connection would serve it: stop,
    ///   release, and claim again. Kept until the release, so it must not hold the ticket, nor who holds the ticket.
    package func ticket(_ claim: Claim, yield: @escaping @Sendable () -> Void) -> Ticket {
        var id = 0
        change { state, now in
            state.lastID += 1
            id = state.lastID
            state.entries[id] = Entry(yield: yield)
            return state.budget.claimed(id, claim, at: now)
        }
        return Ticket(self, id)
    }

    /// A place in the order, then a connection, then nothing: from the claim until its release.
    ///
    /// Release it where the connection ends: that dropping it does the same is for errors and cancels, and comes as
    /// soon as nothing uses it any more, which may be before the end of the scope.
    package final class Ticket: Sendable {
        private let budget: ConnectionBudget
        private let id: Int

        fileprivate init(_ budget: ConnectionBudget, _ id: Int) {
            self.budget = budget
            self.id = id
        }

        deinit { release() }

        /// Waits for the connection; to be called once. False: the task was cancelled, or the ticket released, before
        /// there was one; then the claim is gone. True may come to a cancelled task too, and is to be released.
        package func granted() async -> Bool { await budget.granted(id) }

        /// The followers came, or left. A claim that waits changes its place; one without followers may be told to
        /// yield.
        package func update(isFollowed: Bool) { budget.update(id, isFollowed) }

        /// The fill has no other connection any more: a claim that waits goes before the further ones of others.
        package func becomeFirst() { budget.becomeFirst(id) }

        /// Gives the connection back, or the place in the order. A second time it does nothing; dropping the ticket
        /// does it too.
        package func release() { budget.release(id) }
    }

    // MARK: Tickets

    private func granted(_ id: Int) async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // The grant, or the cancel, may have been quicker.
                let outcome: Bool? = state.withLock { state in
                    if state.budget.isHolding(id) { return true }
                    guard state.budget.isWaiting(id) else { return false }
                    state.entries[id]?.continuation = continuation
                    return nil
                }
                if let outcome { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            leave(id, unlessHolding: true)
        }
    }

    private func update(_ id: Int, _ isFollowed: Bool) {
        change { state, now in state.budget.updated(id, isFollowed: isFollowed, at: now) }
    }

    private func becomeFirst(_ id: Int) {
        change { state, now in state.budget.becameFirst(id, at: now) }
    }

    private func release(_ id: Int) { leave(id, unlessHolding: false) }

    private func leave(_ id: Int, unlessHolding: Bool) {
        // Let go of outside the lock: what a `yield` holds may be the last to hold another ticket.
        var entry: Entry?
        change { state, now in
            guard !(unlessHolding && state.budget.isHolding(id)) else { return BudgetState.Actions() }
            entry = state.entries.removeValue(forKey: id)
            return state.budget.released(id, at: now)
        }
        entry?.continuation?.resume(returning: false)
    }

    /// Lets something happen, and tells whom it concerns, outside the lock: a `yield` may release at once.
    private func change(_ event: (inout State, Duration) -> BudgetState.Actions) {
        let now = uptime()
        let (granted, yields) = state.withLock { state in
            let actions = event(&state, now)
            setAlarm(&state)
            let granted = actions.granted.compactMap { id in state.entries[id]?.continuation.take() }
            return (granted, actions.yielding.compactMap { state.entries[$0]?.yield })
        }
        for continuation in granted { continuation.resume(returning: true) }
        for yield in yields { yield() }
    }

    // MARK: Time

    /// One alarm at a time. It may ring early, as who it was set for has left: then the next one is set.
    private func setAlarm(_ state: inout State) {
        guard let due = state.budget.nextDue else {
            state.alarm?.task.cancel()
            state.alarm = nil
            return
        }
        guard state.alarm == nil else { return }
        state.lastAlarm += 1
        let number = state.lastAlarm
        let task = Task { [weak self, clock, uptime] in
            do { try await clock.sleep(for: due - uptime()) } catch { return }
            self?.rang(number)
        }
        state.alarm = (number, task)
    }

    private func rang(_ number: Int) {
        change { state, now in
            // It may have been called off, and another set, just as it rang.
            if state.alarm?.number == number { state.alarm = nil }
            return state.budget.woken(at: now)
        }
    }
}
