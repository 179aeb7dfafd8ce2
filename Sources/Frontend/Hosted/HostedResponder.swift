// The endpoints of a repository that is hosted here: path and method → who answers, and who may ask.

import HTTPSemantics
import HTTPServer
import HTTPTypes
import Hosting
import OCI
import PullThrough

struct HostedResponder: Sendable {
    private let cache: PullThroughCache
    private let access: Access
    private let pulls: HostedPulls
    private let lists: HostedLists
    private let uploads: UploadHandler
    private let pushes: PushHandler

    init(cache: PullThroughCache, repositories: HostedRepositories, access: Access) {
        self.cache = cache
        self.access = access
        pulls = HostedPulls(repositories: repositories, statistics: cache.statistics)
        lists = HostedLists(repositories: repositories)
        uploads = UploadHandler(repositories: repositories, cache: cache)
        pushes = PushHandler(repositories: repositories)
    }

    /// What memory alone can answer. Called on an event loop.
    func ready(_ request: Request, _ target: KnownTarget) -> Response? {
        let name = target.repository.name
        return switch target.endpoint {
        case .blob(_, let digest): pulls.ready(request, digest, target).map { finished($0, name) }
        case .manifest(_, let reference): pulls.ready(request, reference, target).map { finished($0, name) }
        case .base, .tags, .referrers, .uploads, .upload, .catalog: nil
        }
    }

    /// Whether who answers reads the body.
    static func takesBody(_ request: Request, at endpoint: Endpoint) -> Bool {
        switch endpoint {
        case .uploads: request.method == .post
        case .upload: request.method == .patch || request.method == .put
        case .manifest: request.method == .put
        case .base, .blob, .tags, .referrers, .catalog: false
        }
    }

    /// - Parameter name: the endpoint's.
    func respond(to request: Request, at endpoint: Endpoint, _ name: RepositoryName) async -> Response {
        var response: Response
        do throws(HostingError) {
            response = try await answer(to: request, at: endpoint, name)
        } catch {
            response = ErrorMapping.response(to: error)
            if case .chunkOutOfOrder(let received) = error, case .upload(_, let id) = endpoint {
                response.fields.append(UploadHandler.fields(id, received, in: name))
            }
        }
        if request.isRead, let kind = endpoint.pullKind, response.status.code >= 400, response.status.code != 416 {
            cache.statistics.count(.error, kind, of: Repository(hosted: name))
            response = response.timed(kind, .error)
        }
        return finished(response, name)
    }

    private func finished(_ response: Response, _ name: RepositoryName) -> Response {
        var response = response
        response.fields[.apiVersion] = "registry/2.0"
        response.logged.append((key: "repository", value: "\(name)"))
        return response
    }

    private func answer(
        to request: Request, at endpoint: Endpoint, _ name: RepositoryName
    ) async throws(HostingError) -> Response {
        switch (endpoint, request.method) {
        case (.blob(_, let digest), .get), (.blob(_, let digest), .head):  // end-2
            return try await pulls.blob(request, digest, in: name)
        case (.manifest(_, let reference), .get), (.manifest(_, let reference), .head):  // end-3
            return try await pulls.manifest(request, reference, in: name)
        case (.tags, .get), (.tags, .head): return try await lists.tags(request, of: name)  // end-8
        case (.referrers(_, let subject), .get), (.referrers(_, let subject), .head):  // end-12
            return try await lists.referrers(request, of: subject, in: name)
        default: break
        }
        if let refusal = Self.methodRefusal(request, endpoint) { return refusal }
        if let refusal = await access.refusal(ofPush: request, to: name) { return refusal }
        switch (endpoint, request.method) {
        case (.uploads, _): return try await uploads.begin(request, in: name)  // end-4, end-11
        case (.upload(_, let id), .patch): return try await uploads.append(request, id, in: name)  // end-5
        case (.upload(_, let id), .put): return try await uploads.finish(request, id, in: name)  // end-6
        case (.upload(_, let id), .delete): return try uploads.cancel(id, in: name)  // end-14
        case (.upload(_, let id), _): return try uploads.status(id, in: name)  // end-13
        case (.manifest(_, let reference), .put):  // end-7
            return try await pushes.put(request, reference, in: name)
        case (.manifest(_, let reference), _): return try await pushes.delete(reference, from: name)  // end-9
        case (.blob(_, let digest), _): return try await pushes.delete(blob: digest, from: name)  // end-10
        case (.base, _), (.tags, _), (.referrers, _), (.catalog, _): return Self.wrongMethod("GET, HEAD")
        }
    }

    private static func methodRefusal(_ request: Request, _ endpoint: Endpoint) -> Response? {
        let methods: [HTTPRequest.Method] =
            switch endpoint {
            case .uploads: [.post]
            case .upload: [.get, .patch, .put, .delete]
            case .manifest: [.get, .head, .put, .delete]
            case .blob: [.get, .head, .delete]
            case .base, .tags, .referrers, .catalog: [.get, .head]
            }
        if methods.contains(request.method) { return nil }
        return wrongMethod(methods.map(\.rawValue).joined(separator: ", "))
    }

    private static func wrongMethod(_ allowed: String) -> Response {
        ErrorMapping.response(
            .methodNotAllowed, .unsupported, "this is not to be done here; what can be: \(allowed)",
            fields: [.allow: allowed])
    }
}

extension HTTPFields {
    mutating func append(_ others: HTTPFields) { for field in others { append(field) } }
}

extension Response {
    /// An answer that says all it says in its fields.
    static func plain(_ status: HTTPResponse.Status, _ fields: HTTPFields) -> Response {
        var fields = fields
        if status != .noContent { fields[.contentType] = "text/plain; charset=utf-8" }
        return Response(status: status, fields: fields)
    }
}
