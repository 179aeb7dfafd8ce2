// `GET /api/v1/…`: what there is to look at, for the page and for scripts. What each answer is stands in openapi.json.

import HTTPServer
import HTTPTypes
import OCI
import PullThrough
import Synchronization

/// It changes nothing, asks no upstream, and shows whoever may pull what is stored.
struct GlanceResponder: Sendable {
    private static let image = "/api/v1/images/"
    /// What the pages of this program's own answers describe: OpenAPI 3.1.
    private static let description = PackageResources.openapi_json

    let cache: PullThroughCache
    private let crowd = Crowd()

    init(cache: PullThroughCache) { self.cache = cache }

    /// - Returns: nil if nothing of it is at this path.
    func respond(to request: Request) async -> Response? {
        let isImage = request.path.utf8.starts(with: Self.image.utf8)
        let answer: (Request) async throws(GlanceError) -> Response
        switch request.path {
        case "/api/v1/repositories": answer = repositories
        case "/api/v1/images": answer = images
        case "/api/v1/transfers": answer = transfers
        case "/api/v1/evictions": answer = evictions
        case "/api/v1/openapi.json": answer = description
        case _ where isImage: answer = look
        default: return nil
        }
        guard request.isRead else { return WharfResponder.readOnly }
        // Its owner gets through, however many others look around.
        if request.isByOwner { return await said(answer, to: request) }
        guard crowd.enter() else { return GlanceError.crowded.response }
        defer { crowd.leave() }
        return await said(answer, to: request)
    }

    private func said(
        _ answer: (Request) async throws(GlanceError) -> Response, to request: Request
    ) async -> Response {
        do throws(GlanceError) { return try await answer(request) } catch { return error.response }
    }

    // MARK: Lists

    private func repositories(_ request: Request) async throws(GlanceError) -> Response {
        let page = try PageOfNames(request)
        let list = try await told { () async throws(PullThroughError) in
            try await cache.repositories(matching: page.search, after: page.last, count: page.count)
        }
        return .json(RepositoriesDocument(list))
    }

    private func images(_ request: Request) async throws(GlanceError) -> Response {
        let page = try PageOfNames(request, mayNameOne: true)
        let list = try await told { () async throws(PullThroughError) in
            try await cache.images(
                of: page.repository, matching: page.search, after: page.last, count: page.count)
        }
        return .json(ImagesDocument(list))
    }

    private func transfers(_ request: Request) async throws(GlanceError) -> Response {
        try request.knowsOnly([])
        return .json(TransfersDocument(transfers: cache.transfers.map { StatisticsDocument.Transfer($0) }))
    }

    private func evictions(_ request: Request) async throws(GlanceError) -> Response {
        try request.knowsOnly(["n"])
        let count = try request.count(or: 20)
        let order = try await told { () async throws(PullThroughError) in try await cache.evictionOrder(count) }
        return .json(EvictionsDocument(order))
    }

    // MARK: One

    /// The slashes of the name are those of the path, as in `/v2/`: an escaped one is none.
    private func look(_ request: Request) async throws(GlanceError) -> Response {
        try request.knowsOnly([])
        let text = request.pathRest(behind: Self.image)
        if let digest = text.flatMap({ Digest($0) }) { return try await find(digest) }
        guard let text, let meaning = cache.directory.meaning(of: text) else {
            throw .noImage(String(request.path.dropFirst(Self.image.count)))
        }
        let look = try await told { () async throws(PullThroughError) in
            try await cache.look(at: meaning.reference, in: meaning.repository)
        }
        guard let look else {
            throw .unknownImage(ImageText.name(meaning.repository, meaning.reference))
        }
        return .json(ImageDocument(look))
    }

    /// Wherever it is shown: bytes are the same everywhere.
    private func find(_ digest: Digest) async throws(GlanceError) -> Response {
        let found = try await told { () async throws(PullThroughError) in try await cache.look(at: digest) }
        guard let found else { throw .unknownImage("\(digest)") }
        switch found {
        case .blob: throw .noManifest(digest)
        case .image(let look): return .json(ImageDocument(look))
        }
    }

    private func description(_ request: Request) async throws(GlanceError) -> Response {
        try request.knowsOnly([])
        return .json(line: Self.description)
    }
}

/// Who looks around now. The database serves a few of them at a time, of hundreds a second: whoever would wait longer
/// than people do is told so, and what waits takes no more memory than it may.
final class Crowd: Sendable {
    static let most = 64

    private let inside = Atomic(0)

    /// - Returns: whether there was room; then `leave` is to be called.
    func enter() -> Bool {
        if inside.add(1, ordering: .relaxed).newValue <= Self.most { return true }
        leave()
        return false
    }

    func leave() { inside.subtract(1, ordering: .relaxed) }
}

/// The cache's failure in this room's words.
private func told<Value: Sendable>(
    _ work: () async throws(PullThroughError) -> Value
) async throws(GlanceError) -> Value {
    do throws(PullThroughError) { return try await work() } catch { throw .failed(error) }
}
