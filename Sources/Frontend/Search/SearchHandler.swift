// `GET /v1/_ping` and `GET /v1/search`, which is all that clients still want of Docker's first API.

import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough

struct SearchHandler: Sendable {
    /// Results a page: what Docker's clients take for granted, and the most that Docker Hub gives.
    private static let usual = 25
    private static let most = 100

    let discovery: Discovery
    /// What this program calls itself in `Via`.
    let pseudonym: String

    /// dockerd asks this before it searches anything but Docker Hub, and reads `X-Docker-Registry-Standalone`.
    func ping() -> Response {
        var fields: HTTPFields = [.contentType: "application/json"]
        if let name = HTTPField.Name("X-Docker-Registry-Standalone") { fields[name] = "true" }
        return Response(status: .ok, fields: fields, body: .bytes(Array("true\n".utf8)))
    }

    func respond(to request: Request) async -> Response {
        guard let text = request.queryValue("q"), !text.isEmpty else {
            return ErrorMapping.response(.badRequest, .unsupported, "q says what to search for, and is missing")
        }
        guard let count = request.number("n", or: Self.usual), let page = request.number("page", or: 1) else {
            return ErrorMapping.response(
                .badRequest, .paginationNumberInvalid, "n and page must be whole numbers from 1 on")
        }
        if Via.current.leadsBack(to: pseudonym) { return ErrorMapping.response(to: .leadsBack, about: .name) }
        do throws(Refusal) {
            let found = try await discovery.search(text, count: min(count, Self.most), page: page)
            var fields = HTTPFields(describing: found, warning: "only what is stored in this mirror")
            fields[.contentType] = "application/json"
            return Response(status: .ok, fields: fields, body: .bytes(found.list.json))
        } catch {
            return ErrorMapping.response(to: error, about: .name)
        }
    }
}

extension Request {
    /// nil if it is there and no whole number from 1 on.
    fileprivate func number(_ name: String, or usual: Int) -> Int? {
        guard let text = queryValue(name) else { return usual }
        return Int(text).flatMap { $0 >= 1 ? $0 : nil }
    }
}
