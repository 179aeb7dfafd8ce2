// How old a tag is, whatever is done to the time of day; whose freshness a tag has; and what a minute of pulls costs.

import HTTPSemantics
import OCI
import Store
import Synchronization
import TestSupport
import Testing

@testable import PullThrough

private let tag = Tag("1.0")!  // a literal of the grammar
private let day = Duration.seconds(86_400)

@Suite("Freshness and clocks") struct TagTimeTests {
    private func stored(_ body: (Scene, TestImage) async throws -> Void) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            scene.stub.clearLog()
            try await body(scene, image)
        }
    }

    @Test(arguments: [day, .zero - day]) func `a clock that is set makes no tag older or younger`(
        step: Duration
    ) async throws {
        try await stored { (scene: Scene, _: TestImage) async throws in
            scene.wall.advance(by: .seconds(30))
            scene.wall.set(by: step)
            let answer = try await scene.manifest(.tag(tag), in: Scene.alpine)
            #expect(answer.status == .hit && answer.age == 30)
            scene.wall.advance(by: .seconds(30))
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).status.requestClass == .revalidated)
            scene.wall.set(by: .zero - step)
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).status == .hit)
            #expect(scene.asked("manifests/") == 1)
        }
    }

    @Test(arguments: [day, .zero - day]) func `nor one that an earlier run has learnt`(step: Duration) async throws {
        try await stored { (scene: Scene, _: TestImage) async throws in
            scene.wall.advance(by: .seconds(30))
            let next = scene.restarted()
            #expect(try await next.manifest(.tag(tag), in: Scene.alpine).age == 30)
            scene.wall.set(by: step)
            #expect(try await next.manifest(.tag(tag), in: Scene.alpine).age == 30)
            scene.wall.advance(by: .seconds(30))
            #expect(try await next.manifest(.tag(tag), in: Scene.alpine).status.requestClass == .revalidated)
        }
    }

    @Test func `one that was learnt in the future is asked about once, and served stale meanwhile`() async throws {
        try await stored { (scene: Scene, image: TestImage) async throws in
            scene.wall.set(by: .zero - day)
            let next = scene.restarted()
            scene.stub.inject(.status(503), into: "manifests/")
            let answer = try await next.manifest(.tag(tag), in: Scene.alpine)
            #expect(answer.status.requestClass == .stale && answer.content.bytes == image.manifest.bytes)
            #expect(answer.age == 0)
            scene.stub.heal()
            scene.stub.clearLog()
            #expect(try await next.manifest(.tag(tag), in: Scene.alpine).status.requestClass == .revalidated)
            for _ in 0..<5 { #expect(try await next.manifest(.tag(tag), in: Scene.alpine).status == .hit) }
            #expect(scene.asked("manifests/") == 1)
        }
    }

    @Test func `freshness is shortened by the jitter of each confirmation, and by no more`() {
        let clock = ManualClock()
        let start = clock.now
        let memory = TagMemory(uptime: { start.duration(to: clock.now) }, jitter: { 0.05 })
        let key = TagMemory.Key(repository: Scene.alpine, tag: tag)
        #expect(!memory.confirmed(key, Digest.of([1])))
        let row = StoredTag(digest: Digest.of([1]), checkedAt: 0, isStored: true)
        clock.advance(by: .milliseconds(1500))
        #expect(memory.known(key, row, at: 77) == KnownTag(digest: Digest.of([1]), age: 1500, jitter: 0.05))
        // Another digest is another matter, and what is not stored is none.
        let other = StoredTag(digest: Digest.of([2]), checkedAt: 70, isStored: true)
        #expect(memory.known(key, other, at: 77) == KnownTag(digest: Digest.of([2]), age: 7, jitter: 0.05))
        #expect(memory.known(key, StoredTag(digest: Digest.of([2]), checkedAt: 70, isStored: false), at: 77) == nil)
    }

    @Test func `a clock that goes back though none may freezes no tag`() {
        let clock = Mutex(Duration.seconds(100_000))
        let memory = TagMemory(uptime: { clock.withLock { $0 } }, jitter: { 0 })
        let key = TagMemory.Key(repository: Scene.alpine, tag: tag)
        let row = StoredTag(digest: Digest.of([1]), checkedAt: 0, isStored: true)
        _ = memory.confirmed(key, Digest.of([1]))
        #expect(memory.known(key, row, at: 0)?.age == 0)
        clock.withLock { $0 = .seconds(13_600) }
        let known = memory.known(key, row, at: 0)
        #expect(known != nil && known?.age == nil)
        _ = memory.confirmed(key, Digest.of([1]))
        #expect(memory.known(key, row, at: 0)?.age == 0)
    }

    @Test func `that a tag is served stale is told once, until it is confirmed`() {
        let memory = TagMemory(uptime: { .zero }, jitter: { 0 })
        let key = TagMemory.Key(repository: Scene.alpine, tag: tag)
        _ = memory.confirmed(key, Digest.of([1]))
        let told = (0..<3).map { _ in memory.servedStale(key) }
        #expect(told == [true, false, false])
        let confirmed = (0..<2).map { _ in memory.confirmed(key, Digest.of([1])) }
        #expect(confirmed == [true, false])
        #expect(memory.servedStale(key))
    }
}

@Suite("Freshness by pattern") struct TagPolicyTests {
    @Test func `a tag has the policy of its own where there is one`() async throws {
        let nightly = FreshnessPolicy.usual.with { $0.freshFor = 5000 }
        let policies: @Sendable (RepositoryName, OCI.Tag) -> FreshnessPolicy? = { name, tag in
            "\(name)" == "library/alpine" && "\(tag)".hasSuffix("-nightly") ? nightly : nil
        }
        try await Scene.run(tagPolicy: policies) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = builder.image()
            let other = Tag("1-nightly")!  // grammatical
            for name in ["library/alpine", "acme/app"] {
                for tag in ["1.0", "1-nightly"] { scene.stub.add(image, to: name, tag: tag) }
            }
            let pulls = [Scene.alpine, Scene.other].flatMap { name in [tag, other].map { (name, $0) } }
            for (name, tag) in pulls { _ = try await scene.manifest(.tag(tag), in: name) }
            scene.wall.advance(by: .seconds(5))
            for (name, pulled) in pulls {
                let answer = try await scene.manifest(.tag(pulled), in: name)
                let isAsked = name == Scene.alpine && pulled == other
                #expect(answer.status.requestClass == (isAsked ? .revalidated : .hit))
            }
        }
    }

    @Test func `an unknown tag is remembered for as long as its own policy says`() async throws {
        let short = FreshnessPolicy.usual.with { $0.negativeFor = 2000 }
        try await Scene.run(tagPolicy: { _, _ in short }) { (scene: Scene) async throws in
            for _ in 0..<2 {
                _ = await refusal { () throws(Refusal) in try await scene.cache.manifest(.tag(tag), in: Scene.alpine) }
            }
            #expect(scene.asked("manifests/") == 1)
            scene.wall.advance(by: .seconds(2))
            _ = await refusal { () throws(Refusal) in try await scene.cache.manifest(.tag(tag), in: Scene.alpine) }
            #expect(scene.asked("manifests/") == 2)
        }
    }

    @Test func `a thousand pulls of one warm tag in a minute cost two HEADs at most`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            scene.stub.clearLog()
            for _ in 0..<1000 {
                scene.wall.advance(by: .milliseconds(60))
                _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            }
            #expect((1...2).contains(scene.asked("manifests/", "HEAD")))
            #expect(scene.asked("manifests/", "GET") == 0)
        }
    }
}
