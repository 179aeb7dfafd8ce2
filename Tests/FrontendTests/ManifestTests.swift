// end-3: manifests by tag and digest, their fields, and how fresh they are.

import HTTPServer
import OCI
import TestSupport
import Testing

@Suite("end-3: GET and HEAD /v2/<name>/manifests/<reference>") struct ManifestTests {
    static let path = "\(Scene.alpine)/manifests/1.0"

    @Test(arguments: ["GET", "HEAD"], [true, false]) func `it has the spec's fields, by tag and by digest`(
        method: String, byTag: Bool
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            let path = byTag ? Self.path : "\(Scene.alpine)/manifests/\(image.manifest.digest)"
            for status in ["wharf; fwd=miss; fwd-status=200; stored", "wharf; hit"] {
                let reply = await scene.send(method, path)
                #expect(reply.status == 200)
                #expect(reply.cacheStatus == status)
                #expect(reply["Content-Type"] == "application/vnd.oci.image.manifest.v1+json")
                #expect(reply["Content-Length"] == "\(image.manifest.bytes.count)")
                #expect(reply["Docker-Content-Digest"] == "\(image.manifest.digest)")
                #expect(reply["ETag"] == "\"\(image.manifest.digest)\"")
                #expect(reply["Docker-Distribution-Api-Version"] == "registry/2.0")
                #expect(reply["Age"] == "0")
                #expect(reply["Warning"] == nil && reply["Proxy-Status"] == nil)
                #expect(reply.logged("repository") == "docker.io/library/alpine")
                #expect(try await reply.bytes() == (method == "HEAD" ? [] : image.manifest.bytes))
            }
        }
    }

    @Test(arguments: [nil, "*/*", "application/json", "application/vnd.docker.distribution.manifest.v1+json"])
    func `Accept plays no part, and the upstream is shown the full list`(accept: String?) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder(seed: 3)
            let index = scene.stub.add(builder.index(isDocker: true), to: "library/alpine", tag: "1.0")
            let reply = await scene.get(Self.path, accept.map { ["Accept": $0] } ?? [:])
            #expect(reply["Content-Type"] == "application/vnd.docker.distribution.manifest.list.v2+json")
            #expect(try await reply.bytes() == index.manifest.bytes)
            #expect(scene.stub.log.requests("manifests/").allSatisfy { $0["Accept"] == MediaType.accepted })
        }
    }

    @Test(arguments: ["GET", "HEAD"]) func `who has it already is told so`(method: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let digest = scene.image().manifest.digest
            for tag in ["\"\(digest)\"", "W/\"\(digest)\"", "*", "\"a\" , \"\(digest)\""] {
                let reply = await scene.send(method, Self.path, ["If-None-Match": tag])
                #expect(reply.status == 304)
                #expect(reply["ETag"] == "\"\(digest)\"")
                #expect(reply["Docker-Content-Digest"] == "\(digest)")
                #expect(try await reply.bytes().isEmpty)
            }
            #expect(await scene.send(method, Self.path, ["If-None-Match": "\"\(digest)x\""]).status == 200)
        }
    }

    @Test func `a name of one part is docker.io's library, by path and by ns=`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            for path in ["/v2/alpine/manifests/1.0", "/v2/docker.io/alpine/manifests/1.0"] {
                let reply = await scene.get(path)
                #expect(reply.status == 200)
                #expect(reply.logged("repository") == "docker.io/library/alpine")
                #expect(reply["OCI-Namespace"] == nil)
            }
            for namespace in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
                let reply = await scene.get("/v2/alpine/manifests/1.0", query: "ns=\(namespace)")
                #expect(reply.status == 200)
                #expect(reply["OCI-Namespace"] == "docker.io")
            }
        }
    }

    @Test func `an ns= that is this mirror's own host means none`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            let reply = await scene.get(Self.path, query: "ns=mirror.example:5000", ["Host": "mirror.example:5000"])
            #expect(reply.status == 200)
        }
    }

    @Test func `an empty ns= means none`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            let reply = await scene.get(Self.path, query: "ns=")
            #expect(reply.status == 200)
            #expect(reply["OCI-Namespace"] == nil)
        }
    }

    @Test func `errors through ns= name the upstream too`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get("/v2/acme/app/manifests/1.0", query: "ns=ghcr.io")
            #expect(reply.status == 404)
            #expect(reply["OCI-Namespace"] == "ghcr.io")
            #expect(reply.logged("repository") == "ghcr.io/acme/app")
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `what a client shows is never passed on`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(
                Self.path, ["Authorization": "Basic c2VjcmV0", "Cookie": "a=b", "X-Registry-Auth": "x"])
            let sent = scene.stub.log.requests
            #expect(!sent.isEmpty)
            #expect(sent.allSatisfy { $0.authorization == nil && $0["Cookie"] == nil && $0["X-Registry-Auth"] == nil })
        }
    }
}

@Suite("end-3: freshness") struct FreshnessTests {
    @Test func `a fresh tag is a hit and says how old it is`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(ManifestTests.path)
            scene.wall.advance(by: .seconds(42))
            let reply = await scene.get(ManifestTests.path)
            #expect(reply.cacheStatus == "wharf; hit")
            #expect(reply["Age"] == "42")
            #expect(scene.stub.log.requests("manifests/1.0").count == 1)
        }
    }

    @Test func `an older one is asked about by HEAD and is new again`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(ManifestTests.path)
            scene.wall.advance(by: .seconds(61))
            let reply = await scene.get(ManifestTests.path)
            #expect(reply.cacheStatus == "wharf; fwd=stale; fwd-status=200")
            #expect(reply["Age"] == "0" && reply["Warning"] == nil)
            #expect(scene.stub.log.requests("manifests/", method: "GET").count == 1)
        }
    }

    @Test func `a tag that moved brings the new image`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(ManifestTests.path)
            let new = scene.image(seed: 2)
            scene.wall.advance(by: .seconds(61))
            let reply = await scene.get(ManifestTests.path)
            #expect(reply.cacheStatus == "wharf; fwd=stale; fwd-status=200; stored")
            #expect(try await reply.bytes() == new.manifest.bytes)
        }
    }

    @Test(arguments: [404, 401, 429, 500, 503]) func `when the upstream does not help, the old one is served`(
        status: Int
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let image = scene.image()
            _ = await scene.get(ManifestTests.path)
            scene.wall.advance(by: .seconds(61))
            scene.stub.inject(.status(status), into: "manifests/")
            for method in ["GET", "HEAD"] {
                let reply = await scene.send(method, ManifestTests.path)
                #expect(reply.status == 200)
                #expect(reply.cacheStatus == "wharf; fwd=stale; fwd-status=\(status); detail=stale-if-error")
                #expect(reply["Age"] == "61")
                #expect(reply["Warning"]?.hasPrefix("299 - \"served stale: docker.io ") == true)
                let isFailure = reply["Proxy-Status"]?.hasPrefix("wharf; error=http_request_error") == true
                #expect(isFailure == (status != 404))
                #expect(try await reply.bytes() == (method == "HEAD" ? [] : image.manifest.bytes))
            }
        }
    }

    @Test func `with nobody there the old one is served, and the reason named`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(ManifestTests.path)
            scene.wall.advance(by: .seconds(3600))
            await scene.stub.stop()
            let reply = await scene.get(ManifestTests.path)
            #expect(reply.status == 200)
            #expect(reply.cacheStatus == "wharf; fwd=stale; detail=stale-if-error")
            #expect(reply["Proxy-Status"]?.hasPrefix("wharf; error=connection_refused") == true)
        }
    }

    @Test func `an upstream's words cannot break out of the warning`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(ManifestTests.path)
            scene.wall.advance(by: .seconds(61))
            scene.stub.inject(.status(405), into: "manifests/", method: "HEAD")
            let words = "a\"b\\c é 漢 " + String(repeating: "x", count: 5000)
            scene.stub.inject(.status(500, body: words), into: "manifests/", method: "GET")
            let warning = await scene.get(ManifestTests.path)["Warning"] ?? ""
            #expect(warning.hasPrefix("299 - \"") && warning.hasSuffix("\""))
            #expect(warning.dropFirst(7).dropLast().allSatisfy { $0.isASCII && $0 != "\"" && $0 != "\\" })
            #expect(warning.contains("a'b'c ' ' x"))
            #expect(warning.utf8.count <= 4096)
        }
    }

    @Test func `beyond stale-if-error the truth is told`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(ManifestTests.path)
            scene.wall.advance(by: .seconds(3661))
            scene.stub.inject(.status(503), into: "manifests/")
            #expect(await scene.get(ManifestTests.path).status == 503)
        }
    }

    @Test(arguments: [
        ("no-cache", "Bearer admin-token", true), ("max-age=0, No-Cache", "bearer admin-token", true),
        ("no-cache", "Bearer admin-toke", false), ("no-cache", "Bearer ", false), ("no-cache", "", false),
        ("no-cache", "Basic YWRtaW4tdG9rZW4=", false), ("no-store", "Bearer admin-token", false),
        ("", "Bearer admin-token", false),
    ]) func `no-cache is obeyed for who holds the admin token, and ignored for others`(
        row: (cacheControl: String, authorization: String, isAsked: Bool)
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            _ = await scene.get(ManifestTests.path)
            let new = scene.image(seed: 2)
            let fields = ["Cache-Control": row.cacheControl, "Authorization": row.authorization]
            let reply = await scene.get(ManifestTests.path, fields)
            #expect(reply.status == 200)
            let told = row.isAsked ? "wharf; fwd=request; fwd-status=200; stored" : "wharf; hit"
            #expect(reply.cacheStatus == told)
            #expect((try await reply.bytes() == new.manifest.bytes) == row.isAsked)
            #expect(scene.stub.log.requests.allSatisfy { $0.authorization == nil })
        }
    }
}
