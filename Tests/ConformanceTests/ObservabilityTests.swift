// What watches a mirror: Prometheus' own checker and Prometheus itself, with the alerts that come with the mirror.

import Foundation
import TestSupport
import Testing

extension Conformance {
    @Suite("Prometheus") struct ObservabilityTests {
        /// Pulls that miss, hit and fail, of which a test knows the bytes.
        private func pulls(_ scene: OperationScene) async throws -> (requests: Int, bytes: Int) {
            let blobs = (1...3).map { scene.cargo(700_000, seed: $0) }
            for blob in blobs + blobs { #expect(try await scene.pull(blob).isWhole) }
            #expect(try await scene.mirror.get("/v2/library/cargo/manifests/absent").status == 404)
            #expect(try await scene.mirror.get("/v2/Bad/manifests/1").status == 400)
            try await scene.stored(3)
            return (8, 6 * 700_000)
        }

        private func history(_ mirror: Mirror, _ span: String) async throws -> [JSONValue] {
            let answer = try await mirror.get("/api/v1/history?span=\(span)")
            return try JSONDecoder().decode(JSONValue.self, from: Data(answer.body))["points"].elements
        }

        @Test func `figures, the most used and the history go on over a restart`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let counted = try await pulls(scene)
                let before = try await scene.mirror.statistics()
                #expect(try await scene.mirror.stop() == 0)
                let next = try await scene.again()
                let after = try await next.mirror.statistics()
                for key in ["requests", "bytes", "hit_ratio", "bytes_saved", "top_repositories"] {
                    #expect(after[key] == before[key], "\(key)")
                }
                #expect(after["upstreams"][0]["requests"] == before["upstreams"][0]["requests"])
                #expect(after["upstreams"][0]["bytes"] == before["upstreams"][0]["bytes"])
                #expect(after["top_repositories"][0]["name"].text == "docker.io/library/cargo")
                for span in ["hour", "week"] {
                    let points = try await history(next.mirror, span)
                    let sent = points.compactMap { $0["bytes"]["to_clients"].number }.reduce(0, +)
                    #expect(sent == Double(counted.bytes), "\(span)")
                    let hits = points.compactMap { $0["requests"]["hit"].number }.reduce(0, +)
                    #expect(hits == 3, "\(span)")
                }
            }
        }

        private func observability(_ file: String) -> String {
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent().appendingPathComponent("deploy/observability/\(file)").path
        }

        @Test func `promtool finds nothing wrong with metrics and alerts`() async throws {
            try await withOperation(StubOptions(rateLimit: (limit: 100, remaining: 76))) {
                (scene: OperationScene) async throws in
                _ = try await pulls(scene)
                let metrics = try await scene.mirror.get("/metrics")
                let file = try scene.bench.write(String(decoding: metrics.body, as: UTF8.self), to: "metrics.txt")
                let output = try await scene.bench.succeed(
                    "/bin/bash", ["-c", #"exec promtool check metrics < "$0""#, file])
                // It exits 0 with advice too.
                #expect(output.isEmpty, "\(output)")
                try await scene.bench.succeed("promtool", ["check", "rules", observability("alerts.yml")])
            }
        }

        @Test func `Prometheus scrapes the mirror, and has what its clients counted, to the byte`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let counted = try await pulls(scene)
                let port = try freePort()
                let configuration = try scene.bench.write(
                    """
                    global: {scrape_interval: 1s, evaluation_interval: 1s}
                    rule_files: ["\(observability("alerts.yml"))"]
                    scrape_configs:
                      - job_name: wharf
                        static_configs: [{targets: ["127.0.0.1:\(scene.mirror.port)"]}]

                    """, to: "prometheus.yml")
                let prometheus = try scene.bench.start(
                    "prometheus", "prometheus",
                    [
                        "--config.file=\(configuration)", "--web.listen-address=127.0.0.1:\(port)",
                        "--storage.tsdb.path=\(scene.bench.makeFolder("tsdb"))",
                    ])
                func value(_ query: String) async throws -> Double? {
                    let encoded = query.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
                    let answer = try await ask("GET", "/api/v1/query?query=\(encoded)", port: port, [:])
                    // Until it has read what it kept, it answers in plain words.
                    guard answer.status == 200 else { return nil }
                    let document = try JSONDecoder().decode(JSONValue.self, from: Data(answer.body))
                    return document["data"]["result"][0]["value"][1].text.flatMap { Double($0) }
                }
                try await answers(on: port, by: prometheus, path: "/-/ready")
                try await eventually(within: .seconds(180), "a minute of scrapes") {
                    try await value("count_over_time(wharf_uptime_seconds[5m])") ?? 0 >= 60
                }
                #expect(try await value("sum(wharf_requests_total)") == Double(counted.requests))
                #expect(try await value("sum(wharf_client_bytes_total)") == Double(counted.bytes))
                #expect(try await value("sum(wharf_received_bytes_total)") == Double(counted.bytes / 2))
                #expect(try await value(#"sum(wharf_requests_total{class="hit",kind="blob"})"#) == 3)
                #expect(try await value(#"sum(wharf_request_seconds_count{class="hit",kind="blob"})"#) == 3)
                #expect(try await value("wharf_storage_blobs") == 3)
                #expect(try await value("wharf_process_resident_memory_bytes") ?? 0 > 1_000_000)
                #expect(try await value("wharf_process_open_fds") ?? 0 > 5)
                #expect(try await value(#"up{job="wharf"}"#) == 1)
                // All alerts can be evaluated, and none is raised.
                let rules = try await ask("GET", "/api/v1/rules", port: port, [:])
                let groups = try JSONDecoder().decode(JSONValue.self, from: Data(rules.body))["data"]["groups"]
                let alerts = groups[0]["rules"].elements
                #expect(alerts.count == 14)
                for alert in alerts {
                    #expect(alert["health"].text == "ok" && alert["state"].text == "inactive", "\(alert)")
                }
            }
        }
    }
}
