// The document of end-12: an index of the manifests that name a subject. Descriptors are passed on as they were
// written, with all their members.

/// - Source: distribution-spec v1.1 "Listing Referrers"; image-spec v1.1 "Image Index".
package struct ReferrerList: Equatable, Sendable {
    /// What is listed in a document, descriptors or not.
    package static let mostEntries = 20_000

    fileprivate struct Entry: Equatable {
        let digest: Digest
        /// In small letters: media types compare without regard to case (RFC 9110 §8.3.1).
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
    /// - Returns: nil unless the bytes are a JSON object with a list `manifests` of at most `mostEntries`, or null as
    ///   Go writes an empty one.
    package init?(parsing bytes: [UInt8]) {
        var found: ReferrerList?
        do throws(JSONScanner.Malformed) {
            try JSONScanner.read(bytes) { (scanner, name) throws(JSONScanner.Malformed) in
                guard scanner.isText(name, "manifests") else { return try scanner.skip() }
                found = try ReferrerList(&scanner)
            }
        } catch {
            return nil
        }
        guard let found else { return nil }
        self = found
    }

    private init(_ scanner: inout JSONScanner) throws(JSONScanner.Malformed) {
        guard scanner.next == UInt8(ascii: "[") else {
            try scanner.null()
            return
        }
        var list = ReferrerList()
        var count = 0
        try scanner.array { (scanner) throws(JSONScanner.Malformed) in
            count += 1
            guard count <= Self.mostEntries else { throw JSONScanner.Malformed() }
            if let entry = try Entry(&scanner) { list.add(entry) }
        }
        self = list
    }

    package var isEmpty: Bool { entries.isEmpty }
    package var count: Int { entries.count }
    /// Of all descriptors together.
    package var byteCount: Int { entries.reduce(0) { $0 + $1.text.count } }

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
        add(Entry(digest: digest, artifactType: type?.lowercased(), text: text[...]))
        return text.count
    }

    /// end-12b.
    package func filtered(by artifactType: String) -> ReferrerList {
        var filtered = ReferrerList()
        let wanted = artifactType.lowercased()
        for entry in entries where entry.artifactType == wanted { filtered.add(entry) }
        return filtered
    }

    package var json: [UInt8] {
        var json = Array("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":[".utf8)
        json.reserveCapacity(json.count + byteCount + count + 4)
        for (number, entry) in entries.enumerated() {
            if number > 0 { json.append(UInt8(ascii: ",")) }
            json.append(contentsOf: entry.text)
        }
        json.append(contentsOf: "]}\n".utf8)
        return json
    }

    private mutating func add(_ entry: Entry) {
        if digests.insert(entry.digest).inserted { entries.append(entry) }
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

extension ReferrerList.Entry {
    /// nil if what comes next is no descriptor.
    fileprivate init?(_ scanner: inout JSONScanner) throws(JSONScanner.Malformed) {
        let start = scanner.position
        guard scanner.next == UInt8(ascii: "{") else {
            try scanner.skip()
            return nil
        }
        var (mediaType, digestText, type): (String?, String?, String?)
        var size: Int64?
        var isOdd = false
        /// A string; anything else makes the whole no descriptor.
        func string(_ scanner: inout JSONScanner) throws(JSONScanner.Malformed) -> String? {
            if scanner.next == UInt8(ascii: "\"") { return scanner.text(try scanner.string()) }
            if scanner.next != UInt8(ascii: "n") { isOdd = true }
            try scanner.skip()
            return nil
        }
        try scanner.object { (scanner, name) throws(JSONScanner.Malformed) in
            if scanner.isText(name, "digest") {
                digestText = try string(&scanner)
            } else if scanner.isText(name, "mediaType") {
                mediaType = try string(&scanner)
            } else if scanner.isText(name, "artifactType") {
                type = try string(&scanner)
            } else if scanner.isText(name, "size") {
                size = try scanner.integer()
            } else {
                try scanner.skip()
            }
        }
        guard !isOdd, mediaType != nil, let digest = digestText.flatMap({ Digest($0) }), let size, size >= 0 else {
            return nil
        }
        self.digest = digest
        artifactType = type?.lowercased()
        text = scanner.bytes[start..<scanner.position]
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
