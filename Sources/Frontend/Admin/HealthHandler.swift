// `/livez` and `/readyz`: whether the process lives, and whether it can serve. Upstreams never matter.

import HTTPServer
import HTTPTypes
import PullThrough

struct HealthHandler: Sendable {
    let cache: PullThroughCache

    func live() -> Response {
        Response(
            status: .ok, fields: [.contentType: "application/json"], body: .bytes(Array("{\"status\":\"ok\"}\n".utf8)))
    }

    /// While it drains, the server itself says 503 to everything.
    func ready() async -> Response {
        guard await cache.isReadable() else {
            return Response(
                status: .serviceUnavailable, fields: [.contentType: "application/json"],
                body: .bytes(Array("{\"status\":\"failing\",\"amiss\":[\"the store cannot be read\"]}\n".utf8)))
        }
        let amiss = cache.isOffline ? "\"offline: no upstream is asked\"" : ""
        return Response(
            status: .ok, fields: [.contentType: "application/json"],
            body: .bytes(Array("{\"status\":\"ok\",\"amiss\":[\(amiss)]}\n".utf8)))
    }
}
