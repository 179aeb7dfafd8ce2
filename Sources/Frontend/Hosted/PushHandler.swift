// end-7, end-9, end-10: distribution-spec v1.1 "Pushing Manifests", "Content Management".

import HTTPServer
import HTTPTypes
import Hosting
import OCI

struct PushHandler: Sendable {
    let repositories: HostedRepositories

    /// A manifest by tag, or by digest with as many `tag=` as one likes.
    func put(
        _ request: Request, _ reference: Reference, in name: RepositoryName
    ) async throws(HostingError) -> Response {
        var tags: [Tag] = []
        for text in request.queryValues("tag") {
            guard let tag = Tag(text) else {
                return ErrorMapping.response(.badRequest, .nameInvalid, "\(text) is no tag")
            }
            tags.append(tag)
        }
        let type = request.fields[.contentType].flatMap { MediaType(spelling: $0) }
        let pushed = try await repositories.push(
            UploadBody(request), as: reference, others: tags, type: type, to: name)
        var fields: HTTPFields = [
            .location: Endpoint.manifest(name, .digest(pushed.digest)).path, .contentDigest: "\(pushed.digest)",
        ]
        if let subject = pushed.subject { fields[.subject] = "\(subject)" }
        for tag in tags { fields.append(HTTPField(name: .tag, value: "\(tag)")) }
        return .plain(.created, fields)
    }

    func delete(_ reference: Reference, from name: RepositoryName) async throws(HostingError) -> Response {
        try await repositories.delete(reference, from: name)
        return .plain(.accepted, [:])
    }

    func delete(blob digest: Digest, from name: RepositoryName) async throws(HostingError) -> Response {
        try await repositories.delete(blob: digest, from: name)
        return .plain(.accepted, [:])
    }
}
