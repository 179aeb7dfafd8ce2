// What there is to be pulled: lists of tags and referrers, each kept with a freshness of its own, and the search. The
// lists' verbs are in TagLists.swift and ReferrerLists.swift, the search's in Search.swift; ListMemory.swift makes hits
// cheap.

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
    private let memory = ListMemory()
    private let lane = Lane()
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

    /// A list as it is kept; nil if there is none that can be read. That the store fails is logged and no more: keeping
    /// is only a saving.
    func kept<List: ReadList>(_ question: Question) async -> KnownList<List>? {
        if let known: KnownList<List> = memory.known(question) { return known }
        let changes = memory.changes
        let kept = await logged(question) { () async throws(StoreError) in
            try await cache.store.list(question.key, of: question.repository)
        }
        guard let kept = kept ?? nil, let list: List = await read(kept) else { return nil }
        let known = KnownList(list: list, fetchedAt: kept.fetchedAt)
        memory.remember(known, for: question, since: changes)
        return known
    }

    /// Keeps what the upstream gave.
    ///
    /// - Returns: the list, and whether it was written down; nil if it is none, and then nothing is kept.
    func keep<List: ReadList>(
        _ new: KeptList, for question: Question
    ) async -> (list: List, isStored: Bool)? {
        guard let list: List = await read(new) else { return nil }
        memory.change(question, to: KnownList(list: list, fetchedAt: new.fetchedAt))
        let stored: Void? = await logged(question) { () async throws(StoreError) in
            try await cache.store.keep(new, as: question.key, of: question.repository)
        }
        return (list, stored != nil)
    }

    /// All pages of it.
    func forget(_ question: Question) async {
        _ = await logged(question) { () async throws(StoreError) in
            try await cache.store.forget(question.key.kind, of: question.repository)
        }
        memory.forget(question.key.kind, of: question.repository)
    }

    func read<List: ReadList>(_ kept: KeptList) async -> List? { await read(kept.bytes.count) { List(kept) } }

    /// What is short is read at once.
    ///
    /// - Parameter size: bytes.
    func read<Value: Sendable>(_ size: Int, _ reading: @escaping @Sendable () -> Value) async -> Value {
        size <= 64 << 10 ? reading() : await lane.run(reading)
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

    // MARK: Asking once

    /// One reading of what is kept and one question to the upstream serve all who ask meanwhile.
    ///
    /// While it is late the kept list is served, as the upstream gave it, and the question goes on. Less than that, as
    /// what happens to be stored, is for when the upstream has failed: a list that is short is taken for whole.
    func shared<List: ReadList>(
        _ flights: SingleFlight<Question, Result<Fetched<List>, Refusal>>, _ question: Question,
        _ body: @escaping @Sendable () async throws(Refusal) -> Fetched<List>
    ) async throws(Refusal) -> Fetched<List> {
        let upstream = question.repository.upstream
        let late = Lateness(after: cache.patience.with(upstream), clock: cache.clock)
        let (flight, isCollapsed) = flights.join(question, late: late) { await Result(body) }
        if await flight.isLate, let kept: KnownList<List> = await kept(question),
            mayServeStale(kept.fetchedAt, of: question.repository, after: .late(upstream))
        {
            let error = PullThroughError.late(upstream)
            return Fetched(list: kept.list, status: .stale(after: error), age: age(kept.fetchedAt), failure: error)
        }
        do throws(Refusal) {
            var fetched = try await flight.value.get()
            if isCollapsed { fetched.status.isCollapsed = true }
            return fetched
        } catch {
            var status = error.status
            if isCollapsed { status.isCollapsed = true }
            throw Refusal(error.error, status)
        }
    }

    // MARK: How old it is

    /// Whether it is served without asking. One from the future (the clock went back) is not.
    ///
    /// - Parameter fetchedAt: in Unix milliseconds, as below.
    func isFresh(_ fetchedAt: Int64, of repository: Repository) -> Bool {
        let age = cache.now() - fetchedAt
        return age >= 0 && age < (cache.directory[repository.upstream]?.policy.freshFor ?? 0)
    }

    /// Whether it still counts when the upstream fails. With nobody to ask, what is kept is all there is, however old.
    func mayServeStale(_ fetchedAt: Int64, of repository: Repository, after error: PullThroughError) -> Bool {
        guard let policy = cache.directory[repository.upstream]?.policy else { return false }
        return error == .offline || cache.now() - fetchedAt < policy.freshFor + policy.staleIfError
    }

    /// Seconds.
    func age(_ fetchedAt: Int64) -> Int64 { max(0, (cache.now() - fetchedAt) / 1000) }
}

extension CacheStatus {
    /// Put together from what is known here, since the upstream failed.
    static func stale(after error: PullThroughError) -> CacheStatus {
        CacheStatus(forward: .stale, forwardStatus: error.upstreamStatus, isStale: true, detail: "stale-if-error")
    }

    /// The upstream was asked and gave a list.
    static func listed(inPlaceOfAnother: Bool, isStored: Bool) -> CacheStatus {
        CacheStatus(forward: inPlaceOfAnother ? .stale : .miss, forwardStatus: 200, isStored: isStored)
    }
}
