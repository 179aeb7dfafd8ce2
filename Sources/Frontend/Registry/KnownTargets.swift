// What the paths mean that are asked for again and again, and the heads of their answers.

import HTTPServer
import HTTPTypes
import OCI
import PullThrough
import Synchronization

/// What a request's target names, as one edition of the upstreams has it.
final class KnownTarget: Sendable {
    let endpoint: Endpoint
    let repository: Repository
    /// As the access log says it.
    let repositoryText: String
    let isNamespaced: Bool
    let edition: Int
    /// Of a manifest that was a hit: what may be said again.
    let hit: (standing: StandingManifest, head: PreparedHead)?
    /// When its use was last told, Unix milliseconds.
    let lastUse = Atomic<Int64>(0)

    init(
        _ endpoint: Endpoint, _ repository: Repository, isNamespaced: Bool, edition: Int,
        hit: (standing: StandingManifest, head: PreparedHead)? = nil
    ) {
        self.endpoint = endpoint
        self.repository = repository
        repositoryText = "\(repository)"
        self.isNamespaced = isNamespaced
        self.edition = edition
        self.hit = hit
    }

    /// - Parameter response: all of it but its age is the same the next time.
    func with(_ standing: StandingManifest, _ response: Response) -> KnownTarget {
        var response = response
        response.fields[.age] = nil
        return KnownTarget(
            endpoint, repository, isNamespaced: isNamespaced, edition: edition, hit: (standing, PreparedHead(response)))
    }
}

/// The targets asked for lately, by the event loops that were asked. Each may be forgotten at any time.
final class KnownTargets: Sendable {
    private struct Key: Hashable {
        let path: String
        let query: String?

        init(_ request: Request) { (path, query) = (request.path, request.query) }
    }

    /// Each event loop has its own.
    private final class Lane: Sendable { let targets = Mutex(RecentlyUsed<Key, KnownTarget>(limit: 1024)) }
    private let lanes = (0..<16).map { _ in Lane() }

    /// Nil also where the upstreams have changed since.
    func target(of request: Request, edition: Int) -> KnownTarget? {
        let key = Key(request)
        let target = lanes[request.lane % lanes.count].targets.withLock { $0[key] }
        return target?.edition == edition ? target : nil
    }

    func keep(_ target: KnownTarget, of request: Request) {
        let key = Key(request)
        // Not what is too long to be asked for often.
        guard key.path.utf8.count + (key.query?.utf8.count ?? 0) <= 1024 else { return }
        lanes[request.lane % lanes.count].targets.withLock { $0[key] = target }
    }
}
