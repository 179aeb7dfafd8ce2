// The document of end-12: an index of the manifests that name a subject. Descriptors are passed on as they were
// written, with all their members.

/// - Source: distribution-spec v1.1 "Listing Referrers"; image-spec v1.1 "Image Index".
package struct ReferrerList: Equatable, Sendable {
    private struct Entry: Equatable {
        let digest: Digest
        let artifactType: String?
        /// The descriptor as its author wrote it.
        let text: ArraySlice<UInt8>
    }

    private var entries: [Entry] = []
    private var digests: Set<Digest> = []

    package init() {}

    /// Reads an index, be it end-12's answer or what the tag of the fallback names. What in it is no descriptor, or has
    /// a digest that nothing here can verify, is left out.
    ///
    /// - Returns: nil unless the bytes are a JSON object with a list `manifests`, or null as Go writes an empty one.
    package init?(parsing bytes: [UInt8]) {
        guard String(validating: bytes, as: UTF8.self) != nil,
            JSONText.decode(Document.self, from: bytes) != nil
        else { return nil }
        for text in JSONText.elements(of: "manifests", in: bytes) {
            guard let descriptor = JSONText.decode(Named.self, from: text), descriptor.size >= 0 else { continue }
            add(Entry(digest: descriptor.digest, artifactType: descriptor.artifactType, text: text))
        }
    }

    package var isEmpty: Bool { entries.isEmpty }
    package var count: Int { entries.count }

    /// What is there already stays as it is.
    package mutating func add(_ other: ReferrerList) {
        for entry in other.entries { add(entry) }
    }

    /// Adds a manifest that is stored here, described from its own bytes as a registry describes what is pushed to it:
    /// `artifactType` is the manifest's own, else the media type of its config; an index has only its own.
    ///
    /// - Returns: the descriptor's length in bytes.
    @discardableResult
    package mutating func add(manifest bytes: [UInt8], digest: Digest, mediaType: MediaType) -> Int {
        let manifest = JSONText.decode(Described.self, from: bytes)
        let own = manifest?.artifactType.flatMap { $0.isEmpty ? nil : $0 }
        let type = own ?? (mediaType.isIndex ? nil : manifest?.config?.mediaType)
        let descriptor = Written(
            mediaType: mediaType.rawValue, digest: "\(digest)", size: bytes.count, artifactType: type,
            annotations: manifest?.annotations)
        let text = JSONText.encode(descriptor)
        add(Entry(digest: digest, artifactType: type, text: text[...]))
        return text.count
    }

    /// end-12b. Media types compare without regard to case (RFC 9110 §8.3.1).
    package func filtered(by artifactType: String) -> ReferrerList {
        var filtered = ReferrerList()
        let wanted = artifactType.lowercased()
        for entry in entries where entry.artifactType?.lowercased() == wanted { filtered.add(entry) }
        return filtered
    }

    package var json: [UInt8] {
        let list = entries.map(\.text).joined(separator: ",".utf8)
        return Array("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":[".utf8)
            + list + Array("]}\n".utf8)
    }

    private mutating func add(_ entry: Entry) {
        if digests.insert(entry.digest).inserted { entries.append(entry) }
    }

    /// Any element will do: each is read by itself.
    private struct Document: Decodable {
        struct Anything: Decodable { init(from decoder: any Decoder) {} }
        enum Key: String, CodingKey { case manifests }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            if try !container.decodeNil(forKey: .manifests) {
                _ = try container.decode([Anything].self, forKey: .manifests)
            }
        }
    }

    /// What is read of a descriptor.
    private struct Named: Decodable {
        let mediaType: String
        let digest: Digest
        let size: Int64
        let artifactType: String?
    }

    /// What is read of a manifest in order to describe it.
    private struct Described: Decodable {
        struct Config: Decodable { let mediaType: String? }
        enum Key: String, CodingKey { case artifactType, config, annotations }

        let artifactType: String?
        let config: Config?
        let annotations: [String: String]?

        /// One member that is not what it should be hides no other.
        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            artifactType = try? container.decode(String.self, forKey: .artifactType)
            config = try? container.decode(Config.self, forKey: .config)
            annotations = try? container.decode([String: String].self, forKey: .annotations)
        }
    }

    private struct Written: Encodable {
        let mediaType, digest: String
        let size: Int
        let artifactType: String?
        let annotations: [String: String]?
    }
}

extension Digest {
    /// The tag under which registries without end-12 keep the list of what names this digest.
    /// - Source: distribution-spec v1.1 "Referrers Tag Schema": at most 32 characters of the algorithm, at most 64 of
    ///   the encoded part.
    package var referrersTag: Tag {
        guard let tag = Tag("\(algorithm.name)-\(hex.prefix(64))") else { preconditionFailure("letters and digits") }
        return tag
    }
}
