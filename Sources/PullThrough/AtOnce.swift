// What memory alone can answer, without waiting for disk, database or upstream.

import HTTPSemantics
package import OCI
import Store
package import Synchronization

/// A hit that is the same the next time, until something of it changes: all that has to be asked then are two numbers
/// and the time.
package struct StandingManifest: Sendable {
    package let content: ManifestContent
    /// What was the same when it was found.
    fileprivate let edition: Int
    fileprivate let changes: UInt64
    /// Of a tag, by `uptime`.
    fileprivate let confirmedAt: Duration?
    fileprivate let freshUntil: Duration?
}

/// The same decisions as those of who may wait; nil wherever one of them is not simply to serve what is stored. Quick,
/// and safe to call on an event loop.
extension PullThroughCache {
    /// - Returns: the answer, and what it stands on where it is one about which nothing more is to be said.
    package func manifestAtOnce(
        _ reference: Reference, in repository: Repository
    ) -> (answer: ManifestAnswer, standing: StandingManifest?)? {
        let (edition, changes) = (edition, store.hot.changes)
        switch reference {
        case .digest(let digest):
            guard let content = store.hot.manifest(digest, in: repository) else { return nil }
            let standing = StandingManifest(
                content: content, edition: edition, changes: changes, confirmedAt: nil, freshUntil: nil)
            return (ManifestAnswer(content: content, status: .hit), standing)
        case .tag(let tag):
            let uptime = uptime()
            guard let pull = tagAtOnce(tag, in: repository),
                case .serve(let digest) = pull.decide(isOffline ? .nobody : .notAsked(must: false)),
                let content = store.hot.manifest(digest, in: repository)
            else { return nil }
            let standing = pull.freshFor.map { left in
                StandingManifest(
                    content: content, edition: edition, changes: changes,
                    confirmedAt: uptime - .milliseconds(pull.known?.age ?? 0), freshUntil: uptime + left)
            }
            return (hit(content, pull), isOffline ? nil : standing)
        }
    }

    private func tagAtOnce(_ tag: Tag, in repository: Repository) -> TagPull? {
        guard let policy = directory.policy(of: tag, in: repository),
            let stored = store.hot.tag(tag, of: repository)
        else { return nil }
        let known = tagMemory.known(TagMemory.Key(repository: repository, tag: tag), stored, at: now())
        return TagPull(tag: tag, repository: repository, policy: policy, known: known, mustAsk: false)
    }

    /// Nil once it may be another.
    package func answer(_ standing: StandingManifest) -> ManifestAnswer? {
        guard standing.edition == edition, standing.changes == store.hot.changes else { return nil }
        guard let confirmedAt = standing.confirmedAt, let freshUntil = standing.freshUntil else {
            return ManifestAnswer(content: standing.content, status: .hit)
        }
        let uptime = uptime()
        guard uptime < freshUntil else { return nil }
        return ManifestAnswer(
            content: standing.content, status: .hit, age: max(0, (uptime - confirmedAt).milliseconds / 1000))
    }

    /// Of what was answered at once.
    ///
    /// - Parameter last: when it was said the last time, Unix milliseconds: more than once a second is nothing new.
    package func used(_ content: ManifestContent, last: borrowing Atomic<Int64>) {
        let now = now()
        let before = last.load(ordering: .relaxed)
        guard now < before || now - before >= 1000 else { return }
        last.store(now, ordering: .relaxed)
        store.recordUse(content.digest, lease: true)
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
