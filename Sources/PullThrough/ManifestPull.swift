// end-3 by digest: immutable, served from the store for ever (LRU aside), through the repositories that link it.

package import HTTPSemantics
import Logging
package import OCI
import Store
import Upstream

package struct ManifestAnswer: Sendable {
    package let content: ManifestContent
    package var status: CacheStatus
    /// Seconds since the upstream last confirmed the tag.
    package var age: Int64 = 0
    /// Why something no longer fresh is served, for people.
    package var staleness: String?
    /// What went wrong towards the upstream, if that is why.
    package var failure: PullThroughError?
}

extension PullThroughCache {
    /// - Parameter mustAsk: what was learnt of a tag, or of there being none, is no reason not to ask the upstream.
    package func manifest(
        _ reference: Reference, in repository: Repository, mustAsk: Bool = false
    ) async throws(Refusal) -> ManifestAnswer {
        let answer =
            switch reference {
            case .digest(let digest): try await manifest(digest, in: repository, mustAsk: mustAsk)
            case .tag(let tag): try await manifest(tag, in: repository, mustAsk: mustAsk)
            }
        store.recordUse(answer.content.digest, lease: true)
        return answer
    }

    private func manifest(
        _ digest: Digest, in repository: Repository, mustAsk: Bool
    ) async throws(Refusal) -> ManifestAnswer {
        let key = NegativeCache.Key(repository: repository, reference: .digest(digest), isBlob: false)
        if let content = await storedManifest(digest, in: repository) {
            return ManifestAnswer(content: content, status: .hit)
        }
        if !mustAsk { try remembered(key) }
        do throws(PullThroughError) {
            let fetched = try await fetch(digest, in: repository, isNamed: false)
            return ManifestAnswer(content: fetched.content, status: fetched.status(.miss))
        } catch {
            remember(error, for: key)
            throw .missed(error)
        }
    }

    /// The stored manifest, if this repository may serve it, or has just been said to.
    func storedManifest(
        _ digest: Digest, in repository: Repository, isConfirmed: Bool = false
    ) async -> ManifestContent? {
        if let content = store.hot.manifest(digest, in: repository) { return content }
        return await store.gate.turn(digest) { () async -> ManifestContent? in
            let knowledge = await known(digest, in: repository)
            guard knowledge.isLinked || isConfirmed, let size = knowledge.storedSize, let type = knowledge.mediaType,
                // What cannot be read now (no descriptor left) is fetched, as what is not here.
                let bytes = await ServerTiming.measure(.store, uptime, {
                    (try? await store.manifestBytes(digest, size: size)).flatMap({ $0 })
                })
            else { return nil }
            // Shown here because an index names it: from now on in its own right, and so what it names in turn.
            if !knowledge.hasOwnLink { await note(digest, size: size, linkedTo: repository, isNamed: true) }
            let content = ManifestContent(digest: digest, mediaType: type, bytes: bytes)
            if knowledge.isLinked, knowledge.hasOwnLink { store.hot.keep(content, for: repository) }
            return content
        }
    }

    /// What asking the upstream for a manifest came to.
    struct Fetched: Sendable {
        let content: ManifestContent
        var isStored = true
        var isCollapsed = false
        /// It was here, and the upstream confirmed that the repository has it.
        var isConfirmed = false

        func status(_ forward: CacheStatus.Forward) -> CacheStatus {
            CacheStatus(
                forward: forward, forwardStatus: 200, isStored: isStored && !isConfirmed, isCollapsed: isCollapsed,
                isUnchanged: isConfirmed)
        }
    }

    /// Brings a manifest here by digest. One that is stored already, only not known to be this repository's, costs a
    /// HEAD, which Docker Hub does not count as a pull, or nothing if the upstream has just named it.
    ///
    /// - Parameter isNamed: a tag has just been said to name it.
    func fetch(
        _ digest: Digest, in repository: Repository, isNamed: Bool
    ) async throws(PullThroughError) -> Fetched {
        if let here = try await adopted(digest, in: repository, isNamed: isNamed) { return here }
        return try await brought(digest, in: repository)
    }

    /// A manifest that is stored already, whoever might see it until now; nil if it is not.
    func adopted(
        _ digest: Digest, in repository: Repository, isNamed: Bool
    ) async throws(PullThroughError) -> Fetched? {
        let knowledge = await known(digest, in: repository)
        guard knowledge.storedSize != nil, knowledge.mediaType != nil else { return nil }
        if !isNamed {
            _ = try await asking(repository) { registry, name throws(UpstreamError) in
                try await registry.resolve(name, .digest(digest))
            }
        }
        await note(digest, size: nil, linkedTo: repository, isNamed: false)
        return await storedManifest(digest, in: repository, isConfirmed: true)
            .map { Fetched(content: $0, isConfirmed: true) }
    }

    /// A manifest that is not stored.
    func brought(_ digest: Digest, in repository: Repository) async throws(PullThroughError) -> Fetched {
        // By digest, whichever tags lead to it: two of them cost one counted GET.
        let key = NegativeCache.Key(repository: repository, reference: .digest(digest), isBlob: false)
        let download: @Sendable () async -> Result<Fetched, PullThroughError> = { [self] in
            await Result { () async throws(PullThroughError) in
                try await self.download(.digest(digest), in: repository)
            }
        }
        var (result, isCollapsed) = await ServerTiming.measure(.upstream, uptime) {
            await manifestFlights.run(key, download)
        }
        // Another's time may have been over before ours.
        if isCollapsed, case .failure(.unreachable(.httpResponseTimeout, _)) = result {
            (result, isCollapsed) = await ServerTiming.measure(.upstream, uptime) {
                await manifestFlights.run(key, download)
            }
        }
        var fetched = try result.get()
        fetched.isCollapsed = isCollapsed
        return fetched
    }

    /// GETs a manifest, checks it and stores it.
    func download(
        _ reference: Reference, in repository: Repository
    ) async throws(PullThroughError) -> Fetched {
        let (fetched, isPrivate) = try await asking(repository) { registry, name throws(UpstreamError) in
            (try await registry.manifest(name, reference), registry.hasCredentials)
        }
        return try await keep(fetched, reference, in: repository, isPrivate: isPrivate)
    }

    /// The same by tag, on condition that it names another than is known; nil if it does not.
    func download(
        _ tag: Tag, in repository: Repository, unless known: Digest
    ) async throws(PullThroughError) -> Fetched? {
        let (fetched, isPrivate) = try await asking(repository) { registry, name throws(UpstreamError) in
            (try await registry.manifest(name, .tag(tag), unless: known), registry.hasCredentials)
        }
        guard let fetched else { return nil }
        return try await keep(fetched, .tag(tag), in: repository, isPrivate: isPrivate)
    }

    /// - Parameter isPrivate: it took credentials of ours.
    private func keep(
        _ fetched: FetchedManifest, _ reference: Reference, in repository: Repository, isPrivate: Bool
    ) async throws(PullThroughError) -> Fetched {
        statistics.received(Int64(fetched.bytes.count))
        let (content, manifest) = try checked(fetched, reference, of: repository.upstream)
        let new = NewManifest(
            digest: content.digest, mediaType: content.mediaType, bytes: content.bytes,
            isIndex: manifest.kind == .index, linked: manifest.linked.map { ($0.digest, $0.size) },
            subject: manifest.subject?.digest)
        do throws(StoreError) {
            try await store.store(new, in: repository, broughtBy: isPrivate ? repository.upstream : nil)
            return Fetched(content: content)
        } catch {
            // What was fetched and is right is served all the same; the next request fetches it again.
            logger.debug(
                "a manifest could not be stored",
                metadata: ["digest": "\(content.digest)", "repository": "\(repository)", "error": "\(error)"])
            return Fetched(content: content, isStored: false)
        }
    }

    /// The digest is computed here; what the upstream says of it is a hint that must agree.
    private func checked(
        _ fetched: FetchedManifest, _ reference: Reference, of upstream: String
    ) throws(PullThroughError) -> (ManifestContent, Manifest) {
        var expected = fetched.digest
        if case .digest(let digest) = reference { expected = digest }
        let actual = Digest.of(fetched.bytes, expected?.algorithm ?? .sha256)
        if let expected, expected != actual {
            throw .unusable("\(upstream) sent a manifest that hashes to \(actual) where \(expected) was asked for")
        }
        do throws(ManifestError) {
            let manifest = try Manifest(parsing: fetched.bytes, declaredType: fetched.mediaType)
            return (
                ManifestContent(digest: actual, mediaType: manifest.mediaType, bytes: fetched.bytes), manifest
            )
        } catch {
            if case .schema1 = error { throw .schema1 }
            throw .unusable("\(upstream) sent what is no manifest: \(error)")
        }
    }
}
