// What may be done to the cache: `POST /api/v1/prefetch`, `pin`, `unpin`, `invalidate`, `evict`.

import HTTPServer
import HTTPTypes
import Hosting
import OCI
import PullThrough

/// Asked only for those who may: `WharfResponder.administer` is the gate.
struct ActionsResponder: Sendable {
    private enum Action: String {
        case prefetch, pin, unpin, invalidate, evict

        init?(_ path: String) {
            guard path.hasPrefix(Self.root) else { return nil }
            self.init(rawValue: String(path.dropFirst(Self.root.count)))
        }

        private static let root = "/api/v1/"
    }

    private let prefetch: PrefetchHandler
    private let keeping: KeepingHandler

    init(cache: PullThroughCache, hosted: HostedRepositories) {
        prefetch = PrefetchHandler(cache: cache, hosted: hosted)
        keeping = KeepingHandler(cache: cache)
    }

    func takesBody(_ request: Request) -> Bool { request.method == .post && Action(request.path) != nil }

    /// - Returns: nil if there is no such action.
    func respond(to request: Request) async -> Response? {
        guard let action = Action(request.path) else { return nil }
        guard request.method == .post else {
            return ErrorMapping.response(
                .methodNotAllowed, .unsupported, "only POST is served here", fields: [.allow: "POST"])
        }
        do throws(ActionRefusal) {
            switch action {
            case .prefetch: return try prefetch.respond(to: try await ActionBody.read(PrefetchWish.self, of: request))
            case .pin: return try await keeping.pin(try await ActionBody.read(ImageWish.self, of: request))
            case .unpin: return try await keeping.unpin(try await ActionBody.read(ImageWish.self, of: request))
            case .invalidate:
                return try await keeping.invalidate(try await ActionBody.read(ImageWish.self, of: request))
            case .evict: return try await keeping.evict(try await ActionBody.read(EvictWish.self, of: request))
            }
        } catch {
            return error.response
        }
    }
}
