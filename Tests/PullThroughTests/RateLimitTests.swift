// When an upstream lets nothing be pulled any more: what is stored is served, and only what is not costs a GET.

import HTTPSemantics
import OCI
import Store
import TestSupport
import Testing
import Upstream

@testable import PullThrough

private let tag = Tag("1.0")!  // a literal of the grammar

@Suite("A spent rate limit") struct RateLimitTests {
    private static let spent = StubFault.fields([
        ("RateLimit-Limit", "100;w=21600"), ("RateLimit-Remaining", "0;w=21600"),
    ])
    private static let some = StubFault.fields([
        ("RateLimit-Limit", "100;w=21600"), ("RateLimit-Remaining", "9;w=21600"),
    ])

    /// A stored tag that is no longer fresh, of an upstream that has said that nothing remains.
    private func run(_ body: (Scene, TestImage) async throws -> Void) async throws {
        let policy = FreshnessPolicy.usual.with { ($0.freshFor, $0.staleIfError) = (5000, 86_400_000) }
        try await Scene.run(policy: policy) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            scene.stub.inject(Self.spent, into: "/manifests/", times: 2)
            _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            #expect(await scene.figures().endpoints[0].rateLimit?.remaining == 0)
            #expect(await scene.figures().endpoints[0].isSpent == true)
            scene.wall.advance(by: .seconds(61))
            scene.stub.clearLog()
            try await body(scene, image)
        }
    }

    @Test func `a stored tag is served, and a HEAD a minute looks for the end`() async throws {
        try await run { (scene: Scene, image: TestImage) async throws in
            scene.stub.inject(Self.spent, into: "/manifests/")
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).status.isUnchanged)  // the minute's HEAD
            for _ in 0..<5 {
                scene.wall.advance(by: .seconds(10))
                let answer = try await scene.manifest(.tag(tag), in: Scene.alpine)
                #expect(answer.status.isStale && answer.status.detail == "stale-if-error")
                #expect(answer.content.digest == image.manifest.digest)
                #expect(answer.staleness != nil)
            }
            #expect(scene.asked("/manifests/", "HEAD") == 1)
            scene.wall.advance(by: .seconds(10))
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).status.isUnchanged)
            #expect(scene.asked("/manifests/", "HEAD") == 2)
            #expect(scene.asked("/manifests/", "GET") == 0)
        }
    }

    @Test func `a tag that moved waits until something remains`() async throws {
        try await run { (scene: Scene, image: TestImage) async throws in
            var builder = ImageBuilder(seed: 7)
            let newer = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            scene.stub.inject(Self.spent, into: "/manifests/", times: 1)
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).content.digest == image.manifest.digest)
            #expect(scene.asked("/manifests/", "GET") == 0)
            scene.stub.inject(Self.some, into: "/manifests/")
            scene.clock.advance(by: .seconds(60))
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).content.digest == newer.manifest.digest)
            #expect(scene.asked("/manifests/", "GET") == 1)
            #expect(await scene.figures().endpoints[0].isSpent == false)
        }
    }

    @Test func `what is not stored is asked for all the same, and the refusal is told as it is`() async throws {
        try await run { (scene: Scene, _: TestImage) async throws in
            var builder = ImageBuilder(seed: 8)
            let image = scene.stub.add(builder.image(), to: "acme/app", tag: "1.0")
            scene.stub.inject(Self.spent, into: "/manifests/")
            #expect(try await scene.manifest(.tag(tag), in: Scene.other).content.digest == image.manifest.digest)
            #expect(scene.asked("/manifests/", "GET") == 1)
            scene.stub.inject(.status(429, fields: [("Retry-After", "3600")]), into: "/manifests/2.0")
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.manifest(.tag(Tag("2.0")!), in: Scene.other)  // grammatical
            }
            guard case .rateLimited(.seconds(3600), _) = refused?.error else {
                return #expect(Bool(false), "\(String(describing: refused))")
            }
        }
    }

    @Test func `a 429 ends when its time is over`() async throws {
        try await run { (scene: Scene, image: TestImage) async throws in
            scene.stub.inject(.status(429, fields: [("Retry-After", "600")]), into: "/manifests/", times: 1)
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).status.isStale)
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).status.isStale)
            #expect(scene.asked("/manifests/") == 1)
            scene.wall.advance(by: .seconds(600))
            let answer = try await scene.manifest(.tag(tag), in: Scene.alpine)
            #expect(answer.status.isUnchanged)
            #expect(answer.content.digest == image.manifest.digest)
        }
    }

    @Test func `an hour of 429 is not noticed by who pulls what is stored, and told to others`() async throws {
        try await run { (scene: Scene, image: TestImage) async throws in
            scene.stub.inject(.status(429, fields: [("Retry-After", "3600")]), into: "/manifests/")
            for _ in 0..<360 {
                scene.wall.advance(by: .seconds(10))
                let answer = try await scene.manifest(.tag(tag), in: Scene.alpine)
                #expect(answer.content.bytes == image.manifest.bytes && answer.staleness != nil)
            }
            #expect((1...61).contains(scene.asked("/manifests/", "HEAD")))
            #expect(scene.asked("/manifests/", "GET") == 0)
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.manifest(.tag(tag), in: Scene.other)
            }
            guard case .rateLimited(let delay?, _) = refused?.error else {
                return #expect(Bool(false), "\(String(describing: refused))")
            }
            #expect(delay > .zero && delay <= .seconds(3600))
        }
    }

    @Test func `it is over, too, when a tag that has not moved is answered without numbers`() async throws {
        try await run { (scene: Scene, _: TestImage) async throws in
            scene.stub.inject(.status(304), into: "/manifests/")
            #expect(try await scene.manifest(.tag(tag), in: Scene.alpine).status.isUnchanged)
            #expect(await scene.figures().endpoints[0].isSpent == false)
        }
    }

    @Test func `who must know asks all the same`() async throws {
        try await run { (scene: Scene, image: TestImage) async throws in
            scene.stub.inject(Self.spent, into: "/manifests/")
            for _ in 0..<3 {
                let answer = try await scene.cache.manifest(.tag(tag), in: Scene.alpine, mustAsk: true)
                #expect(answer.status.isUnchanged && answer.content.bytes == image.manifest.bytes)
            }
            #expect(scene.asked("/manifests/", "HEAD") == 3 && scene.asked("/manifests/", "GET") == 0)
        }
    }
}
