// The upstream's rate limit: shown, obeyed, and kept across a restart.

import Foundation
import Testing

extension Conformance {
    @Suite("an upstream's rate limit") struct UpstreamLimitTests {
        private static let manifest = "/v2/library/harbour/manifests/latest"

        @Test(arguments: ["GET", "HEAD"])
        func `is read from GET and HEAD, shown in the statistics, and still known after a restart`(method: String)
            async throws
        {
            let seed = try await Seed.shared()
            try await withBench { bench in
                let registry = try await DebianRegistry.start(on: bench, storage: seed.storage)
                let upstream = try await Recorder.start(
                    on: bench, to: registry.port, RecorderManners(tellsLimits: true))
                let configuration = Mirror.dockerHub(on: upstream.port)
                let mirror = try await Mirror.start(on: bench, configuration: configuration)
                #expect(try await mirror.statistics()["upstreams"][0]["rate_limit"] == .null)
                #expect(try await ask(method, Self.manifest, port: mirror.port).status == 200)
                let told = JSONValue.object([
                    "limit": .number(100), "remaining": .number(76), "window_seconds": .number(21_600),
                    "source": .text("192.0.2.1"),
                ])
                #expect(try await mirror.statistics()["upstreams"][0]["rate_limit"] == told)
                #expect(try await mirror.stop() == 0)

                let seen = try await upstream.during {
                    let again = try await Mirror.start(on: bench, configuration: configuration, data: mirror.data)
                    let upstreams = try await again.statistics()["upstreams"]
                    #expect(upstreams[0]["rate_limit"] == told)
                }
                #expect(seen.isEmpty)
            }
        }

        @Test func `that is spent leaves what is stored served, and costs no counted GET, after a restart neither`()
            async throws
        {
            try await withBench { bench in
                let registry = Impostor.Door("registry", port: try freePort())
                let spent = ["ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600"]
                let body = #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#
                let type = ["Content-Type": "application/vnd.oci.image.index.v1+json"]
                let kept = Impostor.Line(
                    at: registry, "/v2/library/kept/manifests/.*", status: 200, type.merging(spent) { $1 }, body: body)
                let impostor = try await Impostor.start(on: bench, [registry], [kept])
                let configuration = Mirror.dockerHub(on: registry.port, ["fresh-for: 0s"])
                var mirror = try await Mirror.start(on: bench, configuration: configuration)
                try await mirror.warm("/v2/library/kept/manifests/latest")
                let before = try await impostor.requests(to: registry).filter { $0.method == "GET" }.count
                for _ in 0..<2 {
                    let answer = try await mirror.get("/v2/library/kept/manifests/latest")
                    #expect(answer.status == 200, "\(answer.summary)")
                    #expect(try await mirror.stop() == 0)
                    mirror = try await Mirror.start(on: bench, configuration: configuration, data: mirror.data)
                }
                let counted = try await impostor.requests(to: registry).filter { $0.method == "GET" }.count
                #expect(counted == before)
                #expect(try await mirror.statistics()["upstreams"][0]["rate_limit"]["remaining"].number == 0)
            }
        }
    }
}
