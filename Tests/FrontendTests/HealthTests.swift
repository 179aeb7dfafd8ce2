// `/livez` and `/readyz`: whether the process lives and can serve, whatever the upstreams do.

import Frontend
import HTTPServer
import TestSupport
import Testing

@Suite("/livez and /readyz") struct HealthTests {
    @Test(arguments: ["/livez", "/readyz"], ["GET", "HEAD"]) func `they are 200 with every upstream gone`(
        path: String, method: String
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            await scene.stub.stop()
            await scene.other.stop()
            _ = await scene.get(ManifestTests.path)
            let reply = await scene.send(method, path)
            #expect(reply.status == 200)
            #expect(reply["Content-Type"] == "application/json")
            if method == "GET" { #expect(try await reply.json()["status"] as? String == "ok") }
        }
    }

    @Test func `readiness ends when the store cannot be read, liveness does not`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.closeDatabase()
            let reply = await scene.get("/readyz")
            #expect(reply.status == 503)
            #expect(try await reply.json()["amiss"] as? [String] == ["the store cannot be read"])
            #expect(await scene.get("/livez").status == 200)
        }
    }

    @Test func `liveness is told on the event loop`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            #expect(scene.responder.ready(.of("GET", "/livez")) != nil)
        }
    }
}
