// end-12: what names a digest as its subject, asked of the upstream, or of the tag that stands for it where an upstream
// does not know the question; when that fails, what is known here.
//
//     upstream's answer                        | answer
//     -----------------------------------------+----------------------------------------------------------------
//     lists                                    | those, kept
//     404 of its own, 400, 405, 406, 501       | the index under the referrers tag; an empty list if there is none
//     fails, or lists nothing that can be used | kept list and stored manifests; the failure if there are neither

import HTTPSemantics
package import OCI
import Store
import Upstream

extension Discovery {
    package func referrers(
        of subject: Digest, in repository: Repository
    ) async throws(Refusal) -> Fetched<ReferrerList> {
        let question = Question(repository: repository, key: ListKey(kind: .referrers(subject), query: ""))
        let kept = await kept(question)
        if let kept, isFresh(kept, of: repository), let list = ReferrerList(parsing: kept.bytes) {
            return Fetched(list: list, status: .hit, age: age(kept))
        }
        let (result, isCollapsed) = await referrerFlights.run(question) { [self] in
            await Result { () async throws(Refusal) in try await fetch(subject, question, kept: kept) }
        }
        do throws(Refusal) {
            var fetched = try result.get()
            if isCollapsed { fetched.status.isCollapsed = true }
            return fetched
        } catch {
            var status = error.status
            if isCollapsed { status.isCollapsed = true }
            throw Refusal(error.error, status)
        }
    }

    private func fetch(
        _ subject: Digest, _ question: Question, kept: KeptList?
    ) async throws(Refusal) -> Fetched<ReferrerList> {
        do throws(PullThroughError) {
            let list = try await listed(subject, in: question.repository)
            let isStored = await keep(list, for: question, age: 0)
            return Fetched(list: list, status: .listed(inPlaceOf: kept, isStored: isStored))
        } catch {
            if error.meansNoReferrersAPI { return try await tagged(subject, question, kept: kept) }
            return try await allKnown(of: subject, question, kept: kept, after: .missed(error))
        }
    }

    /// The upstream's list, all pages of it.
    private func listed(_ subject: Digest, in repository: Repository) async throws(PullThroughError) -> ReferrerList {
        let pages = try await cache.asking(repository) { registry, name throws(UpstreamError) in
            try await registry.referrers(name, subject)
        }
        var list = ReferrerList()
        for page in pages {
            guard let part = ReferrerList(parsing: page.bytes) else {
                throw .unusable("\(repository.upstream) sent what is no list of referrers")
            }
            list.add(part)
        }
        return list
    }

    /// Distribution-spec v1.1 "Unavailable Referrers API": the list is an index under a tag, which pushers keep.
    private func tagged(
        _ subject: Digest, _ question: Question, kept: KeptList?
    ) async throws(Refusal) -> Fetched<ReferrerList> {
        var found = Fetched(list: ReferrerList(), status: .miss(404))
        do throws(Refusal) {
            let answer = try await cache.manifest(.tag(subject.referrersTag), in: question.repository)
            // What is no index is no list.
            found.list = ReferrerList(parsing: answer.content.bytes) ?? ReferrerList()
            found.status = answer.status
            found.age = answer.age
            if let failure = answer.failure {
                return try await allKnown(
                    of: subject, question, kept: kept, after: Refusal(failure, answer.status), besides: found.list)
            }
        } catch {
            guard error.error.isAbsence else {
                return try await allKnown(of: subject, question, kept: kept, after: error)
            }
            found.status = error.status
        }
        if await keep(found.list, for: question, age: found.age ?? 0) { found.status.isStored = true }
        found.status.detail = "referrers-tag"
        return found
    }

    /// The kept list and the stored manifests that name the subject, as one list.
    private func allKnown(
        of subject: Digest, _ question: Question, kept: KeptList?, after refusal: Refusal,
        besides found: ReferrerList? = nil
    ) async throws(Refusal) -> Fetched<ReferrerList> {
        let repository = question.repository
        guard refusal.error.isFailure else { throw refusal }
        let usable = kept.flatMap { mayServeStale($0, of: repository, after: refusal.error) ? $0 : nil }
        let earlier = usable.flatMap { ReferrerList(parsing: $0.bytes) }
        let stored = await described(subject, question)
        if found == nil, earlier == nil, stored.isEmpty { throw refusal }
        var all = found ?? ReferrerList()
        if let earlier { all.add(earlier) }
        all.add(stored)
        return Fetched(list: all, status: .stale(after: refusal.error), age: nil, failure: refusal.error)
    }

    /// What is stored, may be seen here, and names the subject; no more of it than an index may hold.
    private func described(_ subject: Digest, _ question: Question) async -> ReferrerList {
        let store = cache.store
        let stored = await logged(question) { () async throws(StoreError) in
            try await store.referrers(of: subject, in: question.repository)
        }
        var list = ReferrerList()
        var room = Manifest.sizeLimit
        for (digest, size, mediaType) in stored ?? [] where room > 0 {
            let bytes = await logged(question) { () async throws(StoreError) in
                try await store.gate.turn(digest) { () async throws(StoreError) in
                    try await store.manifestBytes(digest, size: size)
                }
            }
            guard let bytes = bytes ?? nil else { continue }
            room -= list.add(manifest: bytes, digest: digest, mediaType: mediaType)
        }
        return list
    }

    /// - Parameter age: seconds since the upstream gave it.
    private func keep(_ list: ReferrerList, for question: Question, age: Int64) async -> Bool {
        let new = KeptList(
            bytes: list.json, mediaType: MediaType.ociIndex.rawValue, link: nil, fetchedAt: cache.now() - age * 1000)
        return await keep(new, for: question)
    }
}

extension PullThroughError {
    /// The registry itself does not know end-12. Another mirror's 404 with `Proxy-Status` is `failed`, and a failure.
    fileprivate var meansNoReferrersAPI: Bool {
        switch self {
        case .unknown: true
        case .failed(let status, _): [400, 405, 406, 501].contains(status)
        default: false
        }
    }
}
