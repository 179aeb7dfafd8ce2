// What to do about a tag: pure functions of what is stored, how old it is, and what the upstream said.
//
//     stored | age                     | upstream                      | answer
//     -------+-------------------------+-------------------------------+------------------------------------------
//     yes    | < fresh-for             | not asked                     | serve
//     yes    | older                   | same digest                   | serve; fresh again
//     yes    | older                   | another digest                | fetch that one, serve it
//     yes    | older                   | another digest, its GET fails | serve the stored one, stale
//     yes    | within stale-if-error   | fails, or says 404 or 401/403 | serve the stored one, stale
//     yes    | beyond stale-if-error   | fails or says 404             | the honest status
//     no     | -                       | a digest                      | fetch, store, serve
//     no     | -                       | 404, 401/403, fails           | the honest status
//
// A tag whose manifest was evicted is "no" in the first column once its age is past fresh-for; before, only its bytes
// are fetched.

import OCI
import Store

enum Decision: Equatable, Sendable {
    /// What the tag names is known well enough: no question about the tag.
    case serve(Digest)
    case ask

    /// Before any question. Ages are milliseconds; one below zero (the clock went back) is none at all.
    static func onRequest(stored: StoredTag?, policy: FreshnessPolicy, now: Int64) -> Decision {
        guard let stored else { return .ask }
        let age = now - stored.checkedAt
        return age >= 0 && age < policy.freshFor ? .serve(stored.digest) : .ask
    }

    enum AfterAnswer: Equatable, Sendable {
        /// Still what it was.
        case serveConfirmed(Digest)
        case fetch(Digest)
        case serveStale(Digest)
        case refuse
    }

    /// Once the upstream has named a digest.
    static func onAnswer(_ digest: Digest, stored: StoredTag?) -> AfterAnswer {
        guard let stored, stored.digest == digest, stored.isStored else { return .fetch(digest) }
        return .serveConfirmed(digest)
    }

    /// When it failed, refused or said 404, to the question or to the fetch that followed.
    static func onFailure(stored: StoredTag?, policy: FreshnessPolicy, now: Int64) -> AfterAnswer {
        guard let stored, stored.isStored else { return .refuse }
        let age = now - stored.checkedAt
        return age < policy.freshFor + policy.staleIfError ? .serveStale(stored.digest) : .refuse
    }
}
