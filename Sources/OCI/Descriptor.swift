// The descriptor: how one document names another, by type, digest and size.

/// - Source: image-spec v1.1 "Descriptor".
package struct Descriptor: Hashable, Sendable, Codable {
    /// What an image index says of the machine a child is for.
    package struct Platform: Hashable, Sendable, Codable {
        package var architecture: String
        package var os: String
        package var variant: String?

        package init(architecture: String, os: String, variant: String? = nil) {
            self.architecture = architecture
            self.os = os
            self.variant = variant
        }
    }

    package var mediaType: MediaType
    package var digest: Digest
    /// Bytes; never negative.
    package var size: Int64
    /// Places outside any registry. Kept to be recognised; nothing here ever opens one.
    package var urls: [String]?
    package var artifactType: MediaType?
    package var platform: Platform?
    package var annotations: [String: String]?

    package init(
        mediaType: MediaType, digest: Digest, size: Int64, urls: [String]? = nil, artifactType: MediaType? = nil,
        platform: Platform? = nil, annotations: [String: String]? = nil
    ) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        self.urls = urls
        self.artifactType = artifactType
        self.platform = platform
        self.annotations = annotations
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        mediaType = try container.decode(MediaType.self, forKey: .mediaType)
        digest = try container.decode(Digest.self, forKey: .digest)
        do {
            size = try container.decode(Int64.self, forKey: .size)
        } catch let error where !(error is DecodingError) {
            // Of a number it cannot represent, the decoder says something of its own, and not where it stands.
            throw DecodingError.dataCorruptedError(forKey: .size, in: container, debugDescription: "no such size")
        }
        guard size >= 0 else {
            throw DecodingError.dataCorruptedError(forKey: .size, in: container, debugDescription: "negative")
        }
        urls = try container.decodeIfPresent([String].self, forKey: .urls)
        artifactType = try container.decodeIfPresent(MediaType.self, forKey: .artifactType)
        platform = try container.decodeIfPresent(Platform.self, forKey: .platform)
        annotations = try container.decodeIfPresent([String: String].self, forKey: .annotations)
    }

    /// Whether the registry that holds the naming document is also where these bytes are to be fetched.
    package var isDistributable: Bool { !mediaType.isNondistributable && (urls ?? []).isEmpty }
}

extension Descriptor.Platform: CustomStringConvertible {
    /// `linux/arm64/v8`, as clients take it; what somebody made longer than any is cut.
    package var description: String {
        ([os, architecture] + (variant.map { [$0] } ?? [])).map { $0.prefix(64) }.joined(separator: "/")
    }
}
