// What there is in hosted repositories: tags (end-8), referrers (end-12), and the repositories themselves.

import HTTPSemantics
import HTTPServer
import HTTPTypes
import Hosting
import OCI

struct HostedLists: Sendable {
    /// The most entries in one answer, where a number is asked for.
    private static let most = 1000

    let repositories: HostedRepositories

    /// distribution-spec v1.1 "Listing Tags".
    func tags(_ request: Request, of name: RepositoryName) async throws(HostingError) -> Response {
        let page: Page
        switch Self.page(request) {
        case .success(let asked): page = asked
        case .failure(let refusal): return refusal.response
        }
        let tags = try await repositories.tags(of: name)
        return Self.response(page, of: tags, to: request) { TagList(tags: $0).json(of: name) }
    }

    /// distribution-spec v1.1 "Listing Referrers".
    func referrers(
        _ request: Request, of subject: Digest, in name: RepositoryName
    ) async throws(HostingError) -> Response {
        let last = request.queryValue("last").flatMap { Digest($0) }
        var (list, next) = try await repositories.referrers(of: subject, after: last, in: name)
        var fields: HTTPFields = [.contentType: "\(MediaType.ociIndex)", .cacheStatus: "\(CacheStatus.hit)"]
        let type = request.queryValue("artifactType") ?? ""
        if !type.isEmpty {  // end-12b
            list = list.filtered(byParameter: type)
            fields[.filtersApplied] = "artifactType"
        }
        if let next {
            let filter = type.isEmpty ? "" : "&artifactType=\(Page.escaped(type))"
            fields[.link] = "<\(request.path)?last=\(Page.escaped("\(next)"))\(filter)>; rel=\"next\""
        }
        return Response(status: .ok, fields: fields, body: .bytes(list.json))
    }

    /// Docker's: `GET /v2/_catalog`, of what was pushed here.
    func catalog(_ request: Request) async -> Response {
        do throws(HostingError) {
            let page: Page
            switch Self.page(request) {
            case .success(let asked): page = asked
            case .failure(let refusal): return refusal.response
            }
            let names = try await repositories.repositories().map(\.description)
            return Self.response(page, of: names, to: request) { names in
                // No name has a character that JSON would escape.
                Array("{\"repositories\":[\(names.map { "\"\($0)\"" }.joined(separator: ","))]}\n".utf8)
            }
        } catch {
            return ErrorMapping.response(to: error)
        }
    }

    private struct Refused: Error { let response: Response }

    private static func page(_ request: Request) -> Result<Page, Refused> {
        var page = Page(query: request.query)
        if let text = request.queryValue("n") {
            guard let number = Int(text), number >= 0 else {
                let message = "n must be a whole number, not \(text)"
                return .failure(
                    Refused(response: ErrorMapping.response(.badRequest, .paginationNumberInvalid, message)))
            }
            page.count = min(number, most)
        }
        return .success(page)
    }

    private static func response(
        _ page: Page, of entries: [String], to request: Request, json: ([String]) -> [UInt8]
    ) -> Response {
        var fields: HTTPFields = [.contentType: "application/json", .cacheStatus: "\(CacheStatus.hit)"]
        // distribution-spec v1.1: none, and without `Link`.
        guard page.count != 0 else { return Response(status: .ok, fields: fields, body: .bytes(json([]))) }
        let (shown, next) = page.cut(entries)
        if let next { fields[.link] = next.link(request.path, namespace: nil) }
        return Response(status: .ok, fields: fields, body: .bytes(json(Array(shown))))
    }
}
