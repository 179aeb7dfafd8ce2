// What an upstream is asked about what there is: lists of tags and referrers, and its search.

import HTTPTypes
package import OCI

/// A page of a list as the registry wrote it.
package struct ListPage: Equatable, Sendable {
    package let bytes: [UInt8]
    package let mediaType: MediaType?
    /// The `Link` field; nil if there is none.
    package let link: String?
    /// Of a mirror that could not ask: there may be more.
    package let isStale: Bool

    package init(bytes: [UInt8], mediaType: MediaType?, link: String?, isStale: Bool = false) {
        self.bytes = bytes
        self.mediaType = mediaType
        self.link = link
        self.isStale = isStale
    }

    /// What the next page is asked for by; nil on the last one.
    package var next: String? { link.flatMap { Self.nextQuery(in: $0) } }

    /// The query of the link whose relation is `next`. Host and path are not the upstream's to choose: the next page is
    /// asked for where this one was.
    ///
    /// - Returns: empty if that link has no query.
    /// - Source: RFC 8288 §3; distribution-spec v1.1 "Listing Tags", "Listing Referrers".
    package static func nextQuery(in link: String) -> String? {
        var rest = link[...]
        while let start = rest.firstIndex(of: "<"), let end = rest[start...].firstIndex(of: ">") {
            let target = rest[rest.index(after: start)..<end]
            rest = rest[rest.index(after: end)...]
            let parameters = rest.prefix { $0 != "<" }
            rest = rest[parameters.endIndex...]
            guard parameters.split(whereSeparator: { ";,".contains($0) }).contains(where: isNext) else { continue }
            guard let question = target.firstIndex(of: "?") else { return "" }
            return String(target[target.index(after: question)...].prefix { $0 != "#" })
        }
        return nil
    }

    /// `rel=next`, `rel="next"`, `rel="prev next"`
    private static func isNext(_ parameter: Substring) -> Bool {
        let parts = parameter.split(separator: "=", maxSplits: 1)
        guard parts.count == 2, parts[0].trimmed.lowercased() == "rel" else { return false }
        return parts[1].split(whereSeparator: { $0 == " " || $0 == "\"" }).contains { $0.lowercased() == "next" }
    }
}

extension UpstreamRegistry {
    /// A list that goes on for longer is refused.
    static let mostPages = 1000
    /// Bytes.
    private static let searchLimit = 1 << 20

    /// end-8: a page of the tags list, of at most 4 MiB.
    ///
    /// - Parameter query: `n=` and `last=` as the client sent them, without "?".
    package func tags(_ name: RepositoryName, query: String?) async throws(UpstreamError) -> ListPage {
        try await page(.tags(name), of: name, query: query, "tags list")
    }

    /// end-12: all pages of the list of what names a digest as its subject, unfiltered.
    ///
    /// - Throws: `.refused` if they are more than 4 MiB or `mostPages` together, or lead in a circle: a signature that
    ///   is left out would be taken for one that is not there.
    package func referrers(_ name: RepositoryName, _ digest: Digest) async throws(UpstreamError) -> [ListPage] {
        var pages: [ListPage] = []
        var asked: Set<String> = []
        var bytes = 0
        var query: String? = ""
        while let next = query {
            guard pages.count < Self.mostPages, bytes <= Manifest.sizeLimit, asked.insert(next).inserted,
                next.utf8.allSatisfy({ 0x21...0x7E ~= $0 })
            else { throw .refused("the referrers list of \(name) is too long, or its pages lead nowhere") }
            let page = try await page(
                .referrers(name, digest), of: name, query: next.isEmpty ? nil : next, "referrers list")
            pages.append(page)
            bytes += page.bytes.count
            query = page.next
        }
        guard bytes <= Manifest.sizeLimit else { throw .refused("the referrers list of \(name) is over 4 MiB") }
        return pages
    }

    /// Docker's search, of at most 1 MiB, asked without a token.
    ///
    /// - Parameters:
    ///   - count: results a page.
    ///   - page: from 1 on.
    /// - Throws: `.unknown` where there is no search, as with most registries: they say so by any no that they have,
    ///   by the page of a web server, or by sending somewhere else.
    package func search(_ text: String, count: Int, page: Int) async throws(UpstreamError) -> SearchPage {
        let items = [("q", text), ("n", "\(count)"), ("page", "\(page)")]
        let plan: @Sendable (ResponseHead, Hop, Exchange) -> Exchange.Plan = { head, hop, _ in
            guard head.status == 200 else { return .refuse(.refused("\(hop.origin) answered a search \(head.status)")) }
            // What is cut here is no document any more.
            return .collect(limit: Self.searchLimit, beyond: nil)
        }
        let question = Question(url: { Self.searchURL(of: $0).adding(items) }, name: nil, plan: plan)
        let answer: Answer
        do {
            answer = try await ask(question)
        } catch {
            throw error.meansNoSearch ? .unknown(message: "no search (\(error))") : error
        }
        guard let found = SearchPage(parsing: answer.body) else {
            throw .refused("\(configuration.name) answered a search with something else, or with over 1 MiB")
        }
        return found
    }

    /// Docker Hub's search is on another host than its registry.
    static func searchURL(of endpoint: UpstreamEndpoint) -> UpstreamURL {
        let path = "/v1/search"
        if let hub = UpstreamURL("https://registry-1.docker.io"), endpoint.origin == hub.origin,
            endpoint.prefix.isEmpty,
            let index = UpstreamURL("https://index.docker.io\(path)")
        {
            return index
        }
        return UpstreamURL(origin: endpoint.origin, path: endpoint.prefix + path)
    }

    private func page(
        _ endpoint: Endpoint, of name: RepositoryName, query: String?, _ what: String
    ) async throws(UpstreamError) -> ListPage {
        let answer = try await ask(Question(endpoint, of: name, query: query, plan: Self.whole(what)))
        let fields = answer.head.fields
        return ListPage(
            bytes: answer.body, mediaType: fields[.contentType].flatMap { MediaType(field: $0) },
            link: HTTPField.Name("Link").flatMap { fields[$0] }, isStale: answer.head.isStale)
    }
}

extension UpstreamError {
    fileprivate var meansNoSearch: Bool {
        switch self {
        case .unknown, .denied, .refused: true
        case .failed(let status, _): status == 405 || status == 501
        case .credentialsRefused, .rateLimited, .unreachable, .contradicted, .unsatisfiable, .incomplete, .cancelled:
            false
        }
    }
}

extension Substring {
    /// Without blanks at either end.
    fileprivate var trimmed: Substring {
        var text = drop { $0 == " " || $0 == "\t" }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return text
    }
}
