// end-2: a blob from the store, from a fill in flight, or from a new one.

package import HTTPSemantics
package import OCI
import Store
import Upstream

package struct BlobAnswer: Sendable {
    package let reader: BlobReader
    package let status: CacheStatus
    /// This request began the transfer: its bytes are counted as sent as they came.
    package let beganFill: Bool
}

extension PullThroughCache {
    /// - Throws: a refusal; the blob was not sent in part.
    package func blob(_ digest: Digest, in repository: Repository) async throws(Refusal) -> BlobAnswer {
        let key = NegativeCache.Key(repository: repository, reference: .digest(digest), isBlob: true)
        var asked: CacheStatus?
        while true {
            switch try await step(key, digest, in: repository) {
            case .stored(let file):
                store.recordUse(digest, lease: false)
                return BlobAnswer(reader: BlobReader(stored: file), status: asked ?? .hit, beganFill: false)
            case .follow(let fill, let isMine):
                do throws(PullThroughError) {
                    let writer = try await fill.opened()
                    store.recordUse(digest, lease: false)
                    return BlobAnswer(
                        reader: BlobReader(following: fill, through: writer),
                        status: .miss(200, isStored: true, isCollapsed: !isMine), beganFill: isMine)
                } catch {
                    // Another repository's failure says nothing about this one: ask for ourselves.
                    if fill.source != repository { continue }
                    remember(error, for: key)
                    throw .missed(error, isCollapsed: !isMine)
                }
            case .askForLink:
                try await confirmLink(key)
                asked = .confirmed
            case .refused(let refusal): throw refusal
            }
        }
    }

    /// `HEAD`: never a transfer. Answered here if it is stored, in flight, or was answered before; else the upstream
    /// is asked by HEAD, since a manifest's word alone does not say that the blob is there.
    package func blobFacts(
        _ digest: Digest, in repository: Repository
    ) async throws(Refusal) -> (size: Int64?, status: CacheStatus) {
        let key = NegativeCache.Key(repository: repository, reference: .digest(digest), isBlob: true)
        let knowledge = try await known(digest, in: repository)
        if knowledge.isLinked, let size = knowledge.storedSize { return (size, .hit) }
        if let size = knowledge.answeredSize { return (size, .hit) }
        if let fill = fill(of: digest), isShown(fill, in: repository, knowledge),
            let size = fill.progress.size
        {
            return (size, .miss(200, isCollapsed: true))
        }
        try remembered(key)
        let (size, isCollapsed) = try await confirmLink(key)
        let isHere = knowledge.storedSize != nil && !isCollapsed
        return (size, isHere ? .confirmed : .miss(200, isCollapsed: isCollapsed))
    }

    private enum Step {
        case stored(BlobFile)
        case follow(Fill, isMine: Bool)
        /// The content is here or on its way, but this repository has not been shown to have it.
        case askForLink
        case refused(Refusal)
    }

    /// Lookup, join and start are one turn of the digest, so it has at most one fill. No upstream is waited for in it.
    private func step(
        _ key: NegativeCache.Key, _ digest: Digest, in repository: Repository
    ) async throws(Refusal) -> Step {
        do throws(PullThroughError) {
            return try await store.gate.turn(digest) { () async throws(PullThroughError) in
                let knowledge = try await restated { () async throws(StoreError) in
                    try await store.knowledge(of: digest, in: repository)
                }
                if let fill = fill(of: digest) {
                    if isShown(fill, in: repository, knowledge) { return .follow(fill, isMine: false) }
                    return unknowns.refusal(for: key, at: now()).map(Step.refused) ?? .askForLink
                }
                if let size = knowledge.storedSize {
                    guard knowledge.isLinked else {
                        return unknowns.refusal(for: key, at: now()).map(Step.refused) ?? .askForLink
                    }
                    let file = try await restated { () async throws(StoreError) in
                        try await store.open(digest, size: size)
                    }
                    if let file { return .stored(file) }
                }
                if let refusal = unknowns.refusal(for: key, at: now()) { return .refused(refusal) }
                return .follow(try start(digest, from: repository), isMine: true)
            }
        } catch {
            throw .missed(error)
        }
    }

    /// Whether a fill's bytes may be seen through a repository. What takes credentials is not shown elsewhere because a
    /// manifest names it.
    private func isShown(_ fill: Fill, in repository: Repository, _ knowledge: BlobKnowledge) -> Bool {
        if knowledge.isAnswered || fill.source == repository { return true }
        let isPrivate = directory.hasCredentials(fill.source.upstream) && fill.source.upstream != repository.upstream
        return knowledge.isLinked && !isPrivate
    }

    /// Begins a fill that nothing but its own end stops, or, before it has anything to show, its first-byte timeout.
    private func start(_ digest: Digest, from repository: Repository) throws(PullThroughError) -> Fill {
        let registry = try registry(of: repository)
        let fill = Fill(digest, from: repository, at: now())
        enter(fill) {
            Task {
                let deadline = Task {
                    // The sleep fails only when the fill ends first.
                    if (try? await self.clock.sleep(for: registry.configuration.firstByteTimeout)) != nil {
                        fill.expire { self.retire(fill) }
                    }
                }
                await fill.run(from: registry, into: self.store, statistics: self.statistics, logger: self.logger) {
                    self.retire(fill)
                }
                deadline.cancel()
            }
        }
        return fill
    }

    /// Asks the upstream by HEAD whether the repository has the blob, and links it if so.
    @discardableResult
    private func confirmLink(_ key: NegativeCache.Key) async throws(Refusal) -> (size: Int64?, isCollapsed: Bool) {
        guard case .digest(let digest) = key.reference else { return (nil, false) }
        let (result, isCollapsed) = await linkFlights.run(key) { [self] in
            await Result { () async throws(PullThroughError) in
                let size = try await asking(key.repository) { registry, name throws(UpstreamError) in
                    try await registry.blobSize(name, digest)
                }
                try await restated { () async throws(StoreError) in
                    try await store.link(digest, size: size, to: key.repository, isNamed: false)
                }
                return size
            }
        }
        do throws(PullThroughError) {
            return (try result.get(), isCollapsed)
        } catch {
            remember(error, for: key)
            throw .missed(error, isCollapsed: isCollapsed)
        }
    }

    func known(_ digest: Digest, in repository: Repository) async throws(Refusal) -> BlobKnowledge {
        do throws(PullThroughError) {
            return try await restated { () async throws(StoreError) in
                try await store.knowledge(of: digest, in: repository)
            }
        } catch {
            throw .missed(error)
        }
    }
}

extension Result {
    init(_ body: () async throws(Failure) -> Success) async {
        do throws(Failure) { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
