// Images brought here before anybody asks, over real sockets: what comes, what is told of it, and who is in the way of whom.

import Foundation
import OCI
import PullThrough
import TestSupport
import Testing

@testable import Frontend
@testable import HTTPServer

@Suite("POST /api/v1/prefetch", .timeLimit(.minutes(1))) struct PrefetchTests {
    /// The last line of each image.
    private func ends(_ client: StreamClient) async throws -> [String: PrefetchLine] {
        Dictionary(try await lines(client).map { ($0.image, $0) }) { $1 }
    }

    private func lines(_ client: StreamClient) async throws -> [PrefetchLine] {
        _ = await client.events(.max)
        return try client.body.split(separator: "\n").map {
            try JSONDecoder().decode(PrefetchLine.self, from: Data($0.utf8))
        }
    }

    private func prefetch(_ scene: Scene, _ body: String) async throws -> [String: PrefetchLine] {
        let (all, client) = (Ends(), body)
        try await Served.run(scene) { served in
            let answer = try await served.prefetch(client)
            #expect(answer.status == 200 && answer["Content-Type"] == "application/x-ndjson")
            await all.set(try await ends(answer))
        }
        return await all.value
    }

    private actor Ends {
        var value: [String: PrefetchLine] = [:]
        func set(_ value: [String: PrefetchLine]) { self.value = value }
    }

    private func size(_ image: TestImage) -> Int64 {
        Int64(image.manifest.bytes.count + image.blobs.reduce(0) { $0 + $1.bytes.count })
    }

    @Test func `the platforms that were chosen come whole, each blob once, and a pull asks for nothing more`()
        async throws
    {
        try await Scene.run { scene in
            var builder = ImageBuilder(seed: 3)
            let index = scene.stub.add(
                builder.index(architectures: ["amd64", "arm64"], layers: [50_000, 200_000]), to: "library/alpine",
                tag: "3")
            let ends = try await prefetch(scene, #"{"images":["alpine:3"],"platforms":["linux/amd64"]}"#)
            let end = try #require(ends["docker.io/library/alpine:3"])
            #expect(ends.count == 1 && end.state == "done" && end.message == nil)
            #expect(end.size == Int64(index.manifest.bytes.count) + size(index.images[0]) && end.received == end.size)
            #expect(end.blobs == 5 && end.blobsDone == 5)
            for blob in index.images[0].blobs {
                #expect(scene.stub.log.requests("\(blob.digest)", method: "GET").count == 1)
            }
            #expect(
                scene.stub.log.requests.allSatisfy { !$0.path.contains(index.images[1].manifest.digest.description) })

            scene.stub.clearLog()
            try await scene.pull("\(Scene.alpine)/manifests/3")
            try await scene.pull("\(Scene.alpine)/manifests/\(index.images[0].manifest.digest)")
            for blob in index.images[0].blobs {
                #expect(try await scene.pull("\(Scene.alpine)/blobs/\(blob.digest)") == blob.bytes)
            }
            #expect(scene.stub.log.requests.isEmpty)
            // Nobody has pulled but the clients, and all that they got was here.
            let statistics = try await scene.statistics()
            #expect(statistics.requests == ["total": 5, "hit": 5])
            #expect(statistics.bytes["from_upstream"] == end.size.map(Int.init))
        }
    }

    @Test func `without platforms all children come; what is no index comes whatever is chosen`() async throws {
        try await Scene.run { scene in
            var builder = ImageBuilder(seed: 4)
            let index = scene.stub.add(builder.index(), to: "library/alpine", tag: "3")
            let image = scene.stub.add(builder.image(), to: "library/alpine", tag: "plain")
            let all = try await prefetch(scene, #"{"images":["alpine:3"]}"#)
            let end = try #require(all["docker.io/library/alpine:3"])
            #expect(end.state == "done")
            #expect(end.received == Int64(index.manifest.bytes.count) + index.images.reduce(0) { $0 + size($1) })
            let plain = try await prefetch(scene, #"{"images":["alpine:plain"],"platforms":["linux/s390x"]}"#)
            #expect(plain["docker.io/library/alpine:plain"]?.received == size(image))
            #expect(plain["docker.io/library/alpine:plain"]?.state == "done")
        }
    }

    @Test func `a platform that is not there is told, with those that are`() async throws {
        try await Scene.run { scene in
            var builder = ImageBuilder(seed: 5)
            let index = scene.stub.add(builder.index(), to: "library/alpine", tag: "3")
            let ends = try await prefetch(
                scene, #"{"images":["alpine:3"],"platforms":["linux/amd64","linux/riscv64"]}"#)
            let end = try #require(ends["docker.io/library/alpine:3"])
            #expect(end.state == "failed")
            #expect(end.message == "it is not there for linux/riscv64, but for linux/amd64, linux/arm64")
            // What is there has come.
            #expect(end.received == Int64(index.manifest.bytes.count) + size(index.images[0]))
        }
    }

    @Test func `layers that are to be had elsewhere are left out`() async throws {
        try await Scene.run { scene in
            var builder = ImageBuilder(seed: 6)
            let (foreign, layer) = (builder.blob(1000, .dockerForeignLayer), builder.blob(2000, .ociLayerGzip))
            let config = TestBlob(Array("{}".utf8), .ociConfig)
            let manifest = TestBlob(
                Array(
                    """
                    {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","config":\(config.descriptor()),\
                    "layers":[\(foreign.descriptor(#""urls":["https://elsewhere.example/x"]"#)),\(layer.descriptor())]}
                    """.utf8), .ociManifest)
            for blob in [config, layer] { scene.stub.add(blob: blob, to: "library/alpine") }
            scene.stub.add(manifest: manifest, to: "library/alpine", tag: "w")
            let ends = try await prefetch(scene, #"{"images":["alpine:w"]}"#)
            #expect(ends["docker.io/library/alpine:w"]?.state == "done")
            #expect(ends["docker.io/library/alpine:w"]?.blobs == 3)
            #expect(scene.stub.log.requests("\(foreign.digest)").isEmpty)
        }
    }

    @Test func `each image has an end of its own`() async throws {
        try await Scene.run { scene in
            scene.image(tag: "1.0")
            let digest = Digest.of([1])
            let manifest = Array(#"{"schemaVersion":2,"mediaType":"\#(MediaType.ociManifest)","layers":[]}"#.utf8)
            let pushed = await scene.send(
                "PUT", "/v2/ours/app/manifests/v1",
                Scene.login.merging(["Content-Type": MediaType.ociManifest.rawValue]) { $1 }, body: manifest)
            #expect(pushed.status == 201)
            let images = [
                "alpine:1.0", "alpine:none", "NO IMAGE", "nowhere.example/a:1", "ours/app:v1", "ours/app:v2",
                "ghcr.io/acme/a@\(digest)", "alpine:1.0",
            ]
            let ends = try await prefetch(
                scene, #"{"images":[\#(images.map { "\"\($0)\"" }.joined(separator: ","))]}"#)
            #expect(
                ends.mapValues(\.state) == [
                    "docker.io/library/alpine:1.0": "done", "docker.io/library/alpine:none": "failed",
                    "NO IMAGE": "failed", "nowhere.example/a:1": "failed", "ours/app:v1": "done",
                    "ours/app:v2": "failed", "ghcr.io/acme/a@\(digest)": "failed",
                ])
            #expect(ends["nowhere.example/a:1"]?.message == "nowhere.example is no upstream of this mirror")
            #expect(ends["docker.io/library/alpine:none"]?.message?.hasPrefix("docker.io says: ") == true)
            #expect(ends["ours/app:v1"]?.message == "it is hosted here")
        }
    }

    @Test func `it joins a client's transfer, and the upstream sends the blob once`() async throws {
        try await Scene.run { scene in
            var builder = ImageBuilder(seed: 7)
            let image = scene.stub.add(builder.image(layers: [400_000]), to: "library/alpine", tag: "1")
            let gate = StubGate()
            scene.stub.inject(.holdBody(at: 100_000, gate), into: "\(image.layers[0].digest)", method: "GET", times: 1)
            let client = await scene.get("\(Scene.alpine)/blobs/\(image.layers[0].digest)")
            await scene.stub.wait { $0.held == 1 }
            try await Served.run(scene) { served in
                let answer = try await served.prefetch(#"{"images":["alpine:1"]}"#)
                while scene.cache.inFlight.first?.progress.followers != 2 {
                    try await Task.sleep(for: .milliseconds(2))
                }
                gate.open()
                #expect(try await ends(answer)["docker.io/library/alpine:1"]?.state == "done")
            }
            #expect(try await client.bytes() == image.layers[0].bytes)
            #expect(scene.stub.log.requests("\(image.layers[0].digest)", method: "GET").count == 1)
        }
    }

    @Test func `a client that goes away lets go of what it had fetched`() async throws {
        try await Scene.run { scene in
            var builder = ImageBuilder(seed: 8)
            let image = scene.stub.add(builder.image(layers: [400_000]), to: "library/alpine", tag: "1")
            let gate = StubGate()
            scene.stub.inject(.holdBody(at: 100_000, gate), into: "\(image.layers[0].digest)", method: "GET")
            try await Served.run(scene) { served in
                let answer = try await served.prefetch(#"{"images":["alpine:1"]}"#)
                await scene.stub.wait { $0.held == 1 }
                while scene.cache.inFlight.first?.progress.followers != 1 {
                    try await Task.sleep(for: .milliseconds(2))
                }
                answer.leave()
                while scene.cache.inFlight.first?.progress.followers != 0 {
                    try await Task.sleep(for: .milliseconds(2))
                }
            }
            gate.open()
        }
    }

    @Test func `what is stored counts, and costs no transfer`() async throws {
        try await Scene.run { scene in
            let image = scene.image(tag: "1.0")
            for _ in 0..<2 {
                let ends = try await prefetch(scene, #"{"images":["alpine:1.0"]}"#)
                #expect(ends["docker.io/library/alpine:1.0"]?.received == size(image))
                #expect(ends["docker.io/library/alpine:1.0"]?.state == "done")
            }
            #expect(scene.stub.log.requests("", method: "GET").filter { !$0.path.hasSuffix("/v2/") }.count == 4)
        }
    }

    @Test func `a transfer that breaks off is taken up again`() async throws {
        try await Scene.run { scene in
            var builder = ImageBuilder(seed: 9)
            let image = scene.stub.add(builder.image(layers: [400_000]), to: "library/alpine", tag: "1")
            scene.stub.inject(
                .cut(at: 150_000, reset: true), into: "\(image.layers[0].digest)", method: "GET", times: 2)
            let ends = try await prefetch(scene, #"{"images":["alpine:1"]}"#)
            #expect(ends["docker.io/library/alpine:1"]?.state == "done")
            #expect(
                try await scene.get("\(Scene.alpine)/blobs/\(image.layers[0].digest)").bytes() == image.layers[0].bytes)
        }
    }

    @Test func `where there is no room it says so and is in nobody's way`() async throws {
        try await Scene.run(maxSize: 600_000) { scene in
            var builder = ImageBuilder(seed: 10)
            let image = scene.stub.add(builder.image(layers: [4_000_000]), to: "library/alpine", tag: "1")
            let ends = try await prefetch(scene, #"{"images":["alpine:1"]}"#)
            let end = try #require(ends["docker.io/library/alpine:1"])
            #expect(end.state == "failed" && end.message == "there is no room for \(image.layers[0].digest)")
            #expect(
                try await scene.get("\(Scene.alpine)/blobs/\(image.layers[0].digest)").bytes() == image.layers[0].bytes)
        }
    }

    @Test func `a manifest that says any size of its layers is no trouble`() async throws {
        try await Scene.run { scene in
            var builder = ImageBuilder(seed: 12)
            let layers = (0..<3).map { _ in builder.blob(1000, .ociLayerGzip) }
            let lies = layers.map {
                #"{"mediaType":"\#($0.mediaType)","digest":"\#($0.digest)","size":9223372036854775807}"#
            }
            let text =
                #"{"schemaVersion":2,"mediaType":"\#(MediaType.ociManifest)","layers":[\#(lies.joined(separator: ","))]}"#
            for blob in layers { scene.stub.add(blob: blob, to: "library/alpine") }
            scene.stub.add(manifest: TestBlob(Array(text.utf8), .ociManifest), to: "library/alpine", tag: "1")
            let ends = try await prefetch(scene, #"{"images":["alpine:1"]}"#)
            #expect(ends["docker.io/library/alpine:1"]?.size == .max)
            #expect(ends["docker.io/library/alpine:1"]?.state == "done")
        }
    }

    @Test func `four blobs of an image come at once, and no more`() async throws {
        try await Scene.run { scene in
            var builder = ImageBuilder(seed: 11)
            let layers = [Int](repeating: 90_000, count: 12)
            let image = scene.stub.add(builder.image(layers: layers), to: "library/alpine", tag: "1")
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "/blobs/", method: "GET")
            try await Served.run(scene) { served in
                let answer = try await served.prefetch(#"{"images":["alpine:1"]}"#)
                await scene.stub.wait { $0.held == 4 }
                #expect(scene.cache.inFlight.count == 4)
                gate.open()
                #expect(try await ends(answer)["docker.io/library/alpine:1"]?.blobsDone == 2 + image.layers.count)
            }
            #expect(scene.stub.log.peakServing <= 4)
        }
    }

    @Test func `no image and no platform are refused at once`() async throws {
        try await Scene.run { scene in
            try await Served.run(scene) { served in
                for body in [#"{"images":[]}"#, #"{"images":["a"],"platforms":["linux"]}"#, #"{"platforms":[]}"#] {
                    let answer = try await served.prefetch(body)
                    #expect(answer.status == 400)
                }
            }
        }
    }
}

extension Served {
    /// On a connection that ends with the answer.
    fileprivate func prefetch(_ body: String) async throws -> StreamClient {
        let client = try StreamClient(port: port)
        try client.send(
            """
            POST /api/v1/prefetch HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer \(Self.token)\r\n\
            Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)
            """)
        try await client.readHead()
        return client
    }
}
