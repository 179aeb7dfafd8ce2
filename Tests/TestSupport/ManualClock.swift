// A clock that a test turns by hand.
import Synchronization

/// Time stands still until `advance`; sleepers wake in the order of their deadlines.
package final class ManualClock: Clock, Sendable {
    package struct Instant: InstantProtocol {
        let offset: Swift.Duration

        package func advanced(by duration: Swift.Duration) -> Instant { Instant(offset: offset + duration) }
        package func duration(to other: Instant) -> Swift.Duration { other.offset - offset }
        package static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private struct Sleeper {
        let id: Int
        let deadline: Instant
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var now = Instant(offset: .zero)
        var lastID = 0
        var sleepers: [Sleeper] = []
        var watching: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    package init() {}

    package var now: Instant { state.withLock { $0.now } }
    package var minimumResolution: Swift.Duration { .nanoseconds(1) }

    /// How many sleep just now.
    package var sleeperCount: Int { state.withLock { $0.sleepers.count } }

    package func sleep(until deadline: Instant, tolerance: Swift.Duration?) async throws {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                lie(down: Sleeper(id: id, deadline: deadline, continuation: continuation))
            }
        } onCancel: {
            for sleeper in wake({ $0.id == id }) { sleeper.continuation.resume(throwing: CancellationError()) }
        }
    }

    /// Moves time on and wakes whose deadline has come.
    package func advance(by duration: Swift.Duration) {
        let now = state.withLock { state in
            state.now = state.now.advanced(by: duration)
            return state.now
        }
        for sleeper in wake({ $0.deadline <= now }) { sleeper.continuation.resume() }
    }

    /// Waits until at least so many sleep: then the code under test has come to its timer.
    package func sleepers(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.sleepers.count < count { state.watching.append((count, continuation)) }
                return state.sleepers.count >= count
            }
            if isThere { continuation.resume() }
        }
    }

    private func lie(down sleeper: Sleeper) {
        enum Outcome { case asleep, due, cancelled }
        let (outcome, satisfied) = state.withLock { state -> (Outcome, [CheckedContinuation<Void, Never>]) in
            if Task.isCancelled { return (.cancelled, []) }
            if sleeper.deadline <= state.now { return (.due, []) }
            state.sleepers.append(sleeper)
            let count = state.sleepers.count
            let satisfied = state.watching.filter { $0.count <= count }.map(\.continuation)
            state.watching.removeAll { $0.count <= count }
            return (.asleep, satisfied)
        }
        switch outcome {
        case .asleep: for continuation in satisfied { continuation.resume() }
        case .due: sleeper.continuation.resume()
        case .cancelled: sleeper.continuation.resume(throwing: CancellationError())
        }
    }

    private func wake(_ isWoken: (Sleeper) -> Bool) -> [Sleeper] {
        state.withLock { state in
            let woken = state.sleepers.filter(isWoken).sorted { ($0.deadline, $0.id) < ($1.deadline, $1.id) }
            state.sleepers.removeAll(where: isWoken)
            return woken
        }
    }
}
