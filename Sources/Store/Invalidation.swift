// Forgetting because somebody says so, and making room because somebody says so.

package import OCI

/// What was forgotten.
package struct Invalidated: Equatable, Sendable {
    package var tags: [TaggedImage] = []
    /// Rights of a repository to show a manifest, or manifests that went wholly.
    package var manifests = 0
    /// Other content that went wholly.
    package var blobs = 0
}

extension ContentStore {
    /// Forgets the tags that are meant, and each one's right to what it names: nothing of it is shown there before the
    /// upstream has been asked. The bytes stay, since others may show them.
    package func invalidate(
        where isMeant: @escaping @Sendable (Repository, String) -> Bool
    ) async throws(StoreError) -> Invalidated {
        var gone = Invalidated()
        for tag in try await database.tags(where: isMeant) {
            try await withdraw(tag.digest, from: tag.repository, tag: tag.tag, &gone)
        }
        try await applyPins(after: gone)
        return gone
    }

    /// Forgets that a repository may show a manifest, and the tags of it that name it.
    package func invalidate(_ digest: Digest, in repository: Repository) async throws(StoreError) -> Invalidated {
        var gone = Invalidated()
        try await withdraw(digest, from: repository, tag: nil, &gone)
        try await applyPins(after: gone)
        return gone
    }

    /// Forgets a digest wholly, wherever it is shown, with the tags that name it.
    ///
    /// - Returns: nil if it was pushed here, and stays.
    package func invalidateEverywhere(_ digest: Digest) async throws(StoreError) -> Invalidated? {
        if try await database.isHosted(digest) { return nil }
        let isManifest = try await isManifest(digest)
        let tags = try await database.tags(naming: digest)
        var gone = Invalidated()
        gone.tags = tags.map { TaggedImage(repository: $0.repository, tag: $0.tag) }
        let hadContent = try await invalidate(digest)
        if hadContent || !tags.isEmpty {
            if isManifest { gone.manifests = 1 } else if hadContent { gone.blobs = 1 }
        }
        for tag in gone.tags { hot.drop(tag.tag, of: tag.repository) }
        try await applyPins(after: gone)
        return gone
    }

    /// Evicts until no more than so many bytes are used, or nothing more may go: leases are no obstacle, pins and what
    /// was pushed here are.
    ///
    /// - Returns: what went, and bytes that are used now.
    package func evict(to size: Int64) async -> (blobs: Int64, bytes: Int64, used: Int64) {
        let gone = await evictor.evict(to: size)
        measureOverhead()
        return (gone.blobs, gone.bytes, capacity.snapshot.used)
    }

    /// In the digest's turn, in which alone it is put into memory: nobody finds it there after this.
    private func withdraw(
        _ digest: Digest, from repository: Repository, tag: Tag?, _ gone: inout Invalidated
    ) async throws(StoreError) {
        let (tags, wasLinked) = try await gate.turn(digest) { () async throws(StoreError) in
            defer { hot.drop(digest) }
            return try await database.withdraw(digest, from: repository, tag: tag)
        }
        for tag in tags {
            hot.drop(tag, of: repository)
            gone.tags.append(TaggedImage(repository: repository, tag: tag))
        }
        if wasLinked { gone.manifests += 1 }
    }

    private func applyPins(after gone: Invalidated) async throws(StoreError) {
        guard gone.tags.contains(where: { isPinned($0.repository, $0.tag.description) }) else { return }
        try await applyPins()
    }
}
