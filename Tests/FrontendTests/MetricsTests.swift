// `GET /metrics`: Prometheus' text format, with the upstreams' figures.

import HTTPServer
import OCI
import TestSupport
import Testing

@testable import Frontend

@Suite("GET /metrics") struct MetricsTests {
    @Test func `an upstream's requests, breaker and limit are told by its names`() async throws {
        try await Scene.run(StubOptions(rateLimit: (limit: 100, remaining: 76))) { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(ManifestTests.path)
            let reply = await scene.get("/metrics")
            #expect(reply.status == 200)
            #expect(reply["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8")
            let lines = String(decoding: try await reply.bytes(), as: UTF8.self).split(separator: "\n").map(String.init)
            let labels = "endpoint=\"\(scene.stub.url)\""
            for line in [
                "wharf_build_info{version=\"0.1.0\"} 1",
                "wharf_requests_total{class=\"miss\"} 1",
                "# TYPE wharf_upstream_requests_total counter",
                "wharf_upstream_requests_total{\(labels),upstream=\"docker.io\"} 2",
                "wharf_upstream_breaker{\(labels),state=\"closed\",upstream=\"docker.io\"} 1",
                "wharf_upstream_breaker{\(labels),state=\"open\",upstream=\"docker.io\"} 0",
                "wharf_upstream_rate_limit{\(labels),upstream=\"docker.io\"} 100",
                "wharf_upstream_rate_limit_remaining{\(labels),upstream=\"docker.io\"} 76",
                "wharf_upstream_rate_limit_spent{\(labels),upstream=\"docker.io\"} 0",
            ] { #expect(lines.contains(line), "\(line)") }
            #expect(!lines.contains { $0.hasPrefix("wharf_upstream_rate_limit{") && $0.contains("ghcr.io") })
            // Each family once, with its help and type before its samples.
            let types = lines.filter { $0.hasPrefix("# TYPE ") }
            #expect(Set(types).count == types.count)
        }
    }

    @Test func `a label's value is escaped, a whole number has no fraction`() {
        var text = MetricsText()
        text.family("a", .gauge, "Help.", [(["l": "x\"y\\z\nw"], 1.0), ([:], 0.5)])
        text.family("b", .counter, "None.", [])
        #expect(text.lines == "# HELP a Help.\n# TYPE a gauge\na{l=\"x\\\"y\\\\z\\nw\"} 1\na 0.5\n")
    }
}
