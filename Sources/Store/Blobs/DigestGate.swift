// One turn at a time for a digest: lookup, join, start, commit, eviction and invalidation never interleave.

package import OCI
import Synchronization

/// Fair (first come, first served) and asynchronous: a turn may wait for the disk or the database, which no lock may.
/// Waiting for an upstream never happens inside a turn.
package final class DigestGate: Sendable {
    private let queues = Mutex<[Digest: [CheckedContinuation<Void, Never>]]>([:])

    package init() {}

    package func turn<Value: Sendable, Failure: Error>(
        _ digest: Digest, _ body: @Sendable () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        await enter(digest)
        defer { leave(digest) }
        return try await body()
    }

    /// A turn if nobody has one, for the evictor, which takes what is idle and skips the rest.
    func tryEnter(_ digest: Digest) -> Bool {
        queues.withLock { queues in
            if queues[digest] != nil { return false }
            queues[digest] = []
            return true
        }
    }

    func leave(_ digest: Digest) {
        let next: CheckedContinuation<Void, Never>? = queues.withLock { queues in
            guard let queue = queues[digest], !queue.isEmpty else {
                queues[digest] = nil
                return nil
            }
            return queues[digest]?.removeFirst()  // the turn passes on without the gate ever standing open
        }
        next?.resume()
    }

    private func enter(_ digest: Digest) async {
        await withCheckedContinuation { continuation in
            let isFree = queues.withLock { queues in
                if queues[digest] == nil {
                    queues[digest] = []
                    return true
                }
                queues[digest]?.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
    }
}
