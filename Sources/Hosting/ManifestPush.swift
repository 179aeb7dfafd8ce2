// A manifest's way in: read, checked against what the repository has, stored as it came.

package import OCI
import Store
import Synchronization

package struct PushedManifest: Equatable, Sendable {
    package let digest: Digest
    /// The manifest that it refers to: a signature's image.
    package let subject: Digest?
}

extension HostedRepositories {
    /// Bytes up to which manifests are read side by side.
    private static let small: Int64 = 256 << 10

    /// Stores a manifest under its digest and has tags name it.
    ///
    /// - Parameters:
    ///   - reference: a tag, or the digest that it must have, whose algorithm counts.
    ///   - others: further tags.
    ///   - type: as the client calls it and spells it; what the document says of itself counts before.
    package func push(
        _ body: UploadBody, as reference: Reference, others: [Tag] = [], type: MediaType?, to name: RepositoryName
    ) async throws(HostingError) -> PushedManifest {
        try checkWritable(name)
        let limit = Manifest.sizeLimit
        if let length = body.length, length > Int64(limit) { throw .manifestTooLarge(limit: limit) }
        // On the disk, as blobs: a client that is slow holds up nobody, nor memory.
        let file = try await restated { () async throws(StoreError) in
            try await store.beginUpload(size: body.length ?? Self.small, algorithm: reference.algorithm)
        }
        defer { file.discard() }
        try await write(body, to: file)
        guard file.size > Self.small else { return try await take(file, as: reference, others, type, name) }
        return try await largeManifests.turn(0) { () async throws(HostingError) in
            try await take(file, as: reference, others, type, name)
        }
    }

    private func take(
        _ file: UploadFile, as reference: Reference, _ others: [Tag], _ type: MediaType?, _ name: RepositoryName
    ) async throws(HostingError) -> PushedManifest {
        let bytes = try await restated { () async throws(StoreError) in try await store.bytes(of: file) }
        let digest = Digest.of(bytes, reference.algorithm)
        var tags = others
        switch reference {
        case .digest(let expected):
            guard digest == expected else { throw .digestMismatch(expected: expected, actual: digest) }
        case .tag(let tag):
            if !tags.contains(tag) { tags.append(tag) }
        }
        let manifest: Manifest
        do throws(ManifestError) {
            manifest = try Manifest(parsing: bytes, declaredType: type.flatMap { MediaType(field: $0.rawValue) })
        } catch {
            throw .manifestInvalid(error.words)
        }
        let spelling = manifest.spelling ?? type?.rawValue ?? "\(manifest.mediaType)"
        guard let spelt = MediaType(spelling: spelling) else {
            throw .manifestInvalid("its media type is none: \(spelling.prefix(100).debugDescription)")
        }
        // Clients compare it with the document's, letter by letter.
        let isMeant = MediaType(field: spelt.rawValue) == manifest.mediaType
        let pushed = HostedManifest(
            bytes, digest: digest, mediaType: isMeant ? spelt : manifest.mediaType, manifest)
        try await restated { () async throws(StoreError) in try await store.seal(file, as: digest) }
        try await host(pushed, file, as: manifest, tags, name)
        return PushedManifest(digest: digest, subject: manifest.subject?.digest)
    }

    private func write(_ body: UploadBody, to file: UploadFile) async throws(HostingError) {
        while let piece = try await body.more() {
            guard file.size + Int64(piece.count) <= Int64(Manifest.sizeLimit) else {
                throw .manifestTooLarge(limit: Manifest.sizeLimit)
            }
            try await restated { () async throws(StoreError) in try await store.append(piece, to: file) }
        }
    }

    private func host(
        _ pushed: HostedManifest, _ file: UploadFile, as manifest: Manifest, _ tags: [Tag], _ name: RepositoryName
    ) async throws(HostingError) {
        let policy = policy
        let quotas = policy.storeQuotas
        try await store.hostedGate.turn(name) { () async throws(HostingError) in
            for tag in tags where policy.isImmutable(tag, of: name) {
                let named = try await restated { () async throws(StoreError) in
                    try await store.hostedTag(tag, of: name)
                }
                guard named == nil || named == pushed.digest else {
                    throw .denied("\(name):\(tag) is immutable: see hosting.immutable-tags in the configuration")
                }
            }
            let missing = try await restated { () async throws(StoreError) in
                // An index may name blobs: that is how build caches are pushed.
                try await store.missing(
                    manifest.linked.map(\.digest), orManifests: manifest.kind == .index, in: name)
            }
            guard missing.isEmpty else { throw .blobsMissing(missing) }
            try await restated { () async throws(StoreError) in
                try await store.host(pushed, file, in: name, tags: tags, within: quotas)
            }
        }
    }
}

extension Reference {
    /// By which what it refers to is named.
    fileprivate var algorithm: Digest.Algorithm {
        switch self {
        case .digest(let digest): digest.algorithm
        case .tag: .sha256
        }
    }
}

extension ManifestError {
    fileprivate var words: String {
        switch self {
        case .notJSONObject: "a manifest is a JSON object, and this is none"
        case .schema1: "schema 1 manifests are not taken: push the image with a current client"
        case .ambiguous: "it can be read as an image and as an index"
        case .tooLarge(let size): "a manifest of \(size) bytes is too large"
        case .malformed(let text): "what is wrong with the manifest: \(text)"
        }
    }
}
