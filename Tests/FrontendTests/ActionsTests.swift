// What may be done to the cache through the API: kept, forgotten, evicted, and who may not.

import Foundation
import HTTPTypes
import OCI
import TestSupport
import Testing

@testable import Frontend
@testable import HTTPServer
@testable import Store

@Suite("POST /api/v1/pin, unpin, invalidate, evict", .timeLimit(.minutes(1))) struct ActionsTests {
    private static let json = ["Content-Type": "application/json"]
    private static let admin = json.merging(["Authorization": "Bearer \(Scene.adminToken)"]) { $1 }

    private func order(_ scene: Scene, _ action: String, _ body: String) async -> Reply {
        await scene.send("POST", "/api/v1/\(action)", Self.admin, body: Array(body.utf8))
    }

    private func done(_ scene: Scene, _ action: String, _ body: String) async throws -> [String: any Sendable] {
        let reply = await order(scene, action, body)
        #expect(reply.status == 200 && reply["Content-Type"] == "application/json")
        return try await reply.json()
    }

    private func pull(_ scene: Scene, _ image: TestImage, tag: String = "1.0") async throws {
        try await scene.pull("\(Scene.alpine)/manifests/\(tag)")
        for blob in image.blobs { try await scene.pull("\(Scene.alpine)/blobs/\(blob.digest)") }
    }

    private func isStored(_ scene: Scene, _ digest: Digest) async throws -> Bool {
        let repository = Repository(upstream: "docker.io", name: try #require(RepositoryName("library/alpine")))
        return try await scene.store.knowledge(of: digest, in: repository).storedSize != nil
    }

    // MARK: Who may, and how

    @Test(arguments: ["prefetch", "pin", "unpin", "invalidate", "evict"])
    func `takes the token, JSON, and keys that are known`(action: String) async throws {
        try await Scene.run { scene in
            let (path, body) = ("/api/v1/\(action)", Array("{}".utf8))
            let stranger = await scene.send("POST", path, Self.json, body: body)
            #expect(stranger.status == 401 && stranger["WWW-Authenticate"] == "Bearer realm=\"wharf\"")
            for type in [nil, "text/plain", "application/x-www-form-urlencoded"] {
                var fields = Self.admin
                fields["Content-Type"] = type
                #expect(await scene.send("POST", path, fields, body: body).status == 415)
            }
            for body in ["", "[]", "{", "null", "{}", #"{"image":1,"to":true,"images":"a"}"#, #"{"sise":1}"#] {
                let reply = await order(scene, action, body)
                #expect(reply.status == 400, "\(body)")
                #expect(try await reply.error()?.code != nil)
            }
            let unknown = try await order(scene, action, #"{"sise":1}"#).error()
            #expect(unknown?.message.contains("sise is no key here") == true)
            let large = #"{"image":"\#(String(repeating: "a", count: 64 << 10))"}"#
            #expect(await order(scene, action, large).status == 413)
            let read = await scene.get(path)
            #expect(read.status == 405 && read["Allow"] == "POST")
            let typed = Self.admin.merging(["Content-Type": "Application/JSON; charset=utf-8"]) { $1 }
            #expect(await scene.send("POST", path, typed, body: body).status == 400)
        }
    }

    @Test(arguments: ["pin", "unpin", "invalidate"])
    func `what is no image is told so`(action: String) async throws {
        try await Scene.run { scene in
            for image in ["", ":", "UPPER/case", "a b*", "a@b", "debian@sha256:12", "-", "a:b:c"] {
                let reply = await order(scene, action, #"{"image":"\#(image)"}"#)
                #expect(reply.status == 400, "\(image)")
                let error = try await reply.error()
                #expect(error?.code == "NAME_INVALID")
            }
        }
    }

    // MARK: Pins

    @Test func `what is pinned outlives an eviction, and what is unpinned does not`() async throws {
        try await Scene.run { scene in
            let (kept, gone) = (scene.image(tag: "1", seed: 1), scene.image(tag: "2", seed: 2))
            try await pull(scene, kept, tag: "1")
            try await pull(scene, gone, tag: "2")
            let pinned = try await done(scene, "pin", #"{"image":"alpine:1"}"#)
            #expect(pinned["images"] as? [String] == ["docker.io/library/alpine:1"])
            let size = kept.manifest.bytes.count + kept.blobs.reduce(0) { $0 + $1.bytes.count }
            #expect(pinned["pinned_bytes"] as? Int == size)

            let evicted = try await done(scene, "evict", #"{"to":"0B"}"#)
            #expect(evicted["evicted_blobs"] as? Int == 1 + gone.blobs.count)
            #expect(try await isStored(scene, kept.manifest.digest))
            for blob in kept.blobs { #expect(try await isStored(scene, blob.digest)) }
            for blob in gone.blobs { #expect(try await !isStored(scene, blob.digest)) }

            let unpinned = try await done(scene, "unpin", #"{"image":"docker.io/library/alpine:*"}"#)
            #expect(unpinned["images"] as? [String] == ["docker.io/library/alpine:1"])
            #expect(unpinned["pinned_bytes"] as? Int == 0)
            _ = try await done(scene, "evict", #"{"to":0}"#)
            #expect(try await !isStored(scene, kept.manifest.digest))
        }
    }

    @Test func `a pin holds for what is pulled after it, and only its own taking back ends it`() async throws {
        try await Scene.run { scene in
            let pinned = try await done(scene, "pin", #"{"image":"alpine"}"#)
            #expect(pinned["images"] as? [String] == [])
            let image = scene.image(tag: "1")
            try await pull(scene, image, tag: "1")
            _ = try await done(scene, "evict", #"{"to":0}"#)
            for blob in image.blobs { #expect(try await isStored(scene, blob.digest)) }
            let refused = await order(scene, "unpin", #"{"image":"alpine:1"}"#)
            #expect(refused.status == 409)
            #expect(try await refused.error()?.message.contains("docker.io/library/alpine: unpin that") == true)
            // One that is not stored is pinned by it no less.
            #expect(await order(scene, "unpin", #"{"image":"alpine:3"}"#).status == 409)
            let unpinned = try await done(scene, "unpin", #"{"image":"docker.io/library/alpine"}"#)
            #expect(unpinned["images"] as? [String] == ["docker.io/library/alpine:1"])
        }
    }

    // MARK: Forgetting

    @Test func `a tag that is invalidated is asked about again, though it was fresh and in memory`() async throws {
        try await Scene.run { scene in
            let image = scene.image(tag: "1.0")
            try await pull(scene, image)
            try await pull(scene, image)
            scene.stub.clearLog()
            #expect(await scene.get("\(Scene.alpine)/manifests/1.0").cacheStatus == "wharf; hit")
            #expect(scene.stub.log.requests.isEmpty)
            let gone = try await done(scene, "invalidate", #"{"image":"alpine:1.0"}"#)
            #expect(gone["tags"] as? Int == 1 && gone["manifests"] as? Int == 1 && gone["blobs"] as? Int == 0)
            #expect(await scene.get("\(Scene.alpine)/manifests/1.0").status == 200)
            #expect(scene.stub.log.requests("/manifests/1.0").count == 1)
            // Its bytes have stayed.
            #expect(scene.stub.log.requests("/manifests/", method: "GET").isEmpty)
        }
    }

    @Test(arguments: ["registry-1.docker.io/library/alpine", "Index.Docker.io/alpine"])
    func `an image is the same by any host that Docker Hub goes by`(name: String) async throws {
        try await Scene.run { scene in
            let image = scene.image(tag: "1.0")
            try await pull(scene, image)
            let pinned = try await done(scene, "pin", #"{"image":"\#(name):1.0"}"#)
            #expect(pinned["images"] as? [String] == ["docker.io/library/alpine:1.0"])
            let gone = try await done(scene, "invalidate", #"{"image":"\#(name):1.0"}"#)
            #expect(gone["tags"] as? Int == 1)
            try await pull(scene, image)
            let digest = try await done(scene, "invalidate", #"{"image":"\#(name)@\#(image.manifest.digest)"}"#)
            #expect(digest["manifests"] as? Int == 1)
        }
    }

    @Test func `a manifest that lost its right is confirmed before it is shown by digest`() async throws {
        try await Scene.run { scene in
            let image = scene.image(tag: "1.0")
            try await pull(scene, image)
            let path = "\(Scene.alpine)/manifests/\(image.manifest.digest)"
            #expect(await scene.get(path).cacheStatus == "wharf; hit")
            let body = #"{"image":"alpine@\#(image.manifest.digest)"}"#
            let gone = try await done(scene, "invalidate", body)
            #expect(gone["tags"] as? Int == 1 && gone["manifests"] as? Int == 1)
            scene.stub.clearLog()
            #expect(await scene.get(path).status == 200)
            #expect(scene.stub.log.requests(image.manifest.digest.description, method: "HEAD").count == 1)
            #expect(try await done(scene, "invalidate", body)["manifests"] as? Int == 1)
            #expect(try await done(scene, "invalidate", body)["manifests"] as? Int == 0)
        }
    }

    @Test func `a digest that is invalidated is gone wherever it was, and fetched again`() async throws {
        try await Scene.run { scene in
            let image = scene.image(tag: "1.0")
            try await pull(scene, image)
            let layer = image.layers[0]
            let gone = try await done(scene, "invalidate", #"{"image":"\#(layer.digest)"}"#)
            #expect(gone["blobs"] as? Int == 1 && gone["manifests"] as? Int == 0 && gone["tags"] as? Int == 0)
            #expect(try await !isStored(scene, layer.digest))
            scene.stub.clearLog()
            #expect(try await scene.pull("\(Scene.alpine)/blobs/\(layer.digest)") == layer.bytes)
            #expect(scene.stub.log.requests("\(layer.digest)", method: "GET").count == 1)
            let manifest = try await done(scene, "invalidate", #"{"image":"\#(image.manifest.digest)"}"#)
            #expect(manifest["manifests"] as? Int == 1 && manifest["tags"] as? Int == 1)
            scene.stub.clearLog()
            #expect(await scene.get("\(Scene.alpine)/manifests/1.0").status == 200)
            #expect(scene.stub.log.requests("/manifests/", method: "GET").count == 1)
        }
    }

    @Test func `a pattern means every tag that matches and no other`() async throws {
        try await Scene.run { scene in
            for tag in ["1.0", "1.1", "2.0"] {
                try await pull(
                    scene, scene.image(tag: tag, seed: UInt64(tag.utf8.reduce(0) { $0 * 7 + Int($1) })), tag: tag)
            }
            let gone = try await done(scene, "invalidate", #"{"image":"docker.io/library/*:1.*"}"#)
            #expect(gone["tags"] as? Int == 2 && gone["manifests"] as? Int == 2)
            scene.stub.clearLog()
            for tag in ["1.0", "1.1", "2.0"] {
                #expect(await scene.get("\(Scene.alpine)/manifests/\(tag)").status == 200)
            }
            #expect(scene.stub.log.requests("/manifests/").map(\.path.suffix3) == ["1.0", "1.1"])
        }
    }

    @Test func `what was remembered not to be there is asked about again`() async throws {
        try await Scene.run { scene in
            #expect(await scene.get("\(Scene.alpine)/manifests/new").status == 404)
            scene.image(tag: "new")
            #expect(await scene.get("\(Scene.alpine)/manifests/new").status == 404)
            let gone = try await done(scene, "invalidate", #"{"image":"alpine:new"}"#)
            #expect(gone["tags"] as? Int == 0)
            #expect(await scene.get("\(Scene.alpine)/manifests/new").status == 200)
        }
    }

    @Test func `what is hosted here is neither forgotten nor evicted`() async throws {
        try await Scene.run { scene in
            let bytes = [UInt8](repeating: 7, count: 5000)
            let digest = Digest.of(bytes)
            let fields = Scene.login
            let pushed = await scene.send(
                "POST", "/v2/ours/app/blobs/uploads/", query: "digest=\(digest)", fields, body: bytes)
            #expect(pushed.status == 201)
            for image in ["ours/app:1", "ours/app@\(digest)", "\(digest)"] {
                let refused = await order(scene, "invalidate", #"{"image":"\#(image)"}"#)
                #expect(refused.status == 409, "\(image)")
                #expect(try await refused.error()?.message.contains("delete it") == true)
            }
            for action in ["pin", "unpin"] {
                #expect(await order(scene, action, #"{"image":"ours/app:1"}"#).status == 409)
            }
            _ = try await done(scene, "evict", #"{"to":0}"#)
            #expect(try await scene.get("/v2/ours/app/blobs/\(digest)").bytes() == bytes)
        }
    }

    // MARK: Room

    @Test func `an eviction stops at the size, takes the least used first, and minds no lease`() async throws {
        try await Scene.run { scene in
            var blobs: [TestBlob] = []
            for seed in 1...4 {
                scene.wall.advance(by: .seconds(5))
                let (blob, path) = scene.blob(100_000, seed: UInt64(seed))
                try await scene.pull(path)
                blobs.append(blob)
            }
            let image = scene.image(tag: "1.0", seed: 9)
            try await pull(scene, image)
            let used = Int(scene.store.capacity.snapshot.used)
            let evicted = try await done(scene, "evict", #"{"to":\#(used - 150_000)}"#)
            #expect(evicted["evicted_blobs"] as? Int == 2)
            #expect(evicted["evicted_bytes"] as? Int == 2 * 102_400)
            #expect(evicted["used_bytes"] as? Int ?? .max <= used - 150_000)
            for (blob, isLeft) in zip(blobs, [false, false, true, true]) {
                #expect(try await isStored(scene, blob.digest) == isLeft)
            }
            // The manifest was served just now: no eviction for room would take it or what it names.
            _ = try await done(scene, "evict", #"{"to":"1kB"}"#)
            #expect(try await !isStored(scene, image.manifest.digest))
            for size in [#""ten""#, #""-1B""#, "-1", "1.5", #""10""#] {
                #expect(await order(scene, "evict", #"{"to":\#(size)}"#).status == 400, "\(size)")
            }
        }
    }
}

extension String {
    fileprivate var suffix3: String { String(suffix(3)) }
}
