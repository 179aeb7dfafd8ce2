// The one gate: method and path decide who answers, and what is not named here is refused.

package import HTTPServer
import HTTPTypes
import OCI
package import PullThrough

package struct WharfResponder: Responder {
    private let registry: RegistryResponder
    private let health: HealthHandler
    private let statistics: StatisticsHandler

    /// - Parameter uptime: seconds since the start.
    package init(cache: PullThroughCache, version: String, uptime: @escaping @Sendable () -> Double) {
        registry = RegistryResponder(cache: cache)
        health = HealthHandler(cache: cache)
        statistics = StatisticsHandler(cache: cache, version: version, uptime: uptime)
    }

    package func ready(_ request: Request) -> Response? {
        guard request.method == .get || request.method == .head else { return nil }
        switch request.path {
        case "/v2/", "/v2": return registry.version()
        case "/livez": return health.live()
        default: return nil
        }
    }

    package func respond(to request: Request) async -> Response {
        if request.path == "/v2" || request.path.hasPrefix("/v2/") { return await registry.respond(to: request) }
        let isRead = request.method == .get || request.method == .head
        switch request.path {
        case "/livez" where isRead: return health.live()
        case "/readyz" where isRead: return await health.ready()
        case "/stats" where isRead: return await statistics.respond()
        case "/livez", "/readyz", "/stats":
            var response = ErrorMapping.response(.methodNotAllowed, .unsupported, "only GET and HEAD are served here")
            response.fields[.allow] = "GET, HEAD"
            return response
        default:
            return ErrorMapping.response(.notFound, .unsupported, "there is nothing at this path")
        }
    }
}
