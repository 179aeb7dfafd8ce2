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

    /// What memory alone can answer: mistakes, and manifests and blobs that were asked for before. Called on an event
    /// loop.
    func ready(_ request: Request) -> Response? {
        if let target = known(request) { return ready(request, target) }
        // Who forwards must be looked at, and who wants the upstream asked may have the right to.
        guard request.isPlain else { return nil }
        switch destination(of: request) {
        case .target(let target): return ready(request, target)
        case .answer(let response): return response
        }
    }

    func respond(to request: Request) async -> Response {
        switch destination(of: request) {
        case .target(let target): finished(await answer(request, target.endpoint, target.repository), target)
        case .answer(let response): response
        }
    }

    /// What was found out about a request with the same head, unless the upstreams are others since.
    func known(_ request: Request) -> KnownTarget? {
        guard let target = request.finding as? KnownTarget, target.edition == cache.edition else { return nil }
        return target
    }

    func ready(_ request: Request, _ target: KnownTarget) -> Response? {
        switch target.endpoint {
        case .manifest(_, let reference):
            if let hit = target.hit, let answer = cache.answer(hit.standing) {
                cache.used(answer.content, last: target.lastUse)
                return manifests.response(answer, hit.head, target)
            }
            guard let (answer, standing) = cache.manifestAtOnce(reference, in: target.repository) else { return nil }
            cache.used(answer.content, last: target.lastUse)
            let response = finished(manifests.ready(request, answer, target.repository), target)
            if let standing, target.mayBeSaid(standing) { request.finding = target.with(standing, response) }
            return response
        case .blob(_, let digest):
            return blobs.ready(request, digest, in: target.repository).map { finished($0, target) }
        case .base, .tags, .referrers, .uploads, .upload, .catalog: return nil
        }
    }

    private enum Destination {
        /// An upstream's repository, and what of it.
        case target(KnownTarget)
        /// Nothing that has to be looked for.
        case answer(Response)
    }

    private func destination(of request: Request) -> Destination {
        if let target = known(request) { return .target(target) }
        do throws(Settled) {
            let target = try target(of: request)
            if request.isPlain { request.finding = target }
            return .target(target)
        } catch {
            var response = error.response
            response.fields[.apiVersion] = "registry/2.0"
            if error.isPull { cache.statistics.count(.error, of: nil) }
            return .answer(response)
        }
    }

    /// There is nothing to look for: a mistake, or the base.
    private struct Settled: Error {
        let response: Response
        /// Counted as a pull request that went wrong.
        var isPull = false
    }

    private func target(of request: Request) throws(Settled) -> KnownTarget {
        let endpoint: Endpoint
        do throws(EndpointError) {
            endpoint = try Endpoint(path: request.path)
        } catch {
            throw Settled(
                response: ErrorMapping.response(to: error, isRead: request.isRead),
                isPull: request.isRead && request.asksForContent)
        }
        guard request.isRead else {
            throw Settled(
                response: ErrorMapping.response(
                    .methodNotAllowed, .unsupported, "this mirror is read-only: push to the registry itself",
                    fields: [.allow: "GET, HEAD"]))
        }
        if case .base = endpoint { throw Settled(response: version()) }
        guard let name = endpoint.repositoryName else {
            throw Settled(
                response: ErrorMapping.response(.notFound, .unsupported, "the catalog is not served here"))
        }
        let namespace = request.namespace
        let (edition, destination) = (cache.edition, try route(name, request, isPull: endpoint.isPull))
        guard case .upstream(let repository) = destination else {
            throw Settled(
                response: ErrorMapping.response(.notFound, .nameUnknown, "nothing was pushed to \(name)"),
                isPull: endpoint.isPull)
        }
        return KnownTarget(
            endpoint, repository,
            tally: cache.statistics.tally(of: endpoint.isPull ? repository : nil, lane: request.lane),
            isNamespaced: namespace != nil, isConditional: request.fields.contains(.ifNoneMatch), edition: edition)
    }

    private func route(
        _ name: RepositoryName, _ request: Request, isPull: Bool
    ) throws(Settled) -> UpstreamDirectory.Route {
        do throws(PullThroughError) {
            if Via.current.leadsBack(to: pseudonym) { throw .leadsBack }
            return try cache.directory.route(name, namespace: request.namespace, ownHost: request.fields[.host])
        } catch {
            throw Settled(response: ErrorMapping.response(to: error, about: .name), isPull: isPull)
        }
    }

    private func finished(_ response: Response, _ target: KnownTarget) -> Response {
        var response = response
        response.fields[.apiVersion] = "registry/2.0"
        if target.isNamespaced { response.fields[.namespace] = target.repository.upstream }
        response.logged.append((key: "repository", value: target.repositoryText))
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
    /// Nothing in it asks for more than the answer that is there.
    fileprivate var isPlain: Bool { !fields.contains(.via) && !fields.contains(.cacheControl) }

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
