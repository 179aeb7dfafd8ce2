// One turn at a time for a digest, or another key: lookup, join, start, commit, eviction and invalidation never
// interleave.

package import OCI
import Synchronization

package typealias DigestGate = Gate<Digest>

/// Fair (first come, first served) and asynchronous: a turn may wait for the disk or the database, which no lock may.
/// Waiting for an upstream never happens inside a turn.
package final class Gate<Key: Hashable & Sendable>: Sendable {
    private let queues = Mutex<[Key: [CheckedContinuation<Void, Never>]]>([:])

    package init() {}

    package func turn<Value: Sendable, Failure: Error>(
        _ key: Key, _ body: @Sendable () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        await enter(key)
        defer { leave(key) }
        return try await body()
    }

    /// A turn if nobody has one, for the evictor, which takes what is idle and skips the rest.
    func tryEnter(_ key: Key) -> Bool {
        queues.withLock { queues in
            if queues[key] != nil { return false }
            queues[key] = []
            return true
        }
    }

    func leave(_ key: Key) {
        let next: CheckedContinuation<Void, Never>? = queues.withLock { queues in
            guard let queue = queues[key], !queue.isEmpty else {
                queues[key] = nil
                return nil
            }
            return queues[key]?.removeFirst()  // the turn passes on without the gate ever standing open
        }
        next?.resume()
    }

    private func enter(_ key: Key) async {
        await withCheckedContinuation { continuation in
            let isFree = queues.withLock { queues in
                if queues[key] == nil {
                    queues[key] = []
                    return true
                }
                queues[key]?.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
    }
}
