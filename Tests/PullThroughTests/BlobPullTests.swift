// end-2 through the cache: missed, joined, hit, and refused, against a real registry's behaviour and a real disk.

import HTTPSemantics
import OCI
import Store
import TestSupport
import Testing

@testable import PullThrough

@Suite("Blobs: hit, join, miss") struct BlobPullTests {
    @Test(arguments: [0, 1, 65_536, 65_537, 3_000_000]) func `a miss is fetched once and is a hit from then on`(
        size: Int
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(size), to: "library/alpine")
            let first = try await scene.blob(blob.digest, in: Scene.alpine)
            #expect(first.beganFill)
            #expect("\(first.status)" == "wharf; fwd=miss; fwd-status=200; stored")
            #expect(try await first.reader.bytes() == blob.bytes)
            await scene.cache.settle()
            let second = try await scene.blob(blob.digest, in: Scene.alpine)
            #expect("\(second.status)" == "wharf; hit")
            #expect(try await second.reader.bytes() == blob.bytes)
            #expect(scene.asked("\(blob.digest)") == 1)
        }
    }

    @Test func `forty askers at once cost the upstream one request`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(5_000_000), to: "library/alpine")
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "\(blob.digest)")
            let answers = try await withThrowingTaskGroup(of: (Bool, Bool, Bool).self) { group in
                for _ in 0..<40 {
                    group.addTask {
                        let answer = try await scene.blob(blob.digest, in: Scene.alpine)
                        return (
                            answer.beganFill, answer.status.isCollapsed,
                            try await answer.reader.bytes() == blob.bytes
                        )
                    }
                }
                await scene.stub.wait { $0.held == 1 }
                gate.open()
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.count { $0.0 } == 1)
            #expect(answers.count { $0.1 } == 39)
            #expect(answers.count { $0.2 } == 40)
            #expect(scene.asked("\(blob.digest)") == 1)
        }
    }

    @Test func `bytes are served while they land, and the last 64 KiB only when they are verified`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(1_000_000), to: "library/alpine")
            scene.stub.inject(.stall(at: 999_999), into: "\(blob.digest)")
            let reader = try await scene.blob(blob.digest, in: Scene.alpine).reader
            let held = await reader.look(atLeast: 999_999, isPiece: true)
            #expect(held.available == 999_999)
            #expect(reader.peek().available == 1_000_000 - 65_536)
            #expect(held.ending == nil && reader.isInFlight)
            #expect(scene.cache.inFlight.first?.progress.followers == 1)
        }
    }

    @Test func `a fill goes on when its only client has gone`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(2_000_000), to: "library/alpine")
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "\(blob.digest)")
            let client = Task {
                _ = await refusal { () throws(Refusal) in try await scene.cache.blob(blob.digest, in: Scene.alpine) }
            }
            await scene.stub.wait { $0.held == 1 }
            client.cancel()
            gate.open()
            await client.value
            await scene.cache.settle()
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).status == .hit)
        }
    }

    @Test func `a blob of unknown size is served whole`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(300_000), to: "library/alpine")
            scene.stub.inject(.chunked, into: "\(blob.digest)")
            let answer = try await scene.blob(blob.digest, in: Scene.alpine)
            #expect(try answer.reader.size == nil)
            #expect(try await answer.reader.bytes() == blob.bytes)
            await scene.cache.settle()
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.size == 300_000)
        }
    }

    @Test func `sha512 blobs are pulled too`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(
                blob: TestBlob(builder.bytes(200_000), .octetStream, .sha512), to: "library/alpine")
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
        }
    }

    @Test func `HEAD asks by HEAD, fetches nothing, and is remembered`() async throws {
        try await Scene.run(StubOptions(redirectsBlobs: true)) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(100_000), to: "library/alpine")
            #expect(try await scene.blobFacts(blob.digest, in: Scene.alpine).size == 100_000)
            #expect(scene.stub.log.requests("\(blob.digest)", method: "GET").isEmpty)
            let asked = scene.asked("\(blob.digest)")
            let again = try await scene.blobFacts(blob.digest, in: Scene.alpine)
            #expect(again.size == 100_000 && again.status == .hit)
            #expect(scene.asked("\(blob.digest)") == asked)
        }
    }
}

@Suite("Blobs that cannot be had") struct RefusedBlobTests {
    @Test func `a small blob with a wrong byte is refused before its status line, kept nowhere, and healed`()
        async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(1000), to: "library/alpine")
            scene.stub.inject(.corrupt(at: 500), into: "\(blob.digest)", times: 1)
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.blob(blob.digest, in: Scene.alpine)
            }
            guard case .unusable = refused?.error else { return #expect(Bool(false), "\(String(describing: refused))") }
            #expect(await scene.figures().storage.quarantined == 1)
            #expect(await scene.figures().storage.blobs == 0)
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
        }
    }

    @Test(arguments: [0, 400_000, 999_999])
    func `a large blob with a wrong byte never completes, and the next request heals`(
        offset: Int
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(1_000_000), to: "library/alpine")
            scene.stub.inject(.corrupt(at: offset), into: "\(blob.digest)", times: 1)
            let reader = try await scene.blob(blob.digest, in: Scene.alpine).reader
            await #expect(throws: BlobReader.Broken.self) { _ = try await reader.bytes() }
            #expect(reader.peek().available <= 1_000_000 - 65_536)
            await scene.cache.settle()
            #expect(await scene.figures().storage.blobs == 0)
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
        }
    }

    @Test func `an unknown blob is remembered for a while, then asked for again`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = builder.blob(10)
            let first = await refusal { () throws(Refusal) in try await scene.cache.blob(blob.digest, in: Scene.alpine)
            }
            guard case .unknown = first?.error else { return #expect(Bool(false), "\(String(describing: first))") }
            #expect(first?.status.requestClass == .miss)
            let second = await refusal { () throws(Refusal) in try await scene.cache.blob(blob.digest, in: Scene.alpine)
            }
            #expect(second?.status.requestClass == .hit)
            #expect(scene.asked("\(blob.digest)") == 1)
            scene.wall.advance(by: .seconds(11))
            scene.stub.add(blob: blob, to: "library/alpine")
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
        }
    }

    @Test(arguments: [500, 502, 503]) func `an upstream that fails once is asked again, one that goes on is told of`(
        status: Int
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(10), to: "library/alpine")
            let time = scene.turning()
            scene.stub.inject(.status(status), into: "\(blob.digest)", times: 3)
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.blob(blob.digest, in: Scene.alpine)
            }
            guard case .failed(status: status, _) = refused?.error else { return #expect(Bool(false), "not told") }
            scene.stub.inject(.status(status), into: "\(blob.digest)", times: 2)
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
            await time.end()
        }
    }

    @Test(arguments: [429, 401, 403]) func `a failure is told and not remembered, a refusal is`(
        status: Int
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(10), to: "library/alpine")
            scene.stub.inject(.status(status), into: "\(blob.digest)", times: 1)
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.blob(blob.digest, in: Scene.alpine)
            }
            #expect(refused?.error.isFailure == true)
            if status == 401 || status == 403 { scene.wall.advance(by: .seconds(11)) }
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
        }
    }

    @Test func `an upstream that hangs is given up after its first-byte timeout`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(10), to: "library/alpine")
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "\(blob.digest)")
            async let refused = refusal { () throws(Refusal) in
                try await scene.cache.blob(blob.digest, in: Scene.alpine)
            }
            await scene.stub.wait { $0.held == 1 }
            await scene.clock.sleepers(1)
            scene.clock.advance(by: .seconds(15))
            guard case .unreachable(.httpResponseTimeout, _) = await refused?.error else {
                gate.open()
                return #expect(Bool(false), "no time-out")
            }
            gate.open()
        }
    }

    @Test func `a small blob that trickles is given up like one that never comes`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(1000), to: "library/alpine")
            scene.stub.inject(.stall(at: 500), into: "\(blob.digest)", times: 1)
            async let refused = refusal { () throws(Refusal) in
                try await scene.cache.blob(blob.digest, in: Scene.alpine)
            }
            await scene.stub.wait { $0.stalled == 1 }
            // The fill's own deadline may begin to sleep only after that: time goes on until it has passed.
            let time = Task {
                while !Task.isCancelled {
                    scene.clock.advance(by: .seconds(15))
                    await Task.yield()
                }
            }
            let error = await refused?.error
            time.cancel()
            await time.value
            guard case .unreachable(.httpResponseTimeout, _) = error else {
                return #expect(Bool(false), "no time-out")
            }
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
        }
    }

    @Test func `an upstream that is gone is told as unreachable`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            await scene.stub.stop()
            var builder = ImageBuilder()
            let digest = builder.blob(10).digest
            let time = scene.turning()
            let refused = await refusal { () throws(Refusal) in try await scene.cache.blob(digest, in: Scene.alpine) }
            await time.end()
            // The clock that is turned may be quicker than the refusal.
            guard case .unreachable = refused?.error else {
                return #expect(Bool(false), "\(String(describing: refused))")
            }
        }
    }

    @Test func `offline, what is stored is served and nobody is asked`() async throws {
        try await Scene.run(offline: true) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(10), to: "library/alpine")
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.blob(blob.digest, in: Scene.alpine)
            }
            #expect(refused?.error == .offline)
            #expect(scene.stub.log.requests.isEmpty)
        }
    }
}

@Suite("Links: who may see what") struct LinkTests {
    @Test func `bytes are shared by digest, the right to see them is not`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(100_000), to: "library/alpine")
            _ = try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes()
            await scene.cache.settle()
            let refused = await refusal { () throws(Refusal) in try await scene.cache.blob(blob.digest, in: Scene.other)
            }
            guard case .unknown = refused?.error else { return #expect(Bool(false), "a leak") }
            scene.wall.advance(by: .seconds(11))
            scene.stub.add(blob: blob, to: "acme/app")
            let answer = try await scene.blob(blob.digest, in: Scene.other)
            #expect(try await answer.reader.bytes() == blob.bytes)
            #expect(scene.asked("\(blob.digest)", "GET") == 1)
            #expect(try await scene.blob(blob.digest, in: Scene.other).status == .hit)
        }
    }

    @Test func `what a linked manifest names may be seen without asking again`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = builder.image(layers: [200_000])
            scene.stub.add(image, to: "library/alpine", tag: "1")
            scene.stub.add(image, to: "acme/app", tag: "1")
            let layer = image.layers[0]
            _ = try await scene.blob(layer.digest, in: Scene.alpine).reader.bytes()
            await scene.cache.settle()
            _ = try await scene.manifest(.tag(Tag("1")!), in: Scene.other)  // a literal of the grammar
            let asked = scene.asked("\(layer.digest)")
            #expect(try await scene.blob(layer.digest, in: Scene.other).status == .hit)
            #expect(scene.asked("\(layer.digest)") == asked)
        }
    }

    @Test(arguments: [false, true]) func `what took credentials is not shown elsewhere because a manifest names it`(
        inFlight: Bool
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let image = builder.image(layers: [200_000])
            let layer = image.layers[0]
            scene.stub.add(blob: layer, to: "acme/secret")
            scene.stub.add(manifest: image.manifest, to: "acme/app", tag: "evil")
            let gate = StubGate()
            if inFlight { scene.stub.inject(.hold(gate), into: "acme/secret/blobs/\(layer.digest)", method: "GET") }
            async let owner = scene.blob(layer.digest, in: Scene.secret).reader.bytes()
            if inFlight { await scene.stub.wait { $0.held == 1 } } else { _ = try await owner }
            if !inFlight { await scene.cache.settle() }
            _ = try await scene.manifest(.digest(image.manifest.digest), in: Scene.other)
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.blob(layer.digest, in: Scene.other)
            }
            guard case .unknown = refused?.error else { return #expect(Bool(false), "a leak") }
            gate.open()
            #expect(try await owner == layer.bytes)
            #expect(try await scene.blob(layer.digest, in: Scene.secret).status.requestClass != .error)
        }
    }

    @Test(arguments: [false, true]) func `a request that waits for an answer is not let in by another repository's`(
        isPrivate: Bool
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let owner = isPrivate ? Scene.secret : Scene.other
            let blob = scene.stub.add(blob: builder.blob(300_000), to: "\(owner.name)")
            _ = try await scene.blobFacts(blob.digest, in: owner)
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "library/alpine/blobs/\(blob.digest)", method: "GET", times: 1)
            async let thief = refusal { () throws(Refusal) in
                try await scene.cache.blob(blob.digest, in: Scene.alpine)
            }
            await scene.stub.wait { $0.held == 1 }
            async let bytes = scene.blob(blob.digest, in: owner).reader.bytes()
            // The owner has joined when somebody else follows too.
            while scene.cache.inFlight.first?.progress.followers != 2 { await Task.yield() }
            gate.open()
            #expect(try await bytes == blob.bytes)
            guard case .unknown = await thief?.error else { return #expect(Bool(false), "a leak") }
            await scene.cache.settle()
            scene.wall.advance(by: .seconds(11))
            let later = await refusal { () throws(Refusal) in
                try await scene.cache.blob(blob.digest, in: Scene.alpine)
            }
            guard case .unknown = later?.error else { return #expect(Bool(false), "linked by another's answer") }
        }
    }

    @Test(arguments: ["foreign", "urls", "subject"]) func `an attacker's manifest opens no other repository's blob`(
        way: String
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let secret = scene.stub.add(blob: builder.blob(100_000), to: "library/alpine")
            _ = try await scene.blob(secret.digest, in: Scene.alpine).reader.bytes()
            await scene.cache.settle()
            let config = scene.stub.add(blob: builder.blob(100, .ociConfig), to: "acme/app")
            let type = way == "foreign" ? MediaType.dockerForeignLayer : .ociLayerGzip
            let named = "{\"mediaType\":\"\(type)\",\"digest\":\"\(secret.digest)\",\"size\":100000"
            let layers = way == "subject" ? "" : named + (way == "urls" ? ",\"urls\":[\"http://x/\"]}" : "}")
            let subject = way == "subject" ? ",\"subject\":\(named)}" : ""
            let text = """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","config":\(config.descriptor()),\
                "layers":[\(layers)]\(subject)}
                """
            let manifest = scene.stub.add(
                manifest: TestBlob(Array(text.utf8), .ociManifest), to: "acme/app", tag: "evil")
            _ = try await scene.manifest(.digest(manifest.digest), in: Scene.other)
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.blob(secret.digest, in: Scene.other)
            }
            guard case .unknown = refused?.error else { return #expect(Bool(false), "\(way) opened it") }
        }
    }
}
