// The distribution-spec's endpoint table: path → endpoint → handler.

import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough

struct RegistryResponder: Sendable {
    private let cache: PullThroughCache
    /// What this program calls itself in `Via`.
    private let pseudonym: String
    private let blobs: BlobHandler
    private let manifests: ManifestHandler
    private let tags: TagListHandler
    private let referrers: ReferrersHandler
    private let known = KnownTargets()

    init(cache: PullThroughCache, discovery: Discovery, access: Access, pseudonym: String) {
        self.cache = cache
        self.pseudonym = pseudonym
        blobs = BlobHandler(cache: cache)
        manifests = ManifestHandler(cache: cache, access: access)
        tags = TagListHandler(discovery: discovery)
        referrers = ReferrersHandler(discovery: discovery)
    }

    /// end-1: always 200, since a client that is challenged here would send its password for Docker Hub.
    func version() -> Response {
        Response(
            status: .ok,
            fields: [.contentType: "application/json", .apiVersion: "registry/2.0"],
            body: .bytes(Array("{}\n".utf8)))
    }

    /// What memory alone can answer: manifests and blobs that were asked for before. Called on an event loop.
    func ready(_ request: Request) -> Response? {
        // Who forwards must be looked at, and who wants the upstream asked may have the right to.
        guard !request.fields.contains(.via), !request.fields.contains(.cacheControl) else { return nil }
        let edition = cache.edition
        guard let target = known.target(of: request, edition: edition) ?? learn(request, edition) else { return nil }
        switch target.endpoint {
        case .manifest(_, let reference):
            let isConditional = request.fields.contains(.ifNoneMatch)
            if !isConditional, let (standing, head) = target.hit, let answer = cache.answer(standing) {
                cache.used(answer.content, last: target.lastUse)
                return manifests.response(answer, head, target, lane: request.lane)
            }
            guard let (answer, standing) = cache.manifestAtOnce(reference, in: target.repository) else { return nil }
            cache.used(answer.content, last: target.lastUse)
            let response = finished(manifests.ready(request, answer, target.repository), target)
            if !isConditional, let standing { known.keep(target.with(standing, response), of: request) }
            return response
        case .blob(_, let digest):
            return blobs.ready(request, digest, in: target.repository).map { finished($0, target) }
        case .base, .tags, .referrers, .uploads, .upload, .catalog: return nil
        }
    }

    private func learn(_ request: Request, _ edition: Int) -> KnownTarget? {
        let (namespace, host) = (request.namespace, request.fields[.host])
        guard let endpoint = try? Endpoint(path: request.path), let name = endpoint.repositoryName, endpoint.isPull,
            case .upstream(let repository)? = try? cache.directory.route(name, namespace: namespace, ownHost: host)
        else { return nil }
        let target = KnownTarget(endpoint, repository, isNamespaced: namespace != nil, edition: edition)
        // What `ns` means depends on who is asked only where it is this mirror's own name.
        if namespace == nil || namespace != host { known.keep(target, of: request) }
        return target
    }

    private func finished(_ response: Response, _ target: KnownTarget) -> Response {
        var response = response
        response.fields[.apiVersion] = "registry/2.0"
        if target.isNamespaced { response.fields[.namespace] = target.repository.upstream }
        response.logged.append((key: "repository", value: target.repositoryText))
        return response
    }

    func respond(to request: Request) async -> Response {
        var response: Response
        do throws(EndpointError) {
            response = await respond(to: request, at: try Endpoint(path: request.path))
        } catch {
            response = ErrorMapping.response(to: error, isRead: request.isRead)
            if request.isRead, request.asksForContent { cache.statistics.count(.error, of: nil) }
        }
        response.fields[.apiVersion] = "registry/2.0"
        return response
    }

    private func respond(to request: Request, at endpoint: Endpoint) async -> Response {
        guard request.isRead else {
            var response = ErrorMapping.response(
                .methodNotAllowed, .unsupported, "this mirror is read-only: push to the registry itself")
            response.fields[.allow] = "GET, HEAD"
            return response
        }
        if case .base = endpoint { return version() }
        guard let name = endpoint.repositoryName else {
            return ErrorMapping.response(.notFound, .unsupported, "the catalog is not served here")
        }
        let namespace = request.namespace
        let repository: Repository
        do throws(PullThroughError) {
            if Via.current.leadsBack(to: pseudonym) { throw .leadsBack }
            switch try cache.directory.route(name, namespace: namespace, ownHost: request.fields[.host]) {
            case .upstream(let found): repository = found
            case .hosted:
                if endpoint.isPull { cache.statistics.count(.error, of: nil) }
                return ErrorMapping.response(.notFound, .nameUnknown, "nothing was pushed to \(name)")
            }
        } catch {
            if endpoint.isPull { cache.statistics.count(.error, of: nil) }
            return ErrorMapping.response(to: error, about: .name)
        }
        var response = await answer(request, endpoint, repository)
        if namespace != nil { response.fields[.namespace] = repository.upstream }
        response.logged.append((key: "repository", value: "\(repository)"))
        return response
    }

    private func answer(_ request: Request, _ endpoint: Endpoint, _ repository: Repository) async -> Response {
        switch endpoint {
        case .blob(_, let digest): await blobs.respond(to: request, digest, in: repository)  // end-2
        case .manifest(_, let reference): await manifests.respond(to: request, reference, in: repository)  // end-3
        case .tags: await tags.respond(to: request, in: repository)  // end-8
        case .referrers(_, let digest): await referrers.respond(to: request, digest, in: repository)  // end-12
        case .uploads, .upload:
            ErrorMapping.response(.notFound, .blobUploadUnknown, "there are no uploads here")
        case .base, .catalog: ErrorMapping.response(.notFound, .unsupported, "not served here")
        }
    }
}

extension PullThroughError {
    /// A request that has been here before would wait for itself.
    static let leadsBack = PullThroughError.unreachable(
        .proxyLoopDetected, "this mirror's upstream leads back to it: check its endpoints")
}

extension Request {
    fileprivate var namespace: String? { queryValue("ns").flatMap { $0.isEmpty ? nil : $0 } }

    /// Whether a path that names nothing (a bad name, digest or tag) asked for a manifest or a blob all the same.
    fileprivate var asksForContent: Bool {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count > 2 && ["manifests", "blobs"].contains(parts[parts.count - 2])
    }
}

extension Endpoint {
    /// Counted as a pull request: a manifest or a blob.
    fileprivate var isPull: Bool {
        switch self {
        case .manifest, .blob: true
        case .base, .tags, .referrers, .uploads, .upload, .catalog: false
        }
    }

    fileprivate var repositoryName: RepositoryName? {
        switch self {
        case .manifest(let name, _), .blob(let name, _), .tags(let name), .referrers(let name, _),
            .uploads(let name), .upload(let name, _):
            name
        case .base, .catalog: nil
        }
    }
}
