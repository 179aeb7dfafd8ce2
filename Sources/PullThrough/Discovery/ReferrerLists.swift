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
        return try await shared(referrerFlights, question) { [self] () async throws(Refusal) in
            let kept: KnownList<ReferrerList>? = await kept(question)
            if let kept, isFresh(kept.fetchedAt, of: repository) {
                return Fetched(list: kept.list, status: .hit, age: age(kept.fetchedAt))
            }
            // All pages of the list, the tag and what it names are for one client, who waits no longer than for one.
            return try await cache.together(repository) { () async throws(Refusal) in
                try await fetch(subject, question, kept: kept)
            }
        }
    }

    private func fetch(
        _ subject: Digest, _ question: Question, kept: KnownList<ReferrerList>?
    ) async throws(Refusal) -> Fetched<ReferrerList> {
        var found: ReferrerList?
        do throws(PullThroughError) {
            let (listed, isStale) = try await listed(subject, in: question.repository)
            if isStale {
                found = listed
                throw .staleMirror(question.repository.upstream)
            }
            let (list, isStored) = try await keep(listed, for: question, age: 0)
            return Fetched(list: list, status: .listed(inPlaceOfAnother: kept != nil, isStored: isStored))
        } catch {
            if error.meansNoReferrersAPI { return try await tagged(subject, question, kept: kept) }
            return try await allKnown(of: subject, question, kept: kept, after: .missed(error), besides: found)
        }
    }

    /// The upstream's list, all pages of it, and whether it is a mirror's whose own upstream fails.
    private func listed(
        _ subject: Digest, in repository: Repository
    ) async throws(PullThroughError) -> (list: ReferrerList, isStale: Bool) {
        let pages = try await cache.asking(repository) { registry, name throws(UpstreamError) in
            try await registry.referrers(name, subject)
        }
        var list = ReferrerList()
        for page in pages {
            guard let part = await read(page.bytes.count, { ReferrerList(parsing: page.bytes) }) else {
                throw .unusable("\(repository.upstream) sent what is no list of referrers, or one that is too long")
            }
            list.add(part)
        }
        return (list, pages.contains(where: \.isStale))
    }

    /// Distribution-spec v1.1 "Unavailable Referrers API": the list is an index under a tag, which pushers keep.
    private func tagged(
        _ subject: Digest, _ question: Question, kept: KnownList<ReferrerList>?
    ) async throws(Refusal) -> Fetched<ReferrerList> {
        var found = Fetched(list: ReferrerList(), status: .miss(404))
        var stale: ReferrerList?
        do throws(Refusal) {
            let answer = try await cache.manifest(.tag(subject.referrersTag), in: question.repository)
            found.list = try await list(in: answer.content)
            found.status = answer.status
            found.age = answer.age
            if let failure = answer.failure {
                stale = found.list
                throw Refusal(failure, answer.status)
            }
        } catch {
            guard error.error.isAbsence else {
                return try await allKnown(of: subject, question, kept: kept, after: error, besides: stale)
            }
            found.status = error.status
        }
        do throws(PullThroughError) {
            (found.list, found.status.isStored) = try await keep(found.list, for: question, age: found.age ?? 0)
        } catch {
            throw Refusal(error, found.status)
        }
        found.status.detail = "referrers-tag"
        return found
    }

    /// What is no index is no list. One that cannot be read whole is not an empty one: a signature that is left out
    /// would be taken for one that is not there.
    private func list(in content: ManifestContent) async throws(Refusal) -> ReferrerList {
        if let list = await read(content.bytes.count, { ReferrerList(parsing: content.bytes) }) { return list }
        guard content.mediaType.isIndex else { return ReferrerList() }
        throw .missed(.unusable("the index of referrers is too long"))
    }

    /// The kept list and the stored manifests that name the subject, as one list.
    private func allKnown(
        of subject: Digest, _ question: Question, kept: KnownList<ReferrerList>?, after refusal: Refusal,
        besides found: ReferrerList? = nil
    ) async throws(Refusal) -> Fetched<ReferrerList> {
        let repository = question.repository
        guard refusal.error.isFailure else { throw refusal }
        let usable = kept.flatMap { mayServeStale($0.fetchedAt, of: repository, after: refusal.error) ? $0.list : nil }
        let stored = await described(subject, question)
        if found == nil, usable == nil, stored.isEmpty { throw refusal }
        var all = found ?? ReferrerList()
        if let usable { all.add(usable) }
        all.add(stored)
        return Fetched(list: all, status: .stale(after: refusal.error), age: nil, failure: refusal.error)
    }

    /// What is stored, may be seen here, and names the subject; no more of it than an index may hold, and what can be
    /// learnt from 16 MiB of manifests.
    private func described(_ subject: Digest, _ question: Question) async -> ReferrerList {
        let store = cache.store
        let stored = await logged(question) { () async throws(StoreError) in
            try await store.referrers(of: subject, in: question.repository)
        }
        var list = ReferrerList()
        var (room, reading) = (Manifest.sizeLimit, 4 * Int64(Manifest.sizeLimit))
        for (digest, size, mediaType) in stored ?? [] where room > 0 && reading > 0 {
            reading -= size
            let bytes = await logged(question) { () async throws(StoreError) in
                try await store.gate.turn(digest) { () async throws(StoreError) in
                    try await store.manifestBytes(digest, size: size)
                }
            }
            guard let bytes = bytes ?? nil else { continue }
            let (entry, length) = await read(bytes.count) {
                var entry = ReferrerList()
                let length = entry.add(manifest: bytes, digest: digest, mediaType: mediaType)
                return (entry, length)
            }
            list.add(entry)
            room -= length
        }
        return list
    }

    /// - Parameter age: seconds since the upstream gave it.
    /// - Returns: the list on bytes of its own, and whether it was written down.
    private func keep(
        _ list: ReferrerList, for question: Question, age: Int64
    ) async throws(PullThroughError) -> (list: ReferrerList, isStored: Bool) {
        let new = KeptList(
            bytes: list.json, mediaType: MediaType.ociIndex.rawValue, link: nil, fetchedAt: cache.now() - age * 1000)
        guard let kept: (list: ReferrerList, isStored: Bool) = await keep(new, for: question) else {
            throw .unusable("the list of referrers is too long")
        }
        return kept
    }
}

extension ReferrerList: ReadList {
    init?(_ kept: KeptList) { self.init(parsing: kept.bytes) }

    /// A descriptor's own bytes, and what is known of it.
    var cost: Int { byteCount + 256 * count }
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
