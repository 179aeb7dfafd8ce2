// What memory alone can answer, without waiting for disk, database or upstream.

import HTTPSemantics
package import OCI
import Store

/// The same decisions as those of who may wait; nil wherever one of them is not simply to serve what is stored. Quick,
/// and safe to call on an event loop.
extension PullThroughCache {
    package func manifestAtOnce(_ reference: Reference, in repository: Repository) -> ManifestAnswer? {
        let answer =
            switch reference {
            case .digest(let digest):
                store.hot.manifest(digest, in: repository).map { ManifestAnswer(content: $0, status: .hit) }
            case .tag(let tag): tagAtOnce(tag, in: repository)
            }
        if let answer { store.recordUse(answer.content.digest, lease: true) }
        return answer
    }

    private func tagAtOnce(_ tag: Tag, in repository: Repository) -> ManifestAnswer? {
        guard let policy = directory.policy(of: tag, in: repository),
            let stored = store.hot.tag(tag, of: repository)
        else { return nil }
        let known = tagMemory.known(TagMemory.Key(repository: repository, tag: tag), stored, at: now())
        let pull = TagPull(tag: tag, repository: repository, policy: policy, known: known, mustAsk: false)
        guard case .serve(let digest) = pull.decide(isOffline ? .nobody : .notAsked(must: false)) else { return nil }
        return store.hot.manifest(digest, in: repository).map { hit($0, pull) }
    }

    /// - Parameter range: nil where the request has none.
    package func blobAtOnce(_ digest: Digest, in repository: Repository, range: RangeReading? = nil) -> BlobAnswer? {
        store.hot.file(digest, in: repository).map { answer($0, range, .hit) }
    }

    /// Bytes of the whole.
    package func blobSizeAtOnce(_ digest: Digest, in repository: Repository) -> Int64? {
        store.hot.file(digest, in: repository)?.size
    }
}
