// end-8: a page of tags is asked of the upstream when it is no longer fresh; when that fails, all that is known here is
// listed.

import HTTPSemantics
package import OCI
import Store
import Upstream

/// A list of tags, or a page of one.
package struct TagPage: Sendable {
    /// In the upstream's order.
    package let tags: [String]
    /// The query of the next page in the upstream's words; nil on the last.
    package let next: String?
    /// All that is known here, sorted: which part of it is shown is for who shows it to say.
    package let isAllThatIsKnown: Bool
}

extension Discovery {
    /// - Parameter query: which page, in the upstream's words.
    package func tags(in repository: Repository, query: String?) async throws(Refusal) -> Fetched<TagPage> {
        let question = Question(repository: repository, key: ListKey(kind: .tags, query: query ?? ""))
        let kept = await kept(question)
        if let kept, isFresh(kept, of: repository), let page = TagPage(kept) {
            return Fetched(list: page, status: .hit, age: age(kept))
        }
        let (result, isCollapsed) = await tagFlights.run(question) { [self] in
            await Result { () async throws(Refusal) in try await fetch(question, query, kept: kept) }
        }
        do throws(Refusal) {
            var fetched = try result.get()
            fetched.status.isCollapsed = isCollapsed
            return fetched
        } catch {
            var status = error.status
            status.isCollapsed = isCollapsed
            throw Refusal(error.error, status)
        }
    }

    private func fetch(
        _ question: Question, _ query: String?, kept: KeptList?
    ) async throws(Refusal) -> Fetched<TagPage> {
        let repository = question.repository
        do throws(PullThroughError) {
            let page = try await cache.asking(repository) { registry, name throws(UpstreamError) in
                try await registry.tags(name, query: query)
            }
            let new = KeptList(
                bytes: page.bytes, mediaType: page.mediaType?.rawValue, link: page.link, fetchedAt: cache.now())
            guard let list = TagPage(new) else {
                throw .unusable("\(repository.upstream) sent what is no list of tags")
            }
            let isStored = await keep(new, for: question)
            return Fetched(list: list, status: .listed(inPlaceOf: kept, isStored: isStored))
        } catch {
            if case .unknown = error { await forget(question) }
            guard error.isFailure else { throw .missed(error) }
            let known = await knownFlights.run(repository) { [self] in
                await allKnown(of: repository, after: error, question)
            }
            guard let known = known.value else { throw .missed(error) }
            return Fetched(list: known, status: .stale(after: error), age: nil, failure: error)
        }
    }

    /// The kept pages and the tags that were pulled, as one list; nil if there is neither.
    private func allKnown(
        of repository: Repository, after error: PullThroughError, _ question: Question
    ) async -> TagPage? {
        let pages = await logged(question) { () async throws(StoreError) in
            try await cache.store.lists(.tags, of: repository)
        }
        let pulled = await logged(question) { () async throws(StoreError) in
            try await cache.store.tags(of: repository)
        }
        let usable = (pages ?? []).filter { mayServeStale($0, of: repository, after: error) }
        if usable.isEmpty, pulled?.isEmpty ?? true { return nil }
        let all = usable.compactMap { TagPage($0)?.tags }.reduce(into: Set(pulled ?? [])) { $0.formUnion($1) }
        return TagPage(tags: all.sorted(), next: nil, isAllThatIsKnown: true)
    }
}

extension TagPage {
    /// nil if it is no list of tags.
    fileprivate init?(_ list: KeptList) {
        guard let tags = TagList(parsing: list.bytes)?.tags else { return nil }
        self.init(tags: tags, next: list.link.flatMap { ListPage.nextQuery(in: $0) }, isAllThatIsKnown: false)
    }
}
