// What stands after `/manifests/`: a tag or a digest.

/// A human-readable pointer to a manifest: a letter, digit or `_`, then at most 127 of these, `.` and `-`.
/// - Source: distribution-spec v1.1 "Pulling manifests".
package struct Tag: Hashable, Sendable, CustomStringConvertible {
    /// Bytes.
    package static let sizeLimit = 128
    /// What an image reference without tag and digest means.
    package static let latest = Tag(grammatical: "latest")

    package let description: String

    package init?(_ text: some StringProtocol) {
        guard text.withBytes({ Self.isGrammatical($0) }) else { return nil }
        description = String(text)
    }

    private init(grammatical: String) { description = grammatical }

    private static func isGrammatical(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard bytes.count <= sizeLimit, let first = bytes.first else { return false }
        guard first.isAlphanumeric || first == UInt8(ascii: "_") else { return false }
        return bytes.dropFirst().allSatisfy {
            $0.isAlphanumeric || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
        }
    }
}

/// A tag or a digest. No text is both: a digest has a `:` and a tag has none.
package enum Reference: Hashable, Sendable, CustomStringConvertible {
    case tag(Tag)
    case digest(Digest)

    package init?(_ text: some StringProtocol) {
        if let tag = Tag(text) {
            self = .tag(tag)
        } else if let digest = Digest(text) {
            self = .digest(digest)
        } else {
            return nil
        }
    }

    package var description: String {
        switch self {
        case .tag(let tag): tag.description
        case .digest(let digest): digest.description
        }
    }
}

/// A tag of a repository.
package struct TaggedImage: Hashable, Sendable, CustomStringConvertible {
    package let repository: Repository
    package let tag: Tag

    package init(repository: Repository, tag: Tag) {
        self.repository = repository
        self.tag = tag
    }

    package var description: String { "\(repository):\(tag)" }
}
