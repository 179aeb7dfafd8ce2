// end-3 by tag: what a tag names is asked of the upstream when it is no longer fresh, and served stale when that fails.

import HTTPSemantics
import Logging
import OCI
import Store
import Upstream

extension PullThroughCache {
    func manifest(_ tag: Tag, in repository: Repository) async throws(Refusal) -> ManifestAnswer {
        let key = NegativeCache.Key(repository: repository, reference: .tag(tag), isBlob: false)
        guard let policy = directory[repository.upstream]?.policy else {
            throw .missed(.noSuchUpstream(repository.upstream))
        }
        let stored: StoredTag?
        do throws(PullThroughError) {
            stored = try await restated { () async throws(StoreError) in try await store.tag(tag, of: repository) }
        } catch {
            throw .missed(error)
        }
        if let stored, case .serve(let digest) = Decision.onRequest(stored: stored, policy: policy, now: now()) {
            var answer = try await manifest(digest, in: repository)
            answer.age = age(of: stored)
            return answer
        }
        if stored == nil { try remembered(key) }
        let (result, isCollapsed) = await tagFlights.run(key) { [self] in
            await Result { () async throws(Refusal) in
                try await together(repository) { () async throws(Refusal) in
                    try await resolve(tag, in: repository, stored: stored, policy: policy)
                }
            }
        }
        do throws(Refusal) {
            var answer = try result.get()
            if isCollapsed { answer.status.isCollapsed = true }
            return answer
        } catch {
            if stored == nil { remember(error.error, for: key) }
            var status = error.status
            status.isCollapsed = isCollapsed
            throw Refusal(error.error, status)
        }
    }

    /// Asks the upstream what the tag names, and serves that; what is stored if it fails.
    private func resolve(
        _ tag: Tag, in repository: Repository, stored: StoredTag?, policy: FreshnessPolicy
    ) async throws(Refusal) -> ManifestAnswer {
        let forward: CacheStatus.Forward = stored == nil ? .miss : .stale
        do throws(PullThroughError) {
            let registry = try registry(of: repository)
            // Nothing may be pulled, and what is stored will do: no GET, and no more questions than tell the end of it.
            var isSpent: Bool { registry.isSpent && mayServeStale(stored, policy) }
            if isSpent, !registry.mayResolveWhileSpent() { throw spent(registry) }
            let digest: Digest
            switch try await ask(tag, in: repository, mayPull: !isSpent) {
            case .nothing: throw spent(registry)
            case .digest(let named): digest = named
            case .content(let fetched):
                return ManifestAnswer(content: fetched.content, status: fetched.status(forward))
            }
            if case .serveConfirmed = Decision.onAnswer(digest, stored: stored) {
                try await restated { () async throws(StoreError) in
                    try await store.set(tag, of: repository, to: digest)
                }
                if let content = try? await storedManifest(digest, in: repository) {  // else it is fetched below
                    return ManifestAnswer(
                        content: content,
                        status: CacheStatus(forward: forward, forwardStatus: 200, isUnchanged: true))
                }
            }
            if let stored, stored.digest != digest {
                logger.info(
                    "tag moved",
                    metadata: ["image": "\(repository):\(tag)", "from": "\(stored.digest)", "to": "\(digest)"])
            }
            if isSpent, try await !isHere(digest, in: repository) { throw spent(registry) }
            let fetched = try await fetch(named: digest, by: tag, in: repository)
            return ManifestAnswer(content: fetched.content, status: fetched.status(forward))
        } catch {
            return try await fallBack(on: error, tag, in: repository, stored: stored, policy: policy)
        }
    }

    private enum Named {
        case digest(Digest)
        /// Fetched by tag, since the upstream does not tell digests by HEAD.
        case content(Fetched)
        /// It does not, and nothing may be fetched.
        case nothing
    }

    /// Fetches what a tag has just been said to name. If that is gone, the tag may have moved: it is asked once more.
    private func fetch(
        named digest: Digest, by tag: Tag, in repository: Repository
    ) async throws(PullThroughError) -> Fetched {
        do throws(PullThroughError) {
            return try await fetch(digest, in: repository, tag: tag)
        } catch .unknown {
            guard case .digest(let newer) = try await ask(tag, in: repository, mayPull: false), newer != digest else {
                // Not absence: the tag is there, and what it names is not.
                throw .failed(status: 404, "\(repository.upstream) names \(digest) for \(tag), and does not have it")
            }
            return try await fetch(newer, in: repository, tag: tag)
        }
    }

    private func spent(_ registry: UpstreamRegistry) -> PullThroughError {
        .rateLimited(
            retryAfter: registry.spentFor,
            "\(registry.configuration.name) has said that nothing may be pulled just now")
    }

    private func mayServeStale(_ stored: StoredTag?, _ policy: FreshnessPolicy) -> Bool {
        if case .serveStale = Decision.onFailure(stored: stored, policy: policy, now: now()) { true } else { false }
    }

    /// A HEAD, which Docker Hub does not count as a pull; a GET by tag where HEAD is refused or tells no digest.
    private func ask(
        _ tag: Tag, in repository: Repository, mayPull: Bool
    ) async throws(PullThroughError) -> Named {
        do throws(PullThroughError) {
            let facts = try await asking(repository) { registry, name throws(UpstreamError) in
                try await registry.resolve(name, .tag(tag))
            }
            if let digest = facts.digest { return .digest(digest) }
        } catch {
            guard case .failed(let status, _) = error, (400..<500).contains(status) else { throw error }
        }
        guard mayPull else { return .nothing }
        return .content(try await download(.tag(tag), in: repository, tag: tag))
    }

    private func fallBack(
        on error: PullThroughError, _ tag: Tag, in repository: Repository, stored: StoredTag?, policy: FreshnessPolicy
    ) async throws(Refusal) -> ManifestAnswer {
        // With nobody to ask, what is stored is all there is, however old.
        var policy = policy
        if error == .offline { policy.staleIfError = .max / 2 }
        guard let stored,
            case .serveStale(let digest) = Decision.onFailure(stored: stored, policy: policy, now: now()),
            let content = try await storedManifest(digest, in: repository)
        else { throw .missed(error) }
        logger.warning(
            "serving stale", metadata: ["image": "\(repository):\(tag)", "error": "\(error.message)"])
        let status = CacheStatus(
            forward: .stale, forwardStatus: error.upstreamStatus, isStale: true, detail: "stale-if-error")
        return ManifestAnswer(
            content: content, status: status, age: age(of: stored), staleness: error.message, failure: error)
    }

    private func age(of stored: StoredTag) -> Int64 { max(0, (now() - stored.checkedAt) / 1000) }
}
