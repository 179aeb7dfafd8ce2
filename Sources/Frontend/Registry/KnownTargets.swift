// What the paths mean that are asked for again and again, and the heads of their answers.

import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough
import Synchronization

/// What a request's target names, as one edition of the upstreams' directory has it.
struct KnownTarget: Sendable {
    let endpoint: Endpoint
    let repository: Repository
    /// As the access log says it.
    let repositoryText: String
    let isNamespaced: Bool
    fileprivate let edition: UpstreamDirectory.Edition
    private var prepared: (content: ManifestContent, head: PreparedHead)?

    init(_ endpoint: Endpoint, _ repository: Repository, isNamespaced: Bool, _ edition: UpstreamDirectory.Edition) {
        self.endpoint = endpoint
        self.repository = repository
        repositoryText = "\(repository)"
        self.isNamespaced = isNamespaced
        self.edition = edition
    }

    /// The head of a plain hit, if one of the same content was made before.
    func head(for answer: ManifestAnswer) -> PreparedHead? {
        guard let prepared, prepared.content === answer.content, answer.isPlain else { return nil }
        return prepared.head
    }

    /// - Parameter response: to a plain hit; all but its age is the same the next time.
    func prepared(_ response: Response, of content: ManifestContent) -> KnownTarget {
        var response = response
        response.fields[.age] = nil
        var target = self
        target.prepared = (content, PreparedHead(response))
        return target
    }
}

extension ManifestAnswer {
    /// A hit about which nothing more is to be said.
    var isPlain: Bool { status == .hit && staleness == nil && failure == nil }
}

/// The targets asked for lately. Each may be forgotten at any time.
final class KnownTargets: Sendable {
    private struct Key: Hashable {
        let path: String
        let query: String?
    }

    private let targets = Mutex(RecentlyUsed<Key, KnownTarget>(limit: 2048))

    /// Nil also where the directory has changed since.
    func target(of request: Request, in directory: UpstreamDirectory) -> KnownTarget? {
        let key = Key(path: request.path, query: request.query)
        let target = targets.withLock { $0[key] }
        return target?.edition === directory.edition ? target : nil
    }

    func keep(_ target: KnownTarget, of request: Request) {
        let key = Key(path: request.path, query: request.query)
        // Not what is too long to be asked for often.
        guard key.path.utf8.count + (key.query?.utf8.count ?? 0) <= 1024 else { return }
        targets.withLock { $0[key] = target }
    }
}
