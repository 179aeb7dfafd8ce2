// What a stored tag costs an upstream that fails again and again, and how long its clients wait for one that is silent.

import HTTPSemantics
import OCI
import TestSupport
import Testing

@testable import PullThrough

private let tag = Tag("1.0")!  // a literal of the grammar

@Suite("A tag whose upstream goes on failing") struct TagFailureTests {
    private func stale(hasSpare: Bool = false, _ body: (Scene, TestImage) async throws -> Void) async throws {
        try await Scene.run(policy: .usual.with { $0.staleIfError = 86_400_000 }, hasSpare: hasSpare) {
            (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            scene.wall.advance(by: .seconds(61))
            scene.stub.clearLog()
            try await body(scene, image)
        }
    }

    private func pull(_ scene: Scene, _ count: Int, mustAsk: Bool = false) async throws -> ManifestAnswer? {
        var last: ManifestAnswer?
        for _ in 0..<count {
            last = try await scene.cache.manifest(.tag(tag), in: Scene.alpine, mustAsk: mustAsk)
        }
        return last
    }

    @Test func `it is asked about less and less, and served all the while`() async throws {
        try await stale { (scene: Scene, image: TestImage) async throws in
            scene.stub.inject(.status(503), into: "manifests/")
            for _ in 0..<10 {
                let answer = try await pull(scene, 30)
                #expect(answer?.content.bytes == image.manifest.bytes)
                #expect(answer?.status.forward == .stale && answer?.status.forwardStatus == 503)
            }
            #expect(scene.asked("manifests/") == 11)
            scene.stub.clearLog()
            for _ in 0..<600 {
                scene.wall.advance(by: .seconds(1))
                _ = try await pull(scene, 1)
            }
            // After 1, 2, 4, 8 and 16 s, and then twice a minute.
            #expect((20...26).contains(scene.asked("manifests/")))
            // Who must know is not kept from asking.
            scene.stub.heal()
            #expect(try await pull(scene, 1, mustAsk: true)?.status.isUnchanged == true)
            scene.wall.advance(by: .seconds(60))
            scene.stub.inject(.status(503), into: "manifests/")
            scene.stub.clearLog()
            _ = try await pull(scene, 5)
            #expect(scene.asked("manifests/") == 5)
        }
    }

    @Test func `what it is said to name and cannot be had is not a pull at each request`() async throws {
        try await stale { (scene: Scene, image: TestImage) async throws in
            var builder = ImageBuilder(seed: 7)
            let moved = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            scene.stub.inject(.html, into: "\(moved.manifest.digest)")
            for _ in 0..<60 {
                scene.wall.advance(by: .seconds(60))
                #expect(try await pull(scene, 10)?.content.bytes == image.manifest.bytes)
            }
            // Three at once, then after 10, 20, 40 … s, and every ten minutes.
            #expect((6...14).contains(scene.asked("\(moved.manifest.digest)", "GET")))
            // Another digest is tried at once.
            let right = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            scene.wall.advance(by: .seconds(30))
            #expect(try await pull(scene, 1)?.content.digest == right.manifest.digest)
        }
    }

    @Test func `nor is a tag that only GET tells of`() async throws {
        try await stale { (scene: Scene, image: TestImage) async throws in
            scene.stub.inject(.status(405), into: "manifests/", method: "HEAD")
            scene.stub.inject(.html, into: "manifests/", method: "GET")
            #expect(try await pull(scene, 50)?.content.bytes == image.manifest.bytes)
            #expect(scene.asked("manifests/", "GET") == 3)
        }
    }

    @Test(arguments: [408, 425]) func `HEAD refused for the moment is no reason to GET`(status: Int) async throws {
        try await stale { (scene: Scene, image: TestImage) async throws in
            scene.stub.inject(.status(status), into: "manifests/", method: "HEAD")
            #expect(try await pull(scene, 1)?.status.isStale == true)
            #expect(scene.asked("manifests/", "GET") == 0)
        }
    }

    @Test func `a 304 that names another manifest is not believed`() async throws {
        try await stale { (scene: Scene, image: TestImage) async throws in
            var builder = ImageBuilder(seed: 7)
            let other = scene.stub.add(builder.image(), to: "library/alpine", tag: "other")
            _ = try await scene.manifest(.digest(other.manifest.digest), in: Scene.alpine)
            let fields = [(name: "Docker-Content-Digest", value: "\(other.manifest.digest)")]
            scene.stub.inject(.status(304, fields: fields), into: "manifests/1.0")
            let answer = try await pull(scene, 1)
            #expect(answer?.content.bytes == image.manifest.bytes && answer?.status.isStale == true)
        }
    }

    @Test func `what another mirror serves stale confirms nothing`() async throws {
        try await stale { (scene: Scene, image: TestImage) async throws in
            let said = "wharf; fwd=stale; fwd-status=503; detail=stale-if-error"
            scene.stub.inject(.fields([("Cache-Status", said)]), into: "manifests/1.0")
            for _ in 0..<2 {
                let answer = try await pull(scene, 1)
                #expect(answer?.content.bytes == image.manifest.bytes && answer?.status.isStale == true)
                #expect(answer?.age == 61 && answer?.staleness?.contains("own upstream") == true)
            }
            scene.stub.heal()
            #expect(try await pull(scene, 1)?.status.isUnchanged == true)
        }
    }

    @Test func `what another mirror learnt later is taken all the same`() async throws {
        try await stale { (scene: Scene, image: TestImage) async throws in
            var builder = ImageBuilder(seed: 7)
            let newer = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            let said = "wharf; fwd=stale; detail=stale-if-error"
            for (age, digest) in [("62", image.manifest.digest), ("60", newer.manifest.digest)] {
                scene.stub.heal()
                scene.stub.inject(.fields([("Cache-Status", said), ("Age", age)]), into: "manifests/1.0")
                #expect(try await pull(scene, 1)?.content.digest == digest)
            }
        }
    }

    @Test func `behind such a mirror the next endpoint is asked, as behind one that contradicts itself`() async throws {
        let said = [(name: "Cache-Status", value: "wharf; fwd=stale; detail=stale-if-error")]
        let lie = [(name: "Docker-Content-Digest", value: "\(Digest.of([9]))")]
        for fault in [StubFault.fields(said), .status(304, fields: lie)] {
            try await stale(hasSpare: true) { (scene: Scene, image: TestImage) async throws in
                var builder = ImageBuilder(seed: 7)
                let newer = builder.image()
                scene.spare?.add(newer, to: "library/alpine", tag: "1.0")
                scene.stub.add(newer, to: "library/alpine")
                scene.stub.inject(fault, into: "manifests/1.0")
                #expect(try await pull(scene, 1)?.content.digest == newer.manifest.digest)
            }
        }
    }

    @Test func `what could not be fetched is there once another tag has brought it`() async throws {
        try await stale { (scene: Scene, image: TestImage) async throws in
            var builder = ImageBuilder(seed: 7)
            let newer = builder.image()
            for tag in ["1.0", "2.0"] { scene.stub.add(newer, to: "library/alpine", tag: tag) }
            scene.stub.inject(.status(503), into: "\(newer.manifest.digest)")
            #expect(try await pull(scene, 5)?.content.digest == image.manifest.digest)
            scene.stub.heal()
            let other = OCI.Tag("2.0")!  // grammatical
            _ = try await scene.manifest(.tag(other), in: Scene.alpine)
            #expect(try await pull(scene, 1)?.content.digest == newer.manifest.digest)
        }
    }

    @Test func `a limit that is over holds nothing back`() async throws {
        try await stale { (scene: Scene, image: TestImage) async throws in
            var builder = ImageBuilder(seed: 7)
            let newer = scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            let fault = StubFault.status(429, fields: [("Retry-After", "60")])
            scene.stub.inject(fault, into: "\(newer.manifest.digest)")
            for _ in 0..<20 {
                #expect(try await pull(scene, 3)?.content.digest == image.manifest.digest)
                scene.wall.advance(by: .seconds(60))
            }
            scene.stub.heal()
            #expect(try await pull(scene, 1)?.content.digest == newer.manifest.digest)
        }
    }

    @Test func `a pause that a 429 named ends in its time, whatever is done to the clock`() async throws {
        try await stale { (scene: Scene, _: TestImage) async throws in
            scene.stub.inject(.status(429, fields: [("Retry-After", "300")]), into: "manifests/", times: 1)
            #expect(try await pull(scene, 1)?.status.isStale == true)
            scene.wall.set(by: .seconds(-43_200))
            #expect(await scene.figures().endpoints[0].isSpent)
            scene.wall.advance(by: .seconds(300))
            #expect(try await pull(scene, 1)?.status.isUnchanged == true)
            #expect(await !scene.figures().endpoints[0].isSpent)
        }
    }
}

@Suite("A silent upstream") struct SilentUpstreamTests {
    @Test func `the second tag waits a moment only, and what is unknown waits as ever`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let tags = ["1", "2", "3"].map { OCI.Tag($0)! }  // grammatical
            for tag in tags { scene.stub.add(builder.image(), to: "library/alpine", tag: tag.description) }
            for tag in tags { _ = try await scene.manifest(.tag(tag), in: Scene.alpine) }
            scene.wall.advance(by: .seconds(61))
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "manifests/")
            async let first = scene.manifest(.tag(tags[0]), in: Scene.alpine)
            await scene.stub.wait { $0.held == 1 }
            scene.wall.advance(by: Patience.usual)
            #expect(try await first.status.isStale)
            async let second = scene.manifest(.tag(tags[1]), in: Scene.alpine)
            await scene.stub.wait { $0.held == 2 }
            scene.wall.advance(by: Patience.withSilent)
            #expect(try await second.status.isStale)
            #expect(scene.cache.patience.with("docker.io") == Patience.withSilent)
            gate.open()
            await scene.settled()
            #expect(scene.cache.patience.with("docker.io") == Patience.usual)
            #expect(try await scene.manifest(.tag(tags[1]), in: Scene.alpine).status == .hit)
        }
    }

    @Test func `an upstream that answers something else meanwhile is not silent`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let tags = ["1", "2"].map { OCI.Tag($0)! }  // grammatical
            for tag in tags { scene.stub.add(builder.image(), to: "library/alpine", tag: tag.description) }
            _ = try await scene.manifest(.tag(tags[0]), in: Scene.alpine)
            scene.wall.advance(by: .seconds(61))
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "manifests/1")
            async let first = scene.manifest(.tag(tags[0]), in: Scene.alpine)
            await scene.stub.wait { $0.held == 1 }
            _ = try await scene.manifest(.tag(tags[1]), in: Scene.alpine)
            scene.wall.advance(by: Patience.usual)
            #expect(try await first.status.isStale)
            #expect(scene.cache.patience.with("docker.io") == Patience.usual)
            gate.open()
            await scene.settled()
        }
    }

    @Test func `what is only a part of a list is waited for`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            for tag in ["1.0", "2.0"] { scene.stub.add(builder.image(), to: "library/alpine", tag: tag) }
            _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            let discovery = Discovery(cache: scene.cache)
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "tags/list")
            async let list = discovery.tags(in: Scene.alpine, query: nil)
            await scene.stub.wait { $0.held == 1 }
            scene.wall.advance(by: Patience.usual)
            gate.open()
            let tags = try await list.list.tags
            #expect(tags == ["1.0", "2.0"])
        }
    }

    @Test func `a mirror's list is shown and not kept while that mirror's own upstream fails`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            let said = StubFault.fields([("Cache-Status", "wharf; fwd=stale; detail=stale-if-error")])
            scene.stub.inject(said, into: "tags/list")
            let discovery = Discovery(cache: scene.cache)
            for _ in 0..<2 {
                let part = try await discovery.tags(in: Scene.alpine, query: nil)
                #expect(part.list.tags == ["1.0"] && part.status.isStale && part.failure != nil)
            }
            scene.stub.heal()
            scene.stub.add(builder.image(), to: "library/alpine", tag: "2.0")
            #expect(try await discovery.tags(in: Scene.alpine, query: nil).list.tags == ["1.0", "2.0"])
            // What the registry itself has said is better than what such a mirror knows.
            scene.wall.advance(by: .seconds(61))
            scene.stub.remove(tag: "2.0", from: "library/alpine")
            scene.stub.inject(said, into: "tags/list")
            let kept = try await discovery.tags(in: Scene.alpine, query: nil)
            #expect(kept.list.tags == ["1.0", "2.0"] && kept.status.isStale)
        }
    }

    @Test func `a list that is known is given while the question goes on`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            scene.stub.add(builder.image(), to: "library/alpine", tag: "1.0")
            let discovery = Discovery(cache: scene.cache)
            #expect(try await discovery.tags(in: Scene.alpine, query: nil).list.tags == ["1.0"])
            scene.wall.advance(by: .seconds(61))
            scene.stub.add(builder.image(), to: "library/alpine", tag: "2.0")
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "tags/list")
            async let first = discovery.tags(in: Scene.alpine, query: nil)
            await scene.stub.wait { $0.held == 1 }
            scene.wall.advance(by: Patience.usual)
            let late = try await first
            #expect(late.list.tags == ["1.0"] && late.status.isStale)
            #expect(late.failure?.proxyError == .httpResponseTimeout)
            gate.open()
            for flight in discovery.tagFlights.underWay { _ = await flight.value }
            let next = try await discovery.tags(in: Scene.alpine, query: nil)
            #expect(next.status == .hit && next.list.tags == ["1.0", "2.0"])
        }
    }
}

@Suite("Backoff") struct BackoffTests {
    @Test func `nothing at first, then doubled from the first to the most`() {
        var backoff = Backoff(free: 2, first: .seconds(1), most: .seconds(5))
        var now = Duration.zero
        var pauses: [Duration] = []
        for _ in 0..<7 {
            backoff.failed(at: now)
            var pause = Duration.zero
            while !backoff.isDue(at: now + pause) { pause += .milliseconds(500) }
            pauses.append(pause)
            now += pause
        }
        #expect(pauses == [0, 0, 1, 2, 4, 5, 5].map { .seconds($0) })
    }

    @Test func `however often, it does not overflow`() {
        var backoff = Backoff(free: 0, first: .seconds(1), most: .seconds(30))
        for _ in 0..<1000 { backoff.failed(at: .zero) }
        #expect(!backoff.isDue(at: .milliseconds(29_999)) && backoff.isDue(at: .seconds(30)))
    }
}
