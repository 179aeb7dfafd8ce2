// One question to an upstream at a time: who asks the same meanwhile gets the same answer.

import Synchronization

/// The first asker's departure stops nothing: the flight is a task of its own.
final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let flights = Mutex<[Key: Task<Value, Never>]>([:])

    /// - Returns: the answer, and whether another's question brought it.
    func run(_ key: Key, _ body: @escaping @Sendable () async -> Value) async -> (value: Value, isCollapsed: Bool) {
        let (task, isCollapsed) = flights.withLock { flights in
            if let task = flights[key] { return (task, true) }
            let task = Task {
                let value = await body()
                self.flights.withLock { $0[key] = nil }
                return value
            }
            flights[key] = task
            return (task, false)
        }
        return (await task.value, isCollapsed)
    }
}
