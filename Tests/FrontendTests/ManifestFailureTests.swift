// end-3 when there is no manifest to serve: every failure told as what it is.

import HTTPServer
import OCI
import TestSupport
import Testing

@Suite("end-3: a manifest that cannot be had") struct ManifestFailureTests {
    static let path = ManifestTests.path

    @Test func `is 404 MANIFEST_UNKNOWN when the upstream has none, and that is remembered`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get(Self.path)
            #expect(reply.status == 404)
            #expect(try await reply.error()?.code == "MANIFEST_UNKNOWN")
            #expect(reply["Proxy-Status"] == nil)
            #expect(reply.cacheStatus == "wharf; fwd=miss; fwd-status=404")
            #expect(await scene.head(Self.path).cacheStatus == "wharf; hit; detail=negative")
            #expect(scene.stub.log.requests("manifests/").count == 1)
        }
    }

    @Test(
        arguments: [
            (upstream: 401, status: 403, code: "DENIED"), (403, 403, "DENIED"), (429, 429, "TOOMANYREQUESTS"),
            (500, 502, "UNAVAILABLE"), (502, 502, "UNAVAILABLE"), (503, 503, "UNAVAILABLE"),
            (504, 504, "UNAVAILABLE"),
        ]) func `tells the upstream's failure honestly`(
            row: (upstream: Int, status: Int, code: String)
        ) async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            scene.stub.inject(.status(row.upstream), into: "manifests/")
            for method in ["GET", "HEAD"] {
                let reply = await scene.send(method, Self.path)
                #expect(reply.status == row.status)
                #expect(reply["Proxy-Status"]?.hasPrefix("wharf; error=http_request_error") == true)
                #expect(reply["WWW-Authenticate"] == nil)
                #expect(reply["Content-Type"] == "application/json")
                #expect(try await reply.error()?.code == (method == "HEAD" ? nil : row.code))
            }
        }
    }

    @Test(arguments: [("77", "77"), (nil, "10")] as [(String?, String)])
    func `under a rate limit says when to come again`(row: (upstream: String?, field: String)) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let fields = row.upstream.map { [(name: "Retry-After", value: $0)] } ?? []
            scene.stub.inject(.status(429, body: "slow down", fields: fields), into: "manifests/")
            let reply = await scene.get(Self.path)
            #expect(reply.status == 429)
            #expect(reply["Retry-After"] == row.field)
        }
    }

    @Test func `is 502 when nobody is there`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            await scene.stub.stop()
            let reply = await scene.get(Self.path)
            #expect(reply.status == 502)
            #expect(reply["Proxy-Status"]?.hasPrefix("wharf; error=connection_refused") == true)
            #expect(try await reply.error()?.code == "UNAVAILABLE")
        }
    }

    @Test func `is 504 when the upstream hangs, after the first-byte timeout`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "manifests/")
            async let waiting = scene.get(Self.path)
            await scene.stub.wait { $0.held == 1 }
            await scene.clock.sleepers(1)
            scene.clock.advance(by: .seconds(15))
            let reply = await waiting
            gate.open()
            #expect(reply.status == 504)
            #expect(reply["Proxy-Status"]?.hasPrefix("wharf; error=http_response_timeout") == true)
        }
    }

    @Test func `is 503 when the mirror is offline`() async throws {
        try await Scene.run(offline: true) { (scene: Scene) async throws in
            let reply = await scene.get(Self.path)
            #expect(reply.status == 503)
            #expect(try await reply.error()?.message.contains("offline") == true)
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `is 508 when the request has been here before`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            for rest in ["manifests/1.0", "blobs/\(MethodTests.digest)"] {
                let reply = await scene.get("\(Scene.alpine)/\(rest)", ["Via": "1.1 proxy, 1.1 wharf-test"])
                #expect(reply.status == 508)
                #expect(reply["Proxy-Status"]?.hasPrefix("wharf; error=proxy_loop_detected") == true)
                #expect(reply.cacheStatus != nil)
            }
            #expect(scene.stub.log.requests.isEmpty)
            #expect(await scene.get(Self.path, ["Via": "1.1 wharf-test2, HTTP/1.1 squid"]).status == 200)
        }
    }

    @Test func `is 508 when the answer has been here before`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            scene.stub.inject(.fields([(name: "Via", value: "1.1 wharf-test")]), into: "manifests/")
            let reply = await scene.get(Self.path)
            #expect(reply.status == 508)
            #expect(try await reply.error()?.code == "UNAVAILABLE")
        }
    }

    @Test func `is 502 when what came is no manifest`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            for (tag, bytes) in [("text", "not json"), ("array", "[]"), ("both", "{\"manifests\":[],\"layers\":[]}")] {
                scene.stub.add(manifest: TestBlob(Array(bytes.utf8), .ociManifest), to: "library/alpine", tag: tag)
                let reply = await scene.get("\(Scene.alpine)/manifests/\(tag)")
                #expect(reply.status == 502)
                #expect(reply["Proxy-Status"]?.hasPrefix("wharf; error=http_protocol_error") == true)
            }
        }
    }

    @Test func `is 502 when it is a captive portal's page or does not match its digest`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            scene.stub.inject(.corrupt(at: 5), into: "manifests/", method: "GET", times: 1)
            #expect(await scene.get("\(Scene.alpine)/manifests/\(image.manifest.digest)").status == 502)
            scene.stub.inject(.html, into: "manifests/")
            #expect(await scene.get(Self.path).status == 502)
        }
    }

    @Test func `is 404 MANIFEST_UNKNOWN naming schema 1 where only that is there`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let text = "{\"schemaVersion\":1,\"name\":\"a\",\"tag\":\"1.0\",\"fsLayers\":[],\"history\":[]}"
            let type = MediaType(rawValue: "application/vnd.docker.distribution.manifest.v1+json")
            scene.stub.add(manifest: TestBlob(Array(text.utf8), type), to: "library/alpine", tag: "1.0")
            let reply = await scene.get(Self.path)
            #expect(reply.status == 404)
            let error = try await reply.error()
            #expect(error?.code == "MANIFEST_UNKNOWN")
            #expect(error?.message.contains("schema 1") == true)
        }
    }
}
