// What is stored, page by page, as people look at it: the store's words, with the platforms that documents name.

import HTTPSemantics
package import OCI
import Store

/// A part of a list of names, and the name to go on behind; nil at the end.
package struct NameList<Entry: Sendable>: Sendable {
    package let entries: [Entry]
    package let next: String?
}

package struct RepositoryEntry: Sendable {
    package let repository: Repository
    package let tags: Int
    /// Of all stored blobs that it may show.
    package let bytes: Int64
    /// Unix time in milliseconds.
    package let lastUsed: Int64?
}

/// A tag whose manifest is stored. Sizes are bytes, instants Unix time in milliseconds.
package struct ImageEntry: Sendable {
    package let repository: Repository
    package let name, tag: String
    package let digest: Digest
    package let mediaType: MediaType
    package let isIndex: Bool
    package let size, storedSize: Int64
    /// `linux/amd64`; empty where no document that is here says.
    package let platforms: [String]
    package let isPinned: Bool
    /// nil of what was pushed here.
    package let checkedAt: Int64?
    package let lastUsed: Int64
}

package struct EvictionEntry: Sendable {
    package let digest: Digest
    package let size, lastUsed: Int64
    /// `blob`, `manifest`, or `partial`: what an unfinished transfer has left.
    package let kind: String
    /// Some that need it.
    package let images: [String]
}

package struct EvictionOrder: Sendable {
    /// Bytes.
    package let used, limit, lowWatermark: Int64
    /// In the order in which they would go.
    package let entries: [EvictionEntry]
}

/// No upstream is asked for any of it.
extension PullThroughCache {
    /// Repositories of which anything is stored, in the order of their names.
    ///
    /// - Parameters:
    ///   - search: a part of a name, or a pattern; nil: all.
    ///   - last: begins behind it.
    /// - Throws: `.store`.
    package func repositories(
        matching search: String?, after last: String?, count: Int
    ) async throws(PullThroughError) -> NameList<RepositoryEntry> {
        let page = NamePage(count: count, last: last, search: search)
        let list = try await restated { () async throws(StoreError) in try await store.repositories(page) }
        return NameList(
            entries: list.entries.map {
                RepositoryEntry(repository: $0.repository, tags: $0.tags, bytes: $0.bytes, lastUsed: $0.lastUsed)
            }, next: list.next)
    }

    /// Tags whose manifests are stored, in the order of their repositories' names, then of the tags.
    ///
    /// - Parameter name: only of repositories whose full name it is; nil: of all.
    /// - Throws: `.store`.
    package func images(
        of name: String? = nil, matching search: String?, after last: String?, count: Int
    ) async throws(PullThroughError) -> NameList<ImageEntry> {
        let page = NamePage(count: count, last: last, search: search)
        let list = try await restated { () async throws(StoreError) in try await store.images(page, of: name) }
        let platforms = await platforms(of: list.entries.map { ($0.digest, $0.mediaType) })
        return NameList(
            entries: list.entries.map { image in
                ImageEntry(
                    repository: image.repository, name: image.name, tag: image.tag, digest: image.digest,
                    mediaType: image.mediaType, isIndex: image.isIndex, size: image.size,
                    storedSize: image.storedSize, platforms: platforms[image.digest] ?? [],
                    isPinned: image.isPinned, checkedAt: image.checkedAt, lastUsed: image.lastUsed)
            }, next: list.next)
    }

    /// What would be evicted next if room were needed now.
    ///
    /// - Throws: `.store`.
    package func evictionOrder(_ count: Int) async throws(PullThroughError) -> EvictionOrder {
        let candidates = try await restated { () async throws(StoreError) in try await store.evictionOrder(count) }
        let ledger = store.capacity.snapshot
        return EvictionOrder(
            used: ledger.used, limit: ledger.limit, lowWatermark: Int64(Double(ledger.limit) * ledger.lowWatermark),
            entries: candidates.map {
                EvictionEntry(
                    digest: $0.digest, size: $0.size, lastUsed: $0.lastUsed, kind: $0.kind.rawValue, images: $0.images)
            })
    }
}
