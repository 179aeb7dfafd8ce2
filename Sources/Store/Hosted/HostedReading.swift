// What was pushed here, as it is read: contents in their digest's turn, lists from the rows.

package import OCI

extension ContentStore {
    /// Whether what was pushed here is known. Else nothing of it is served or changed, and nothing is evicted: what is
    /// not known to be somebody's could be taken for a cache's.
    package var isHostedKnown: Bool { hosted.isKnown }

    private func checkHosted() throws(StoreError) {
        guard isHostedKnown else { throw .hostedUnread }
    }

    /// The blob, open; nil if the repository does not have it.
    package func hostedBlob(_ digest: Digest, in name: RepositoryName) async throws(StoreError) -> BlobFile? {
        let repository = Repository(hosted: name)
        if let file = hot.file(digest, in: repository) { return file }
        try checkHosted()
        return try await gate.turn(digest) { () async throws(StoreError) -> BlobFile? in
            guard let content = try await database.hosted(digest, asManifest: false, in: name),
                let file = try await open(digest, size: content.size)
            else { return nil }
            hot.keep(file, for: repository)
            return file
        }
    }

    /// The manifest, hashed again when it comes from the disk; nil if the repository does not have it.
    package func hostedManifest(
        _ digest: Digest, in name: RepositoryName
    ) async throws(StoreError) -> ManifestContent? {
        let repository = Repository(hosted: name)
        if let manifest = hot.manifest(digest, in: repository) { return manifest }
        try checkHosted()
        return try await gate.turn(digest) { () async throws(StoreError) -> ManifestContent? in
            guard let content = try await database.hosted(digest, asManifest: true, in: name),
                let type = content.mediaType, let bytes = try await manifestBytes(digest, size: content.size)
            else { return nil }
            let manifest = ManifestContent(digest: digest, mediaType: type, bytes: bytes)
            hot.keep(manifest, for: repository)
            return manifest
        }
    }

    package func hostedTag(_ tag: Tag, of name: RepositoryName) async throws(StoreError) -> Digest? {
        let repository = Repository(hosted: name)
        if let stored = hot.tag(tag, of: repository) { return stored.digest }
        try checkHosted()
        let mark = hot.mark
        guard let digest = try await database.hostedTag(tag, of: name) else { return nil }
        hot.keep(StoredTag(digest: digest, checkedAt: 0, isStored: true), as: tag, of: repository, since: mark)
        return digest
    }

    /// In the order of their bytes; nil if the repository has nothing.
    package func hostedTags(of name: RepositoryName) async throws(StoreError) -> [String]? {
        try checkHosted()
        return try await database.hostedTags(of: name)
    }

    package func hostedTags(
        naming digest: Digest, in name: RepositoryName
    ) async throws(StoreError) -> [Tag] {
        try await database.hostedTags(naming: digest, in: name)
    }

    /// Tags of the repository whose images need the digest: that name it, or what names it.
    package func hostedTags(
        needing digest: Digest, in name: RepositoryName
    ) async throws(StoreError) -> [Tag] {
        try await database.hostedTags(needing: digest, in: name)
    }

    /// Those that have anything, in the order of their names' bytes.
    package func hostedRepositories() async throws(StoreError) -> [RepositoryName] {
        try checkHosted()
        return try await database.hostedRepositories()
    }

    /// Its manifests that name the subject, which need not be here, in the order of their digests.
    ///
    /// - Parameter last: behind which to begin.
    package func hostedReferrers(
        of subject: Digest, after last: Digest? = nil, in name: RepositoryName
    ) async throws(StoreError) -> [HostedContent] {
        try checkHosted()
        return try await database.hostedReferrers(of: subject, after: last, in: name)
    }

    /// Any hosted repository that has the blob.
    package func hostedRepository(having digest: Digest) async throws(StoreError) -> RepositoryName? {
        try await database.hostedRepository(having: digest)
    }

    /// Those of the digests that the repository does not have as blobs.
    ///
    /// - Parameter orManifests: nor as manifests.
    package func missing(
        _ digests: [Digest], orManifests: Bool, in name: RepositoryName
    ) async throws(StoreError) -> [Digest] {
        try checkHosted()
        return try await database.missing(digests, orManifests: orManifests, in: name)
    }

    /// - Parameter digest: of what is to come, if that is known.
    /// - Throws: `.overQuota` if so many bytes more are too much.
    package func checkQuotas(
        _ quotas: [HostedQuota], _ digest: Digest?, size: Int64, in name: RepositoryName
    ) async throws(StoreError) {
        try checkHosted()
        try await database.check(quotas, digest, size: size, in: name)
    }

    /// Manifests of the repository that neither a tag leads to nor an index, nor a subject that is there, and that
    /// nobody has pushed since `instant`, Unix milliseconds.
    package func unreached(
        in name: RepositoryName, before instant: Int64
    ) async throws(StoreError) -> [Digest] {
        try checkHosted()
        return try await database.unreached(in: name, before: instant)
    }

    /// Blobs of the repository that none of its manifests names, and that nobody has pushed since `instant`, Unix
    /// milliseconds.
    package func litter(
        in name: RepositoryName, before instant: Int64
    ) async throws(StoreError) -> [Digest] {
        try checkHosted()
        return try await database.litter(in: name, before: instant)
    }
}
