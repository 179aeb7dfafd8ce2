// What to do about a tag: one pure function of what is stored, how old it is, and what is known of the upstream.
//
//     stored | age                            | upstream                | answer
//     -------+--------------------------------+-------------------------+------------------------------------------
//     yes    | any, of an immutable tag       | not asked               | serve, ask nobody
//     yes    | < fresh-for, less its jitter   | not asked               | serve, ask nobody
//     yes    | < fresh-for + revalidate       | not asked               | serve at once, ask in the background
//     yes    | older, or nobody can say       | not asked               | ask
//     yes    | older, or nobody can say       | fails again and again   | for a while as after that, ask nobody
//     yes    | any                            | not asked, must be      | ask, but never about an immutable tag
//     yes    | any                            | the same digest         | serve; fresh again
//     yes    | any                            | another digest          | fetch that one, serve it
//     yes    | within stale-if-error          | fails, or that GET does | serve the stored one, stale
//     yes    | within stale-if-error          | late                    | serve stale now, go on asking
//     yes    | within stale-if-error          | 404, to be served       | serve stale
//     yes    | any                            | 404, to be forgotten    | forget, then 404
//     yes    | beyond stale-if-error          | fails, or 404           | the honest status
//     yes    | beyond stale-if-error          | late                    | wait for what it comes to
//     yes    | any                            | nobody (offline)        | serve
//     no     | -                              | not asked               | ask
//     no     | -                              | a digest                | fetch, store, serve
//     no     | -                              | 404, fails, nobody      | the honest status
//     no     | -                              | late                    | wait for what it comes to
//
// `revalidate` is stale-while-revalidate; stale-if-error is counted from the end of fresh-for. "Fails" is every other
// answer than the registry's own 404, and none; "late" is no answer while a client waits (`PullThroughCache.patience`).
// A tag whose manifest is not here any more is "no".

import OCI

/// What a tag is known to name, with its manifest stored.
struct KnownTag: Equatable, Sendable {
    let digest: Digest
    /// Milliseconds since the upstream confirmed it; nil if the clocks cannot say.
    let age: Int64?
    /// By how much of itself its freshness is shortened, so that what was learnt together is not asked for together.
    let jitter: Double
}

enum Decision: Equatable, Sendable {
    /// A hit.
    case serve(Digest)
    /// A hit, and a question that nobody waits for.
    case serveAndAsk(Digest)
    case serveConfirmed(Digest)
    case serveStale(Digest)
    case ask
    case fetch(Digest)
    /// Go on waiting for the question that is under way.
    case wait
    /// The tag is no more, and nothing is kept of it.
    case forget(Digest)
    /// The honest status.
    case refuse

    /// What is known of the upstream.
    enum Upstream: Equatable, Sendable {
        /// Nothing yet. Where it must be asked, freshness is no reason not to.
        case notAsked(must: Bool)
        /// There is nobody to ask.
        case nobody
        case names(Digest)
        /// The registry's own word that there is no such tag.
        case absent
        case fails
        /// It has not answered yet, for longer than a client should wait.
        case late
    }

    init(known: KnownTag?, policy: FreshnessPolicy, upstream: Upstream) {
        switch (known, upstream) {
        case (let known?, .notAsked(let must)): self = Self.unasked(known, policy, must: must)
        case (let known?, .names(let digest)) where digest == known.digest: self = .serveConfirmed(known.digest)
        case (_, .names(let digest)): self = .fetch(digest)
        case (let known?, .nobody): self = .serve(known.digest)
        case (let known?, .absent) where policy.forgetsAbsent: self = .forget(known.digest)
        case (let known?, .absent), (let known?, .fails), (let known?, .late):
            if Self.mayServeStale(known, policy) {
                self = .serveStale(known.digest)
            } else {
                self = upstream == .late ? .wait : .refuse
            }
        case (nil, .notAsked): self = .ask
        case (nil, .late): self = .wait
        case (nil, .nobody), (nil, .absent), (nil, .fails): self = .refuse
        }
    }

    private static func unasked(_ known: KnownTag, _ policy: FreshnessPolicy, must: Bool) -> Decision {
        if policy.isImmutable { return .serve(known.digest) }
        guard !must, let age = known.age else { return .ask }
        if age < policy.freshFor - Int64(Double(policy.freshFor) * known.jitter) { return .serve(known.digest) }
        return age < policy.freshFor + policy.staleWhileRevalidate ? .serveAndAsk(known.digest) : .ask
    }

    /// What nobody knows the age of is better than nothing.
    static func mayServeStale(_ known: KnownTag, _ policy: FreshnessPolicy) -> Bool {
        known.age.map { $0 < policy.freshFor + policy.staleIfError } ?? true
    }
}
