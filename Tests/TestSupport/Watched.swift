// A value under a lock that a test can wait upon, without sleeping.
import Synchronization

package final class Watched<Value: Sendable>: Sendable {
    private struct State {
        var value: Value
        var waiting: [(isThere: @Sendable (Value) -> Bool, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state: Mutex<State>

    package init(_ value: Value) { state = Mutex(State(value: value)) }

    package var value: Value { state.withLock { $0.value } }

    /// Changes the value and wakes whoever waited for that.
    @discardableResult
    package func change<Answer>(_ change: (inout Value) -> Answer) -> Answer {
        let (answer, satisfied) = state.withLock { state in
            let answer = change(&state.value)
            guard !state.waiting.isEmpty else { return (answer, [CheckedContinuation<Void, Never>]()) }
            let satisfied = state.waiting.indices.filter { state.waiting[$0].isThere(state.value) }
            let continuations = satisfied.map { state.waiting[$0].continuation }
            for index in satisfied.reversed() { state.waiting.remove(at: index) }
            return (answer, continuations)
        }
        for continuation in satisfied { continuation.resume() }
        return answer
    }

    /// Returns once the value is as wanted; at once if it is already.
    package func wait(until isThere: @escaping @Sendable (Value) -> Bool) async {
        await withCheckedContinuation { continuation in
            let isThereNow = state.withLock { state in
                let isThereNow = isThere(state.value)
                if !isThereNow { state.waiting.append((isThere, continuation)) }
                return isThereNow
            }
            if isThereNow { continuation.resume() }
        }
    }
}
