// `/livez` and `/readyz`: whether the process lives, and whether it can serve. Upstreams never matter.

import FoundationEssentials
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

    func live() -> Response { answer(.ok, Health(status: "ok")) }

    /// While it drains, the server itself says 503 to everything.
    func ready() async -> Response {
        let amiss = cache.amiss
        guard await cache.isReadable() else {
            return answer(
                .serviceUnavailable, Health(status: "failing", amiss: ["the store cannot be read"] + amiss))
        }
        return answer(.ok, Health(status: "ok", amiss: amiss))
    }

    private func answer(_ status: HTTPResponse.Status, _ health: Health) -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Strings: there is nothing that it could refuse.
        let text = (try? encoder.encode(health)) ?? Data()
        return Response(
            status: status, fields: [.contentType: "application/json"], body: .bytes(Array(text) + [0x0A]))
    }
}
