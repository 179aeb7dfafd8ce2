// What is asked for again and again, in memory: manifests, open files, who may see them, and what tags name.

package import OCI
import Synchronization

/// Only what is stored, and what a repository may see by a link of its own: so nothing that is learnt later takes a
/// right away, and what is removed is removed here by its digest. A look never waits for disk or database.
///
/// Whoever removes a digest does so in its turn, drops it here first, and nobody puts it back before the turn is over:
/// it is put here only in its turn, too. Tags have no turns: what was read of one is only kept if no tag was written
/// since (`Mark`).
package final class HotSet: Sendable {
    /// Bytes of manifests in a generation, and how large one may be. A row of what is no manifest counts as if it had
    /// `rowWeight`.
    fileprivate static let manifestBytes = 4 << 20
    private static let largestManifest = 256 << 10
    fileprivate static let rowWeight = 512
    /// Descriptors in a generation. The connections' limit leaves room for both.
    fileprivate static let files = 32
    fileprivate static let tags = 4096
    /// Repositories remembered of one digest.
    fileprivate static let mostRepositories = 32

    fileprivate struct Entry {
        /// Who may have it as a manifest, of this type, and who as a blob: a hosted repository may have one alone.
        var readers: Set<Repository> = []
        var manifest: ManifestContent?
        var pullers: Set<Repository> = []
        /// Which stay here this is: a digest that was dropped and is back is another.
        let stay: UInt64

        var weight: Int { HotSet.rowWeight + (manifest?.bytes.count ?? 0) }
    }

    fileprivate struct TagKey: Hashable {
        let repository: Repository
        let tag: Tag
    }

    fileprivate struct State {
        var entries = RecentlyUsed<Digest, Entry>(limit: HotSet.manifestBytes) { $0.weight }
        var files = RecentlyUsed<Digest, BlobFile>(limit: HotSet.files)
        var tags = RecentlyUsed<TagKey, (stored: StoredTag, stay: UInt64)>(limit: HotSet.tags)
        var mark: UInt64 = 0
        var stays: UInt64 = 0
    }

    /// A moment in the writing of tags.
    package struct Mark: Sendable { fileprivate let value: UInt64 }

    private let state = Mutex(State())
    private let removals = Atomic<UInt64>(0)

    package init() {}

    /// While it is the same nothing of what was found here has gone. Ask before looking.
    package var changes: UInt64 { removals.load(ordering: .acquiring) }

    package func manifest(_ digest: Digest, in repository: Repository) -> ManifestContent? {
        state.withLock { state in
            guard let entry = state.entries[digest], entry.readers.contains(repository) else { return nil }
            return entry.manifest
        }
    }

    package func file(_ digest: Digest, in repository: Repository) -> BlobFile? {
        state.withLock { state in
            guard let file = state.files[digest], state.entries[digest]?.pullers.contains(repository) == true
            else { return nil }
            return file
        }
    }

    /// Only while its manifest has been here since: with a digest all tags go that name it.
    package func tag(_ tag: Tag, of repository: Repository) -> StoredTag? {
        state.withLock { state in
            guard let (stored, stay) = state.tags[TagKey(repository: repository, tag: tag)],
                state.entries[stored.digest]?.stay == stay
            else { return nil }
            return stored
        }
    }

    package var mark: Mark { Mark(value: state.withLock { $0.mark }) }

    /// Call it in the digest's turn.
    package func keep(_ manifest: ManifestContent, for repository: Repository) {
        guard manifest.bytes.count <= Self.largestManifest else { return }
        state.withLock { state in
            state.change(manifest.digest) { entry in
                if entry.manifest?.mediaType != manifest.mediaType { entry.readers = [] }
                entry.manifest = manifest
                HotSet.insert(repository, into: &entry.readers)
            }
        }
    }

    /// Call it in the digest's turn.
    package func keep(_ file: BlobFile, for repository: Repository) {
        state.withLock { state in
            state.change(file.digest) { HotSet.insert(repository, into: &$0.pullers) }
            state.files[file.digest] = file
        }
    }

    private static func insert(_ repository: Repository, into repositories: inout Set<Repository>) {
        if repositories.count >= mostRepositories { repositories = [] }
        repositories.insert(repository)
    }

    package func keep(_ stored: StoredTag, as tag: Tag, of repository: Repository, since mark: Mark) {
        state.withLock { state in
            guard state.mark == mark.value, let stay = state.entries[stored.digest]?.stay else { return }
            state.tags[TagKey(repository: repository, tag: tag)] = (stored, stay)
        }
    }

    func drop(_ digest: Digest) {
        defer { removals.add(1, ordering: .releasing) }
        state.withLock { state in
            state.entries[digest] = nil
            state.files[digest] = nil
        }
    }

    func drop(_ tag: Tag, of repository: Repository) {
        defer { removals.add(1, ordering: .releasing) }
        state.withLock { state in
            state.mark += 1
            state.tags[TagKey(repository: repository, tag: tag)] = nil
        }
    }

    func dropAll() {
        defer { removals.add(1, ordering: .releasing) }
        state.withLock { $0 = State(mark: $0.mark + 1, stays: $0.stays) }
    }
}

extension HotSet.State {
    fileprivate mutating func change(_ digest: Digest, _ change: (inout HotSet.Entry) -> Void) {
        var entry = entries[digest] ?? newEntry()
        change(&entry)
        entries[digest] = entry
    }

    private mutating func newEntry() -> HotSet.Entry {
        stays += 1
        return HotSet.Entry(stay: stays)
    }
}
