// What there is to be pulled: lists of tags and referrers, each kept with a freshness of its own, and the search. The
// lists' verbs are in TagLists.swift and ReferrerLists.swift, the search's in Search.swift.

package import HTTPSemantics
import Logging
import OCI
import Store
import Upstream

/// No answer of this gives a right to see anything: who pulls what a list names asks for it as for everything else.
package final class Discovery: Sendable {
    /// One list of one repository.
    struct Question: Hashable, Sendable {
        let repository: Repository
        let key: ListKey
    }

    let cache: PullThroughCache
    /// Reading all that is kept of a repository takes memory: it is done once for all who ask.
    let knownFlights = SingleFlight<Repository, TagPage?>()
    let tagFlights = SingleFlight<Question, Result<Fetched<TagPage>, Refusal>>()
    let referrerFlights = SingleFlight<Question, Result<Fetched<ReferrerList>, Refusal>>()
    let searchFlights = SingleFlight<SearchQuestion, Result<SearchPage, PullThroughError>>()

    package init(cache: PullThroughCache) { self.cache = cache }

    /// A list, and how the cache came to it.
    package struct Fetched<List: Sendable>: Sendable {
        package var list: List
        package var status: CacheStatus
        /// Seconds since the upstream gave it; nil where it is put together from what is known here.
        package var age: Int64? = 0
        /// Why the upstream was of no help, if that is so: then there may be more than is listed.
        package var failure: PullThroughError?
    }

    // MARK: What is kept

    /// A list as it is kept. That it cannot be read, or written, is logged and no more: keeping is only a saving.
    func kept(_ question: Question) async -> KeptList? {
        await logged(question) { () async throws(StoreError) in
            try await cache.store.list(question.key, of: question.repository)
        } ?? nil
    }

    /// - Returns: whether it was written down.
    func keep(_ list: KeptList, for question: Question) async -> Bool {
        await logged(question) { () async throws(StoreError) in
            try await cache.store.keep(list, as: question.key, of: question.repository)
        } != nil
    }

    func forget(_ question: Question) async {
        _ = await logged(question) { () async throws(StoreError) in
            try await cache.store.forget(question.key, of: question.repository)
        }
    }

    func logged<Value>(_ question: Question, _ body: () async throws(StoreError) -> Value) async -> Value? {
        do throws(StoreError) {
            return try await body()
        } catch {
            cache.logger.error(
                "a kept list cannot be had",
                metadata: ["repository": "\(question.repository)", "error": "\(error)"])
            return nil
        }
    }

    // MARK: How old it is

    /// Whether it is served without asking. One from the future (the clock went back) is not.
    func isFresh(_ list: KeptList, of repository: Repository) -> Bool {
        let age = cache.now() - list.fetchedAt
        return age >= 0 && age < (cache.directory[repository.upstream]?.policy.freshFor ?? 0)
    }

    /// Whether it still counts when the upstream fails. With nobody to ask, what is kept is all there is, however old.
    func mayServeStale(_ list: KeptList, of repository: Repository, after error: PullThroughError) -> Bool {
        guard let policy = cache.directory[repository.upstream]?.policy else { return false }
        return error == .offline || cache.now() - list.fetchedAt < policy.freshFor + policy.staleIfError
    }

    /// Seconds.
    func age(_ list: KeptList) -> Int64 { max(0, (cache.now() - list.fetchedAt) / 1000) }
}

extension CacheStatus {
    /// Put together from what is known here, since the upstream failed.
    static func stale(after error: PullThroughError) -> CacheStatus {
        CacheStatus(forward: .stale, forwardStatus: error.upstreamStatus, isStale: true, detail: "stale-if-error")
    }

    /// The upstream was asked and gave a list.
    static func listed(inPlaceOf kept: KeptList?, isStored: Bool) -> CacheStatus {
        CacheStatus(forward: kept == nil ? .miss : .stale, forwardStatus: 200, isStored: isStored)
    }
}
