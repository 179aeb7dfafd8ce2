// `GET /stats`: every key of the contract and its type. Monitoring scripts read them.

import Foundation
import HTTPServer
import OCI
import PullThrough
import TestSupport
import Testing

@Suite("GET /stats") struct StatisticsTests {
    /// Keys with what stands there.
    private func shape(_ object: [String: any Sendable]) -> [String: String] {
        object.mapValues { value in
            switch value {
            case is NSNull: "null"
            case is String: "string"
            case is [any Sendable]: "list"
            case is [String: any Sendable]: "object"
            case let number as NSNumber: String(cString: number.objCType) == "c" ? "flag" : "number"
            default: "?"
            }
        }
    }

    private func numbers(_ keys: String) -> [String: String] {
        Dictionary(uniqueKeysWithValues: keys.split(separator: " ").map { (String($0), "number") })
    }

    @Test func `a fresh mirror tells every key`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get("/stats")
            #expect(reply.status == 200)
            #expect(reply["Content-Type"] == "application/json")
            #expect(reply["Cache-Control"] == "no-store")
            let view = StatisticsView(try await reply.json())
            #expect(
                shape(view.document) == [
                    "version": "string", "uptime_seconds": "number", "started_at": "string", "ready": "flag",
                    "offline": "flag", "hosted_push": "flag", "login_listen": "null", "storage": "object",
                    "requests": "object", "bytes": "object", "hit_ratio": "number", "byte_hit_ratio": "number",
                    "bytes_saved": "number", "in_flight": "list", "upstreams": "list", "top_repositories": "list",
                ])
            #expect(
                shape(view.object("storage"))
                    == numbers(
                        """
                        bytes max_bytes free_bytes blobs manifests tags pinned_bytes hosted_bytes partial_bytes \
                        evicted_blobs evicted_bytes quarantined
                        """))
            #expect(
                shape(view.object("requests")) == numbers("total hit miss collapsed revalidated stale error"))
            #expect(shape(view.object("bytes")) == numbers("to_clients from_store from_upstream"))
            #expect(view.document["version"] as? String == "0.1.0")
            #expect(view.number("uptime_seconds") == 12.5)
            #expect(view.document["hosted_push"] as? Bool == true && view.document["offline"] as? Bool == false)
            #expect(view.document["ready"] as? Bool == true)
            #expect(view.number("hit_ratio") == 0 && view.number("byte_hit_ratio") == 0)
            #expect(view.requests == [:] && view.bytes == [:])
        }
    }

    @Test func `upstreams are told in order, null where nothing was seen`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let upstreams = try await scene.statistics().list("upstreams")
            #expect(upstreams.map { $0["name"] as? String } == ["docker.io", "ghcr.io"])
            #expect(upstreams.map { $0["endpoint"] as? String } == [scene.stub.url, scene.other.url])
            for upstream in upstreams {
                #expect(
                    shape(upstream) == [
                        "name": "string", "endpoint": "string", "healthy": "flag", "breaker": "string", "spent": "flag",
                        "spent_until_at": "null", "offline": "flag", "requests": "number",
                        "errors": "number", "bytes": "number", "last_error": "null", "rate_limit": "null",
                    ])
                #expect(upstream["healthy"] as? Bool == true)
            }
        }
    }

    @Test func `an upstream's rate limit is told when it has been seen`() async throws {
        try await Scene.run(StubOptions(rateLimit: (limit: 100, remaining: 76))) { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(ManifestTests.path)
            let limit = try await scene.statistics().list("upstreams")[0]["rate_limit"] as? [String: any Sendable]
            #expect(limit?["limit"] as? Int == 100)
            #expect(limit?["remaining"] as? Int == 76)
            #expect(limit?["window_seconds"] as? Int == 21_600)
            #expect(limit?["source"] as? String == "127.0.0.1")
        }
    }

    @Test func `when nothing may be pulled, the time is told at which pulls come back`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            let refusal = StubFault.status(429, fields: [(name: "Retry-After", value: "90")])
            scene.stub.inject(refusal, into: "\(image.manifest.digest)")
            _ = await scene.get("\(Scene.alpine)/manifests/\(image.manifest.digest)")
            let upstream = try await scene.statistics().list("upstreams")[0]
            #expect(upstream["spent"] as? Bool == true)
            // The scene's wall clock stands at 2023-11-14T22:13:20Z.
            let until = try #require(upstream["spent_until_at"] as? String)
            #expect(until.hasPrefix("2023-11-14T22:14:") && until.hasSuffix(".000Z"))
        }
    }

    @Test func `an upstream's failures are told`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(ManifestTests.path)
            await scene.stub.stop()
            scene.wall.advance(by: .seconds(61))
            _ = await scene.get(ManifestTests.path)
            let upstream = try await scene.statistics().list("upstreams")[0]
            #expect(upstream["healthy"] as? Bool == false)
            #expect(upstream["errors"] as? Int == 1)
            #expect(upstream["requests"] as? Int == 3)
            #expect((upstream["last_error"] as? String)?.hasPrefix("connection_refused") == true)
        }
    }

    @Test func `the storage is told in bytes and pieces`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            _ = await scene.get(ManifestTests.path)
            for blob in image.blobs { try await scene.pull("\(Scene.alpine)/blobs/\(blob.digest)") }
            let storage = try await scene.statistics().object("storage")
            #expect(storage["blobs"] as? Int == 3)
            #expect(storage["manifests"] as? Int == 1)
            #expect(storage["tags"] as? Int == 1)
            #expect(storage["bytes"] as? Int ?? 0 >= image.blobs.reduce(0) { $0 + $1.bytes.count })
            #expect(storage["partial_bytes"] as? Int == 0)
            #expect(storage["max_bytes"] as? Int ?? 0 > 0 && storage["free_bytes"] as? Int ?? 0 > 0)
        }
    }

    @Test func `what is in flight is told with its followers, who are counted until they leave`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(300_000)
            scene.stub.inject(.stall(at: 100_000), into: "\(blob.digest)")
            let first = await scene.get(path)
            var second: Reply? = await scene.get(path, ["Range": "bytes=5-99999"])
            _ = try await second?.bytes()
            scene.wall.advance(by: .seconds(3))
            let flight = try await scene.statistics().list("in_flight").first ?? [:]
            #expect(flight["digest"] as? String == "\(blob.digest)")
            #expect(flight["upstream"] as? String == "docker.io")
            #expect(flight["repository"] as? String == "library/alpine")
            #expect(flight["received"] as? Int == 100_000)
            #expect(flight["size"] as? Int == 300_000)
            #expect(flight["followers"] as? Int == 2)
            #expect(flight["seconds"] as? Double == 3)
            #expect(flight["connections"] as? Int == 1 && flight["bytes_per_second"] is Int)
            #expect(flight.count == 9)
            second = nil
            #expect(try await scene.statistics().list("in_flight").first?["followers"] as? Int == 1)
            withExtendedLifetime(first) {}
        }
    }

    @Test func `a transfer of unknown size says null`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(300_000)
            scene.stub.inject(.chunked, into: "\(blob.digest)")
            scene.stub.inject(.stall(at: 100_000), into: "\(blob.digest)")
            let reply = await scene.get(path)
            #expect(try await scene.statistics().list("in_flight").first?["size"] is NSNull)
            withExtendedLifetime(reply) {}
        }
    }

    @Test func `a finished transfer is no longer in flight`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            try await scene.pull(scene.blob(300_000).path)
            #expect(try await scene.statistics().list("in_flight").isEmpty)
        }
    }

    @Test func `the most used repositories are told, most bytes first`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder(seed: 5)
            let other = scene.other.add(blob: builder.blob(5000), to: "acme/app")
            try await scene.pull(scene.blob(1000).path)
            try await scene.pull("/v2/acme/app/blobs/\(other.digest)", query: "ns=ghcr.io")
            try await scene.pull("/v2/acme/app/blobs/\(other.digest)", query: "ns=ghcr.io")
            let top = try await scene.statistics().list("top_repositories")
            #expect(top.map { $0["name"] as? String } == ["ghcr.io/acme/app", "docker.io/library/alpine"])
            #expect(top.map { $0["requests"] as? Int } == [2, 1])
            #expect(top.map { $0["bytes"] as? Int } == [10_000, 1000])
            #expect(top.allSatisfy { $0.count == 3 })
        }
    }

    @Test func `the figures go on without the database's part`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            try await scene.pull(scene.blob(10_000).path)
            scene.closeDatabase()
            let statistics = try await scene.statistics()
            #expect(statistics.requests["miss"] == 1)
            #expect(statistics.object("storage")["blobs"] as? Int == 0)
        }
    }
}
