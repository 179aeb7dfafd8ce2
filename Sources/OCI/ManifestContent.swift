// A manifest's bytes with what they are.

/// A manifest or index, byte for byte as the upstream gave it. A class: who has made something of it can tell whether
/// it is still the same.
package final class ManifestContent: Sendable {
    package let digest: Digest
    package let mediaType: MediaType
    package let bytes: [UInt8]

    package init(digest: Digest, mediaType: MediaType, bytes: [UInt8]) {
        self.digest = digest
        self.mediaType = mediaType
        self.bytes = bytes
    }
}
