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

        /// Only the name must be there. Descriptions are shown on terminals: control characters become blanks.
        package init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            name = try container.decode(String.self, forKey: .name)
            let text = try container.decodeIfPresent(String.self, forKey: .description) ?? ""
            description = String(
                String.UnicodeScalarView(
                    text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
            starCount = try container.decodeIfPresent(Int.self, forKey: .starCount) ?? 0
            isOfficial = try container.decodeIfPresent(Bool.self, forKey: .isOfficial) ?? false
            isAutomated = try container.decodeIfPresent(Bool.self, forKey: .isAutomated) ?? false
            isTrusted = try container.decodeIfPresent(Bool.self, forKey: .isTrusted) ?? false
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

    /// nil unless the bytes are a JSON object with a list of named results.
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

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        results = try container.decode([Result].self, forKey: .results)
        query = try container.decodeIfPresent(String.self, forKey: .query) ?? ""
        page = try container.decodeIfPresent(Int.self, forKey: .page) ?? 1
        pageSize = try container.decodeIfPresent(Int.self, forKey: .pageSize) ?? results.count
        pageCount = max(0, try container.decodeIfPresent(Int.self, forKey: .pageCount) ?? 1)
        resultCount = max(0, try container.decodeIfPresent(Int.self, forKey: .resultCount) ?? results.count)
    }
}
