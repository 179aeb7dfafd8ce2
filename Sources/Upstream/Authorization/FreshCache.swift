// What was fetched, by key: one fetch a key in flight, its result shared by all who ask meanwhile, kept while fresh.

/// Tokens, or what credential helpers answered. An actor: the first asker's fetch is a conversation that the others
/// wait for.
actor FreshCache<Key: Hashable & Sendable, Value: Sendable> {
    private struct Flight {
        var waiting: [Int: CheckedContinuation<Result<Value, UpstreamError>, Never>] = [:]
    }

    /// So many are kept: then those that are not fresh any more are dropped, and if those are few, all are.
    private let most = 1024

    private let isFresh: @Sendable (Value) -> Bool
    private var values: [Key: Value] = [:]
    private var flights: [Key: Flight] = [:]
    private var lastWaiter = 0

    init(isFresh: @escaping @Sendable (Value) -> Bool) { self.isFresh = isFresh }

    /// The value for a key, from here or by `fetch`, which is called once however many ask at the same time.
    ///
    /// An asker that is cancelled leaves at once; the fetch goes on for the others and for later.
    ///
    /// - Parameter isRefused: says of a kept value that it has just turned out to be no good: it is not given again.
    func value(
        for key: Key, unless isRefused: @Sendable (Value) -> Bool = { _ in false },
        fetch: @escaping @Sendable () async throws(UpstreamError) -> Value
    ) async throws(UpstreamError) -> Value {
        if let value = values[key] {
            if isFresh(value), !isRefused(value) { return value }
            values[key] = nil
        }
        if flights[key] == nil {
            flights[key] = Flight()
            Task { landed(key, await outcome(of: fetch)) }
        }
        lastWaiter += 1
        let waiter = lastWaiter
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled {
                    continuation.resume(returning: Result<Value, UpstreamError>.failure(.cancelled))
                } else {
                    flights[key]?.waiting[waiter] = continuation
                }
            }
        } onCancel: {
            Task { await leave(key, waiter) }
        }
        return try result.get()
    }

    private func landed(_ key: Key, _ result: Result<Value, UpstreamError>) {
        if case .success(let value) = result {
            if values.count >= most {
                values = values.filter { isFresh($0.value) }
                // Each costs one question to have again, and a filter at every one would cost more.
                if values.count > most / 2 { values = [:] }
            }
            values[key] = value
        }
        for continuation in (flights.removeValue(forKey: key) ?? Flight()).waiting.values {
            continuation.resume(returning: result)
        }
    }

    private func leave(_ key: Key, _ waiter: Int) {
        flights[key]?.waiting.removeValue(forKey: waiter)?.resume(returning: .failure(.cancelled))
    }
}
