// One image as it is stored: its manifests, what each names, what of that is here, and who refers to it.

import HTTPSemantics
package import OCI
import Store

/// Sizes are bytes, instants Unix time in milliseconds.
package struct ImageLook: Sendable {
    /// A config or a layer.
    package struct Part: Sendable {
        package let digest: Digest
        package let mediaType: MediaType
        package let size: Int64
        package let isStored: Bool
        /// The size of what is stored; else what a transfer has brought so far, or an unfinished one has left.
        package let storedBytes: Int64
        package let lastUsed: Int64?
        /// To be had elsewhere and not from here.
        package let isForeign: Bool
    }

    package struct Document: Sendable {
        package let digest: Digest
        package let mediaType: MediaType
        package let platform: String?
        package let artifactType: MediaType?
        package let isStored: Bool
        /// With what it names, as far as it is here to say; each digest once, and nothing foreign.
        package let size, storedSize: Int64
        package let lastUsed: Int64?
        package let config: Part?
        package let layers: [Part]
    }

    package struct Referrer: Sendable {
        package let digest: Digest
        package let artifactType: MediaType?
        package let size: Int64
    }

    package let repository: Repository
    /// The tag that was asked for.
    package let tag: Tag?
    package let digest: Digest
    package let mediaType: MediaType
    package let isIndex, isPinned: Bool
    package let size, storedSize: Int64
    package let storedAt, lastUsed: Int64
    package let checkedAt, leasedUntil: Int64?
    package let tags: [String]
    /// The children of an index, or the manifest itself.
    package let documents: [Document]
    package let referrers: [Referrer]
}

/// What a digest by itself leads to.
package enum DigestLook: Sendable {
    case image(ImageLook)
    /// It is stored, and no manifest.
    case blob
}

extension PullThroughCache {
    /// Bytes of manifests that are read for one look: an index may name any number of them.
    private static let mostRead = 4 * Int64(Manifest.sizeLimit)
    /// Configs and layers that are told of.
    private static let mostParts = 20_000
    private static let mostReferrers = 100

    /// Looks at what is stored; asks nobody.
    ///
    /// - Returns: nil if its manifest is not here, or not for this repository to show.
    /// - Throws: `.store`.
    package func look(
        at reference: Reference, in repository: Repository
    ) async throws(PullThroughError) -> ImageLook? {
        let stored = try await restated { () async throws(StoreError) in
            try await store.image(reference, in: repository)
        }
        guard let stored else { return nil }
        let bytes = await store.documents([stored.digest], limit: Manifest.sizeLimit)[stored.digest]
        // A file that is away or damaged shows nothing; whoever serves it finds out.
        guard let bytes, let manifest = try? Manifest(parsing: bytes, declaredType: stored.mediaType)
        else { return nil }
        let tag: Tag? = if case .tag(let tag) = reference { tag } else { nil }
        return ImageLook(
            repository: repository, tag: tag, digest: stored.digest, mediaType: stored.mediaType,
            isIndex: stored.isIndex, isPinned: stored.isPinned, size: stored.size, storedSize: stored.storedSize,
            storedAt: stored.storedAt, lastUsed: stored.lastUsed, checkedAt: stored.checkedAt,
            leasedUntil: stored.leasedUntil, tags: stored.tags,
            documents: try await documents(of: manifest, stored, size: Int64(bytes.count)),
            referrers: try await storedReferrers(of: stored.digest, in: repository))
    }

    /// Looks at it in one of the repositories that may show it.
    ///
    /// - Returns: nil if it is not here, or a manifest that is not for any repository to show.
    /// - Throws: `.store`.
    package func look(at digest: Digest) async throws(PullThroughError) -> DigestLook? {
        let found = try await restated { () async throws(StoreError) in try await store.whereabouts(of: digest) }
        guard let found else { return nil }
        switch found {
        case .blob: return DigestLook.blob
        case .manifest(let repository):
            guard let image = try await self.look(at: .digest(digest), in: repository) else { return nil }
            return DigestLook.image(image)
        }
    }

    private func documents(
        of manifest: Manifest, _ stored: StoredManifest, size: Int64
    ) async throws(PullThroughError) -> [ImageLook.Document] {
        let own = Descriptor(mediaType: stored.mediaType, digest: stored.digest, size: size)
        guard stored.isIndex else {
            let platform = await platforms(of: [(stored.digest, stored.mediaType)])[stored.digest]?.first
            let contents = try await contents(manifest.parts.map(\.digest) + [stored.digest])
            return [document(own, manifest, platform: platform, contents)]
        }
        let children = manifest.manifests.unique()
        var contents = try await contents(children.map(\.digest))
        var reading = Self.mostRead
        let read = children.filter { child in
            guard let size = contents[child.digest]?.size, size <= reading else { return false }
            reading -= size
            return true
        }
        let texts = await store.documents(read.map(\.digest), limit: Manifest.sizeLimit)
        var told = Self.mostParts
        var manifests: [Digest: Manifest] = [:]
        for child in read {
            guard let text = texts[child.digest],
                let manifest = try? Manifest(parsing: text, declaredType: child.mediaType), manifest.parts.count <= told
            else { continue }
            told -= manifest.parts.count
            manifests[child.digest] = manifest
        }
        let named = manifests.values.flatMap(\.parts).map(\.digest)
        contents.merge(try await self.contents(Array(Set(named)))) { first, _ in first }
        return children.map { child in
            document(child, manifests[child.digest], platform: child.platform.map { "\($0)" }, contents)
        }
    }

    private func document(
        _ descriptor: Descriptor, _ manifest: Manifest?, platform: String?, _ contents: [Digest: StoredContent]
    ) -> ImageLook.Document {
        let config = (manifest?.config).map { part($0, contents) }
        let layers = (manifest?.layers ?? []).map { part($0, contents) }
        let own = contents[descriptor.digest]
        let distinct = (manifest?.parts ?? []).filter(\.isDistributable).unique()
        let size = own?.size ?? descriptor.size
        return ImageLook.Document(
            digest: descriptor.digest, mediaType: descriptor.mediaType, platform: platform,
            artifactType: descriptor.artifactType ?? manifest?.artifactType, isStored: own != nil,
            size: distinct.reduce(size) { $0.addingReportingOverflow($1.size).partialValue },
            storedSize: distinct.reduce(own?.size ?? 0) { $0 + (contents[$1.digest]?.size ?? 0) },
            lastUsed: own?.lastUsed, config: config, layers: layers)
    }

    private func part(_ descriptor: Descriptor, _ contents: [Digest: StoredContent]) -> ImageLook.Part {
        let stored = contents[descriptor.digest]
        return ImageLook.Part(
            digest: descriptor.digest, mediaType: descriptor.mediaType, size: descriptor.size, isStored: stored != nil,
            storedBytes: stored?.size ?? landed(of: descriptor.digest), lastUsed: stored?.lastUsed,
            isForeign: !descriptor.isDistributable)
    }

    /// Bytes of what is not whole yet.
    private func landed(of digest: Digest) -> Int64 {
        fill(of: digest)?.progress.received ?? store.partial(of: digest)?.extents.count ?? 0
    }

    private func contents(_ digests: [Digest]) async throws(PullThroughError) -> [Digest: StoredContent] {
        try await restated { () async throws(StoreError) in try await store.contents(digests) }
    }

    /// The first of them, in the order of their digests.
    private func storedReferrers(
        of subject: Digest, in repository: Repository
    ) async throws(PullThroughError) -> [ImageLook.Referrer] {
        let found = try await restated { () async throws(StoreError) -> [(digest: Digest, size: Int64)] in
            if repository.isHosted {
                return try await store.hostedReferrers(of: subject, in: repository.name).map { ($0.digest, $0.size) }
            }
            return try await store.referrers(of: subject, in: repository).map { ($0.digest, $0.size) }
        }.prefix(Self.mostReferrers)
        var reading = Self.mostRead
        let read = found.filter { referrer in
            reading -= referrer.size
            return reading >= 0
        }
        let texts = await store.documents(read.map(\.digest), limit: Manifest.sizeLimit)
        return found.map { digest, size in
            let manifest = texts[digest].flatMap { try? Manifest(parsing: $0, declaredType: nil) }
            return ImageLook.Referrer(
                digest: digest, artifactType: manifest.flatMap { $0.artifactType ?? $0.config?.mediaType }, size: size)
        }
    }
}

extension Manifest {
    /// Config and layers, wherever they are to be had.
    fileprivate var parts: [Descriptor] { (config.map { [$0] } ?? []) + layers }
}

extension [Descriptor] {
    /// Each digest once, where it stands first.
    fileprivate func unique() -> [Descriptor] {
        var seen: Set<Digest> = []
        return filter { seen.insert($0.digest).inserted }
    }
}
