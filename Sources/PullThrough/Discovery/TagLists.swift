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
    /// The same in alphabetical order.
    package let sorted: [String]
    /// The query of the next page in the upstream's words; nil on the last.
    package let next: String?
    /// All that is known here: which part of it is shown is for who shows it to say.
    package let isAllThatIsKnown: Bool

    init(tags: [String], next: String?, isAllThatIsKnown: Bool) {
        self.tags = tags
        self.next = next
        self.isAllThatIsKnown = isAllThatIsKnown
        // Most registries sort: then both are one array.
        sorted = zip(tags, tags.dropFirst()).allSatisfy { $0 <= $1 } ? tags : tags.sorted()
    }
}

extension Discovery {
    /// - Parameter query: which page, in the upstream's words.
    package func tags(in repository: Repository, query: String?) async throws(Refusal) -> Fetched<TagPage> {
        let question = Question(repository: repository, key: ListKey(kind: .tags, query: query ?? ""))
        return try await shared(tagFlights, question) { [self] () async throws(Refusal) in
            let kept: KnownList<TagPage>? = await kept(question)
            if let kept, isFresh(kept.fetchedAt, of: repository) {
                return Fetched(list: kept.list, status: .hit, age: age(kept.fetchedAt))
            }
            return try await fetch(question, query, kept: kept)
        }
    }

    private func fetch(
        _ question: Question, _ query: String?, kept: KnownList<TagPage>?
    ) async throws(Refusal) -> Fetched<TagPage> {
        let repository = question.repository
        do throws(PullThroughError) {
            let page = try await cache.asking(repository) { registry, name throws(UpstreamError) in
                try await registry.tags(name, query: query)
            }
            let new = KeptList(
                bytes: page.bytes, mediaType: page.mediaType?.rawValue, link: page.link, fetchedAt: cache.now())
            if page.isStale { return try await stale(new, question, kept: kept) }
            guard let (list, isStored): (TagPage, Bool) = await keep(new, for: question) else {
                throw .unusable("\(repository.upstream) sent what is no list of tags, or one that is too long")
            }
            return Fetched(list: list, status: .listed(inPlaceOfAnother: kept != nil, isStored: isStored))
        } catch {
            // It has said so of the repository, not of this page.
            if case .unknown = error { await forget(question) }
            guard error.isFailure else { throw .missed(error) }
            let known = await knownFlights.run(repository) { [self] in
                await allKnown(of: repository, after: error, question)
            }
            guard let known = known.value else { throw .missed(error) }
            return Fetched(list: known, status: .stale(after: error), age: nil, failure: error)
        }
    }

    /// Of a mirror whose own upstream fails: there may be more. Kept is what the registry itself said.
    ///
    /// - Throws: that this is so, where what is kept is as good.
    private func stale(
        _ page: KeptList, _ question: Question, kept: KnownList<TagPage>?
    ) async throws(PullThroughError) -> Fetched<TagPage> {
        let error = PullThroughError.staleMirror(question.repository.upstream)
        if let kept, mayServeStale(kept.fetchedAt, of: question.repository, after: error) { throw error }
        guard let list: TagPage = await read(page) else { throw error }
        return Fetched(list: list, status: .stale(after: error), age: nil, failure: error)
    }

    /// The kept pages and the tags that were pulled, as one list; nil if there is neither. A list that would be longer
    /// than any upstream's grows no more.
    private func allKnown(
        of repository: Repository, after error: PullThroughError, _ question: Question
    ) async -> TagPage? {
        let pages = await logged(question) { () async throws(StoreError) in
            try await cache.store.lists(.tags, of: repository)
        }
        let pulled = await logged(question) { () async throws(StoreError) in
            try await cache.store.tags(of: repository)
        }
        let usable = (pages ?? []).filter { mayServeStale($0.fetchedAt, of: repository, after: error) }
        if usable.isEmpty, pulled?.isEmpty ?? true { return nil }
        var all = Set(pulled ?? [])
        for page in usable where all.count < TagList.mostEntries {
            let list: TagPage? = await read(page)
            all.formUnion(list?.tags ?? [])
        }
        return await read(all.count * Tag.sizeLimit) { [all] in
            TagPage(tags: all.sorted(), next: nil, isAllThatIsKnown: true)
        }
    }
}

extension TagPage: ReadList {
    init?(_ kept: KeptList) {
        guard let tags = TagList(parsing: kept.bytes)?.tags else { return nil }
        self.init(tags: tags, next: kept.link.flatMap { ListPage.nextQuery(in: $0) }, isAllThatIsKnown: false)
    }

    /// A string takes 16 bytes in each array, and of more than 15 characters so many elsewhere.
    var cost: Int { tags.reduce(0) { $0 + 32 + ($1.utf8.count > 15 ? $1.utf8.count + 32 : 0) } }
}
