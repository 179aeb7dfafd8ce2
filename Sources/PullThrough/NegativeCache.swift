// What an upstream said it does not have, or does not show: remembered for seconds, so that it is not asked at every
// try.

import HTTPSemantics
import OCI
import Store
import Synchronization

final class NegativeCache: Sendable {
    /// Beyond so many the oldest knowledge is dropped: it is only a saving.
    private static let limit = 10_000

    struct Key: Hashable, Sendable {
        let repository: Repository
        let reference: Reference
        /// Blobs and manifests of one digest are different questions.
        let isBlob: Bool
    }

    private struct Entry {
        let error: PullThroughError
        /// The credentials that it was said to, as `UpstreamRegistry.credentialRevision` numbers them.
        let revision: Int
        /// Unix milliseconds.
        let until: Int64
        let learntAt: Int64
    }

    private let entries = Mutex<[Key: Entry]>([:])

    /// A refusal by what is remembered: a hit, since nobody is asked. What was said to other credentials, or by a
    /// clock that has since gone back, is not remembered. Times are Unix milliseconds.
    func refusal(for key: Key, as revision: Int, at now: Int64) -> Refusal? {
        let error: PullThroughError? = entries.withLock { entries in
            guard let entry = entries[key] else { return nil }
            if entry.until > now, entry.learntAt <= now, entry.revision == revision { return entry.error }
            entries[key] = nil
            return nil
        }
        return error.map { Refusal($0, CacheStatus(detail: "negative")) }
    }

    func forgetAll() { entries.withLock { $0.removeAll() } }

    func forget(where isMeant: (Key) -> Bool) { entries.withLock { $0 = $0.filter { !isMeant($0.key) } } }

    /// Remembers what is the upstream's word; a failure is none.
    func remember(_ error: PullThroughError, for key: Key, as revision: Int, at now: Int64, during period: Int64) {
        switch error {
        case .unknown, .denied, .schema1: break
        case .credentials, .rateLimited, .unreachable, .failed, .unusable, .noSuchUpstream, .notAllowed, .offline,
            .noSpace, .store:
            return
        }
        guard period > 0 else { return }
        entries.withLock { entries in
            if entries.count >= Self.limit { entries = entries.filter { $0.value.until > now } }
            if entries.count >= Self.limit { entries.removeAll() }
            entries[key] = Entry(error: error, revision: revision, until: now + period, learntAt: now)
        }
    }
}
