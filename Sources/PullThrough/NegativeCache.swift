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

    private let entries = Mutex<[Key: (error: PullThroughError, until: Int64)]>([:])

    /// The upstream's answer, while it is remembered. Times are Unix milliseconds.
    private func answer(for key: Key, at now: Int64) -> PullThroughError? {
        entries.withLock { entries in
            guard let entry = entries[key] else { return nil }
            if entry.until > now { return entry.error }
            entries[key] = nil
            return nil
        }
    }

    /// A refusal by what is remembered: a hit, since nobody is asked.
    func refusal(for key: Key, at now: Int64) -> Refusal? {
        answer(for: key, at: now).map { Refusal($0, CacheStatus(detail: "negative")) }
    }

    /// Remembers what is the upstream's word; a failure is none.
    func remember(_ error: PullThroughError, for key: Key, at now: Int64, during period: Int64) {
        switch error {
        case .unknown, .denied, .schema1: break
        case .rateLimited, .unreachable, .failed, .unusable, .noSuchUpstream, .offline, .noSpace, .store: return
        }
        guard period > 0 else { return }
        entries.withLock { entries in
            if entries.count >= Self.limit { entries = entries.filter { $0.value.until > now } }
            if entries.count >= Self.limit { entries.removeAll() }
            entries[key] = (error, now + period)
        }
    }
}
