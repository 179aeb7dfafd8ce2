// What there is, for people who look: pages of repositories and images, one image's parts, and what would go next.

package import OCI

/// What an eviction would take, as it is now.
package struct EvictionCandidate: Equatable, Sendable {
    package enum Kind: String, Sendable {
        /// What an unfinished transfer has left.
        case partial
        case blob, manifest
    }

    package let digest: Digest
    /// Bytes; of a partial those that it takes on the disk.
    package let size: Int64
    /// Unix time in milliseconds; of a partial when it was put aside.
    package let lastUsed: Int64
    package let kind: Kind
    /// Some of the tags that lead to it, three at most.
    package let images: [String]
}

/// All of it counts uses that are not written down yet: they are, before.
extension ContentStore {
    /// Repositories of which anything is stored, in the order of their full names.
    package func repositories(_ page: NamePage) async throws(StoreError) -> Listed<StoredRepository> {
        await noteUses()
        return try await database.repositories(page)
    }

    /// Tags whose manifests are stored, in the order of their repositories' full names, then of the tags.
    ///
    /// - Parameter name: only of repositories whose full name it is; nil: of all.
    package func images(
        _ page: NamePage, of name: String? = nil
    ) async throws(StoreError) -> Listed<StoredImage> {
        await noteUses()
        return try await database.images(page, of: name)
    }

    /// - Returns: nil unless it is stored and the repository may show it.
    package func image(
        _ reference: Reference, in repository: Repository
    ) async throws(StoreError) -> StoredManifest? {
        await noteUses()
        return try await database.image(reference, in: repository, at: now(), lease: configuration.lease)
    }

    /// What a digest by itself is.
    ///
    /// - Returns: nil unless it is stored; of a manifest, unless some repository may show it.
    package func whereabouts(of digest: Digest) async throws(StoreError) -> Whereabouts? {
        try await database.whereabouts(of: digest)
    }

    /// Those of the digests that are stored.
    package func contents(_ digests: [Digest]) async throws(StoreError) -> [Digest: StoredContent] {
        try await database.contents(digests)
    }

    /// The bytes of stored documents (manifests, configs) as far as they can be had and are what they are called. Looks
    /// only: whoever serves one finds out what is amiss with it. So no turn is taken, and what goes meanwhile is left
    /// out.
    ///
    /// - Parameter limit: bytes; what is larger is no document.
    package func documents(_ digests: [Digest], limit: Int) async -> [Digest: [UInt8]] {
        if digests.isEmpty { return [:] }
        let found = try? await DiskQueue.run { [layout] () throws(StoreError) in
            digests.reduce(into: [Digest: [UInt8]]()) { found, digest in
                // One that cannot be read is as good as away, here.
                guard let opened = try? BlobFile(opening: layout.blob(digest), digest: digest),
                    opened.size <= limit, let bytes = try? opened.readAll(),
                    Digest.of(bytes, digest.algorithm) == digest
                else { return }
                found[digest] = bytes
            }
        }
        return found ?? [:]
    }

    /// What would go next if room were needed now, in that order: what an eviction would find.
    package func evictionOrder(_ count: Int) async throws(StoreError) -> [EvictionCandidate] {
        try await evictor.order(count)
    }

    /// Where they cannot be written down, what is written is shown.
    private func noteUses() async { try? await uses.write(to: database) }
}
