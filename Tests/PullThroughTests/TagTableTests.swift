// Each row of the table at the head of Decision.swift, against a registry and by a clock that the test turns.

import HTTPSemantics
import OCI
import TestSupport
import Testing

@testable import PullThrough

private let tag = Tag("1.0")!  // a literal of the grammar
private let tagPath = "manifests/1.0"

/// A scene in which the tag is stored, so many seconds old, and what was asked for that is forgotten.
private func aged(
    _ seconds: Int, _ policy: FreshnessPolicy = .usual,
    _ body: (Scene, TestImage) async throws -> Void
) async throws {
    try await Scene.run(policy: policy) { (scene: Scene) async throws in
        var builder = ImageBuilder()
        let image = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
        _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
        scene.wall.advance(by: .seconds(seconds))
        scene.stub.clearLog()
        try await body(scene, image)
    }
}

extension Scene {
    fileprivate func pull(mustAsk: Bool = false) async throws -> ManifestAnswer {
        try await cache.manifest(.tag(tag), in: Self.alpine, mustAsk: mustAsk)
    }

    fileprivate func refused(mustAsk: Bool = false) async -> PullThroughError? {
        await refusal { () throws(Refusal) in
            try await cache.manifest(.tag(tag), in: Self.alpine, mustAsk: mustAsk)
        }?.error
    }

    /// The tag names another image from now on.
    @discardableResult
    fileprivate func move(seed: UInt64 = 7) -> TestImage {
        var builder = ImageBuilder(seed: seed)
        return stub.add(builder.image(), to: "library/alpine", tag: "1.0")
    }
}

@Suite("The table: stored and not asked") struct UnaskedTagTests {
    @Test func `fresh: served, and nobody is asked`() async throws {
        try await aged(59) { (scene: Scene, image: TestImage) async throws in
            let answer = try await scene.pull()
            #expect(answer.status == .hit && answer.age == 59 && answer.staleness == nil)
            #expect(answer.content.bytes == image.manifest.bytes)
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `immutable: served for ever, whatever the upstream has now, and to whom it may concern`() async throws {
        try await aged(400 * 86_400, .usual.with { $0.isImmutable = true }) {
            (scene: Scene, image: TestImage) async throws in
            scene.move()
            scene.wall.set(by: .seconds(-86_400))
            for mustAsk in [false, true] {
                let answer = try await scene.pull(mustAsk: mustAsk)
                #expect(answer.status == .hit && answer.content.bytes == image.manifest.bytes)
            }
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `within stale-while-revalidate: served at once, one HEAD in the background`() async throws {
        let policy = FreshnessPolicy.usual.with { $0.staleWhileRevalidate = 30_000 }
        try await aged(61, policy) { (scene: Scene, image: TestImage) async throws in
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: tagPath)
            for _ in 0..<20 {
                let answer = try await scene.pull()
                #expect("\(answer.status)" == "wharf; hit; detail=stale-while-revalidate")
                #expect(answer.age == 61 && answer.content.bytes == image.manifest.bytes)
            }
            await scene.stub.wait { $0.held == 1 }
            gate.open()
            await scene.settled()
            #expect(try await scene.pull().status == .hit)
            #expect(scene.asked("manifests/", "HEAD") == 1 && scene.asked("manifests/", "GET") == 0)
        }
    }

    @Test func `within it a tag that moved is there for the next`() async throws {
        let policy = FreshnessPolicy.usual.with { $0.staleWhileRevalidate = 30_000 }
        try await aged(61, policy) { (scene: Scene, image: TestImage) async throws in
            let moved = scene.move()
            #expect(try await scene.pull().content.digest == image.manifest.digest)
            await scene.settled()
            let next = try await scene.pull()
            #expect(next.status == .hit && next.content.digest == moved.manifest.digest)
        }
    }

    @Test func `older: asked`() async throws {
        let policy = FreshnessPolicy.usual.with { $0.staleWhileRevalidate = 30_000 }
        try await aged(90, policy) { (scene: Scene, _: TestImage) async throws in
            #expect(try await scene.pull().status.requestClass == .revalidated)
            #expect(scene.asked(tagPath, "HEAD") == 1)
        }
    }

    @Test func `fresh, and must be asked: asked`() async throws {
        try await aged(1) { (scene: Scene, image: TestImage) async throws in
            let answer = try await scene.pull(mustAsk: true)
            #expect("\(answer.status)" == "wharf; fwd=request; fwd-status=200")
            #expect(answer.status.requestClass == .revalidated && answer.content.bytes == image.manifest.bytes)
            let moved = scene.move()
            #expect(try await scene.pull().content.digest == image.manifest.digest)
            #expect(try await scene.pull(mustAsk: true).content.digest == moved.manifest.digest)
        }
    }

    @Test func `offline: served however old, and nobody is asked`() async throws {
        try await aged(400 * 86_400) { (scene: Scene, image: TestImage) async throws in
            let offline = scene.restarted(offline: true)
            let answer = try await offline.manifest(.tag(tag), in: Scene.alpine, mustAsk: true)
            #expect("\(answer.status)" == "wharf; hit; detail=offline")
            #expect(answer.content.bytes == image.manifest.bytes && answer.age == 400 * 86_400)
            #expect(scene.stub.log.requests.isEmpty)
        }
    }
}

@Suite("The table: stored, and asked") struct AskedTagTests {
    @Test func `the same digest: served, and fresh again`() async throws {
        try await aged(61) { (scene: Scene, image: TestImage) async throws in
            let answer = try await scene.pull()
            #expect("\(answer.status)" == "wharf; fwd=stale; fwd-status=200")
            #expect(answer.status.requestClass == .revalidated && answer.age == 0)
            #expect(scene.stub.log.requests("manifests/").first?["If-None-Match"] == "\"\(image.manifest.digest)\"")
            scene.wall.advance(by: .seconds(59))
            #expect(try await scene.pull().status == .hit)
        }
    }

    @Test(arguments: [true, false]) func `304: served, and fresh again`(isHEAD: Bool) async throws {
        try await aged(61) { (scene: Scene, image: TestImage) async throws in
            scene.stub.inject(.status(304), into: tagPath, method: "GET")
            scene.stub.inject(.status(isHEAD ? 304 : 405), into: tagPath, method: "HEAD")
            let answer = try await scene.pull()
            #expect("\(answer.status)" == "wharf; fwd=stale; fwd-status=304")
            #expect(answer.status.requestClass == .revalidated && answer.content.bytes == image.manifest.bytes)
            #expect(scene.stub.log.requests("manifests/").last?["If-None-Match"] == "\"\(image.manifest.digest)\"")
            #expect(try await scene.pull().status == .hit)
        }
    }

    @Test func `another digest: fetched by it, the old one stays for who names it, and the move is told`() async throws
    {
        try await aged(61) { (scene: Scene, image: TestImage) async throws in
            let moved = scene.move()
            let answer = try await scene.pull()
            #expect(answer.content.bytes == moved.manifest.bytes)
            #expect("\(answer.status)" == "wharf; fwd=stale; fwd-status=200; stored")
            #expect(scene.asked("\(moved.manifest.digest)", "GET") == 1 && scene.asked(tagPath, "GET") == 0)
            let old = try await scene.manifest(.digest(image.manifest.digest), in: Scene.alpine)
            #expect(old.status == .hit && old.content.bytes == image.manifest.bytes)
            let told = scene.told().map(\.kind)
            #expect(
                told == [
                    .tagMoved(Scene.alpine, tag, from: image.manifest.digest, to: moved.manifest.digest)
                ])
        }
    }

    @Test(arguments: [400, 401, 403, 404, 408, 410, 429, 500, 501, 502, 503, 504])
    func `any status that helps nobody: served stale`(status: Int) async throws {
        try await aged(61) { (scene: Scene, image: TestImage) async throws in
            scene.stub.inject(.status(status), into: "manifests/")
            for _ in 0..<2 {
                let answer = try await scene.pull()
                #expect(answer.content.bytes == image.manifest.bytes && answer.age == 61)
                #expect("\(answer.status)".hasPrefix("wharf; fwd=stale;"))
                #expect("\(answer.status)".hasSuffix("detail=stale-if-error"))
                #expect(answer.status.requestClass == .stale && answer.staleness != nil)
            }
            scene.stub.heal()
            scene.wall.advance(by: .seconds(60))  // what said 429 is asked once a minute
            #expect(try await scene.pull().status.requestClass == .revalidated)
        }
    }

    @Test(arguments: [
        StubFault.html, .cut(at: 0, reset: true), .cut(at: 0, reset: false), .redirect(to: "http://127.0.0.1:1/"),
        .status(200, body: "[]", fields: [("Docker-Content-Digest", "")]), .corrupt(at: 10),
    ]) func `what may not be used, or never comes: served stale`(fault: StubFault) async throws {
        try await aged(61) { (scene: Scene, image: TestImage) async throws in
            scene.move()
            scene.stub.inject(fault, into: "manifests/")
            let answer = try await scene.pull()
            #expect(answer.content.bytes == image.manifest.bytes && answer.status.requestClass == .stale)
        }
    }

    @Test func `nobody there: served stale until stale-if-error ends, then the truth`() async throws {
        try await aged(3659) { (scene: Scene, image: TestImage) async throws in
            await scene.stub.stop()
            #expect(try await scene.pull().content.bytes == image.manifest.bytes)
            scene.wall.advance(by: .seconds(1))
            guard case .unreachable = await scene.refused() else { return #expect(Bool(false)) }
        }
    }

    @Test func `404 beyond stale-if-error: 404`() async throws {
        try await aged(3660) { (scene: Scene, _: TestImage) async throws in
            scene.stub.remove(tag: "1.0", from: "library/alpine")
            guard case .unknown = await scene.refused() else { return #expect(Bool(false)) }
        }
    }

    @Test func `404 to be forgotten: forgotten, told, and remembered`() async throws {
        try await aged(61, .usual.with { $0.forgetsAbsent = true }) { (scene: Scene, image: TestImage) async throws in
            scene.stub.remove(tag: "1.0", from: "library/alpine")
            for _ in 0..<3 {
                guard case .unknown = await scene.refused() else { return #expect(Bool(false)) }
            }
            #expect(scene.asked(tagPath) == 1)
            #expect(scene.told().map(\.kind) == [.tagForgotten(Scene.alpine, tag, image.manifest.digest)])
            await scene.stub.stop()
            scene.wall.advance(by: .seconds(11))
            guard case .unreachable = await scene.refused() else { return #expect(Bool(false)) }
            let old = try await scene.manifest(.digest(image.manifest.digest), in: Scene.alpine)
            #expect(old.status == .hit)
        }
    }

    @Test func `a new digest whose GET fails: the old one is served, and nothing is told`() async throws {
        try await aged(61) { (scene: Scene, image: TestImage) async throws in
            let moved = scene.move()
            scene.stub.inject(.status(503), into: "\(moved.manifest.digest)")
            let answer = try await scene.pull()
            #expect(answer.content.digest == image.manifest.digest && answer.status.requestClass == .stale)
            #expect(scene.told().isEmpty)
        }
    }
}

@Suite("The table: late") struct LateTagTests {
    /// What the upstream withholds: the word, or what it stands for.
    @Test(arguments: ["HEAD", "GET"])
    func `late: served stale now, and the answer is there when it has come`(withheld: String) async throws {
        try await aged(61) { (scene: Scene, image: TestImage) async throws in
            let moved = scene.move()
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "manifests/", method: withheld)
            async let first = scene.pull()
            await scene.stub.wait { $0.held == 1 }
            scene.wall.advance(by: Patience.usual)
            let answer = try await first
            #expect(answer.content.digest == image.manifest.digest)
            #expect("\(answer.status)" == "wharf; fwd=stale; detail=stale-if-error")
            #expect(answer.failure?.proxyError == .httpResponseTimeout && answer.staleness != nil)
            // Who comes while it is late waits for nothing, and asks nothing.
            #expect(try await scene.pull().content.digest == image.manifest.digest)
            #expect(scene.stub.log.held == 1)
            gate.open()
            await scene.settled()
            let next = try await scene.pull()
            #expect(next.status == .hit && next.content.digest == moved.manifest.digest)
        }
    }

    @Test func `late, beyond stale-if-error: waits for the answer`() async throws {
        try await aged(3660) { (scene: Scene, image: TestImage) async throws in
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "manifests/")
            async let first = scene.pull()
            await scene.stub.wait { $0.held == 1 }
            scene.wall.advance(by: Patience.usual)
            gate.open()
            #expect(try await first.status.requestClass == .revalidated)
        }
    }

    @Test func `late, and nothing stored: waits until first-byte-timeout, then the truth`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.move()
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "manifests/")
            async let first = scene.refused()
            await scene.stub.wait { $0.held == 1 }
            scene.wall.advance(by: Patience.usual)
            scene.wall.advance(by: .seconds(15))
            guard case .unreachable(.httpResponseTimeout, _) = await first else { return #expect(Bool(false)) }
            gate.open()
        }
    }
}

@Suite("The table: not stored") struct UnknownTagTests {
    @Test func `a digest: fetched, stored and served`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.move()
            let answer = try await scene.pull()
            #expect(answer.content.bytes == image.manifest.bytes)
            #expect("\(answer.status)" == "wharf; fwd=miss; fwd-status=200; stored")
            #expect(scene.stub.log.requests("manifests/").first?["If-None-Match"] == nil)
            #expect(try await scene.pull().status == .hit)
        }
    }

    @Test(arguments: [(404, false), (401, false), (403, false), (429, true), (500, true), (503, true)])
    func `no, or failure: the honest status, and only a no is remembered`(row: (Int, Bool)) async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.move()
            scene.stub.inject(.status(row.0), into: "manifests/")
            #expect(await scene.refused()?.upstreamStatus == row.0)
            scene.stub.heal()
            scene.wall.advance(by: .seconds(9))
            #expect((await scene.refused() == nil) == row.1)
            scene.wall.advance(by: .seconds(1))
            #expect(await scene.refused() == nil)
        }
    }

    @Test func `what is remembered is asked again by who must know`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            guard case .unknown = await scene.refused() else { return #expect(Bool(false)) }
            scene.move()
            guard case .unknown = await scene.refused() else { return #expect(Bool(false)) }
            #expect(try await scene.pull(mustAsk: true).status.requestClass == .miss)
        }
    }

    @Test func `nobody to ask: the honest status`() async throws {
        try await Scene.run(offline: true) { (scene: Scene) async throws in
            scene.move()
            #expect(await scene.refused() == .offline)
            #expect(scene.stub.log.requests.isEmpty)
        }
    }
}
