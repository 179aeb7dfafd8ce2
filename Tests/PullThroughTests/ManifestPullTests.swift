// end-3 by digest through the cache: immutable, and served only where it is linked.

import HTTPSemantics
import OCI
import Store
import TestSupport
import Testing

@testable import PullThrough

private let tag = Tag("1.0")!  // a literal of the grammar

@Suite("Manifests by digest") struct ManifestPullTests {
    @Test func `a manifest is fetched once, byte for byte`() async throws {
        try await Scene.run(StubOptions(authentication: .bearer())) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = scene.stub.add(builder.image(), to: "library/alpine")
            let first = try await scene.manifest(.digest(image.manifest.digest), in: Scene.alpine)
            #expect(first.content.bytes == image.manifest.bytes)
            #expect(first.content.mediaType == .ociManifest)
            #expect(first.status.requestClass == .miss)
            let second = try await scene.manifest(.digest(image.manifest.digest), in: Scene.alpine)
            #expect(second.status == .hit)
            #expect(second.content.bytes == image.manifest.bytes)
        }
    }

    @Test func `an index's child is served in every repository that serves the index`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let index = builder.index()
            scene.stub.add(index, to: "library/alpine", tag: "1.0")
            scene.stub.add(index, to: "acme/app", tag: "1.0")
            let child = index.images[0]
            _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            _ = try await scene.manifest(.digest(child.manifest.digest), in: Scene.alpine)
            _ = try await scene.blob(child.layers[0].digest, in: Scene.alpine).reader.bytes()
            await scene.cache.settle()
            _ = try await scene.manifest(.tag(tag), in: Scene.other)
            scene.stub.clearLog()
            #expect(try await scene.manifest(.digest(child.manifest.digest), in: Scene.other).status == .hit)
            #expect(try await scene.blob(child.layers[0].digest, in: Scene.other).status == .hit)
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `one that is stored for another repository costs a HEAD`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = builder.image()
            scene.stub.add(image, to: "library/alpine")
            scene.stub.add(image, to: "acme/app")
            _ = try await scene.manifest(.digest(image.manifest.digest), in: Scene.alpine)
            let answer = try await scene.manifest(.digest(image.manifest.digest), in: Scene.other)
            #expect(answer.content.bytes == image.manifest.bytes)
            #expect(scene.asked("acme/app/manifests", "HEAD") == 1)
            #expect(scene.asked("acme/app/manifests", "GET") == 0)
        }
    }

    @Test(arguments: [
        "[]", "not json", "<html>", "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}",
        "{\"schemaVersion\":2,\"pad\":\"" + String(repeating: "x", count: 4 << 20) + "\"}",
    ]) func `what is no manifest is refused`(text: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let manifest = scene.stub.add(
                manifest: TestBlob(Array(text.utf8), .ociManifest), to: "library/alpine", tag: "1.0")
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.manifest(.digest(manifest.digest), in: Scene.alpine)
            }
            guard case .unusable = refused?.error else { return #expect(Bool(false), "\(String(describing: refused))") }
            #expect(await scene.figures().storage.manifests == 0)
        }
    }

    @Test func `schema 1 is refused by name`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let text = "{\"schemaVersion\":1,\"name\":\"a\",\"fsLayers\":[]}"
            let manifest = scene.stub.add(
                manifest: TestBlob(Array(text.utf8), .dockerSchema1), to: "library/alpine", tag: "1.0")
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.manifest(.digest(manifest.digest), in: Scene.alpine)
            }
            #expect(refused?.error == .schema1)
        }
    }

    @Test func `a manifest with a wrong byte is refused, and the next request heals`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = scene.stub.add(builder.image(), to: "library/alpine")
            let digest = image.manifest.digest
            scene.stub.inject(.corrupt(at: 20), into: "\(digest)", times: 1)
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.manifest(.digest(digest), in: Scene.alpine)
            }
            guard case .unusable = refused?.error else { return #expect(Bool(false), "\(String(describing: refused))") }
            let answer = try await scene.manifest(.digest(digest), in: Scene.alpine)
            #expect(answer.content.bytes == image.manifest.bytes)
        }
    }
}
