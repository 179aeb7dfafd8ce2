// `GET /metrics`: Prometheus' text format, that its figures are those of `/stats`, and who names what is in it.

import Foundation
import HTTPSemantics
import HTTPServer
import OCI
import PullThrough
import TestSupport
import Testing

@testable import Frontend

@Suite("GET /metrics") struct MetricsTests {
    private func lines(_ scene: Scene) async throws -> [String] {
        let reply = await scene.get("/metrics")
        #expect(reply.status == 200)
        #expect(reply["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8")
        return String(decoding: try await reply.bytes(), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// The sum of all samples of a family whose labels have all of these.
    private func sum(_ lines: [String], _ name: String, _ labels: String...) -> Double {
        lines.filter { line in
            (line.hasPrefix("\(name){") || line.hasPrefix("\(name) ")) && labels.allSatisfy(line.contains)
        }.compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }.reduce(0, +)
    }

    @Test func `an upstream's requests, breaker and limit are told by its names`() async throws {
        try await Scene.run(StubOptions(rateLimit: (limit: 100, remaining: 76))) { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(ManifestTests.path)
            let lines = try await lines(scene)
            let labels = "endpoint=\"\(scene.stub.url)\""
            for line in [
                "wharf_build_info{version=\"0.1.0\"} 1",
                "wharf_requests_total{class=\"miss\",kind=\"manifest\",upstream=\"docker.io\"} 1",
                "# TYPE wharf_upstream_requests_total counter",
                "wharf_upstream_requests_total{\(labels),upstream=\"docker.io\"} 2",
                "wharf_upstream_answers_total{\(labels),status=\"200\",upstream=\"docker.io\"} 2",
                "wharf_upstream_up{\(labels),upstream=\"docker.io\"} 1",
                "wharf_upstream_breaker{\(labels),state=\"closed\",upstream=\"docker.io\"} 1",
                "wharf_upstream_breaker{\(labels),state=\"open\",upstream=\"docker.io\"} 0",
                "wharf_upstream_rate_limit{\(labels),upstream=\"docker.io\"} 100",
                "wharf_upstream_rate_limit_remaining{\(labels),upstream=\"docker.io\"} 76",
                "wharf_upstream_rate_limit_window_seconds{\(labels),upstream=\"docker.io\"} 21600",
                "wharf_upstream_rate_limit_spent{\(labels),upstream=\"docker.io\"} 0",
                "wharf_amiss{what=\"room\"} 0",
            ] { #expect(lines.contains(line), "\(line)") }
            #expect(!lines.contains { $0.hasPrefix("wharf_upstream_rate_limit{") && $0.contains("ghcr.io") })
            // Each family once, with its help and type before its samples.
            let types = lines.filter { $0.hasPrefix("# TYPE ") }
            #expect(Set(types).count == types.count)
        }
    }

    @Test func `requests and bytes are those of stats, whoever asked`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (_, path) = scene.blob(300_000)
            scene.image()
            for _ in 0..<3 { try await scene.pull(path) }
            for _ in 0..<2 { _ = await scene.get(ManifestTests.path) }
            _ = await scene.get("\(Scene.alpine)/manifests/absent")
            _ = await scene.get("/v2/Not/Allowed/manifests/1")
            _ = await scene.get("/v2/ours/app/blobs/\(Digest.of([1]))")
            let (statistics, lines) = (try await scene.statistics(), try await lines(scene))
            #expect(sum(lines, "wharf_requests_total") == Double(statistics.object("requests")["total"] as? Int ?? 0))
            for answer in ["hit", "miss", "error"] {
                #expect(
                    sum(lines, "wharf_requests_total", "class=\"\(answer)\"")
                        == Double(statistics.object("requests")[answer] as? Int ?? 0), "\(answer)")
            }
            #expect(sum(lines, "wharf_requests_total", "class=\"hit\"", "kind=\"blob\"") == 2)
            #expect(sum(lines, "wharf_requests_total", "upstream=\"hosted\"") == 1)
            #expect(sum(lines, "wharf_requests_total", "upstream=\"\"") == 1)
            let bytes = statistics.object("bytes")
            #expect(sum(lines, "wharf_client_bytes_total") == Double(bytes["to_clients"] as? Int ?? 0))
            #expect(sum(lines, "wharf_received_bytes_total") == Double(bytes["from_upstream"] as? Int ?? 0))
            #expect(
                sum(lines, "wharf_client_bytes_total") - sum(lines, "wharf_client_bytes_as_they_came_total")
                    == Double(bytes["from_store"] as? Int ?? 0))
        }
    }

    @Test(arguments: [
        ("/v2/Not/Allowed/manifests/1", nil, PullKind.manifest), ("/v2/alpine/blobs/sha256:12", nil, .blob),
        ("/v2/alpine/manifests/1.0", "ns=none.example", .manifest),
    ] as [(String, String?, PullKind)])
    func `a pull that names nothing is timed where it is counted`(
        path: String, query: String?, kind: PullKind
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get(path, query: query)
            #expect(reply.status >= 400)
            #expect(reply.response.series == Series.place(kind, .error))
            let lines = try await lines(scene)
            #expect(sum(lines, "wharf_requests_total", "class=\"error\"", "kind=\"\(kind.rawValue)\"") == 1)
        }
    }

    @Test func `a transfer that breaks and is mended is counted as that`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(300_000)
            scene.stub.inject(.cut(at: 100_000, reset: true), into: "\(blob.digest)", times: 1)
            try await scene.pull(path)
            let lines = try await lines(scene)
            #expect(sum(lines, "wharf_fills_begun_total") == 1)
            #expect(sum(lines, "wharf_fills_ended_total", "outcome=\"finished\"") == 1)
            #expect(sum(lines, "wharf_fills_ended_total", "outcome=\"failed\"") == 0)
            #expect(sum(lines, "wharf_fill_followers_total") == 1)
            #expect(sum(lines, "wharf_fill_retries_total") == 1)
            #expect(sum(lines, "wharf_fills_repaired_total") == 1)
            #expect(sum(lines, "wharf_upstream_errors_total", "type=\"http_response_incomplete\"") == 1)
        }
    }

    @Test func `bytes that are wrong are counted each time they are put aside`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(100_000)
            scene.stub.inject(.corrupt(at: 5), into: "\(blob.digest)", method: "GET")
            _ = try? await scene.pull(path)
            #expect(sum(try await lines(scene), "wharf_quarantines_total") >= 1)
        }
    }

    /// All that a mirror can tell: limits, failures and statuses are there once something has been seen of them.
    private func families() async throws -> Set<String> {
        var names: Set<String> = []
        try await Scene.run(StubOptions(rateLimit: (limit: 100, remaining: 76))) { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(ManifestTests.path)
            await scene.stub.stop()
            scene.wall.advance(by: .seconds(61))
            _ = await scene.get(ManifestTests.path)
            names = Set(
                try await lines(scene).filter { $0.hasPrefix("# TYPE ") }.compactMap {
                    $0.split(separator: " ").dropFirst(2).first.map(String.init)
                })
        }
        return names
    }

    @Test(arguments: ["alerts.yml", "dashboard.json"])
    func `what is made for Prometheus and Grafana names nothing that does not exist`(_ file: String) async throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("deploy/observability/\(file)"), encoding: .utf8)
        let named = Set(text.matches(of: /wharf_[a-z_]+/).map { String($0.output) })
        #expect(named.count > 10)
        // Tests have no process and no server of which there would be figures.
        let known = try await families().union(Self.ofTheProcess)
        let parts = ["_bucket", "_sum", "_count"]
        for name in named {
            let isPart = parts.contains { name.hasSuffix($0) && known.contains(String(name.dropLast($0.count))) }
            #expect(known.contains(name) || isPart, "\(name)")
        }
    }

    private static let ofTheProcess = Set(
        [
            "resident_memory_bytes", "virtual_memory_bytes", "open_fds", "max_fds", "cpu_seconds_total",
            "start_time_seconds",
        ].map { "wharf_process_\($0)" })

    @Test func `every help tells its unit, and every name ends as its type wants`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let lines = try await lines(scene)
            for line in lines where line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ").map(String.init)
                #expect((words[3] == "counter") == words[2].hasSuffix("_total"), "\(line)")
                let help = try #require(lines.first { $0.hasPrefix("# HELP \(words[2]) ") })
                if words[2].contains("_bytes") { #expect(help.contains("ytes"), "\(help)") }
                if words[2].contains("_seconds") { #expect(help.contains("econds"), "\(help)") }
            }
        }
    }

    @Test func `a label's value is escaped, a whole number has no fraction`() {
        var text = MetricsText()
        text.family("a", .gauge, "Help.", [(["l": "x\"y\\z\nw"], 1.0), ([:], 0.5)])
        text.family("b", .counter, "None.", [])
        #expect(text.lines == "# HELP a Help.\n# TYPE a gauge\na{l=\"x\\\"y\\\\z\\nw\"} 1\na 0.5\n")
    }
}
