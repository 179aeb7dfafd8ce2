// `/livez` and `/readyz`: whether the process lives and can serve, whatever the upstreams do.

import Frontend
import Glibc
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

    /// Nothing is known, nothing can be written down, and everybody gets his bytes.
    @Test func `without a database pulls go straight through`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            try await pull(image, scene)
            scene.closeDatabase()
            for _ in 0..<2 { try await pull(image, scene) }
        }
    }

    @Test func `while the disk cannot be written pulls go straight through, and readiness tells of it`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let ingest = scene.directory.path("data/ingest")
            let old = scene.image(tag: "old", seed: 7)
            try await pull(old, scene, tag: "old")
            rename(ingest, ingest + ".away")
            #expect(close(creat(ingest, 0o644)) == 0)
            let image = scene.image()
            for _ in 0..<2 { try await pull(image, scene) }
            try await pull(old, scene, tag: "old")
            let reply = await scene.get("/readyz")
            #expect(reply.status == 200)
            let amiss = try #require(try await reply.json()["amiss"] as? [String])
            #expect(amiss.count == 1 && amiss[0].contains("cannot be written"))
        }
    }

    private func pull(_ image: TestImage, _ scene: Scene, tag: String = "1.0") async throws {
        let repository = Scene.alpine
        #expect(try await scene.pull("\(repository)/manifests/\(tag)") == image.manifest.bytes)
        #expect(try await scene.pull("\(repository)/manifests/\(image.manifest.digest)") == image.manifest.bytes)
        for blob in image.blobs {
            #expect(await scene.head("\(repository)/blobs/\(blob.digest)").status == 200)
            #expect(try await scene.pull("\(repository)/blobs/\(blob.digest)") == blob.bytes)
            let reply = await scene.get("\(repository)/blobs/\(blob.digest)", ["Range": "bytes=1-5"])
            #expect(reply.status == 206)
            #expect(try await reply.bytes() == Array(blob.bytes[1...5]))
        }
    }

    @Test func `liveness is told on the event loop`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            #expect(scene.responder.ready(.of("GET", "/livez")) != nil)
        }
    }
}
