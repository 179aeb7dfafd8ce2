// The rules of `/stats`: each pull in exactly one class, each byte where it came from.

import HTTPServer
import OCI
import PullThrough
import TestSupport
import Testing

@Suite("/stats: requests") struct RequestCountTests {
    private let path = ManifestTests.path

    @Test(arguments: [true, false]) func `one that asked nobody is a hit, whatever its range or a 304`(
        isBlob: Bool
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let digest = scene.image().manifest.digest
            let path = isBlob ? scene.blob(100_000).path : "\(Scene.alpine)/manifests/\(digest)"
            try await scene.pull(path)
            for method in ["GET", "HEAD"] {
                _ = await scene.send(method, path)
                _ = await scene.send(method, path, ["Range": "bytes=0-0"])
                _ = await scene.send(method, path, ["Range": "bytes=999999-"])
                _ = await scene.send(method, path, ["If-None-Match": "*"])
            }
            #expect(try await scene.statistics().requests == ["total": 9, "miss": 1, "hit": 8])
        }
    }

    @Test(arguments: ["manifests/none", "blobs/\(MethodTests.digest)"])
    func `an honest 404 is a miss, and a hit while it is remembered`(rest: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            for method in ["GET", "HEAD", "GET"] { _ = await scene.send(method, "\(Scene.alpine)/\(rest)") }
            #expect(try await scene.statistics().requests == ["total": 3, "miss": 1, "hit": 2])
        }
    }

    @Test func `one that asked and fetched is a miss, and so is a HEAD that asked`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(path)
            let blob = scene.blob(1000).path
            _ = await scene.head(blob)
            _ = await scene.get(blob)
            #expect(try await scene.statistics().requests == ["total": 3, "miss": 3])
        }
    }

    @Test func `a tag that moved is a miss, one that did not is revalidated`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(path)
            scene.wall.advance(by: .seconds(61))
            _ = await scene.head(path)
            scene.image(seed: 2)
            scene.wall.advance(by: .seconds(61))
            _ = await scene.get(path)
            #expect(try await scene.statistics().requests == ["total": 3, "miss": 2, "revalidated": 1])
        }
    }

    @Test func `one that joined another's transfer is collapsed`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(300_000)
            scene.stub.inject(.stall(at: 100_000), into: "\(blob.digest)")
            let first = await scene.get(path)
            let second = await scene.get(path)
            let third = await scene.get(path, ["Range": "bytes=0-0"])
            #expect(second.cacheStatus == "wharf; fwd=miss; fwd-status=200; stored; collapsed")
            #expect(try await scene.statistics().requests == ["total": 3, "miss": 1, "collapsed": 2])
            withExtendedLifetime((first, second, third)) {}
        }
    }

    @Test func `one that joined another's question is collapsed`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "manifests/1.0")
            async let first = scene.get(path)
            await scene.stub.wait { $0.held == 1 }
            async let second = scene.head(path)
            await scene.clock.sleepers(1)
            gate.open()
            _ = await (first, second)
            // Whoever came after the answer found a fresh tag.
            let requests = try await scene.statistics().requests
            #expect(requests["total"] == 2 && requests["miss"] == 1)
            #expect((requests["collapsed"] ?? 0) + (requests["hit"] ?? 0) == 1)
            #expect(scene.stub.log.requests("manifests/1.0").count == 1)
        }
    }

    @Test func `one served although no longer fresh is stale`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(path)
            scene.wall.advance(by: .seconds(61))
            scene.stub.inject(.status(429), into: "manifests/")
            _ = await scene.get(path)
            _ = await scene.head(path)
            #expect(try await scene.statistics().requests == ["total": 3, "miss": 1, "stale": 2])
        }
    }

    @Test(arguments: [401, 403, 429, 500, 503], ["manifests/1.0", "blobs/\(MethodTests.digest)"])
    func `a failure is an error, also as a 404 and when it is remembered`(status: Int, rest: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.stub.inject(.status(status), into: rest)
            for method in ["GET", "HEAD"] { _ = await scene.send(method, "\(Scene.alpine)/\(rest)") }
            #expect(try await scene.statistics().requests == ["total": 2, "error": 2])
        }
    }

    @Test(
        arguments: [
            "/v2/library/alpine/manifests/-x", "/v2/library/alpine/manifests/", "/v2/library/alpine/blobs/sha256:x",
            "/v2/UPPER/manifests/1.0", "/v2/UPPER/blobs/\(MethodTests.digest)", "/v2/ours/app/manifests/1.0",
            "/v2/ours/app/blobs/\(MethodTests.digest)",
        ]) func `our own 4xx is an error`(path: String) async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            _ = await scene.get(path)
            _ = await scene.head(path)
            #expect(try await scene.statistics().requests == ["total": 2, "error": 2])
        }
    }

    @Test func `an upstream that is none, and a loop, are errors`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            _ = await scene.get(path, query: "ns=evil.example")
            _ = await scene.get(path, ["Via": "1.1 wharf-test"])
            #expect(try await scene.statistics().requests == ["total": 2, "error": 2])
        }
    }

    @Test func `what is no pull is not counted`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            for path in [
                "/", "/v2/", "/livez", "/readyz", "/stats", "/v2/_catalog", "/v2/nothing", "/v2/UPPER/tags/list",
                "/v2/library/alpine/tags/list", "/v2/library/alpine/referrers/x", "/v2/ours/app/tags/list",
                "/v2/library/alpine/referrers/\(MethodTests.digest)", "/v2/library/alpine/blobs/uploads/",
            ] { _ = await scene.get(path) }
            for method in ["POST", "PUT", "DELETE"] { _ = await scene.send(method, path) }
            _ = await scene.get("/v2/library/alpine/tags/list", query: "ns=evil.example")
            #expect(try await scene.statistics().requests == [:])
        }
    }

    @Test func `the hit ratio leaves the errors out`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(path)  // miss
            _ = await scene.get(path)  // hit
            scene.wall.advance(by: .seconds(61))
            _ = await scene.get(path)  // revalidated
            _ = await scene.get("\(Scene.alpine)/manifests/-x")  // error
            scene.wall.advance(by: .seconds(61))
            scene.stub.inject(.status(500), into: "manifests/")
            _ = await scene.get(path)  // stale
            let view = try await scene.statistics()
            #expect(view.requests == ["total": 5, "miss": 1, "hit": 1, "revalidated": 1, "error": 1, "stale": 1])
            #expect(view.number("hit_ratio") == 0.75)
        }
    }
}

@Suite("/stats: bytes") struct ByteCountTests {
    @Test func `a miss is from the upstream, a hit from the store`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let path = scene.blob(100_000).path
            try await scene.pull(path)
            var view = try await scene.statistics()
            #expect(view.bytes == ["to_clients": 100_000, "from_upstream": 100_000])
            #expect(view.number("bytes_saved") == 0 && view.number("byte_hit_ratio") == 0)
            for _ in 0..<3 { try await scene.pull(path) }
            view = try await scene.statistics()
            #expect(view.bytes == ["to_clients": 400_000, "from_upstream": 100_000, "from_store": 300_000])
            #expect(view.number("bytes_saved") == 300_000)
            #expect(view.number("byte_hit_ratio") == 0.75)
        }
    }

    @Test func `who follows another's transfer reads the store`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(300_000)
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "\(blob.digest)")
            async let first = scene.get(path)
            await scene.stub.wait { $0.held == 1 }
            gate.open()
            let began = await first
            let joined = await scene.get(path)
            #expect(try await joined.bytes() == blob.bytes)
            #expect(try await began.bytes() == blob.bytes)
            let view = try await scene.statistics()
            #expect(view.bytes == ["to_clients": 600_000, "from_upstream": 300_000, "from_store": 300_000])
        }
    }

    @Test func `a range counts what it sends`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let path = scene.blob(100_000).path
            try await scene.pull(path)
            _ = try await scene.get(path, ["Range": "bytes=10-19"]).bytes()
            #expect(try await scene.statistics().bytes["from_store"] == 10)
        }
    }

    @Test func `manifests count, errors, tags and HEAD do not`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let count = scene.image().manifest.bytes.count
            let path = ManifestTests.path
            _ = try await scene.get(path).bytes()
            #expect(try await scene.statistics().bytes == ["to_clients": count, "from_upstream": count])
            _ = try await scene.get(path).bytes()
            let expected = ["to_clients": 2 * count, "from_upstream": count, "from_store": count]
            #expect(try await scene.statistics().bytes == expected)
            _ = try await scene.head(path).bytes()
            _ = try await scene.get(path, ["If-None-Match": "*"]).bytes()
            _ = try await scene.get("\(Scene.alpine)/manifests/none").bytes()
            _ = try await scene.get("\(Scene.alpine)/blobs/\(MethodTests.digest)").bytes()
            _ = try await scene.get("\(Scene.alpine)/tags/list").bytes()
            #expect(try await scene.statistics().bytes == expected)
        }
    }

    @Test func `bytes that the upstream sent for a transfer that failed were received all the same`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(60_000)
            scene.stub.inject(.corrupt(at: 0), into: "\(blob.digest)")
            _ = await scene.get(path)
            await scene.cache.settle()
            #expect(try await scene.statistics().bytes == ["from_upstream": 60_000])
        }
    }
}
