// What is read of a manifest or an image index. Its bytes are kept as they came and never encoded again.

import FoundationEssentials

/// Why some bytes are no manifest that may be stored or served. Nothing in it quotes the document at length.
package enum ManifestError: Error, Equatable, Sendable {
    case notJSONObject
    /// Docker's format of before 2016, whose digest depends on its signature. Refused: 404 `MANIFEST_UNKNOWN`.
    case schema1
    /// It can be read as a manifest and as an index, so two clients could see two things (CVE-2021-41190).
    case ambiguous
    /// Over `Manifest.sizeLimit`; the payload is its size in bytes.
    case tooLarge(Int)
    /// The member that is wrong, and how: `layers[2].size: negative`.
    case malformed(String)
}

/// - Source: image-spec v1.1 "Image Manifest", "Image Index"; Docker's "Image Manifest V 2, Schema 2".
package struct Manifest: Sendable {
    package enum Kind: Sendable { case manifest, index, other }

    /// Bytes; distribution-spec v1.1 "Pushing Manifests" asks registries to take 4 MiB, and nobody makes larger ones.
    package static let sizeLimit = 4 << 20

    /// `other`: a JSON object that names neither layers nor children. It is stored and served like any manifest.
    package let kind: Kind
    package let mediaType: MediaType
    /// The same by the document alone.
    package let ownMediaType: MediaType
    /// What the document calls itself, as it is spelt there.
    package let spelling: String?
    package let config: Descriptor?
    package let layers: [Descriptor]
    /// The children of an index.
    package let manifests: [Descriptor]
    package let subject: Descriptor?
    package let artifactType: MediaType?

    /// Reads a manifest.
    ///
    /// The document's own `mediaType` counts before `declaredType`, since the digest covers only that. Types that
    /// nobody here knows are kept. Members that are not needed are not looked at.
    ///
    /// - Parameters:
    ///   - bytes: the document; whether it matches a digest is the caller's affair.
    ///   - declaredType: the `Content-Type` it came with.
    package init(parsing bytes: [UInt8], declaredType: MediaType?) throws(ManifestError) {
        guard bytes.count <= Self.sizeLimit else { throw .tooLarge(bytes.count) }
        if let declaredType, declaredType.isSchema1 { throw .schema1 }
        let document = try Self.document(bytes, declaredType)
        if document.isSchema1 { throw .schema1 }
        if document.hasManifests && document.hasLayers { throw .ambiguous }

        let hinted = declaredType.flatMap { $0.isGeneric ? nil : $0 }
        if let type = document.mediaType ?? hinted {
            if type.isIndex && document.hasLayers || type.isManifest && document.hasManifests { throw .ambiguous }
            mediaType = type
        } else if document.hasManifests {
            mediaType = .ociIndex
        } else if document.hasLayers {
            mediaType = .ociManifest
        } else {
            mediaType = declaredType ?? .json
        }
        spelling = document.spelling
        ownMediaType =
            document.mediaType ?? (document.hasManifests ? .ociIndex : document.hasLayers ? .ociManifest : .json)
        if document.hasManifests || mediaType.isIndex {
            kind = .index
        } else if document.hasLayers || mediaType.isManifest {
            kind = .manifest
        } else {
            kind = .other
        }
        config = document.config
        layers = document.layers
        manifests = document.manifests
        subject = document.subject
        artifactType = document.artifactType
    }

    /// What serving this document lets a client fetch from the same repository: children, config and layers, but no
    /// layer that may not be distributed, nothing with `urls`, and never the subject.
    package var linked: [Descriptor] {
        (manifests + (config.map { [$0] } ?? []) + layers).filter(\.isDistributable)
    }

    private static func document(
        _ bytes: [UInt8], _ declaredType: MediaType?
    ) throws(ManifestError) -> Document {
        // The decoder would also take UTF-16 and a byte order mark; no client does.
        let blanks = Set(" \t\r\n".utf8)
        guard bytes.first(where: { !blanks.contains($0) }) == UInt8(ascii: "{"), !bytes.contains(0) else {
            throw .notJSONObject
        }
        do {
            let decoder = JSONDecoder()
            decoder.userInfo[Document.declaredType] = declaredType
            return try decoder.decode(Document.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw ManifestError(error)
        } catch {
            throw .notJSONObject
        }
    }
}

/// Any number, even one that no type can hold.
private struct SchemaVersion: Decodable {
    let value: Double

    init(from decoder: any Decoder) throws {
        do {
            value = try decoder.singleValueContainer().decode(Double.self)
        } catch let error where !(error is DecodingError) {
            value = .infinity
        }
    }
}

/// The members that are read, with their presence: `"layers": null` is present, as it is for containerd.
private struct Document: Decodable {
    enum Key: String, CodingKey {
        case schemaVersion, mediaType, artifactType, config, layers, blobs, manifests, subject, fsLayers
    }

    static let declaredType = CodingUserInfoKey(rawValue: "declaredType")!

    let isSchema1: Bool
    let hasLayers: Bool
    let hasManifests: Bool
    let mediaType: MediaType?
    /// As its author spelt it.
    let spelling: String?
    let artifactType: MediaType?
    let config: Descriptor?
    let layers: [Descriptor]
    let manifests: [Descriptor]
    let subject: Descriptor?

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        let type = try container.decodeIfPresent(String.self, forKey: .mediaType)
        mediaType = type.flatMap { MediaType(field: $0) }
        spelling = type
        // A number beyond all bounds is not 1 either.
        let version = try container.decodeIfPresent(SchemaVersion.self, forKey: .schemaVersion)?.value
        isSchema1 = version == 1 || container.contains(.fsLayers) || mediaType?.isSchema1 == true
        hasLayers = container.contains(.layers) || container.contains(.blobs)
        hasManifests = container.contains(.manifests)
        guard !isSchema1, !(hasLayers && hasManifests) else {
            (artifactType, config, layers, manifests, subject) = (nil, nil, [], [], nil)
            return
        }
        let known = mediaType ?? decoder.userInfo[Self.declaredType] as? MediaType
        // In a document of a type that nobody here knows a member of the same name may be anything; then it names
        // nothing.
        let isForeign = known.map { !$0.isIndex && !$0.isManifest && !$0.isGeneric } ?? false
        func read<Value: Decodable>(_ type: Value.Type, _ key: Key) throws -> Value? {
            do {
                return try container.decodeIfPresent(type, forKey: key)
            } catch {
                if isForeign { return nil }
                throw error
            }
        }
        artifactType = try read(MediaType.self, .artifactType)
        config = try read(Descriptor.self, .config)
        layers = try read([Descriptor].self, .layers) ?? read([Descriptor].self, .blobs) ?? []
        manifests = try read([Descriptor].self, .manifests) ?? []
        subject = try read(Descriptor.self, .subject)
    }
}

extension ManifestError {
    /// The decoder's complaint in one short line.
    fileprivate init(_ error: DecodingError) {
        switch error {
        case .typeMismatch(_, let context): self.init(context, "of the wrong type")
        case .valueNotFound(_, let context): self.init(context, "null")
        case .keyNotFound(let key, let context): self.init(context, "has no \(key.stringValue)")
        case .dataCorrupted(let context): self.init(context, context.debugDescription)
        @unknown default: self = .malformed("unreadable")
        }
    }

    private init(_ context: DecodingError.Context, _ complaint: String) {
        guard !context.codingPath.isEmpty else {
            self = .notJSONObject
            return
        }
        let path = context.codingPath.reduce(into: "") { path, key in
            if let index = key.intValue {
                path += "[\(index)]"
            } else {
                path += (path.isEmpty ? "" : ".") + key.stringValue
            }
        }
        // A key of annotations may be anything, and the words go into logs and answers.
        let words = "\(path.prefix(100)): \(complaint.prefix(100))".unicodeScalars.prefix(200)
        let printable = words.map { $0.properties.generalCategory == .control ? "?" : $0 }
        self = .malformed(String(String.UnicodeScalarView(printable)))
    }
}
