// The paths beside the registry: /v2/, tags, health, and /stats exactly as the contract has it.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("end-1, end-8 and health") struct ServiceTests {
        @Test func `GET v2 is 200, without a challenge, and asks nobody`() async throws {
            try await withScene { scene in
                let seen = try await scene.upstream.during {
                    for path in ["/v2/", "/v2"] {
                        let answer = try await scene.mirror.get(path)
                        #expect(answer.status == 200)
                        #expect(answer.fields["WWW-Authenticate"] == nil)
                        #expect(answer.fields["Docker-Distribution-Api-Version"] == "registry/2.0")
                    }
                }
                #expect(seen.isEmpty)
            }
        }

        @Test func `the tags of a repository come from the upstream, which gets the page that was asked for`()
            async throws
        {
            try await withScene { scene in
                let all = try await scene.mirror.get("/v2/acme/tool/tags/list")
                #expect(all.status == 200)
                let list = try JSONDecoder().decode(JSONValue.self, from: Data(all.body))
                #expect(list["name"].text == "acme/tool")
                #expect(Set(list["tags"].elements.compactMap(\.text)) == ["1.0", "1.1"])
                let seen = try await scene.upstream.during {
                    let page = try await scene.mirror.get("/v2/acme/tool/tags/list?n=1&last=1.0")
                    #expect(page.status == 200)
                }
                #expect(seen.map(\.uri) == ["/v2/acme/tool/tags/list?n=1&last=1.0"])
            }
        }

        @Test func `the tags of an unknown repository are 404 NAME_UNKNOWN`() async throws {
            try await withScene { scene in
                let answer = try await scene.mirror.get("/v2/library/stranger/tags/list")
                #expect(answer.status == 404)
                #expect(answer.errorCode == "NAME_UNKNOWN")
            }
        }

        @Test func `livez and readyz are 200, and stay so when the upstream is gone`() async throws {
            try await withScene { scene in
                for pass in ["with", "without"] {
                    for path in ["/livez", "/readyz"] {
                        #expect(try await scene.mirror.get(path).status == 200, "\(path) \(pass) the upstream")
                    }
                    await scene.upstream.stop()
                    _ = try await scene.mirror.get("/v2/library/harbour/manifests/latest")
                }
            }
        }

        @Test func `a keep-alive connection serves one request after the other, also those sent ahead`() async throws {
            try await withScene { scene in
                let path = "/v2/library/harbour/manifests/latest"
                try await scene.mirror.warm(path)
                let size = scene.seed.harbour.manifest.size
                let answers = try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    for _ in 0..<3 { try connection.send("GET", path) }
                    return try (0..<3).map { _ in
                        let head = try connection.readHead()
                        return (head.status, try connection.readBody(after: head).0.count)
                    }
                }
                #expect(answers.allSatisfy { $0 == (200, size) })
            }
        }
    }

    @Suite("GET /stats") struct StatisticsTests {
        /// Section 4 of the contract, key by key.
        private static let contract = Shape.object([
            "version": .text, "uptime_seconds": .number, "started_at": .text, "ready": .bool, "offline": .bool,
            "hosted_push": .bool, "login_listen": .orNull(.text),
            "storage": .object([
                "bytes": .integer, "max_bytes": .integer, "free_bytes": .integer, "blobs": .integer,
                "manifests": .integer, "tags": .integer, "pinned_bytes": .integer, "hosted_bytes": .integer,
                "partial_bytes": .integer, "evicted_blobs": .integer, "evicted_bytes": .integer,
                "quarantined": .integer,
            ]),
            "requests": .object([
                "total": .integer, "hit": .integer, "miss": .integer, "collapsed": .integer, "revalidated": .integer,
                "stale": .integer, "error": .integer,
            ]),
            "bytes": .object(["to_clients": .integer, "from_store": .integer, "from_upstream": .integer]),
            "hit_ratio": .number, "byte_hit_ratio": .number, "bytes_saved": .integer,
            "in_flight": .array(
                .object([
                    "digest": .text, "upstream": .text, "repository": .text, "received": .integer, "size": .integer,
                    "followers": .integer, "seconds": .number, "bytes_per_second": .number, "connections": .integer,
                ])),
            "upstreams": .array(
                .object([
                    "name": .text, "endpoint": .text, "healthy": .bool, "breaker": .text, "spent": .bool,
                    "spent_until_at": .orNull(.text), "offline": .bool,
                    "requests": .integer, "errors": .integer, "bytes": .integer, "last_error": .orNull(.text),
                    "rate_limit": .orNull(
                        .object([
                            "limit": .integer, "remaining": .integer, "window_seconds": .integer, "source": .text,
                        ])),
                ])),
            "top_repositories": .array(.object(["name": .text, "requests": .integer, "bytes": .integer])),
        ])

        @Test func `has every key of the contract and no other, idle and at work`() async throws {
            try await withScene(RecorderManners(tellsLimits: true, blobRate: 1 << 20)) { scene in
                let idle = try await scene.mirror.statistics()
                #expect(Self.contract.differences(in: idle) == [])
                #expect(idle["upstreams"].elements.count >= 1)

                let answer = try await scene.mirror.get("/v2/library/harbour/manifests/latest")
                #expect(answer.status == 200)
                let path = "/v2/library/harbour/blobs/\(scene.seed.largeLayer.digest)"
                let connection = try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    try connection.send("GET", path)
                    _ = try connection.readHead()
                    return connection
                }
                let busy = try await scene.mirror.statistics()
                #expect(Self.contract.differences(in: busy) == [])
                let flight = busy["in_flight"][0]
                #expect(flight["digest"].text == scene.seed.largeLayer.digest)
                #expect(flight["upstream"].text == "docker.io")
                #expect(flight["repository"].text == "library/harbour")
                #expect(flight["size"].number == Double(scene.seed.largeLayer.size))
                #expect(flight["followers"].number == 1)
                let endpoint = busy["upstreams"].elements.first { $0["name"].text == "docker.io" }
                #expect(endpoint?["endpoint"].text == "http://127.0.0.1:\(scene.upstream.port)")
                #expect(endpoint?["rate_limit"]["limit"].number == 100)
                #expect(endpoint?["rate_limit"]["remaining"].number == 76)
                #expect(endpoint?["rate_limit"]["window_seconds"].number == 21600)
                #expect(busy["top_repositories"][0]["name"].text == "docker.io/library/harbour")
                withExtendedLifetime(connection) {}
            }
        }

        @Test func `counts each request in one class and each byte where it went`() async throws {
            try await withScene { scene in
                let layer = scene.seed.harbour.layers[1]
                let path = "/v2/library/harbour/blobs/\(layer.digest)"
                try await scene.mirror.warm(path)
                try await scene.settle()
                for _ in 0..<3 { try await scene.mirror.warm(path) }
                let missing = try await scene.mirror.get("/v2/library/harbour/manifests/none")
                #expect(missing.status == 404)
                // A body counts when it is handed to the kernel, which may be a moment after the client has it.
                try await eventually(within: .seconds(5), "every byte is counted") {
                    try await scene.mirror.statistics()["bytes"]["to_clients"].number ?? 0 >= Double(4 * layer.size)
                }
                let statistics = try await scene.mirror.statistics()
                let requests = statistics["requests"]
                #expect(requests["total"].number == 5)
                #expect(requests["hit"].number == 3)
                #expect(requests["miss"].number == 2)
                #expect(requests["error"].number == 0)
                #expect(statistics["hit_ratio"].number == 0.6)
                let size = Double(layer.size)
                #expect(statistics["bytes"]["from_upstream"].number == size)
                #expect(statistics["bytes"]["from_store"].number.map { $0 >= 3 * size && $0 < 4 * size } == true)
                #expect(statistics["bytes_saved"].number.map { $0 >= 3 * size && $0 < 4 * size } == true)
                #expect(statistics["storage"]["blobs"].number == 1)
            }
        }
    }
}
