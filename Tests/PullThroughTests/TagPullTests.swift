// end-3 by tag through the cache: what lies around the table of Decision.swift, whose rows are in TagTableTests.

import HTTPSemantics
import OCI
import Store
import TestSupport
import Testing

@testable import PullThrough

private let tag = Tag("1.0")!  // a literal of the grammar

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
