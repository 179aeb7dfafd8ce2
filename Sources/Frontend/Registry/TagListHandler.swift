// end-8, `GET /v2/<name>/tags/list`: distribution-spec v1.1 "Listing Tags".

import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough

struct TagListHandler: Sendable {
    /// The most tags in one answer, whatever `n` says.
    private static let most = 1000

    let discovery: Discovery

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
            let fetched = try await discovery.tags(in: repository, query: page.query)
            let (tags, next) = shown(fetched.list, page)
            var fields = HTTPFields(describing: fetched, warning: "only the tags known to this mirror")
            fields[.contentType] = "application/json"
            if let next { fields[.link] = next.link(request.path, namespace: request.queryValue("ns")) }
            return Response(status: .ok, fields: fields, body: .bytes(TagList(tags: tags).json(of: repository.name)))
        } catch {
            return ErrorMapping.response(to: error, about: .name)
        }
    }

    /// What is shown of the list, and the page after it.
    private func shown(_ list: TagPage, _ page: Page) -> (tags: [String], next: Page?) {
        if page.count == 0 { return ([], nil) }  // distribution-spec v1.1: empty, and without `Link`
        if let next = list.next.flatMap(Page.init(next:)) { return (list.tags, next) }
        guard list.isAllThatIsKnown || page.isIgnored(in: list.sorted) else { return (list.tags, nil) }
        let (shown, next) = page.cut(list.sorted)
        return (Array(shown), next)
    }
}

extension HTTPFields {
    /// How the cache came to a list, and that it may be incomplete.
    ///
    /// - Parameter warning: said where the upstream was of no help.
    init<List>(describing fetched: Discovery.Fetched<List>, warning: String) {
        self = [.cacheStatus: "\(fetched.status)"]
        if let age = fetched.age { self[.age] = "\(age)" }
        guard let failure = fetched.failure else { return }
        self[.warning] = "299 - \"\(warning)\""
        if let error = failure.proxyError { self[.proxyStatus] = "\(ProxyStatus(error, failure))" }
    }
}
