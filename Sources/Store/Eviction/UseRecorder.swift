// When blobs were last used and what is leased, gathered in memory so that a hit costs no write.

package import OCI
import Synchronization

package final class UseRecorder: Sendable {
    struct Use: Equatable, Sendable {
        /// Unix time, milliseconds.
        var at: Int64
        /// Unix time in milliseconds until which this, and what it names if it is a manifest, is not evicted.
        var leasedUntil: Int64
    }

    private let uses = Mutex<[Digest: Use]>([:])

    package func record(_ digest: Digest, at now: Int64, leasedUntil: Int64) {
        uses.withLock { uses in
            let earlier = uses[digest] ?? Use(at: 0, leasedUntil: 0)
            uses[digest] = Use(at: max(earlier.at, now), leasedUntil: max(earlier.leasedUntil, leasedUntil))
        }
    }

    func takeAll() -> [Digest: Use] {
        uses.withLock { uses in
            defer { uses = [:] }
            return uses
        }
    }
}
