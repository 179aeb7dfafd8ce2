// The reading API: what is stored, page by page and one by one, and what is asked wrongly.

import Foundation
import HTTPServer
import HTTPTypes
import OCI
import PullThrough
import TestSupport
import Testing

@testable import Frontend

@Suite("GET /api/v1/…: what there is", .timeLimit(.minutes(1))) struct GlanceTests {
    private static let paths = ["repositories", "images", "transfers", "evictions", "openapi.json"]
        .map { "/api/v1/\($0)" }

    private func entries(_ reply: Reply, _ key: String) async throws -> [[String: any Sendable]] {
        #expect(reply.status == 200)
        return try await reply.json()[key] as? [[String: any Sendable]] ?? []
    }

    private func strings(_ entry: [String: any Sendable]?, _ key: String) -> [String]? { entry?[key] as? [String] }

    private func pulledIndex(_ scene: Scene, tag: String = "1.0") async throws -> TestIndex {
        var builder = ImageBuilder(seed: 3)
        let index = scene.stub.add(builder.index(layers: [1000, 300]), to: "library/alpine", tag: tag)
        try await scene.pull("\(Scene.alpine)/manifests/\(tag)")
        return index
    }

    private func pullBlobs(_ scene: Scene, _ blobs: [TestBlob]) async throws {
        for blob in blobs { try await scene.pull("\(Scene.alpine)/blobs/\(blob.digest)") }
    }

    @Test func `so many look around at once, and who comes then is told to come again`() {
        let crowd = Crowd()
        for _ in 0..<Crowd.most { #expect(crowd.enter()) }
        #expect(!crowd.enter() && !crowd.enter())
        crowd.leave()
        #expect(crowd.enter() && !crowd.enter())
        let refusal = GlanceError.crowded.response
        #expect(refusal.status == .serviceUnavailable && refusal.fields[.retryAfter] == "1")
    }

    // MARK: Lists

    @Test func `an empty mirror has empty lists, and every answer is a document that nobody keeps`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            for path in Self.paths {
                let reply = await scene.get(path)
                #expect(reply.status == 200 && reply["Content-Type"] == "application/json", "\(path)")
                #expect(reply["Cache-Control"] == "no-store", "\(path)")
                let head = await scene.head(path)
                #expect(head.status == 200 && head["Content-Length"] == reply["Content-Length"], "\(path)")
            }
            let list = try await scene.get("/api/v1/images").json()
            #expect((list["images"] as? [any Sendable])?.isEmpty == true && list["next"] is NSNull)
        }
    }

    @Test func `an image is listed with its platforms, sizes and times, its repository with its bytes`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let index = try await pulledIndex(scene)
            let child = index.images[0]
            scene.wall.advance(by: .seconds(2))
            try await scene.pull("\(Scene.alpine)/manifests/\(child.manifest.digest)")
            try await pullBlobs(scene, [child.config])
            let image = try await entries(await scene.get("/api/v1/images"), "images").first
            let stored = index.manifest.bytes.count + child.manifest.bytes.count + child.config.bytes.count
            #expect(image?["name"] as? String == "docker.io/library/alpine:1.0")
            #expect(image?["repository"] as? String == "docker.io/library/alpine")
            #expect(image?["tag"] as? String == "1.0")
            #expect(image?["digest"] as? String == "\(index.manifest.digest)")
            #expect(image?["media_type"] as? String == "\(MediaType.ociIndex)")
            #expect(image?["is_index"] as? Bool == true)
            #expect(image?["stored_size"] as? Int == stored)
            #expect(image?["size"] as? Int == stored + 1300)
            #expect(strings(image, "platforms") == ["linux/amd64", "linux/arm64"])
            #expect(image?["pinned"] as? Bool == false && image?["hosted"] as? Bool == false)
            #expect(image?["checked_at"] as? String == "2023-11-14T22:13:20.000Z")
            #expect(image?["last_used_at"] as? String == "2023-11-14T22:13:20.000Z")
            #expect(image?.count == 13)
            let repository = try await entries(await scene.get("/api/v1/repositories"), "repositories").first
            #expect(repository?["name"] as? String == "docker.io/library/alpine")
            #expect(repository?["upstream"] as? String == "docker.io" && repository?["hosted"] as? Bool == false)
            #expect(repository?["tags"] as? Int == 1 && repository?["bytes"] as? Int == stored)
            #expect(repository?["last_used_at"] as? String == "2023-11-14T22:13:22.000Z")
            #expect(repository?.count == 6)
        }
    }

    @Test func `a plain image's platform is its configuration's, once that is here`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            try await scene.pull("\(Scene.alpine)/manifests/1.0")
            #expect(strings(try await entries(await scene.get("/api/v1/images"), "images").first, "platforms") == [])
            try await pullBlobs(scene, [image.config])
            let entry = try await entries(await scene.get("/api/v1/images"), "images").first
            #expect(strings(entry, "platforms") == ["linux/amd64"])
        }
    }

    @Test func `pages go on where the last one says, and n is a thousand at most`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            for tag in ["a", "b", "c"] {
                scene.image(tag: tag)
                try await scene.pull("\(Scene.alpine)/manifests/\(tag)")
            }
            let first = try await scene.get("/api/v1/images", query: "n=2").json()
            #expect((first["images"] as? [[String: any Sendable]])?.compactMap { $0["tag"] as? String } == ["a", "b"])
            let next = try #require(first["next"] as? String)
            #expect(next == "docker.io/library/alpine:b")
            let rest = try await scene.get("/api/v1/images", query: "n=2&last=\(Page.escaped(next))").json()
            #expect((rest["images"] as? [[String: any Sendable]])?.compactMap { $0["tag"] as? String } == ["c"])
            #expect(rest["next"] is NSNull)
            for n in ["1001", "99999999999999999999999", "003"] {
                #expect(try await entries(await scene.get("/api/v1/images", query: "n=\(n)"), "images").count == 3)
            }
            let found = await scene.get("/api/v1/images", query: "q=ALPINE%3Ab")
            #expect(try await entries(found, "images").compactMap { $0["tag"] as? String } == ["b"])
            #expect(try await entries(await scene.get("/api/v1/images", query: "q=%00"), "images").isEmpty)
        }
    }

    @Test func `of one repository its own tags are listed, and of none that is not here`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            for tag in ["a", "b"] {
                scene.image(tag: tag)
                try await scene.pull("\(Scene.alpine)/manifests/\(tag)")
            }
            try await scene.pushImage("ours/app", tag: "1")
            func tags(_ query: String) async throws -> [String] {
                try await entries(await scene.get("/api/v1/images", query: query), "images")
                    .compactMap { $0["tag"] as? String }
            }
            #expect(try await tags("repository=docker.io%2Flibrary%2Falpine") == ["a", "b"])
            #expect(try await tags("repository=docker.io/library/alpine&q=%3Ab") == ["b"])
            #expect(try await tags("repository=docker.io/library/alpine&last=docker.io/library/alpine:a") == ["b"])
            #expect(try await tags("repository=ours/app") == ["1"])
            #expect(try await tags("repository=library/alpine") == [])
            #expect(try await tags("repository=").count == 3)
            let refused = await scene.get("/api/v1/repositories", query: "repository=ours/app")
            #expect(refused.status == 400)
        }
    }

    @Test func `what was pushed here stands among the rest, by its own name`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            try await scene.pushImage("ours/app", tag: "1")
            let image = try await entries(await scene.get("/api/v1/images"), "images").first
            #expect(image?["name"] as? String == "ours/app:1" && image?["hosted"] as? Bool == true)
            #expect(image?["checked_at"] is NSNull)
            let repository = try await entries(await scene.get("/api/v1/repositories"), "repositories").first
            #expect(repository?["name"] as? String == "ours/app" && repository?["upstream"] is NSNull)
            let details = await scene.get("/api/v1/images/ours/app:1")
            #expect(details.status == 200)
            #expect(try await details.json()["hosted"] as? Bool == true)
            #expect(try await entries(await scene.get("/api/v1/evictions"), "candidates").isEmpty)
        }
    }

    // MARK: One image

    @Test func `an index is told with each child, and of those that are here the config and the layers`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let index = try await pulledIndex(scene)
            let (here, away) = (index.images[0], index.images[1])
            try await scene.pull("\(Scene.alpine)/manifests/\(here.manifest.digest)")
            try await pullBlobs(scene, [here.config, here.layers[0]])
            let reply = await scene.get("/api/v1/images/docker.io/library/alpine:1.0")
            #expect(reply.status == 200)
            let image = try await reply.json()
            #expect(image["name"] as? String == "docker.io/library/alpine:1.0" && image["tag"] as? String == "1.0")
            #expect(image["is_index"] as? Bool == true && image["stored"] as? Bool == true)
            #expect(strings(image, "tags") == ["1.0"] && image.count == 18)
            #expect((image["leased_until_at"] as? String)?.hasPrefix("2023-11-14T22:") == true)
            let manifests = try #require(image["manifests"] as? [[String: any Sendable]])
            #expect(manifests.map { $0["platform"] as? String } == ["linux/amd64", "linux/arm64"])
            #expect(manifests.map { $0["stored"] as? Bool } == [true, false])
            #expect(manifests[1]["digest"] as? String == "\(away.manifest.digest)")
            #expect(manifests[1]["size"] as? Int == away.manifest.bytes.count)
            #expect(manifests[1]["stored_size"] as? Int == 0)
            #expect(manifests[1]["config"] is NSNull && (manifests[1]["layers"] as? [any Sendable])?.isEmpty == true)
            let config = try #require(manifests[0]["config"] as? [String: any Sendable])
            #expect(config["digest"] as? String == "\(here.config.digest)" && config["stored"] as? Bool == true)
            let layers = try #require(manifests[0]["layers"] as? [[String: any Sendable]])
            #expect(layers.map { $0["stored"] as? Bool } == [true, false])
            #expect(layers.map { $0["size"] as? Int } == [1000, 300])
            #expect(layers.map { $0["stored_bytes"] as? Int } == [1000, 0])
            #expect(layers.map { $0["foreign"] as? Bool } == [false, false])
            #expect(layers[0]["last_used_at"] is String && layers[1]["last_used_at"] is NSNull)
            let listed = try await entries(await scene.get("/api/v1/images"), "images").first
            #expect(image["size"] as? Int == listed?["size"] as? Int)
            #expect(image["stored_size"] as? Int == listed?["stored_size"] as? Int)
        }
    }

    @Test func `a plain image is told as its only manifest, by any of its names`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image(tag: "latest")
            try await scene.pull("\(Scene.alpine)/manifests/latest")
            try await pullBlobs(scene, image.blobs)
            let digest = "\(image.manifest.digest)"
            let names = [
                "alpine", "alpine:latest", "library/alpine", "docker.io/library/alpine", "docker.io/alpine:latest",
                "index.docker.io/alpine", "alpine%3Alatest", "alpine@\(digest)", "alpine%40\(digest)",
                "docker.io/library/alpine:nosuch@\(digest)",
            ]
            for name in names {
                let reply = await scene.get("/api/v1/images/\(name)")
                #expect(reply.status == 200, "\(name)")
                let object = try await reply.json()
                #expect(object["digest"] as? String == digest, "\(name)")
                let manifests = object["manifests"] as? [[String: any Sendable]] ?? []
                #expect(manifests.map { $0["platform"] as? String } == ["linux/amd64"], "\(name)")
                #expect(manifests.first?["stored_size"] as? Int == object["stored_size"] as? Int, "\(name)")
            }
            let byDigest = try await scene.get("/api/v1/images/alpine@\(digest)").json()
            #expect(byDigest["name"] as? String == "docker.io/library/alpine@\(digest)" && byDigest["tag"] is NSNull)
            #expect(byDigest["checked_at"] is NSNull && strings(byDigest, "tags") == ["latest"])
        }
    }

    @Test func `a digest by itself is shown in a repository that has it, and a layer's is no image`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let index = try await pulledIndex(scene)
            let child = index.images[0]
            try await scene.pull("\(Scene.alpine)/manifests/\(child.manifest.digest)")
            try await pullBlobs(scene, [child.config])
            for digest in [index.manifest.digest, child.manifest.digest] {
                for text in ["\(digest)", "\(digest)".replacingOccurrences(of: ":", with: "%3A")] {
                    let reply = await scene.get("/api/v1/images/\(text)")
                    #expect(reply.status == 200, "\(text)")
                    let image = try await reply.json()
                    #expect(image["digest"] as? String == "\(digest)")
                    #expect(image["name"] as? String == "docker.io/library/alpine@\(digest)")
                }
            }
            let blob = await scene.get("/api/v1/images/\(child.config.digest)")
            #expect(blob.status == 404)
            let error = try #require(try await blob.error())
            #expect(error.code == "MANIFEST_UNKNOWN" && error.message.contains("is stored here as a blob"))
            for absent in [Digest.of([9]), index.images[1].manifest.digest] {
                let reply = await scene.get("/api/v1/images/\(absent)")
                #expect(reply.status == 404)
                #expect(try await reply.error()?.message.hasPrefix("nothing of \(absent)") == true)
            }
        }
    }

    @Test func `what was pushed here is shown by its digest alone`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            try await scene.pushImage("ours/app", tag: "1")
            let named = try await scene.get("/api/v1/images/ours/app:1").json()
            let digest = try #require(named["digest"] as? String)
            let image = try await scene.get("/api/v1/images/\(digest)").json()
            #expect(image["name"] as? String == "ours/app@\(digest)" && image["hosted"] as? Bool == true)
        }
    }

    @Test func `a layer on its way, and one that was left half, show how far they have come`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder(seed: 9)
            let image = scene.stub.add(builder.image(layers: [3 << 20]), to: "library/alpine", tag: "big")
            let layer = image.layers[0]
            try await scene.pull("\(Scene.alpine)/manifests/big")
            scene.stub.inject(.stall(at: 2 << 20), into: "\(layer.digest)")
            let client = await scene.get("\(Scene.alpine)/blobs/\(layer.digest)")
            func storedBytes() async throws -> Int {
                let object = try await scene.get("/api/v1/images/alpine:big").json()
                let manifests = object["manifests"] as? [[String: any Sendable]] ?? []
                let layers = manifests.first?["layers"] as? [[String: any Sendable]] ?? []
                #expect(layers.first?["stored"] as? Bool == false)
                return layers.first?["stored_bytes"] as? Int ?? -1
            }
            while try await storedBytes() < 2 << 20 { try await Task.sleep(for: .milliseconds(2)) }
            #expect(try await storedBytes() == 2 << 20)
            let transfer = try await entries(await scene.get("/api/v1/transfers"), "transfers").first
            #expect(transfer?["digest"] as? String == "\(layer.digest)" && transfer?["connections"] as? Int ?? 0 >= 1)
            #expect(transfer?["bytes_per_second"] is Int && transfer?.count == 9)
            await scene.cache.cease()
            #expect(try await storedBytes() == 2 << 20)
            let order = try await entries(await scene.get("/api/v1/evictions"), "candidates")
            #expect(order.first?["kind"] as? String == "partial" && order.first?["size"] as? Int == 2 << 20)
            withExtendedLifetime(client) {}
        }
    }

    @Test func `who refers to an image is told, with its type`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            try await scene.pull("\(Scene.alpine)/manifests/1.0")
            let text = """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","artifactType":"application/x.signature",\
                "config":\(image.config.descriptor()),"layers":[],"subject":\(image.manifest.descriptor())}
                """
            let signature = scene.stub.add(
                manifest: TestBlob(Array(text.utf8), .ociManifest), to: "library/alpine", tag: "sig")
            try await scene.pull("\(Scene.alpine)/manifests/sig")
            let object = try await scene.get("/api/v1/images/alpine:1.0").json()
            let referrers = object["referrers"] as? [[String: any Sendable]] ?? []
            #expect(referrers.map { $0["digest"] as? String } == ["\(signature.digest)"])
            #expect(referrers.first?["artifact_type"] as? String == "application/x.signature")
            #expect(referrers.first?["size"] as? Int == text.utf8.count)
        }
    }

    // MARK: What would go

    @Test func `what would be evicted is told in its order, with the bounds`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (first, path) = scene.blob(5000)
            try await scene.pull(path)
            scene.wall.advance(by: .seconds(1))
            let (second, later) = scene.blob(6000, seed: 2)
            try await scene.pull(later)
            let object = try await scene.get("/api/v1/evictions").json()
            #expect(object["limit_bytes"] as? Int == 1 << 30)
            #expect(object["low_watermark_bytes"] as? Int ?? 0 <= 1 << 30 && object["used_bytes"] as? Int ?? 0 > 11_000)
            let candidates = object["candidates"] as? [[String: any Sendable]] ?? []
            #expect(candidates.map { $0["digest"] as? String } == ["\(first.digest)", "\(second.digest)"])
            #expect(candidates.map { $0["size"] as? Int } == [5000, 6000])
            #expect(candidates.first?["kind"] as? String == "blob" && candidates.first?["leased_until_at"] is NSNull)
            #expect(candidates.first?["last_used_at"] as? String == "2023-11-14T22:13:20.000Z")
            #expect(try await entries(await scene.get("/api/v1/evictions", query: "n=1"), "candidates").count == 1)
        }
    }

    // MARK: What is asked wrongly

    @Test(arguments: [
        ("images", "n=0", "PAGINATION_NUMBER_INVALID"), ("images", "n=-1", "PAGINATION_NUMBER_INVALID"),
        ("images", "n=x", "PAGINATION_NUMBER_INVALID"), ("images", "n=", "PAGINATION_NUMBER_INVALID"),
        ("images", "n=%2B5", "PAGINATION_NUMBER_INVALID"), ("evictions", "n=1.5", "PAGINATION_NUMBER_INVALID"),
        ("images", "limit=5", "UNSUPPORTED"), ("repositories", "q=a&Q=b", "UNSUPPORTED"),
        ("transfers", "n=1", "UNSUPPORTED"), ("evictions", "q=a", "UNSUPPORTED"), ("openapi.json", "x", "UNSUPPORTED"),
        ("images/alpine", "tag=1", "UNSUPPORTED"), ("events", "also=everything", "UNSUPPORTED"),
        ("images", "q=\(String(repeating: "a", count: 513))", "UNSUPPORTED"),
    ])
    func `a parameter that is none, or is not what it must be, is 400`(
        path: String, query: String, code: String
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get("/api/v1/\(path)", query: query)
            #expect(reply.status == 400)
            #expect(try await reply.error()?.code == code)
        }
    }

    @Test(arguments: [
        "", "..", "../../etc/passwd", "a/../b", "alpine%2flatest", "library%2Falpine", "alpine%00", "alpine%",
        "alpine%zz", "%ff", "Alpine", "alpine:", "alpine:a:b", "alpine@sha256:12", "alpine:<script>",
        "alpine:%3Cscript%3E", "alpine//x",
        "/alpine", "alpine/", "alpine+x", "alpine%20", "docker.io/", "docker.io", "bad_host.io/x", "\u{e9}",
        String(repeating: "a", count: 300), "alpine:" + String(repeating: "a", count: 300),
        String(repeating: "a/", count: 150) + "a", String(repeating: "0", count: 64),
    ])
    func `what is no image's name is 400, and nothing is made of it`(name: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get("/api/v1/images/\(name)")
            // A host alone is a name like any other; there is no such image.
            #expect(reply.status == (name == "docker.io" ? 404 : 400), "\(name)")
            let error = try #require(try await reply.error())
            #expect(error.code == (name == "docker.io" ? "MANIFEST_UNKNOWN" : "NAME_INVALID"))
            #expect(error.message.utf8.count < 400)
        }
    }

    @Test func `what is not here is 404, and nobody is asked for it`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            let names = ["alpine:1.0", "ghcr.io/acme/app", "quay.io/none/such", "ours/app", "alpine@\(Digest.of([1]))"]
            for name in names {
                let reply = await scene.get("/api/v1/images/\(name)")
                #expect(reply.status == 404 && reply["Content-Type"] == "application/json", "\(name)")
                #expect(try await reply.error()?.code == "MANIFEST_UNKNOWN", "\(name)")
            }
            #expect(scene.stub.connectionCount == 0 && scene.other.connectionCount == 0)
        }
    }

    @Test func `only reading is served, and only what is said`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let admin = ["Authorization": "Bearer \(Scene.adminToken)"]
            for path in Self.paths + ["/api/v1/images/alpine"] {
                for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
                    #expect(await scene.send(method, path).status == 401, "\(method) \(path)")
                    let reply = await scene.send(method, path, admin)
                    #expect(reply.status == 405 && reply["Allow"] == "GET, HEAD", "\(method) \(path)")
                }
            }
            for path in ["/api/v1", "/api/v1/", "/api/v1/image", "/api/v1/images2", "/api/v1/openapi"] {
                #expect(await scene.get(path).status == 404, "\(path)")
            }
        }
    }

    @Test func `a password that is shown must be right, where people log in`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let wrong = ["Authorization": "Basic ZGV2Ondyb25n"]
            for path in Self.paths {
                #expect(await scene.send("GET", path, Scene.login, atLogin: true).status == 200, "\(path)")
                #expect(await scene.send("GET", path, atLogin: true).status == 200, "\(path)")
                let refusal = await scene.send("GET", path, wrong, atLogin: true)
                #expect(refusal.status == 401 && refusal["WWW-Authenticate"]?.hasPrefix("Basic") == true, "\(path)")
            }
        }
    }

    @Test func `a store that cannot be read is an error, and no empty list`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.closeDatabase()
            for path in ["repositories", "images", "evictions", "images/alpine"] {
                let reply = await scene.get("/api/v1/\(path)")
                #expect(reply.status == 500, "\(path)")
                #expect(try await reply.error()?.code == "UNKNOWN", "\(path)")
            }
            #expect(await scene.get("/api/v1/transfers").status == 200)
        }
    }
}

extension Scene {
    /// Pushes an image of one blob.
    func pushImage(_ name: String, tag: String) async throws {
        let blob: [UInt8] = [1, 2, 3]
        let digest = Digest.of(blob)
        let pushed = await send(
            "POST", "/v2/\(name)/blobs/uploads/", query: "digest=\(digest)", Self.login, body: blob)
        #expect(pushed.status == 201)
        let manifest = """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)",\
            "layers":[{"mediaType":"\(MediaType.ociLayer)","digest":"\(digest)","size":3}]}
            """
        let fields = Self.login.merging(["Content-Type": "\(MediaType.ociManifest)"]) { $1 }
        let put = await send("PUT", "/v2/\(name)/manifests/\(tag)", fields, body: Array(manifest.utf8))
        #expect(put.status == 201)
    }
}
