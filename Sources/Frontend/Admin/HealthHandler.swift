// `/livez` and `/readyz`: whether the process lives, and whether it can serve. Upstreams never matter.

import HTTPServer
import HTTPTypes
import PullThrough

struct HealthHandler: Sendable {
    let cache: PullThroughCache

    private struct Health: Encodable {
        let status: String
        /// What is amiss while it lasts, each in a sentence for people.
        var amiss: [String]?
    }

    func live() -> Response { .json(Health(status: "ok")) }

    /// While it drains, the server itself says 503 to everything.
    func ready() async -> Response {
        let amiss = cache.amiss
        guard await cache.isReadable() else {
            return .json(
                Health(status: "failing", amiss: ["the store cannot be read"] + amiss), status: .serviceUnavailable)
        }
        return .json(Health(status: "ok", amiss: amiss))
    }
}
