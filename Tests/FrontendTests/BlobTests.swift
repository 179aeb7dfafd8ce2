// end-2: a blob missed, followed, hit, asked about, and refused.

import HTTPServer
import OCI
import PullThrough
import TestSupport
import Testing

@Suite("end-2: GET and HEAD /v2/<name>/blobs/<digest>") struct BlobTests {
    @Test(arguments: [0, 1, 65_536, 65_537, 300_000]) func `a miss brings the blob and says so, a hit says that`(
        size: Int
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(size)
            let missed = await scene.get(path)
            #expect(missed.cacheStatus == "wharf; fwd=miss; fwd-status=200; stored")
            #expect(try await missed.bytes() == blob.bytes)
            await scene.cache.settle()
            let hit = await scene.get(path)
            #expect(hit.cacheStatus == "wharf; hit")
            #expect(try await hit.bytes() == blob.bytes)
            #expect(scene.stub.log.requests("\(blob.digest)").count == 1)
        }
    }

    @Test func `GET has the spec's fields, missed and hit alike`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(100_000)
            for _ in 0..<2 {
                let reply = await scene.get(path)
                #expect(reply.status == 200)
                #expect(reply["Content-Type"] == "application/octet-stream")
                #expect(reply["Content-Length"] == "100000")
                #expect(reply["Docker-Content-Digest"] == "\(blob.digest)")
                #expect(reply["ETag"] == "\"\(blob.digest)\"")
                #expect(reply["Accept-Ranges"] == "bytes")
                #expect(reply["Docker-Distribution-Api-Version"] == "registry/2.0")
                #expect(reply["Content-Encoding"] == nil)
                #expect(reply["Proxy-Status"] == nil && reply["Warning"] == nil)
                _ = try await reply.bytes()
                await scene.cache.settle()
            }
        }
    }

    @Test func `HEAD has them too, and fetches nothing`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(100_000)
            let asked = await scene.head(path)
            #expect(asked.cacheStatus == "wharf; fwd=miss; fwd-status=200")
            #expect(scene.stub.log.requests("\(blob.digest)", method: "GET").isEmpty)
            try await scene.pull(path)
            let stored = await scene.head(path)
            #expect(stored.cacheStatus == "wharf; hit")
            for reply in [asked, stored] {
                #expect(reply.status == 200)
                #expect(reply["Content-Type"] == "application/octet-stream")
                #expect(reply["Content-Length"] == "100000")
                #expect(reply["Docker-Content-Digest"] == "\(blob.digest)")
                #expect(reply["ETag"] == "\"\(blob.digest)\"")
                #expect(reply["Accept-Ranges"] == "bytes")
                #expect(try await reply.bytes().isEmpty)
            }
        }
    }

    @Test func `HEAD of a blob in flight is answered from the flight`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(300_000)
            scene.stub.inject(.stall(at: 100_000), into: "\(blob.digest)")
            let flight = await scene.get(path)
            let reply = await scene.head(path)
            #expect(reply["Content-Length"] == "300000")
            #expect(reply.cacheStatus == "wharf; fwd=miss; fwd-status=200; collapsed")
            #expect(scene.stub.log.requests("\(blob.digest)", method: "HEAD").isEmpty)
            withExtendedLifetime(flight) {}
        }
    }

    @Test(arguments: [[:], ["Range": "bytes=0-0"]])
    func `a body of unknown length is announced with none, and comes whole: what a range of it is cannot be said`(
        fields: [String: String]
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(300_000)
            scene.stub.inject(.chunked, into: "\(blob.digest)")
            let reply = await scene.get(path, fields)
            #expect(reply.status == 200)
            #expect(reply["Content-Length"] == nil && reply["Content-Range"] == nil)
            #expect(try await reply.bytes() == blob.bytes)
        }
    }

    @Test func `a blob is asked for through ns= at that upstream alone, and the answer names it`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder(seed: 9)
            let blob = scene.other.add(blob: builder.blob(5000), to: "acme/app")
            for (path, query) in [
                ("/v2/acme/app/blobs/\(blob.digest)", "ns=ghcr.io"), ("/v2/ghcr.io/acme/app/blobs/\(blob.digest)", nil),
            ] as [(String, String?)] {
                for method in ["GET", "HEAD"] {
                    let reply = await scene.send(method, path, query: query)
                    #expect(reply.status == 200)
                    #expect(reply["OCI-Namespace"] == (query == nil ? nil : "ghcr.io"))
                    #expect(reply.logged("repository") == "ghcr.io/acme/app")
                    _ = try await reply.bytes()
                    await scene.cache.settle()
                }
            }
            #expect(scene.stub.log.requests.isEmpty)
        }
    }
}

@Suite("end-2: If-None-Match") struct BlobValidatorTests {
    @Test(arguments: ["GET", "HEAD"], [true, false]) func `who has the blob is told so, stored or not`(
        method: String, isStored: Bool
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(100_000)
            if isStored { try await scene.pull(path) }
            for tag in ["\"\(blob.digest)\"", "W/\"\(blob.digest)\"", "\"x\", \"\(blob.digest)\"", "*"] {
                let reply = await scene.send(method, path, ["If-None-Match": tag])
                #expect(reply.status == 304)
                #expect(reply["ETag"] == "\"\(blob.digest)\"")
                #expect(reply["Docker-Content-Digest"] == "\(blob.digest)")
                #expect(reply.cacheStatus != nil)
                #expect(try await reply.bytes().isEmpty)
            }
        }
    }

    @Test func `no transfer is begun for who has the blob already`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(100_000)
            _ = await scene.get(path, ["If-None-Match": "\"\(blob.digest)\""])
            #expect(scene.stub.log.requests("\(blob.digest)", method: "GET").isEmpty)
        }
    }

    @Test func `another tag brings the blob`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(1000)
            let reply = await scene.get(path, ["If-None-Match": "\"sha256:0\""])
            #expect(reply.status == 200)
            #expect(try await reply.bytes() == blob.bytes)
        }
    }

    @Test func `what does not exist does not match`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let path = "\(Scene.alpine)/blobs/\(MethodTests.digest)"
            #expect(await scene.get(path, ["If-None-Match": "*"]).status == 404)
        }
    }
}

@Suite("end-2: a blob that cannot be had") struct BlobFailureTests {
    @Test(arguments: [401, 403, 429, 500, 503, 418]) func `is 404 BLOB_UNKNOWN whatever the upstream answers`(
        status: Int
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(1000)
            scene.stub.inject(
                .status(status, body: "no luck today", fields: [("Retry-After", "30")]), into: "\(blob.digest)")
            for method in ["GET", "HEAD"] {
                let reply = await scene.send(method, path)
                #expect(reply.status == 404)
                #expect(reply["Content-Type"] == "application/json")
                #expect(reply["Proxy-Status"]?.hasPrefix("wharf; error=") == true)
                #expect(reply["Retry-After"] == nil)
                if method == "HEAD" { continue }  // the upstream's own words came with no HEAD
                #expect(reply["Proxy-Status"]?.contains("no luck today") == true)
                let error = try await reply.error()
                #expect(error?.code == "BLOB_UNKNOWN")
                #expect(error?.message.contains("no luck today") == true)
            }
        }
    }

    @Test func `is 404 without Proxy-Status when the upstream says that there is none`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let path = "\(Scene.alpine)/blobs/\(MethodTests.digest)"
            let reply = await scene.get(path)
            #expect(reply.status == 404)
            #expect(try await reply.error()?.code == "BLOB_UNKNOWN")
            #expect(reply["Proxy-Status"] == nil)
            #expect(reply.cacheStatus == "wharf; fwd=miss; fwd-status=404")
            #expect(await scene.get(path).cacheStatus == "wharf; hit; detail=negative")
        }
    }

    @Test func `names a refused connection`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            await scene.stub.stop()
            let reply = await scene.get("\(Scene.alpine)/blobs/\(MethodTests.digest)")
            #expect(reply.status == 404)
            #expect(reply["Proxy-Status"]?.hasPrefix("wharf; error=connection_refused; ") == true)
        }
    }

    @Test func `is 404 before its status line when a small one does not match its digest`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(60_000)
            scene.stub.inject(.corrupt(at: 59_999), into: "\(blob.digest)")
            let reply = await scene.get(path)
            #expect(reply.status == 404)
            #expect(try await reply.error()?.message.contains("hash to") == true)
            #expect(reply["Proxy-Status"]?.hasPrefix("wharf; error=http_protocol_error") == true)
        }
    }

    @Test func `breaks off, and never ends, when a large one does not match its digest`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(300_000)
            scene.stub.inject(.corrupt(at: 0), into: "\(blob.digest)")
            let reply = await scene.get(path)
            #expect(reply.status == 200)
            await #expect(throws: Reply.Broken.self) { try await reply.bytes() }
        }
    }

    @Test func `what there is no room for comes all the same`() async throws {
        try await Scene.run(maxSize: 2_000_000) { (scene: Scene) async throws in
            let (blob, path) = scene.blob(3_000_000)
            for _ in 0..<2 {
                let reply = await scene.get(path)
                #expect(reply.status == 200)
                #expect(try await reply.bytes() == blob.bytes)
            }
            #expect(try await scene.statistics().object("storage")["blobs"] as? Int == 0)
        }
    }

    @Test func `says that the mirror is offline`() async throws {
        try await Scene.run(offline: true) { (scene: Scene) async throws in
            let reply = await scene.get("\(Scene.alpine)/blobs/\(MethodTests.digest)")
            #expect(reply.status == 404)
            #expect(reply["Proxy-Status"]?.hasPrefix("wharf; error=http_request_denied") == true)
            #expect(try await reply.error()?.message.contains("offline") == true)
        }
    }

    @Test func `of an upstream that is none of ours is 404 NAME_UNKNOWN, and nobody is asked`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            for rest in ["blobs/\(MethodTests.digest)", "manifests/1.0", "tags/list"] {
                let reply = await scene.get("\(Scene.alpine)/\(rest)", query: "ns=evil.example")
                #expect(reply.status == 404)
                #expect(try await reply.error()?.code == "NAME_UNKNOWN")
                #expect(reply["OCI-Namespace"] == nil)
            }
            #expect(scene.stub.log.requests.isEmpty && scene.other.log.requests.isEmpty)
        }
    }
}
