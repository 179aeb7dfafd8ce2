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
    private let latest = Mutex<Int64>(0)
    private enum Turn { case write }
    private let turn = Gate<Turn>()

    /// The instant to write for a use at `now`, in Unix milliseconds: the wall clock's, or, while that stands before
    /// what was written already (it was set back), the next after it. So the order of uses holds whatever the clock
    /// does.
    func stamp(_ now: Int64) -> Int64 {
        latest.withLock { latest in
            latest = now >= latest ? now : latest + 1
            return latest
        }
    }

    /// The database remembers uses up to here.
    func start(after instant: Int64) { latest.withLock { $0 = max($0, instant) } }

    package func record(_ digest: Digest, at now: Int64, leasedUntil: Int64) {
        uses.withLock { uses in
            let earlier = uses[digest] ?? Use(at: 0, leasedUntil: 0)
            uses[digest] = Use(at: max(earlier.at, now), leasedUntil: max(earlier.leasedUntil, leasedUntil))
        }
    }

    /// Writes down what was gathered; what cannot be written is gathered still. One after the other: when this returns,
    /// what another has taken to write is written too.
    func write(to database: MetadataDatabase) async throws(StoreError) {
        try await turn.turn(.write) { () async throws(StoreError) in
            let taken = self.takeAll()
            do throws(StoreError) {
                try await database.record(taken)
            } catch {
                for (digest, use) in taken { self.record(digest, at: use.at, leasedUntil: use.leasedUntil) }
                throw error
            }
        }
    }

    func takeAll() -> [Digest: Use] {
        uses.withLock { uses in
            defer { uses = [:] }
            return uses
        }
    }
}
