// The one gate: method and path decide who answers, and what is not named here is refused.

import HTTPSemantics
package import HTTPServer
import HTTPTypes
import OCI
package import PullThrough

package struct WharfResponder: Responder {
    private let registry: RegistryResponder
    private let health: HealthHandler
    private let statistics: StatisticsHandler
    private let metrics: MetricsHandler
    private let search: SearchHandler

    /// - Parameters:
    ///   - pseudonym: what this program calls itself in `Via`.
    ///   - uptime: seconds since the start.
    package init(
        cache: PullThroughCache, version: String, pseudonym: String, uptime: @escaping @Sendable () -> Double
    ) {
        let discovery = Discovery(cache: cache)
        registry = RegistryResponder(cache: cache, discovery: discovery, pseudonym: pseudonym)
        search = SearchHandler(discovery: discovery, pseudonym: pseudonym)
        health = HealthHandler(cache: cache)
        statistics = StatisticsHandler(cache: cache, version: version, uptime: uptime)
        metrics = MetricsHandler(cache: cache, version: version, uptime: uptime)
    }

    package func ready(_ request: Request) -> Response? {
        guard request.isRead else { return nil }
        switch request.path {
        case "/v2/", "/v2": return marked(registry.version())
        case "/livez": return marked(health.live())
        default: return nil
        }
    }

    package func respond(to request: Request) async -> Response {
        guard request.fields.contains(.via) else { return marked(await answer(to: request)) }
        let via = Via(request.fields[values: .via])
        return marked(await Via.$current.withValue(via) { await answer(to: request) })
    }

    private func answer(to request: Request) async -> Response {
        if request.path == "/v2" || request.path.hasPrefix("/v2/") { return await registry.respond(to: request) }
        switch request.path {
        case "/livez" where request.isRead: return health.live()
        case "/readyz" where request.isRead: return await health.ready()
        case "/stats" where request.isRead: return await statistics.respond()
        case "/metrics" where request.isRead: return await metrics.respond()
        case "/v1/_ping" where request.isRead: return search.ping()
        case "/v1/search" where request.isRead: return await search.respond(to: request)
        case "/livez", "/readyz", "/stats", "/metrics", "/v1/_ping", "/v1/search":
            var response = ErrorMapping.response(.methodNotAllowed, .unsupported, "only GET and HEAD are served here")
            response.fields[.allow] = "GET, HEAD"
            return response
        default:
            return ErrorMapping.response(.notFound, .unsupported, "there is nothing at this path")
        }
    }

    /// Every answer says how the cache came to it.
    private func marked(_ response: Response) -> Response {
        guard !response.fields.contains(.cacheStatus) else { return response }
        var response = response
        response.fields[.cacheStatus] = "\(CacheStatus.local)"
        return response
    }
}

extension CacheStatus {
    /// Answered without looking for anything stored.
    fileprivate static let local = CacheStatus(detail: "local")
}

extension Request {
    var isRead: Bool { method == .get || method == .head }
}
