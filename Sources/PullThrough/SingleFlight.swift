// One question to an upstream at a time: who asks the same meanwhile gets the same answer.

import HTTPSemantics
import Synchronization

/// The first asker's departure stops nothing: the flight is a task of its own.
///
/// A request that has come through so many mirrors joins only one that has come through as many: in a circle of mirrors
/// that are both asked at the same time each would wait for the other's flight, and so for its own.
final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Asked: Hashable {
        let key: Key
        let hops: Int
    }

    private let flights = Mutex<[Asked: Task<Value, Never>]>([:])

    /// - Returns: the answer, and whether another's question brought it.
    func run(_ key: Key, _ body: @escaping @Sendable () async -> Value) async -> (value: Value, isCollapsed: Bool) {
        let asked = Asked(key: key, hops: Via.current.names.count)
        let (task, isCollapsed) = flights.withLock { flights in
            if let task = flights[asked] { return (task, true) }
            let task = Task {
                let value = await body()
                self.flights.withLock { $0[asked] = nil }
                return value
            }
            flights[asked] = task
            return (task, false)
        }
        return (await task.value, isCollapsed)
    }
}
