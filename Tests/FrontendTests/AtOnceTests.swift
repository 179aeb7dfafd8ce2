// What is answered on the event loop from memory, and that it is the same answer.

import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough
import Store
import TestSupport
import Testing

@testable import Frontend

@Suite("Answers from memory") struct AtOnceTests {
    private static let names = [
        "Content-Type", "Content-Length", "Docker-Content-Digest", "ETag", "Docker-Distribution-Api-Version", "Age",
        "Cache-Status", "OCI-Namespace",
    ]

    @Test(arguments: ["GET", "HEAD"], [nil, "ns=ghcr.io"])
    func `the third answer is the second, with its head made before`(method: String, query: String?) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            var builder = ImageBuilder(seed: 9)
            let elsewhere = scene.other.add(builder.image(), to: "library/alpine", tag: "1.0")
            let right = query == nil ? image : elsewhere
            for path in [ManifestTests.path, "\(Scene.alpine)/manifests/\(right.manifest.digest)"] {
                // Fetched; read from the disk; kept in memory, and with it what the path means.
                for _ in 0..<3 { #expect(try await scene.send(method, path, query: query).bytes().count >= 0) }
                let request = scene.request(method, path, query: query)
                let known = await scene.send(method, path, query: query)
                let reply = Reply(try #require(scene.responder.ready(request)), isHead: method == "HEAD")
                #expect(reply.response.prepared != nil)
                for name in Self.names { #expect(reply[name] == known[name], "\(name)") }
                #expect(reply["Cache-Status"] == "wharf; hit")
                #expect(reply["OCI-Namespace"] == (query == nil ? nil : "ghcr.io"))
                #expect(reply.logged("repository")?.hasSuffix("/library/alpine") == true)
                #expect(try await reply.bytes() == (method == "HEAD" ? [] : right.manifest.bytes))
            }
        }
    }

    @Test func `it counts like any hit`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            for _ in 0..<5 { _ = try await scene.get(ManifestTests.path).bytes() }
            let totals = scene.cache.statistics.totals
            #expect(totals.requests[.miss] == 1 && totals.requests[.hit] == 4)
            #expect(totals.toClients == Int64(5 * image.manifest.bytes.count))
        }
    }

    @Test func `what is gone, or for others to answer, is not said again from memory`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            func pull() async throws -> String? {
                let reply = await scene.get(ManifestTests.path)
                _ = try await reply.bytes()
                return reply.cacheStatus
            }
            for _ in 0..<4 { _ = try await pull() }
            #expect(scene.responder.ready(scene.request("GET", ManifestTests.path))?.prepared != nil)
            try await scene.store.invalidate(image.manifest.digest)
            #expect(scene.responder.ready(scene.request("GET", ManifestTests.path))?.status == nil)
            for _ in 0..<4 { _ = try await pull() }
            #expect(try await pull() == "wharf; hit")
            scene.cache.reconfigure(directory: scene.cache.directory, isOffline: false)
            #expect(scene.responder.ready(scene.request("GET", ManifestTests.path))?.prepared == nil)
        }
    }

    @Test func `who has it already is told so, and who wants the upstream asked is not answered from memory`()
        async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            for _ in 0..<3 { _ = try await scene.get(ManifestTests.path).bytes() }
            let tag = ["If-None-Match": "\"\(image.manifest.digest)\""]
            #expect(scene.responder.ready(Request.of("GET", ManifestTests.path, tag))?.status == .notModified)
            for fields in [["Cache-Control": "no-cache"], ["Via": "1.1 other"]] {
                #expect(scene.responder.ready(Request.of("GET", ManifestTests.path, fields)) == nil)
            }
        }
    }

    @Test func `a blob asked for again comes from a file that stays open, whole and in part`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            let (path, bytes) = ("\(Scene.alpine)/blobs/\(image.layers[0].digest)", image.layers[0].bytes)
            try await scene.pull(path)
            try await scene.pull(path)
            let whole = Reply(try #require(scene.responder.ready(Request.of("GET", path))))
            #expect(whole.status == 200 && whole.cacheStatus == "wharf; hit")
            #expect(try await whole.bytes() == bytes)
            let part = Reply(try #require(scene.responder.ready(Request.of("GET", path, ["Range": "bytes=1-3"]))))
            #expect(part.status == 206)
            #expect(try await part.bytes() == Array(bytes[1...3]))
            let head = Reply(try #require(scene.responder.ready(Request.of("HEAD", path))), isHead: true)
            #expect(head["Content-Length"] == "\(bytes.count)")
            let beyond = scene.responder.ready(Request.of("GET", path, ["Range": "bytes=\(bytes.count)-"]))
            #expect(beyond?.status == .rangeNotSatisfiable)
            // Another repository has to ask.
            #expect(scene.responder.ready(Request.of("GET", "/v2/acme/app/blobs/\(image.layers[0].digest)")) == nil)
        }
    }
}
