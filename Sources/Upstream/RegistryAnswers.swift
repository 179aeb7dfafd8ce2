// What a registry answers about a manifest, in our types.
package import OCI

/// What a registry says of a manifest without sending it.
package struct ManifestFacts: Equatable, Sendable {
    /// A hint: what is stored goes by the digest computed here.
    package let digest: Digest?
    package let mediaType: MediaType?
    /// Bytes.
    package let size: Int64?
    /// It is still the one that was known (304).
    package let isUnchanged: Bool
    /// Whoever answered is a mirror that could not ask: it may have been another for long.
    package let isStale: Bool
    /// Seconds since somebody learnt it of the registry itself, where that is told (RFC 9111 §5.1).
    package let age: Int64?

    package init(
        digest: Digest?, mediaType: MediaType?, size: Int64?, isUnchanged: Bool = false, isStale: Bool = false,
        age: Int64? = nil
    ) {
        self.digest = digest
        self.mediaType = mediaType
        self.size = size
        self.isUnchanged = isUnchanged
        self.isStale = isStale
        self.age = age
    }
}

/// A manifest as it came, whole by its framing and not yet looked into.
package struct FetchedManifest: Equatable, Sendable {
    package let bytes: [UInt8]
    package let mediaType: MediaType?
    /// A hint, as in `ManifestFacts`.
    package let digest: Digest?

    package init(bytes: [UInt8], mediaType: MediaType?, digest: Digest?) {
        self.bytes = bytes
        self.mediaType = mediaType
        self.digest = digest
    }
}
