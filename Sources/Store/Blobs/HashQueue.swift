// Where hashing and waiting for the disk happen: threads of their own, never an event loop and never the shared pool
// of tasks.

import Dispatch
import Synchronization

/// The thread that receives is not slowed by the hash. What it is handed is bounded (`Chunk`); the rest it reads back
/// from the page cache, where it has just landed.
enum HashQueue {
    private static let threads = DispatchQueue(label: "wharf.hash", attributes: .concurrent)

    /// Jobs that wait or are being done.
    static let load = Atomic<Int>(0)

    static func run(_ job: @escaping @Sendable () -> Void) {
        load.add(1, ordering: .relaxed)
        threads.async {
            job()
            load.subtract(1, ordering: .relaxed)
        }
    }
}

/// Runs what may block on the disk (`fsync` above all) and comes back when it is done.
enum DiskQueue {
    private static let threads = DispatchQueue(label: "wharf.disk", attributes: .concurrent)
    /// As of `HashQueue`.
    static let load = Atomic<Int>(0)

    static func run<Value: Sendable>(
        _ body: @escaping @Sendable () throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        load.add(1, ordering: .relaxed)
        defer { load.subtract(1, ordering: .relaxed) }
        let result: Result<Value, StoreError> = await withCheckedContinuation { continuation in
            threads.async { continuation.resume(returning: Result(catching: body)) }
        }
        return try result.get()
    }
}
