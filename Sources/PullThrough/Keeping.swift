// What an operator wants kept, forgotten or out of the way: the store's part, and what this room remembers besides.

import Logging
package import OCI
import Store

/// What came of taking a pin back.
package enum PinRemoval: Equatable, Sendable {
    /// The stored tags that were pinned and are no more.
    case unpinned([TaggedImage])
    /// Nothing was taken back: the configuration pins what is meant.
    case configured
    /// Nothing was taken back: another pin means it too.
    case held(by: String)

    fileprivate init(_ result: Unpinning) {
        self =
            switch result {
            case .unpinned(let images): .unpinned(images)
            case .configured: .configured
            case .held(let pin): .held(by: pin)
            }
    }
}

/// What was forgotten because somebody said so.
package struct Forgotten: Equatable, Sendable {
    package let tags: Int
    /// Rights of a repository to show a manifest, or manifests that went with their bytes.
    package let manifests: Int
    /// Other content that went.
    package let blobs: Int
}

extension PullThroughCache {
    /// - Returns: the stored tags that are pinned by it, and the bytes of all that is pinned.
    package func pin(
        _ image: ImagePattern
    ) async throws(PullThroughError) -> (images: [TaggedImage], pinnedBytes: Int64) {
        let (images, bytes) = try await restated { () async throws(StoreError) in
            (try await store.pin(image), try await store.pinnedBytes())
        }
        logger.notice("pinned", metadata: ["image": "\(image.fullText)", "stored": "\(images.count)"])
        return (images, bytes)
    }

    package func unpin(
        _ image: ImagePattern
    ) async throws(PullThroughError) -> (result: PinRemoval, pinnedBytes: Int64) {
        let (result, bytes) = try await restated { () async throws(StoreError) in
            (try await store.unpin(image), try await store.pinnedBytes())
        }
        if case .unpinned = result { logger.notice("unpinned", metadata: ["image": "\(image.fullText)"]) }
        return (PinRemoval(result), bytes)
    }

    /// Every tag that is meant: the next request for it asks the upstream, whether it was known or known not to be.
    package func invalidate(_ image: ImagePattern) async throws(PullThroughError) -> Forgotten {
        let gone = try await restated { () async throws(StoreError) in
            try await store.invalidate { image.matches($0, tag: $1) }
        }
        // Behind the rows: what is learnt of them from here on is new.
        forget(gone) { key in
            guard case .tag(let tag) = key.reference else { return false }
            return image.matches(key.repository, tag: tag.description)
        }
        return told(gone, image.fullText)
    }

    /// A manifest where one repository shows it.
    package func invalidate(_ digest: Digest, in repository: Repository) async throws(PullThroughError) -> Forgotten {
        let gone = try await restated { () async throws(StoreError) in
            try await store.invalidate(digest, in: repository)
        }
        forget(gone) { $0.repository == repository && $0.reference == .digest(digest) }
        return told(gone, "\(repository)@\(digest)")
    }

    /// A digest wherever it is shown, with its bytes; nil if it was pushed here, and stays.
    package func invalidate(_ digest: Digest) async throws(PullThroughError) -> Forgotten? {
        let gone = try await restated { () async throws(StoreError) in try await store.invalidateEverywhere(digest) }
        guard let gone else { return nil }
        forget(gone) { $0.reference == .digest(digest) }
        return told(gone, "\(digest)")
    }

    /// - Returns: what went, and what is used now; bytes on disk.
    package func evict(to size: Int64) async -> (blobs: Int64, bytes: Int64, used: Int64) {
        await store.evict(to: size)
    }

    private func forget(_ gone: Invalidated, unknown isMeant: (NegativeCache.Key) -> Bool) {
        unknowns.forget(where: isMeant)
        for image in gone.tags { tagMemory.forget(TagMemory.Key(repository: image.repository, tag: image.tag)) }
    }

    private func told(_ gone: Invalidated, _ what: String) -> Forgotten {
        logger.notice(
            "invalidated",
            metadata: [
                "what": "\(what)", "tags": "\(gone.tags.count)", "manifests": "\(gone.manifests)",
                "blobs": "\(gone.blobs)",
            ])
        return Forgotten(tags: gone.tags.count, manifests: gone.manifests, blobs: gone.blobs)
    }
}
