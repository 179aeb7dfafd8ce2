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

    private let flights = Mutex<[Asked: Flight<Value>]>([:])

    /// The flights of this moment.
    var underWay: [Flight<Value>] { flights.withLock { Array($0.values) } }

    /// - Returns: the answer, and whether another's question brought it.
    func run(_ key: Key, _ body: @escaping @Sendable () async -> Value) async -> (value: Value, isCollapsed: Bool) {
        let (flight, isCollapsed) = join(key, body)
        return (await flight.value, isCollapsed)
    }

    /// Begins a flight, or joins the one that is under way.
    func join(
        _ key: Key, late: Lateness? = nil, _ body: @escaping @Sendable () async -> Value
    ) -> (flight: Flight<Value>, isCollapsed: Bool) {
        let asked = Asked(key: key, hops: Via.current.names.count)
        let flight = Flight<Value>()
        let under = flights.withLock { flights in
            if let under = flights[asked] { return under }
            flights[asked] = flight
            return flight
        }
        guard under === flight else { return (under, true) }
        Task {
            let watch = late.map { late in
                Task {
                    guard (try? await late.clock.sleep(for: late.after)) != nil else { return }
                    late.call()
                    flight.growLate()
                }
            }
            let value = await body()
            watch?.cancel()
            self.flights.withLock { $0[asked] = nil }
            flight.end(with: value)
        }
        return (flight, false)
    }
}

/// When a flight is late, and what happens then.
struct Lateness: Sendable {
    let after: Duration
    let clock: any Clock<Duration>
    var call: @Sendable () -> Void = {}
}

/// A value that comes once. Who cannot wait for ever waits until the flight is late.
final class Flight<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var isLate = false
        var patient: [CheckedContinuation<Value, Never>] = []
        var impatient: [CheckedContinuation<Bool, Never>] = []
    }

    private let state = Mutex(State())

    var value: Value {
        get async {
            await withCheckedContinuation { continuation in
                let value: Value? = state.withLock { state in
                    if state.value == nil { state.patient.append(continuation) }
                    return state.value
                }
                if let value { continuation.resume(returning: value) }
            }
        }
    }

    /// Waits until the flight has ended or is late: whether it is the second.
    var isLate: Bool {
        get async {
            await withCheckedContinuation { continuation in
                let isLate: Bool? = state.withLock { state in
                    if state.value != nil { return false }
                    if state.isLate { return true }
                    state.impatient.append(continuation)
                    return nil
                }
                if let isLate { continuation.resume(returning: isLate) }
            }
        }
    }

    func growLate() {
        let waiting = state.withLock { state in
            state.isLate = true
            defer { state.impatient = [] }
            return state.impatient
        }
        for continuation in waiting { continuation.resume(returning: true) }
    }

    func end(with value: Value) {
        let (patient, impatient) = state.withLock { state in
            state.value = value
            defer { (state.patient, state.impatient) = ([], []) }
            return (state.patient, state.impatient)
        }
        for continuation in patient { continuation.resume(returning: value) }
        for continuation in impatient { continuation.resume(returning: false) }
    }
}
