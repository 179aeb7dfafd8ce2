// Search: what the default upstream finds, and what is stored here.

import HTTPSemantics
import Logging
package import OCI
import Store
import Upstream

extension Discovery {
    struct SearchQuestion: Hashable, Sendable {
        let text: String
        let count, page: Int
    }

    /// So many stored repositories are looked at.
    private static let mostStored = 1000

    /// A page of what the default upstream finds, without what could not be pulled from here by that name; what is
    /// stored and not in it goes behind it on the first page, on at most half of the places. All is named as a client
    /// of this mirror names it.
    ///
    /// - Parameters:
    ///   - count: results a page, at least 1.
    ///   - page: from 1 on.
    /// - Throws: the upstream's failure where nothing is stored; an upstream that has no search is no failure.
    package func search(_ text: String, count: Int, page: Int) async throws(Refusal) -> Fetched<SearchPage> {
        let stored = await stored(text)
        let question = SearchQuestion(text: text, count: count, page: page)
        let (result, isCollapsed) = await searchFlights.run(question) { [self] in
            await Result { () async throws(PullThroughError) in try await ask(question) }
        }
        do throws(PullThroughError) {
            let found = merged(try result.get(), stored, question)
            return Fetched(list: found, status: .miss(200, isCollapsed: isCollapsed))
        } catch {
            if stored.isEmpty, error.isFailure, error != .offline {
                throw .missed(error, isCollapsed: isCollapsed)
            }
            var found = SearchPage(query: text, page: page, pageSize: count)
            let (start, overflow) = (page - 1).multipliedReportingOverflow(by: count)
            found.results = overflow ? [] : Array(stored.dropFirst(start).prefix(count))
            found.resultCount = stored.count
            found.pageCount = (stored.count + count - 1) / count
            guard error.isFailure else {  // there is no search but ours
                return Fetched(list: found, status: .miss(error.upstreamStatus, isCollapsed: isCollapsed))
            }
            return Fetched(list: found, status: .stale(after: error), age: nil, failure: error)
        }
    }

    private func ask(_ question: SearchQuestion) async throws(PullThroughError) -> SearchPage {
        let upstream = cache.directory.defaultName
        guard let entry = cache.directory[upstream] else { throw .noSuchUpstream(upstream) }
        if cache.isOffline { throw .offline }
        do throws(UpstreamError) {
            return try await entry.registry.search(question.text, count: question.count, page: question.page)
        } catch {
            throw PullThroughError(error, of: upstream)
        }
    }

    private func merged(
        _ found: SearchPage, _ stored: [SearchPage.Result], _ question: SearchQuestion
    ) -> SearchPage {
        var page = SearchPage(query: question.text, page: question.page, pageSize: question.count)
        let results = found.results.filter { result in
            guard let name = RepositoryName(result.name) else { return false }
            // A name that means something else here would be a trap; one that may not be pulled, a disappointment.
            return cache.directory.repository(named: name)?.upstream == cache.directory.defaultName
        }
        let names = Set(results.map(\.name))
        let missing = stored.filter { !names.contains($0.name) }
        let added = question.page == 1 ? Array(missing.prefix((question.count + 1) / 2)) : []
        page.results = results.prefix(question.count - added.count) + added
        (page.resultCount, _) = found.resultCount.addingReportingOverflow(missing.count)
        page.pageCount = max(found.pageCount, page.results.isEmpty ? 0 : 1)
        return page
    }

    /// Those whose images can be pulled from here, by the name that does it.
    private func stored(_ text: String) async -> [SearchPage.Result] {
        do throws(StoreError) {
            return try await cache.store.repositories(matching: text, limit: Self.mostStored).compactMap { repository in
                cache.directory.shortName(of: repository).map { name in
                    SearchPage.Result(
                        name: name,
                        description: repository.isHosted ? "pushed here" : "stored in this mirror (\(repository))",
                        isOfficial: repository.upstream == ImageReference.dockerHub
                            && repository.name.firstComponent == "library")
                }
            }
        } catch {
            cache.logger.error("the store cannot be searched", metadata: ["error": "\(error)"])
            return []
        }
    }
}

extension UpstreamDirectory {
    /// What a name in the path means, if it is an upstream's and may be pulled.
    fileprivate func repository(named name: RepositoryName) -> Repository? {
        // A name that leads nowhere is one that nobody should be told of.
        guard case .upstream(let repository) = try? route(name, namespace: nil, ownHost: nil) else { return nil }
        return repository
    }

    /// The shortest name that a client of this mirror pulls a repository by; nil if there is none.
    fileprivate func shortName(of repository: Repository) -> String? {
        if repository.isHosted {
            let meaning = try? route(repository.name, namespace: nil, ownHost: nil)
            return meaning == .hosted(repository.name) ? "\(repository.name)" : nil
        }
        var short = "\(repository.name)"
        if repository.upstream == ImageReference.dockerHub, repository.name.firstComponent == "library",
            let rest = repository.name.withoutFirstComponent
        {
            short = "\(rest)"
        }
        return [short, "\(repository.name)", "\(repository.upstream)/\(short)", "\(repository)"].first {
            RepositoryName($0).flatMap { self.repository(named: $0) } == repository
        }
    }
}
