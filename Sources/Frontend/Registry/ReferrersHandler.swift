// end-12, `GET /v2/<name>/referrers/<digest>`: distribution-spec v1.1 "Listing Referrers".

import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough

struct ReferrersHandler: Sendable {
    let discovery: Discovery

    func respond(to request: Request, _ subject: Digest, in repository: Repository) async -> Response {
        do throws(Refusal) {
            let fetched = try await discovery.referrers(of: subject, in: repository)
            var fields = HTTPFields(describing: fetched, warning: "only the referrers known to this mirror")
            fields[.contentType] = "\(MediaType.ociIndex)"
            var list = fetched.list
            if let type = request.queryValue("artifactType"), !type.isEmpty {  // end-12b
                list = list.filtered(byParameter: type)
                fields[.filtersApplied] = "artifactType"
            }
            return Response(status: .ok, fields: fields, body: .bytes(list.json))
        } catch {
            return ErrorMapping.response(to: error, about: .name)
        }
    }
}

extension ReferrerList {
    /// A media type has no blanks: what looks like one was a "+" that nobody escaped.
    func filtered(byParameter type: String) -> ReferrerList { filtered(by: String(type.map { $0 == " " ? "+" : $0 })) }
}
