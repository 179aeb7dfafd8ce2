// end-4 to end-7, end-9 to end-11, end-13, end-14: pushing to a repository that is hosted here, field by field.

import HTTPTypes
import OCI
import TestSupport
import Testing

@testable import Frontend
@testable import HTTPServer

@Suite("Pushing to hosted repositories", .timeLimit(.minutes(1))) struct HostedPushTests {
    private static let ours = "/v2/ours/app"

    /// Asks as dev does.
    private func send(
        _ scene: Scene, _ method: String, _ path: String, query: String? = nil, _ fields: [String: String] = [:],
        _ body: [UInt8] = []
    ) async -> Reply {
        await scene.send(method, path, query: query, fields.merging(Scene.login) { $1 }, body: body)
    }

    private func begin(_ scene: Scene) async throws -> String {
        try #require(await send(scene, "POST", "\(Self.ours)/blobs/uploads/")["Location"])
    }

    private func push(
        _ scene: Scene, _ bytes: [UInt8], to path: String = HostedPushTests.ours
    ) async -> (digest: Digest, Reply) {
        let digest = Digest.of(bytes)
        let reply = await send(scene, "POST", "\(path)/blobs/uploads/", query: "digest=\(digest)", [:], bytes)
        return (digest, reply)
    }

    @Test(arguments: Digest.Algorithm.allCases)
    func `a blob is pushed at once, in two steps, and read at its place`(algorithm: Digest.Algorithm) async throws {
        try await Scene.run { scene in
            let (one, two) = ([UInt8](repeating: 1, count: 500), [UInt8](repeating: 2, count: 600))
            let digests = [one, two].map { Digest.of($0, algorithm) }
            let whole = await send(
                scene, "POST", "\(Self.ours)/blobs/uploads/", query: "digest=\(digests[0])", [:], one)
            let begun = await send(scene, "POST", "\(Self.ours)/blobs/uploads/")
            #expect(begun.status == 202 && begun["Range"] == "0-0" && begun["OCI-Chunk-Min-Length"] == "1")
            #expect(begun["Content-Length"] == "0" && begun["Docker-Upload-UUID"]?.isEmpty == false)
            let location = try #require(begun["Location"])
            let put = await send(scene, "PUT", location, query: "digest=\(digests[1])", [:], two)
            for (reply, digest, bytes) in [(whole, digests[0], one), (put, digests[1], two)] {
                #expect(reply.status == 201 && reply["Docker-Content-Digest"] == "\(digest)")
                #expect(reply["Location"] == "\(Self.ours)/blobs/\(digest)")
                #expect(reply["Docker-Distribution-Api-Version"] == "registry/2.0")
                let read = await scene.get("\(Self.ours)/blobs/\(digest)")
                #expect(read.status == 200 && read["Docker-Content-Digest"] == "\(digest)")
                #expect(read["Content-Type"] == "application/octet-stream" && read["ETag"] == "\"\(digest)\"")
                #expect(try await read.bytes() == bytes)
                let head = await scene.head("\(Self.ours)/blobs/\(digest)")
                #expect(head.status == 200 && head["Content-Length"] == "\(bytes.count)")
                let range = await scene.get("\(Self.ours)/blobs/\(digest)", ["Range": "bytes=2-4"])
                #expect(range.status == 206 && range["Content-Range"] == "bytes 2-4/\(bytes.count)")
                #expect(try await range.bytes().count == 3)
                let beyond = await scene.get("\(Self.ours)/blobs/\(digest)", ["Range": "bytes=9000-"])
                #expect(beyond.status == 416 && beyond["Content-Range"] == "bytes */\(bytes.count)")
                let beyondError = try await beyond.error()
                #expect(beyondError?.code == "RANGE_INVALID")
                #expect(await scene.get("\(Self.ours)/blobs/\(digest)", ["Range": "bytes=4-2"]).status == 416)
            }
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `chunks come in order, or are told where to go on`() async throws {
        try await Scene.run { scene in
            let location = try await begin(scene)
            let first = await send(scene, "PATCH", location, ["Content-Range": "0-2"], [1, 2, 3])
            #expect(first.status == 202 && first["Range"] == "0-2" && first["Location"] == location)
            let wrong: [(String, [UInt8])] = [("4-5", [5, 6]), ("0-2", [1, 2, 3]), ("x-y", [1]), ("3", [1])]
            for (field, bytes) in wrong {
                let refused = await send(scene, "PATCH", location, ["Content-Range": field], bytes)
                #expect(refused.status == 416 && refused["Range"] == "0-2" && refused["Location"] == location)
            }
            let mismatch = await send(scene, "PATCH", location, ["Content-Range": "3-9"], [4])
            #expect(mismatch.status == 400)
            let mismatchError = try await mismatch.error()
            #expect(mismatchError?.code == "SIZE_INVALID")
            let status = await send(scene, "GET", location)
            #expect(status.status == 204 && status["Range"] == "0-2" && status["Location"] == location)
            // As Docker sends it, without a range.
            #expect(await send(scene, "PATCH", location, [:], [4]).status == 202)
            let digest = Digest.of([1, 2, 3, 4, 5])
            let outOfOrder = await send(
                scene, "PUT", location, query: "digest=\(digest)", ["Content-Range": "9-9"], [5])
            #expect(outOfOrder.status == 416)
            let done = await send(scene, "PUT", location, query: "digest=\(digest)", ["Content-Range": "4-4"], [5])
            #expect(done.status == 201)
            let gone = await send(scene, "GET", location)
            #expect(gone.status == 404)
            let goneError = try await gone.error()
            #expect(goneError?.code == "BLOB_UPLOAD_UNKNOWN")
        }
    }

    @Test func `an upload is cancelled, and what it is not is said`() async throws {
        try await Scene.run { scene in
            let location = try await begin(scene)
            #expect(await send(scene, "DELETE", location).status == 204)
            #expect(await send(scene, "DELETE", location).status == 404)
            for query in [nil, "digest=", "digest=sha256:bad", "digest=md5:1"] {
                let reply = await send(scene, "PUT", try await begin(scene), query: query, [:], [1])
                #expect(reply.status == 400)
                let refusal = try await reply.error()
                #expect(refusal?.code == "DIGEST_INVALID")
            }
            let wrong = await send(
                scene, "PUT", try await begin(scene), query: "digest=\(Digest.of([2]))", [:], [1])
            #expect(wrong.status == 400)
            let wrongError = try await wrong.error()
            #expect(wrongError?.code == "DIGEST_INVALID")
            #expect(await scene.get("\(Self.ours)/blobs/\(Digest.of([1]))").status == 404)
        }
    }

    @Test func `a blob is mounted from a hosted and from a cached repository, and else pushed`() async throws {
        try await Scene.run { scene in
            let (blob, path) = scene.blob(1000)
            try await scene.pull(path)
            let digest = await push(scene, [1, 2, 3], to: "/v2/ours/other").digest
            for query in [
                "mount=\(digest)&from=ours/other", "mount=\(digest)", "mount=\(blob.digest)&from=library/alpine",
            ] {
                let reply = await send(scene, "POST", "\(Self.ours)/blobs/uploads/", query: query)
                #expect(reply.status == 201, "\(query)")
                #expect(reply["Location"]?.hasPrefix("\(Self.ours)/blobs/sha256:") == true)
            }
            #expect(try await scene.get("\(Self.ours)/blobs/\(blob.digest)").bytes() == blob.bytes)
            for query in [
                "mount=\(Digest.of([9]))&from=ours/other", "mount=bad&from=ours/other",
                "mount=\(blob.digest)&from=library/busybox", "mount=\(digest)&from=%2f", "mount=\(Digest.of([9]))",
            ] {
                let reply = await send(scene, "POST", "\(Self.ours)/blobs/uploads/", query: query)
                #expect(reply.status == 202 && reply["Location"] != nil, "\(query)")
            }
        }
    }

    @Test func `a manifest is pushed by tag and by digest, read, listed, and deleted at once`() async throws {
        try await Scene.run { scene in
            var builder = ImageBuilder(seed: 5)
            let image = builder.image()
            let body = image.manifest.bytes
            let type = ["Content-Type": "\(image.manifest.mediaType)"]
            let early = await send(scene, "PUT", "\(Self.ours)/manifests/v1", type, body)
            #expect(early.status == 404)
            let earlyError = try await early.error()
            #expect(earlyError?.code == "MANIFEST_BLOB_UNKNOWN")
            for blob in image.blobs { #expect(await push(scene, blob.bytes).1.status == 201) }
            let put = await send(scene, "PUT", "\(Self.ours)/manifests/v1", type, body)
            #expect(put.status == 201 && put["Docker-Content-Digest"] == "\(image.manifest.digest)")
            let byDigest = "\(Self.ours)/manifests/\(image.manifest.digest)"
            #expect(put["Location"] == byDigest && put["OCI-Subject"] == nil)
            let tagged = await send(scene, "PUT", byDigest, query: "tag=v2&tag=v3", type, body)
            #expect(tagged.status == 201 && tagged["OCI-Tag"]?.contains("v2") == true)
            for reference in ["v1", "v2", "v3", "\(image.manifest.digest)"] {
                for _ in 0..<2 {
                    let read = await scene.get("\(Self.ours)/manifests/\(reference)")
                    #expect(read.status == 200 && read["Content-Type"] == "\(image.manifest.mediaType)")
                    #expect(read["Docker-Content-Digest"] == "\(image.manifest.digest)")
                    #expect(try await read.bytes() == body)
                }
                let known = await scene.get(
                    "\(Self.ours)/manifests/\(reference)", ["If-None-Match": "\"\(image.manifest.digest)\""])
                #expect(known.status == 304)
            }
            let list = try await scene.get("\(Self.ours)/tags/list").text()
            #expect(list == #"{"name":"ours/app","tags":["v1","v2","v3"]}"# + "\n")
            #expect(await send(scene, "DELETE", "\(Self.ours)/manifests/v2").status == 202)
            #expect(await scene.head("\(Self.ours)/manifests/v2").status == 404)
            #expect(await send(scene, "DELETE", "\(Self.ours)/manifests/v2").status == 404)
            #expect(await send(scene, "DELETE", byDigest).status == 202)
            for reference in ["v1", "v3", "\(image.manifest.digest)"] {
                #expect(await scene.head("\(Self.ours)/manifests/\(reference)").status == 404)
            }
            let layer = "\(Self.ours)/blobs/\(image.layers[0].digest)"
            #expect(await scene.get(layer).status == 200)
            #expect(await send(scene, "DELETE", layer).status == 202)
            #expect(await scene.get(layer).status == 404)
            #expect(await send(scene, "DELETE", layer).status == 404)
        }
    }

    @Test func `what cannot be a manifest or a tag is refused in the spec's words`() async throws {
        try await Scene.run { scene in
            let cases: [(reference: String, body: String, status: Int, code: String)] = [
                ("v1", "no", 400, "MANIFEST_INVALID"), ("v1", #"{"schemaVersion":1}"#, 400, "MANIFEST_INVALID"),
                ("\(Digest.of([1]))", "{}", 400, "DIGEST_INVALID"), ("sha256:bad", "{}", 400, "DIGEST_INVALID"),
                (".v1", "{}", 400, "NAME_INVALID"), ("v1", "", 400, "MANIFEST_INVALID"),
            ]
            for (reference, body, status, code) in cases {
                let reply = await send(scene, "PUT", "\(Self.ours)/manifests/\(reference)", [:], Array(body.utf8))
                #expect(reply.status == status, "\(reference) \(body)")
                let refusal = try await reply.error()
                #expect(refusal?.code == code, "\(reference) \(body)")
            }
            let large = [UInt8](repeating: 0x20, count: (4 << 20) + 1)
            #expect(await send(scene, "PUT", "\(Self.ours)/manifests/v1", [:], large).status == 413)
            #expect(await send(scene, "PUT", "/v2/Ours/app/manifests/v1", [:], [1]).status == 400)
            let elsewhere = await send(scene, "PUT", "/v2/library/evil/manifests/v1", [:], Array("{}".utf8))
            #expect(elsewhere.status == 405)
            let elsewhereError = try await elsewhere.error()
            #expect(elsewhereError?.code == "UNSUPPORTED")
            #expect(await send(scene, "POST", "/v2/docker.io/ours/app/blobs/uploads/").status == 405)
        }
    }

    @Test func `referrers are listed, filtered, and confirmed to the pusher`() async throws {
        try await Scene.run { scene in
            let subject = Digest.of(Array("missing".utf8))
            let text = """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","artifactType":"text/x","layers":[],\
                "subject":{"mediaType":"\(MediaType.ociManifest)","digest":"\(subject)","size":7},\
                "annotations":{"a":"b"}}
                """
            let empty = await scene.get("\(Self.ours)/referrers/\(subject)")
            #expect(empty.status == 200 && empty["Content-Type"] == "\(MediaType.ociIndex)")
            let put = await send(
                scene, "PUT", "\(Self.ours)/manifests/sig", ["Content-Type": "\(MediaType.ociManifest)"],
                Array(text.utf8))
            #expect(put.status == 201 && put["OCI-Subject"] == "\(subject)")
            let list = try await scene.get("\(Self.ours)/referrers/\(subject)").text()
            #expect(list.contains("\(Digest.of(Array(text.utf8)))") && list.contains(#""annotations":{"a":"b"}"#))
            let filtered = await scene.get("\(Self.ours)/referrers/\(subject)", query: "artifactType=text%2Fy")
            #expect(filtered["OCI-Filters-Applied"] == "artifactType")
            #expect(try await filtered.text().contains(#""manifests":[]"#))
        }
    }

    @Test func `tags and repositories are listed page by page`() async throws {
        try await Scene.run { scene in
            for tag in ["c", "a", "b"] {
                #expect(await send(scene, "PUT", "\(Self.ours)/manifests/\(tag)", [:], Array("{}".utf8)).status == 201)
            }
            let first = await scene.get("\(Self.ours)/tags/list", query: "n=2")
            #expect(try await first.text() == #"{"name":"ours/app","tags":["a","b"]}"# + "\n")
            #expect(first["Link"] == "<\(Self.ours)/tags/list?n=2&last=b>; rel=\"next\"")
            let second = await scene.get("\(Self.ours)/tags/list", query: "n=2&last=b")
            #expect(try await second.text() == #"{"name":"ours/app","tags":["c"]}"# + "\n")
            #expect(second["Link"] == nil)
            #expect(await scene.get("\(Self.ours)/tags/list", query: "n=x").status == 400)
            #expect(await scene.get("/v2/ours/nothing/tags/list").status == 404)

            #expect(await push(scene, [1], to: "/v2/ours/b").1.status == 201)
            #expect(await scene.get("/v2/_catalog").status == 404)
            var rules = try Scene.rules()
            rules.showsCatalog = true
            scene.access.reconfigure(rules)
            let catalog = await scene.get("/v2/_catalog", query: "n=1")
            #expect(try await catalog.text() == #"{"repositories":["ours/app"]}"# + "\n")
            #expect(catalog["Link"] == "</v2/_catalog?n=1&last=ours%2Fapp>; rel=\"next\"")
            #expect(try await scene.get("/v2/_catalog").text() == #"{"repositories":["ours/app","ours/b"]}"# + "\n")
        }
    }

    @Test func `what was pushed is found, counted apart, and collected`() async throws {
        try await Scene.run { scene in
            #expect(await push(scene, [1, 2, 3]).1.status == 201)
            let found = try await scene.get("/v1/search", query: "q=ours").json()
            let results = try #require(found["results"] as? [[String: any Sendable]])
            #expect(results.first?["name"] as? String == "ours/app")
            #expect(try await scene.statistics().object("storage")["hosted_bytes"] as? Int == 3)
            let refused = await scene.send("POST", "/api/v1/gc")
            #expect(refused.status == 401)
            scene.wall.advance(by: .seconds(2 * 86_400))
            let collected = await scene.send(
                "POST", "/api/v1/gc", ["Authorization": "Bearer \(Scene.adminToken)"])
            #expect(try await collected.text() == #"{"blobs":1,"manifests":0,"uploads":0}"# + "\n")
        }
    }

    @Test func `a hosted name is never asked for elsewhere, and what ns says plays no part in a push`() async throws {
        try await Scene.run { scene in
            #expect(await scene.get("\(Self.ours)/manifests/v1").status == 404)
            #expect(await scene.get("\(Self.ours)/blobs/\(Digest.of([1]))").status == 404)
            let put = await send(
                scene, "PUT", "\(Self.ours)/manifests/v1", query: "ns=ghcr.io", [:], Array("{}".utf8))
            #expect(put.status == 201)
            #expect(await scene.get("\(Self.ours)/manifests/v1").status == 200)
            #expect(scene.stub.log.requests.isEmpty && scene.other.log.requests.isEmpty)
        }
    }
}
