// The document of end-8: the tags of a repository.

/// - Source: distribution-spec v1.1 "Listing Tags".
package struct TagList: Equatable, Sendable {
    /// What is listed in a document, tags or not.
    package static let mostEntries = 200_000

    /// In the order of the document. What is no tag by the grammar is left out: nobody could pull it.
    package let tags: [String]

    package init(tags: [String]) { self.tags = tags }

    /// nil unless the bytes are a JSON object with `tags`, a list of at most `mostEntries` strings, or null as some
    /// registries write an empty one.
    package init?(parsing bytes: [UInt8]) {
        var found: [String]?
        do throws(JSONScanner.Malformed) {
            try JSONScanner.read(bytes) { (scanner, name) throws(JSONScanner.Malformed) in
                guard scanner.isText(name, "tags") else { return try scanner.skip() }
                found = try Self.tags(&scanner)
            }
        } catch {
            return nil
        }
        guard let found else { return nil }
        tags = found
    }

    private static func tags(_ scanner: inout JSONScanner) throws(JSONScanner.Malformed) -> [String] {
        var tags: [String] = []
        var count = 0
        guard scanner.next == UInt8(ascii: "[") else {
            try scanner.null()
            return []
        }
        try scanner.array { (scanner) throws(JSONScanner.Malformed) in
            let text = try scanner.string()
            count += 1
            guard count <= mostEntries else { throw JSONScanner.Malformed() }
            // The longest tag with every character escaped; what is longer need not be unescaped to be none.
            guard text.range.count <= Tag.sizeLimit * 6 else { return }
            let tag = scanner.text(text)
            if Tag(tag) != nil { tags.append(tag) }
        }
        return tags
    }

    /// Neither a name nor a tag has a character that JSON would escape.
    package func json(of name: RepositoryName) -> [UInt8] {
        var json = Array("{\"name\":\"\(name)\",\"tags\":[".utf8)
        json.reserveCapacity(json.count + tags.reduce(4) { $0 + $1.utf8.count + 3 })
        for (number, tag) in tags.enumerated() {
            if number > 0 { json.append(UInt8(ascii: ",")) }
            json.append(UInt8(ascii: "\""))
            json.append(contentsOf: tag.utf8)
            json.append(UInt8(ascii: "\""))
        }
        json.append(contentsOf: "]}\n".utf8)
        return json
    }
}
