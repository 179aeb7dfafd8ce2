// Docker's search document, read from upstreams and written for clients.

/// A page of what a search has found, as `docker search` reads it from `/v1/search`.
/// - Source: Docker's registry index API, "Search".
package struct SearchPage: Equatable, Sendable, Codable {
    package struct Result: Equatable, Sendable, Codable {
        package var name: String
        package var description: String
        package var starCount: Int
        package var isOfficial: Bool
        package var isAutomated: Bool
        package var isTrusted: Bool

        package init(name: String, description: String, isOfficial: Bool) {
            self.name = name
            self.description = description
            starCount = 0
            self.isOfficial = isOfficial
            isAutomated = false
            isTrusted = false
        }

        private enum CodingKeys: String, CodingKey {
            case name, description
            case starCount = "star_count"
            case isOfficial = "is_official"
            case isAutomated = "is_automated"
            case isTrusted = "is_trusted"
        }

        /// Only the name must be there; what else is odd counts as not told. Descriptions are shown on terminals:
        /// control characters become blanks.
        package init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            name = try container.decode(String.self, forKey: .name)
            let text = container.told(String.self, .description) ?? ""
            description = String(
                String.UnicodeScalarView(
                    text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
            starCount = container.told(Int.self, .starCount) ?? 0
            isOfficial = container.told(Bool.self, .isOfficial) ?? false
            isAutomated = container.told(Bool.self, .isAutomated) ?? false
            isTrusted = container.told(Bool.self, .isTrusted) ?? false
        }
    }

    package var query: String
    /// From 1 on.
    package var page: Int
    /// How many results a page has at most.
    package var pageSize: Int
    package var pageCount: Int
    /// On all pages.
    package var resultCount: Int
    package var results: [Result]

    package init(query: String, page: Int, pageSize: Int) {
        self.query = query
        self.page = page
        self.pageSize = pageSize
        pageCount = 0
        resultCount = 0
        results = []
    }

    /// nil unless the bytes are a JSON object with a list of results; what in it has no name is left out.
    package init?(parsing bytes: [UInt8]) {
        guard let page = JSONText.decode(SearchPage.self, from: bytes) else { return nil }
        self = page
    }

    package var json: [UInt8] { JSONText.encode(self) }

    private enum CodingKeys: String, CodingKey {
        case query, page, results
        case pageSize = "page_size"
        case pageCount = "num_pages"
        case resultCount = "num_results"
    }

    /// No page has more; what an upstream sends beyond is not looked at.
    private static let mostResults = 1000

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        var list = try container.nestedUnkeyedContainer(forKey: .results)
        results = []
        for _ in 0..<Self.mostResults where !list.isAtEnd {
            if let result = try list.decode(Lossy.self).result { results.append(result) }
        }
        query = container.told(String.self, .query) ?? ""
        page = container.told(Int.self, .page) ?? 1
        pageSize = container.told(Int.self, .pageSize) ?? results.count
        pageCount = max(0, container.told(Int.self, .pageCount) ?? 1)
        resultCount = max(0, container.told(Int.self, .resultCount) ?? results.count)
    }

    /// One result that is none loses no other.
    private struct Lossy: Decodable {
        let result: Result?

        init(from decoder: any Decoder) { result = try? Result(from: decoder) }
    }
}

extension KeyedDecodingContainer {
    /// nil if it is not there, or something else.
    fileprivate func told<Value: Decodable>(_ type: Value.Type, _ key: Key) -> Value? {
        (try? decodeIfPresent(type, forKey: key)) ?? nil
    }
}
