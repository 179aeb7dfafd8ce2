// end-3 through the cache: by digest for ever, by tag while it is fresh, and stale when the upstream fails.

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
            #expect(try await scene.figures().storage.manifests == 0)
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

@Suite("Tags: fresh, revalidated, stale") struct TagPullTests {
    @Test func `a tag is resolved by HEAD, fetched by digest, and asked for again only when it is no longer fresh`()
        async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            let first = try await scene.manifest(.tag(tag), in: Scene.alpine)
            #expect(first.content.bytes == image.manifest.bytes)
            #expect(first.status.requestClass == .miss)
            #expect(scene.asked("manifests/1.0", "HEAD") == 1)
            #expect(scene.asked("manifests/1.0", "GET") == 0)
            scene.wall.advance(by: .seconds(59))
            let fresh = try await scene.manifest(.tag(tag), in: Scene.alpine)
            #expect(fresh.status == .hit)
            #expect(fresh.age == 59)
            scene.wall.advance(by: .seconds(1))
            let asked = try await scene.manifest(.tag(tag), in: Scene.alpine)
            #expect(asked.status.requestClass == .revalidated)
            #expect(scene.asked("manifests/", "HEAD") == 2)
            #expect(scene.asked("manifests/", "GET") == 1)
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).status == .hit)
        }
    }

    @Test func `a tag that moved is seen when it is no longer fresh`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            let moved = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            scene.wall.advance(by: .seconds(60))
            let answer = try await scene.manifest(.tag(tag), in: Scene.alpine)
            #expect(answer.content.digest == moved.manifest.digest)
            #expect("\(answer.status)" == "wharf; fwd=stale; fwd-status=200; stored")
        }
    }

    @Test(arguments: [401, 403, 404, 408, 429, 500, 503])
    func `whatever the upstream answers, a known tag is served stale`(
        status: Int
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            scene.stub.inject(.status(status), into: "manifests/")
            scene.wall.advance(by: .seconds(61))
            let answer = try await scene.manifest(.tag(tag), in: Scene.alpine)
            #expect(answer.content.bytes == image.manifest.bytes)
            #expect(answer.status.requestClass == .stale)
            #expect(answer.staleness != nil)
            scene.stub.heal()
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).status.requestClass == .revalidated)
        }
    }

    @Test func `a new digest whose manifest cannot be had leaves the old one`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let old = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            let new = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            scene.stub.inject(.status(429), into: "\(new.manifest.digest)")
            scene.wall.advance(by: .seconds(61))
            let answer = try await scene.manifest(.tag(tag), in: Scene.alpine)
            #expect(answer.content.digest == old.manifest.digest)
            #expect(answer.status.requestClass == .stale)
        }
    }

    @Test func `with the upstream gone a tag is served until stale-if-error ends, then the truth is told`() async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            await scene.stub.stop()
            scene.wall.advance(by: .seconds(3600))
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).status.requestClass == .stale)
            scene.wall.advance(by: .seconds(61))
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.manifest(.tag(tag), in: Scene.alpine)
            }
            guard case .unreachable = refused?.error else {
                return #expect(Bool(false), "\(String(describing: refused))")
            }
        }
    }

    @Test func `many askers of one tag are one question`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "manifests/1.0")
            let collapsed = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<20 {
                    group.addTask { try await scene.manifest(.tag(tag), in: Scene.alpine).status.isCollapsed }
                }
                await scene.stub.wait { $0.held == 1 }
                gate.open()
                return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            // Whoever came after the answer found a fresh tag; nobody asked a second time.
            #expect(collapsed <= 19)
            #expect(scene.asked("manifests/1.0") == 1)
            #expect(scene.asked("manifests/", "GET") == 1)
        }
    }

    @Test func `where HEAD is refused the tag is fetched by GET`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            scene.stub.inject(.status(405), into: "manifests/", method: "HEAD")
            let answer = try await scene.manifest(.tag(tag), in: Scene.alpine)
            #expect(answer.content.bytes == image.manifest.bytes)
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).status == .hit)
        }
    }

    @Test func `a manifest that another tag brought is not fetched again`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = builder.image()
            scene.stub.add(image, to: "library/alpine", tag: "1.0")
            scene.stub.add(image, to: "library/alpine", tag: "latest")
            _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            _ = try await scene.manifest(.tag(.latest), in: Scene.alpine)
            #expect(scene.asked("manifests/", "GET") == 1)
        }
    }

    @Test func `an unknown tag is told, remembered, and forgotten`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let first = await refusal { () throws(Refusal) in
                try await scene.cache.manifest(.tag(tag), in: Scene.alpine)
            }
            guard case .unknown = first?.error else { return #expect(Bool(false), "\(String(describing: first))") }
            _ = await refusal { () throws(Refusal) in try await scene.cache.manifest(.tag(tag), in: Scene.alpine) }
            #expect(scene.asked("manifests/1.0") == 1)
            scene.wall.advance(by: .seconds(11))
            var builder = ImageBuilder()
            scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).status.requestClass == .miss)
        }
    }

    @Test func `a tag that moves between the question and the fetch is asked once more`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let (old, new) = (builder.image(), builder.image())
            scene.stub.add(new, to: "library/alpine", tag: "1.0")
            scene.stub.inject(
                .fields([("Docker-Content-Digest", "\(old.manifest.digest)")]), into: "manifests/1.0", times: 1)
            let answer = try await scene.manifest(.tag(tag), in: Scene.alpine)
            #expect(answer.content.digest == new.manifest.digest)
            #expect(scene.asked("manifests/1.0", "HEAD") == 2)
        }
    }

    @Test func `a tag that names what is not there is a failure, and is asked again`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let (old, new) = (builder.image(), builder.image())
            scene.stub.add(new, to: "library/alpine", tag: "1.0")
            scene.stub.inject(
                .fields([("Docker-Content-Digest", "\(old.manifest.digest)")]), into: "manifests/1.0", times: 2)
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.manifest(.tag(tag), in: Scene.alpine)
            }
            guard case .failed(404, _) = refused?.error else {
                return #expect(Bool(false), "\(String(describing: refused))")
            }
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).content.digest == new.manifest.digest)
        }
    }
}
