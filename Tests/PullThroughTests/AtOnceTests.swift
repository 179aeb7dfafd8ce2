// What memory answers, and until when.

import OCI
import Store
import Synchronization
import TestSupport
import Testing

@testable import PullThrough

private let tag = Tag("1.0")!  // a literal of the grammar

@Suite("At once, from memory") struct AtOnceTests {
    /// Asks until memory knows it.
    private func warm(_ scene: Scene, _ reference: Reference) async throws {
        for _ in 0..<3 { _ = try await scene.manifest(reference, in: Scene.alpine) }
    }

    private func found(_ scene: Scene, _ reference: Reference) -> StandingManifest? {
        scene.cache.manifestAtOnce(reference, in: Scene.alpine)?.standing
    }

    @Test func `what was not asked for, or not here, is not known`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            #expect(found(scene, .tag(tag)) == nil)
            try await warm(scene, .tag(tag))
            #expect(found(scene, .tag(tag))?.content.bytes == image.manifest.bytes)
            #expect(found(scene, .digest(image.manifest.digest)) != nil)
            #expect(scene.cache.manifestAtOnce(.digest(image.manifest.digest), in: Scene.other) == nil)
            #expect(scene.cache.manifestAtOnce(.tag(tag), in: Scene.other) == nil)
        }
    }

    @Test func `a tag stands while it is fresh, and grows older`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            try await warm(scene, .tag(tag))
            let standing = try #require(found(scene, .tag(tag)))
            scene.wall.advance(by: .seconds(59))
            #expect(scene.cache.answer(standing)?.age == 59)
            #expect(scene.cache.manifestAtOnce(.tag(tag), in: Scene.alpine)?.answer.age == 59)
            scene.wall.advance(by: .seconds(1))
            #expect(scene.cache.answer(standing) == nil)
            #expect(scene.cache.manifestAtOnce(.tag(tag), in: Scene.alpine) == nil)
        }
    }

    @Test func `a tag that has moved is never answered as it was`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            try await warm(scene, .tag(tag))
            let standing = try #require(found(scene, .tag(tag)))
            let moved = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            scene.wall.advance(by: .seconds(60))
            let answer = try await scene.manifest(.tag(tag), in: Scene.alpine)
            #expect(answer.content.digest == moved.manifest.digest)
            #expect(scene.cache.answer(standing) == nil)
            try await warm(scene, .tag(tag))
            #expect(found(scene, .tag(tag))?.content.digest == moved.manifest.digest)
        }
    }

    @Test func `what is forgotten is forgotten in memory`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            let digest = image.manifest.digest
            try await warm(scene, .tag(tag))
            try await warm(scene, .digest(digest))
            let known = [try #require(found(scene, .tag(tag))), try #require(found(scene, .digest(digest)))]
            try await scene.store.invalidate(digest)
            for standing in known { #expect(scene.cache.answer(standing) == nil) }
            for reference in [Reference.tag(tag), .digest(digest)] { #expect(found(scene, reference) == nil) }
        }
    }

    @Test func `other upstreams make everything to be looked at again`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            try await warm(scene, .digest(image.manifest.digest))
            let standing = try #require(found(scene, .digest(image.manifest.digest)))
            scene.cache.reconfigure(directory: scene.cache.directory, isOffline: true)
            #expect(scene.cache.answer(standing) == nil)
        }
    }

    @Test func `a use is told once a second`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            try await warm(scene, .tag(tag))
            let content = try #require(found(scene, .tag(tag))).content
            let last = Atomic<Int64>(0)
            scene.cache.used(content, last: last)
            let first = last.load(ordering: .relaxed)
            scene.wall.advance(by: .milliseconds(999))
            scene.cache.used(content, last: last)
            #expect(last.load(ordering: .relaxed) == first)
            scene.wall.advance(by: .milliseconds(1))
            scene.cache.used(content, last: last)
            #expect(last.load(ordering: .relaxed) == first + 1000)
            #expect(content.digest == image.manifest.digest)
        }
    }
}
