// end-8, `GET /v2/<name>/tags/list`: distribution-spec v1.1 "Listing Tags".

import FoundationEssentials
import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough

struct TagListHandler: Sendable {
    /// The most tags in one answer, whatever `n` says.
    private static let most = 1000

    let cache: PullThroughCache

    func respond(to request: Request, in repository: Repository) async -> Response {
        var page = Page(query: request.query)
        if let text = request.queryValue("n") {
            guard let number = Int(text), number >= 0 else {
                return ErrorMapping.response(
                    .badRequest, .paginationNumberInvalid, "n must be a whole number, not \(text)")
            }
            page.count = min(number, Self.most)
        }
        do throws(Refusal) {
            let (list, status, failure) = try await cache.tags(in: repository, query: page.query)
            var fields: HTTPFields = [.contentType: "application/json", .cacheStatus: "\(status)"]
            if let failure, let error = failure.proxyError {
                fields[.proxyStatus] = "\(ProxyStatus(error: error, details: failure.message))"
                fields[.warning] = "299 - \"only the tags known to this mirror\""
            }
            let (bytes, next) = body(list, repository.name, page)
            if let next { fields[.link] = next.link(request.path, namespace: request.queryValue("ns")) }
            return Response(status: .ok, fields: fields, body: .bytes(bytes))
        } catch {
            return ErrorMapping.response(to: error, about: .name)
        }
    }

    /// What is shown of the list, and the page after it.
    private func body(_ list: TagList, _ name: RepositoryName, _ page: Page) -> (bytes: [UInt8], next: Page?) {
        if page.count == 0 { return (json(name, []), nil) }  // distribution-spec v1.1: empty, and without `Link`
        switch list {
        case .passedOn(let bytes, let link):
            if let next = link.flatMap(Page.init(link:)) { return (bytes, next) }
            guard let all = TagDocument(bytes)?.tags, page.isIgnored(in: all) else { return (bytes, nil) }
            let (shown, next) = page.cut(all.sorted())
            return (json(name, shown), next)
        case .known(let tags):
            let (shown, next) = page.cut(tags)
            return (json(name, shown), next)
        }
    }

    /// A name has no character that JSON would escape; tags are checked, since an upstream's list may hold anything.
    private func json(_ name: RepositoryName, _ tags: [String]) -> [UInt8] {
        let list = tags.filter { Tag($0) != nil }.map { "\"\($0)\"" }.joined(separator: ",")
        return Array("{\"name\":\"\(name)\",\"tags\":[\(list)]}\n".utf8)
    }
}

/// The body of end-8, as far as it is read.
private struct TagDocument: Decodable {
    let tags: [String]

    /// nil if the body has not that form: then it is passed on as it is.
    init?(_ bytes: [UInt8]) {
        guard let document = try? JSONDecoder().decode(TagDocument.self, from: Data(bytes)) else { return nil }
        self = document
    }
}

/// Where in a list of tags: after `last`, at most `count`.
struct Page: Sendable {
    var count: Int?
    private let last: String?
    /// Every parameter but `n=` and `ns=`, as it was written: `last=`, or whatever else an upstream goes on by.
    private let cursor: [String]

    init(count: Int?, last: String) {
        self.count = count
        self.last = last
        cursor = ["last=\(Self.encoded(last))"]
    }

    /// - Parameter query: undecoded, so that a token with `+` in it stays what it is.
    init(query: String?) {
        let request = Request(method: .get, path: "", query: query)
        count = request.queryValue("n").flatMap { Int($0) }
        last = request.queryValue("last")
        cursor = (query ?? "").split(separator: "&").map(String.init).filter { pair in
            !["n", "ns"].contains(pair.prefix { $0 != "=" })
                && pair.utf8.allSatisfy { 0x21...0x7E ~= $0 && $0 != UInt8(ascii: "#") }
        }
    }

    /// The next page as an upstream's `Link` names it. Only its query is taken: host and path are the upstream's own.
    init?(link: String) {
        guard link.contains("rel=\"next\"") || link.contains("rel=next"),
            let start = link.firstIndex(of: "<"), let end = link[start...].firstIndex(of: ">"),
            let question = link[start..<end].firstIndex(of: "?")
        else { return nil }
        self.init(query: String(link[link.index(after: question)..<end]))
        if cursor.isEmpty { return nil }
    }

    /// Whether a registry that sent this list knows no pages: it is longer than asked for, or goes back to the tag
    /// after which it was to begin. What a registry did page is left in that registry's order.
    func isIgnored(in tags: [String]) -> Bool {
        tags.count > count ?? .max || last.map { tags.contains($0) } ?? false
    }

    var query: String? {
        let parts = (count.map { ["n=\($0)"] } ?? []) + cursor
        return parts.isEmpty ? nil : parts.joined(separator: "&")
    }

    /// Relative to this mirror (RFC 8288, as the spec asks), and to the same upstream.
    func link(_ path: String, namespace: String?) -> String {
        let parts = [query, namespace.map { "ns=\(Self.encoded($0))" }].compactMap { $0 }
        return "<\(path)?\(parts.joined(separator: "&"))>; rel=\"next\""
    }

    /// This page of a sorted list, and the page after it if there is one.
    func cut(_ tags: [String]) -> (shown: [String], next: Page?) {
        let rest = last.map { last in tags.drop { $0 <= last } } ?? tags[...]
        guard let count, rest.count > count else { return (Array(rest), nil) }
        let shown = Array(rest.prefix(count))
        return (shown, shown.last.map { Page(count: count, last: $0) })
    }

    /// Percent-encoded but for what RFC 3986 §2.3 leaves alone.
    private static func encoded(_ text: String) -> String {
        text.utf8.reduce(into: "") { result, byte in
            let scalar = Unicode.Scalar(byte)
            if scalar.properties.isAlphabetic && byte < 128 || ("0"..."9").contains(scalar)
                || "-._~".unicodeScalars.contains(scalar)
            {
                result.unicodeScalars.append(scalar)
            } else {
                let hex = String(byte, radix: 16, uppercase: true)
                result += "%" + (hex.count == 1 ? "0" : "") + hex
            }
        }
    }
}
