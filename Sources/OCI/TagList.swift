// The document of end-8: the tags of a repository.

/// - Source: distribution-spec v1.1 "Listing Tags".
package struct TagList: Equatable, Sendable {
    /// In the order of the document. What is no tag by the grammar is left out: nobody could pull it.
    package let tags: [String]

    package init(tags: [String]) { self.tags = tags }

    /// nil unless the bytes are a JSON object with `tags`, a list of strings, or null as some registries write an
    /// empty one.
    package init?(parsing bytes: [UInt8]) {
        guard let document = JSONText.decode(Document.self, from: bytes) else { return nil }
        tags = document.tags.filter { Tag($0) != nil }
    }

    /// Neither a name nor a tag has a character that JSON would escape.
    package func json(of name: RepositoryName) -> [UInt8] {
        let list = tags.map { "\"\($0)\"" }.joined(separator: ",")
        return Array("{\"name\":\"\(name)\",\"tags\":[\(list)]}\n".utf8)
    }

    private struct Document: Decodable {
        enum Key: String, CodingKey { case tags }

        let tags: [String]

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            tags = try container.decodeNil(forKey: .tags) ? [] : container.decode([String].self, forKey: .tags)
        }
    }
}
