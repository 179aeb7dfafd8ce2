// The distribution-spec's endpoint table: path → endpoint → handler.

import HTTPSemantics
import HTTPServer
import HTTPTypes
import Hosting
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
    private let hosted: HostedResponder
    private let lists: HostedLists
    private let access: Access

    init(
        cache: PullThroughCache, discovery: Discovery, repositories: HostedRepositories, access: Access,
        pseudonym: String
    ) {
        self.cache = cache
        self.pseudonym = pseudonym
        blobs = BlobHandler(cache: cache)
        manifests = ManifestHandler(cache: cache, access: access)
        tags = TagListHandler(discovery: discovery)
        referrers = ReferrersHandler(discovery: discovery)
        hosted = HostedResponder(cache: cache, repositories: repositories, access: access)
        lists = HostedLists(repositories: repositories)
        self.access = access
    }

    /// end-1: always 200 where nobody logs in: a client that is challenged would send its password for Docker Hub.
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
        guard request.isPlain else { return nil }
        switch destination(of: request) {
        case .target(let target): return ready(request, target)
        case .answer(let response): return response
        case .change, .base, .catalog: return nil
        }
    }

    func respond(to request: Request) async -> Response {
        let destination = destination(of: request)
        if let refusal = await access.refusal(ofLogin: request, isAsked: destination.isBase) {
            return versioned(refusal)
        }
        switch destination {
        case .target(let target):
            guard !target.isHosted else {
                return await hosted.respond(to: request, at: target.endpoint, target.repository.name)
            }
            return finished(await answer(request, target.endpoint, target.repository), target)
        case .change(let endpoint, let name): return await hosted.respond(to: request, at: endpoint, name)
        case .base: return version()
        case .catalog: return versioned(await lists.catalog(request))
        case .answer(let response): return response
        }
    }

    /// What was found out about a request with the same head, unless the upstreams are others since.
    func known(_ request: Request) -> KnownTarget? {
        guard let target = request.finding as? KnownTarget, target.edition == cache.edition else { return nil }
        return target
    }

    func ready(_ request: Request, _ target: KnownTarget) -> Response? {
        if target.isHosted { return hosted.ready(request, target) }
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

    /// Whether this PUT, POST or PATCH goes to a hosted repository, which reads its body.
    func takesBody(_ request: Request) -> Bool {
        guard let endpoint = try? Endpoint(path: request.path) else { return false }
        return hostedName(endpoint) != nil && HostedResponder.takesBody(request, at: endpoint)
    }

    private enum Destination {
        /// A repository to read of, an upstream's or a hosted one, and what of it.
        case target(KnownTarget)
        /// What of a hosted repository is to be changed.
        case change(Endpoint, RepositoryName)
        case base
        case catalog
        /// Nothing that has to be looked for.
        case answer(Response)

        var isBase: Bool { if case .base = self { true } else { false } }
    }

    private func destination(of request: Request) -> Destination {
        if let target = known(request) { return .target(target) }
        do throws(Settled) {
            let destination = try find(request)
            if case .target(let target) = destination, request.isPlain { request.finding = target }
            return destination
        } catch {
            guard let kind = error.pull else { return .answer(versioned(error.response)) }
            cache.statistics.count(.error, kind, of: nil)
            return .answer(versioned(error.response).timed(kind, .error))
        }
    }

    /// There is nothing to look for: a mistake.
    private struct Settled: Error {
        let response: Response
        /// Counted as a pull request of this kind that went wrong.
        var pull: PullKind?
    }

    private func find(_ request: Request) throws(Settled) -> Destination {
        let endpoint: Endpoint
        do throws(EndpointError) {
            endpoint = try Endpoint(path: request.path)
        } catch {
            throw Settled(
                response: ErrorMapping.response(to: error, isRead: request.isRead),
                pull: request.isRead ? request.kindAskedFor : nil)
        }
        guard request.isRead else {
            if let name = hostedName(endpoint) { return .change(endpoint, name) }
            throw Settled(
                response: ErrorMapping.response(
                    .methodNotAllowed, .unsupported, "this mirror is read-only: push to the registry itself",
                    fields: [.allow: "GET, HEAD"]))
        }
        if case .base = endpoint { return .base }
        guard let name = endpoint.repositoryName else {
            if access.showsCatalog { return .catalog }
            throw Settled(
                response: ErrorMapping.response(.notFound, .unsupported, "the catalog is not served here"))
        }
        let namespace = request.namespace
        let edition = cache.edition
        let repository: Repository
        switch try route(name, request, as: endpoint.pullKind) {
        case .upstream(let found): repository = found
        case .hosted(let name): repository = Repository(hosted: name)
        }
        return .target(
            KnownTarget(
                endpoint, repository,
                tally: cache.statistics.tally(of: endpoint.pullKind == nil ? nil : repository, lane: request.lane),
                isNamespaced: namespace != nil, isConditional: request.fields.contains(.ifNoneMatch),
                edition: edition))
    }

    /// Of what is to be changed: `ns` says where to fetch from, and plays no part.
    private func hostedName(_ endpoint: Endpoint) -> RepositoryName? {
        guard let name = endpoint.repositoryName,
            case .hosted(let found)? = try? cache.directory.route(name, namespace: nil, ownHost: nil)
        else { return nil }
        return found
    }

    private func route(
        _ name: RepositoryName, _ request: Request, as pull: PullKind?
    ) throws(Settled) -> UpstreamDirectory.Route {
        do throws(PullThroughError) {
            if Via.current.leadsBack(to: pseudonym) { throw .leadsBack }
            return try cache.directory.route(name, namespace: request.namespace, ownHost: request.fields[.host])
        } catch {
            throw Settled(response: ErrorMapping.response(to: error, about: .name), pull: pull)
        }
    }

    private func versioned(_ response: Response) -> Response {
        var response = response
        response.fields[.apiVersion] = "registry/2.0"
        return response
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
    /// Nothing in it asks for more than the answer that is there: who forwards must be looked at, who wants the
    /// upstream asked may have the right to, and who shows a password has it looked at.
    fileprivate var isPlain: Bool {
        !fields.contains(.via) && !fields.contains(.cacheControl) && !(isAtLogin && fields.contains(.authorization))
    }

    fileprivate var namespace: String? { queryValue("ns").flatMap { $0.isEmpty ? nil : $0 } }

    /// What a path that names nothing (a bad name, digest or tag) asked for all the same, if it is a pull.
    fileprivate var kindAskedFor: PullKind? {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count > 2 else { return nil }
        return switch parts[parts.count - 2] {
        case "manifests": .manifest
        case "blobs": .blob
        default: nil
        }
    }
}

extension Endpoint {
    /// As what it is counted among pull requests, if it is one.
    var pullKind: PullKind? {
        switch self {
        case .manifest: .manifest
        case .blob: .blob
        case .base, .tags, .referrers, .uploads, .upload, .catalog: nil
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
