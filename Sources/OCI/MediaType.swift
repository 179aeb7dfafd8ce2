// Media types of manifests, image indexes, configs and layers, in OCI's words and in Docker's.

/// A media type without parameters. Any text is one: registries hold artefacts of types that nobody here has heard of.
package struct MediaType: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: String

    package init(rawValue: String) { self.rawValue = rawValue }

    /// The media type of a `Content-Type` field or a `mediaType` member: parameters dropped, spelt in lower case, since
    /// types compare without regard to case (RFC 9110 §8.3.1). `nil` if nothing is left.
    package init?(field: some StringProtocol) {
        let type = field.prefix { $0 != ";" }.drop { $0 == " " || $0 == "\t" }
        let trimmed = type.prefix { $0 != " " && $0 != "\t" }
        guard !trimmed.isEmpty else { return nil }
        rawValue = trimmed.lowercased()
    }

    package var description: String { rawValue }

    /// The same as it is spelt there; nil if it is none by RFC 6838 §4.2, or longer than 255 bytes.
    package init?(spelling: some StringProtocol) {
        let text = spelling.prefix { $0 != ";" }.drop { $0 == " " || $0 == "\t" }
        let type = String(text.prefix { $0 != " " && $0 != "\t" })
        let parts = type.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count == 2, type.utf8.count <= 255 else { return nil }
        let isWhole = parts.allSatisfy { part in
            guard let first = part.first, first.isLetterOrDigit else { return false }
            return part.allSatisfy { $0.isLetterOrDigit || "!#$&-^_.+".utf8.contains($0) }
        }
        guard isWhole else { return nil }
        rawValue = type
    }

    package static let ociManifest = MediaType(rawValue: "application/vnd.oci.image.manifest.v1+json")
    package static let ociIndex = MediaType(rawValue: "application/vnd.oci.image.index.v1+json")
    package static let ociConfig = MediaType(rawValue: "application/vnd.oci.image.config.v1+json")
    package static let ociEmpty = MediaType(rawValue: "application/vnd.oci.empty.v1+json")
    package static let ociLayer = MediaType(rawValue: "application/vnd.oci.image.layer.v1.tar")
    package static let ociLayerGzip = MediaType(rawValue: "application/vnd.oci.image.layer.v1.tar+gzip")
    package static let ociLayerZstd = MediaType(rawValue: "application/vnd.oci.image.layer.v1.tar+zstd")
    /// OCI 1.1's release candidates had it; such manifests are still about. Its layers are called `blobs`.
    package static let ociArtifact = MediaType(rawValue: "application/vnd.oci.artifact.manifest.v1+json")

    package static let dockerManifest = MediaType(rawValue: "application/vnd.docker.distribution.manifest.v2+json")
    package static let dockerManifestList =
        MediaType(rawValue: "application/vnd.docker.distribution.manifest.list.v2+json")
    package static let dockerConfig = MediaType(rawValue: "application/vnd.docker.container.image.v1+json")
    package static let dockerLayer = MediaType(rawValue: "application/vnd.docker.image.rootfs.diff.tar.gzip")
    package static let dockerForeignLayer =
        MediaType(rawValue: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")

    package static let dockerSchema1 = MediaType(rawValue: "application/vnd.docker.distribution.manifest.v1+json")
    package static let dockerSchema1Signed =
        MediaType(rawValue: "application/vnd.docker.distribution.manifest.v1+prettyjws")

    package static let json = MediaType(rawValue: "application/json")
    package static let octetStream = MediaType(rawValue: "application/octet-stream")

    /// What is asked of every upstream for a manifest, whatever the client asked for: a registry that is not told of a
    /// type converts the manifest into an older one or denies that it exists. Schema 1 is never asked for.
    package static let accepted = [ociManifest, ociIndex, dockerManifest, dockerManifestList]
        .map(\.rawValue).joined(separator: ", ")

    package var isIndex: Bool { self == .ociIndex || self == .dockerManifestList }
    package var isManifest: Bool { self == .ociManifest || self == .dockerManifest || self == .ociArtifact }
    package var isSchema1: Bool { self == .dockerSchema1 || self == .dockerSchema1Signed }

    /// Layers that the spec or their licence forbids to distribute: clients get them elsewhere, never from here.
    package var isNondistributable: Bool {
        self == .dockerForeignLayer || rawValue.hasPrefix("application/vnd.oci.image.layer.nondistributable.")
    }

    /// Types that say no more than "some bytes", as careless upstreams label manifests.
    var isGeneric: Bool {
        self == .json || self == .octetStream || rawValue.hasPrefix("text/")
    }
}

extension MediaType: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        rawValue = try container.decode(String.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

extension UInt8 {
    fileprivate var isLetterOrDigit: Bool { self &- 0x30 < 10 || (self | 0x20) &- 0x61 < 26 }
}
