// What an upstream is asked about a tag, and what is written down of its answer: one flight for all who wait for it.

import HTTPSemantics
import Logging
import OCI
import Store
import Upstream

extension PullThroughCache {
    /// What asking came to: a manifest that is here.
    enum Resolution: Sendable {
        /// The one that was known; the upstream's status.
        case confirmed(Digest, status: Int)
        case fetched(Fetched)
    }

    /// Resolves a tag by HEAD, which Docker Hub does not count as a pull, and fetches what it names if that is new.
    ///
    /// Bounded by one first-byte timeout; ended whoever leaves.
    func resolve(_ pull: TagPull) async throws(PullThroughError) -> Resolution {
        do throws(PullThroughError) {
            let resolution = try await together(pull.repository) { () async throws(PullThroughError) in
                try await question(pull)
            }
            await note(resolution, pull)
            return resolution
        } catch {
            if error.isUpstreamsFault { tagMemory.questionFailed(pull.key, error) }
            switch pull.decide(after: error) {
            case .forget(let digest):
                await forget(pull, digest)
                remember(error, for: pull.unknownKey, during: pull.policy.negativeFor)
            case .refuse where pull.known == nil:
                remember(error, for: pull.unknownKey, during: pull.policy.negativeFor)
            default: break
            }
            throw error
        }
    }

    private func question(_ pull: TagPull) async throws(PullThroughError) -> Resolution {
        let repository = pull.repository
        let registry = try registry(of: repository)
        // Nothing may be pulled, and what is stored will do: no GET, and no more questions than tell the end of it.
        var isSpent: Bool { registry.isSpent && pull.known.map { Decision.mayServeStale($0, pull.policy) } == true }
        if isSpent, !pull.mustAsk, !registry.mayResolveWhileSpent() { throw spent(registry) }
        let digest: Digest
        switch try await name(pull, mayPull: !isSpent) {
        case .nothing: throw spent(registry)
        case .content(let fetched): return .fetched(fetched)
        case .digest(let named, let status):
            if case .serveConfirmed = pull.decide(.names(named)) { return .confirmed(named, status: status) }
            digest = named
        }
        // Another tag may have brought it.
        if let here = try await adopted(digest, in: repository, isNamed: true) { return .fetched(here) }
        if isSpent { throw spent(registry) }
        return .fetched(
            try await counted(digest, pull) { () async throws(PullThroughError) in
                try await brought(named: digest, pull)
            })
    }

    /// A pull that the upstream counts. What a stored tag is said to name, and cannot be had, is not tried at each
    /// request for that tag.
    ///
    /// - Parameter digest: what the tag is said to name; nil where the upstream tells none.
    private func counted<Value>(
        _ digest: Digest?, _ pull: TagPull, _ fetch: () async throws(PullThroughError) -> Value
    ) async throws(PullThroughError) -> Value {
        if pull.known != nil, !pull.mustAsk, let error = tagMemory.fetchPause(pull.key, digest) { throw error }
        do throws(PullThroughError) {
            return try await fetch()
        } catch {
            if error.isUpstreamsFault { tagMemory.fetchFailed(pull.key, digest, error) }
            throw error
        }
    }

    private enum Named {
        case digest(Digest, status: Int)
        /// Fetched by tag, since the upstream does not tell digests by HEAD.
        case content(Fetched)
        /// It does not, and nothing may be fetched.
        case nothing
    }

    /// A HEAD; a GET by tag where HEAD is refused or tells no digest.
    private func name(_ pull: TagPull, mayPull: Bool) async throws(PullThroughError) -> Named {
        let reference = Reference.tag(pull.tag)
        do throws(PullThroughError) {
            let facts = try await asking(pull.repository) { registry, name throws(UpstreamError) in
                try await registry.resolve(name, reference, unless: pull.known?.digest)
            }
            if facts.isStale, let known = pull.known, !isLater(facts, than: known) {
                throw .staleMirror(pull.repository.upstream)
            }
            if let digest = facts.digest { return .digest(digest, status: facts.isUnchanged ? 304 : 200) }
        } catch {
            guard case .failed(let status, _) = error, Self.isByMethod(status) else { throw error }
        }
        guard mayPull else { return .nothing }
        guard let known = pull.known?.digest else {
            return .content(try await download(reference, in: pull.repository))
        }
        let fetched = try await counted(nil, pull) { () async throws(PullThroughError) in
            try await download(pull.tag, in: pull.repository, unless: known)
        }
        return fetched.map { .content($0) } ?? .digest(known, status: 304)
    }

    /// Whether what a mirror says that cannot ask either was learnt after what is known here, and is another thing.
    private func isLater(_ facts: ManifestFacts, than known: KnownTag) -> Bool {
        guard let digest = facts.digest, digest != known.digest, let age = facts.age else { return false }
        return known.age.map { age * 1000 < $0 } ?? true
    }

    /// Whether a status may be about HEAD alone. 408 and 425 are about the moment.
    private static func isByMethod(_ status: Int) -> Bool {
        (400..<500).contains(status) && status != 408 && status != 425
    }

    /// Fetches what a tag has just been said to name. If that is gone, the tag may have moved: it is asked once more.
    private func brought(named digest: Digest, _ pull: TagPull) async throws(PullThroughError) -> Fetched {
        do throws(PullThroughError) {
            return try await brought(digest, in: pull.repository)
        } catch .unknown {
            guard case .digest(let newer, _) = try await name(pull, mayPull: false), newer != digest else {
                // Not absence: the tag is there, and what it names is not.
                throw .failed(
                    status: 404, "\(pull.repository.upstream) names \(digest) for \(pull.tag), and does not have it")
            }
            return try await fetch(newer, in: pull.repository, isNamed: true)
        }
    }

    private func spent(_ registry: UpstreamRegistry) -> PullThroughError {
        .rateLimited(
            retryAfter: registry.spentFor,
            "\(registry.configuration.name) has said that nothing may be pulled just now")
    }

    // MARK: What is remembered of it

    /// That it cannot be written down is no reason not to serve it: the next request asks again.
    private func note(_ resolution: Resolution, _ pull: TagPull) async {
        let digest: Digest
        switch resolution {
        case .confirmed(let confirmed, _): digest = confirmed
        case .fetched(let fetched):
            // What could not be stored is fetched again by whoever comes next.
            guard fetched.isStored else { return }
            digest = fetched.content.digest
        }
        let before: Digest?
        do throws(StoreError) {
            before = try await store.set(pull.tag, of: pull.repository, to: digest)
        } catch {
            logger.debug("a tag could not be stored", metadata: ["image": pull.image, "error": "\(error)"])
            return
        }
        if tagMemory.confirmed(pull.key, digest) {
            logger.info("the upstream answers again", metadata: ["image": pull.image])
        }
        // The row's own word: of several questions that find out the same, one has changed it.
        guard let before, before != digest else { return }
        logger.info("tag moved", metadata: ["image": pull.image, "from": "\(before)", "to": "\(digest)"])
        events.post(.tagMoved(pull.repository, pull.tag, from: before, to: digest))
    }

    /// What the tag named stays until it is evicted, for who asks by digest.
    private func forget(_ pull: TagPull, _ digest: Digest) async {
        do throws(StoreError) {
            guard try await store.forget(pull.tag, of: pull.repository, ifNaming: digest) else { return }
        } catch {
            logger.debug("a tag could not be forgotten", metadata: ["image": pull.image, "error": "\(error)"])
        }
        tagMemory.forget(pull.key)
        logger.info("tag forgotten: the upstream has it no more", metadata: ["image": pull.image])
        events.post(.tagForgotten(pull.repository, pull.tag, digest))
    }
}
