// end-1, the methods, and the gate: what is served at all.

import Frontend
import HTTPServer
import HTTPTypes
import OCI
import TestSupport
import Testing

@Suite("end-1: GET /v2/") struct BaseTests {
    @Test(arguments: ["/v2/", "/v2"]) func `it is 200 without asking anyone, whatever the client shows`(
        path: String
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get(path, ["Authorization": "Basic dXNlcjpodWItcGFzc3dvcmQ="])
            #expect(reply.status == 200)
            #expect(reply["Docker-Distribution-Api-Version"] == "registry/2.0")
            #expect(reply["Content-Type"] == "application/json")
            #expect(reply["WWW-Authenticate"] == nil)
            #expect(try await reply.text() == "{}\n")
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `it is answered on the event loop, and a path behind it is not`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            #expect(scene.responder.ready(.of("GET", "/v2/")) != nil)
            #expect(scene.responder.ready(.of("HEAD", "/v2/")) != nil)
            #expect(scene.responder.ready(.of("GET", "/v2/library/alpine/tags/list")) == nil)
            #expect(scene.responder.ready(.of("POST", "/v2/")) == nil)
        }
    }

    @Test func `HEAD has the fields of GET`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (get, head) = (await scene.get("/v2/"), await scene.head("/v2/"))
            #expect(head.status == 200)
            #expect(head["Content-Length"] == get["Content-Length"])
            #expect(head.response.fields == get.response.fields)
        }
    }
}

@Suite("Methods") struct MethodTests {
    static let digest = "sha256:" + String(repeating: "a", count: 64)

    @Test(
        arguments: ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"],
        [
            "/v2/", "/v2/library/alpine/manifests/1.0", "/v2/library/alpine/blobs/\(digest)",
            "/v2/library/alpine/tags/list", "/v2/library/alpine/blobs/uploads/",
            "/v2/library/alpine/blobs/uploads/7b1c", "/v2/_catalog", "/livez", "/readyz",
            "/stats",
        ])
    func `nothing but GET and HEAD is allowed where nothing is hosted`(method: String, path: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.send(method, path, query: "ns=nowhere.example")
            #expect(reply.status == 405)
            #expect(reply["Allow"] == "GET, HEAD")
            #expect(try await reply.error()?.code == "UNSUPPORTED")
            #expect(scene.stub.log.requests.isEmpty)
            #expect(try await scene.statistics().requests == [:])
        }
    }

    @Test func `a push is told to go to the registry itself`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.send("POST", "/v2/library/alpine/blobs/uploads/")
            #expect(try await reply.error()?.message.contains("push to the registry itself") == true)
        }
    }
}

@Suite("The gate") struct GateTests {
    @Test(
        arguments: [
            "/index.html", "/v2x", "/V2/", "/metrics/", "/api/v1/transfer", "/livez/", "/stats/x", "/favicon.ico",
            "/v2/library/alpine", "/v2/library/alpine/manifest/1.0", "/v2/library/alpine/tags", "/v2/_catalog/x",
            "/v2/library/alpine/blobs/uploads/a%20b", "//v2/", "/%76%32/", "",
        ]) func `a path that is not named is 404, and nobody is asked`(path: String) async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get(path)
            #expect(reply.status == 404)
            #expect(try await reply.error()?.code == "UNSUPPORTED")
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `the catalog is off`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get("/v2/_catalog")
            #expect(reply.status == 404)
            #expect(try await reply.error()?.code == "UNSUPPORTED")
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test(
        arguments: [
            "/v2/", "/livez", "/readyz", "/stats", "/nothing", "/v2/nothing", "/v2/_catalog",
            "/v2/library/alpine/manifests/1.0", "/v2/library/alpine/manifests/2.0",
            "/v2/library/alpine/manifests/sha256:x", "/v2/library/alpine/manifests/-x", "/v2/UPPER/manifests/1.0",
            "/v2/library/alpine/blobs/\(MethodTests.digest)", "/v2/library/alpine/tags/list",
            "/v2/none/tags/list", "/v2/ours/app/manifests/1.0", "/v2/library/alpine/blobs/uploads/",
        ], ["GET", "HEAD", "PUT"])
    func `every answer says how the cache came to it`(path: String, method: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            let reply = await scene.send(method, path)
            #expect(reply.cacheStatus?.hasPrefix("wharf; ") == true)
            #expect(reply["Content-Type"] != nil)
            let isRegistry = path.hasPrefix("/v2/")
            #expect(reply["Docker-Distribution-Api-Version"] == (isRegistry ? "registry/2.0" : nil))
        }
    }

    @Test(arguments: [
        ("manifests/1.0", "MANIFEST_UNKNOWN"), ("blobs/\(MethodTests.digest)", "BLOB_UNKNOWN"),
        ("tags/list", "NAME_UNKNOWN"),
    ])
    func `a hosted name to which nothing was pushed is 404, and no upstream is asked`(
        rest: String, code: String
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get("/v2/ours/app/\(rest)")
            #expect(reply.status == 404)
            #expect(try await reply.error()?.code == code)
            #expect(scene.stub.log.requests.isEmpty && scene.other.log.requests.isEmpty)
            #expect(try await scene.statistics().requests == (rest == "tags/list" ? [:] : ["total": 1, "error": 1]))
        }
    }
}

@Suite("Grammar at the door") struct GrammarTests {
    @Test(arguments: ["-x", ".x", "a b", "a@b", String(repeating: "a", count: 129), "", "a%00b"])
    func `what is no tag names no manifest`(tag: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            for method in ["GET", "HEAD"] {
                let reply = await scene.send(method, "/v2/library/alpine/manifests/\(tag)")
                // A NUL is no part of any path: the name before it is not looked at.
                #expect(reply.status == (tag.contains("%") ? 400 : 404))
                guard method == "GET" else { continue }
                let code = try await reply.error()?.code
                #expect(code == (tag.contains("%") ? "NAME_INVALID" : "MANIFEST_UNKNOWN"))
            }
            let put = await scene.send("PUT", "/v2/library/alpine/manifests/\(tag)")
            #expect(put.status == 400)
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test(
        arguments: [
            "manifests/sha256:abc", "manifests/md5:d41d8cd98f00b204e9800998ecf8427e", "blobs/sha256:abc",
            "blobs/sha256:" + String(repeating: "A", count: 64), "blobs/latest", "blobs/", "referrers/x",
        ], ["GET", "HEAD", "PUT"])
    func `what is no digest is 400 DIGEST_INVALID`(rest: String, method: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.send(method, "/v2/library/alpine/\(rest)")
            #expect(reply.status == 400)
            if method != "HEAD" { #expect(try await reply.error()?.code == "DIGEST_INVALID") }
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test(
        arguments: [
            "UPPER/manifests/1.0", "a..b/../c/manifests/1.0", "a//b/manifests/1.0", "a%2fb/manifests/1.0",
            "-a/blobs/\(MethodTests.digest)", String(repeating: "a", count: 256) + "/tags/list", "a_-b/tags/list",
            "manifests/1.0",
        ]) func `what is no name is 400 NAME_INVALID`(rest: String) async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get("/v2/\(rest)")
            #expect(reply.status == 400)
            #expect(try await reply.error()?.code == "NAME_INVALID")
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `an error's text cannot break its JSON`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get("/v2/library/alpine/manifests/%22%0a%5b%1b")
            #expect(try await reply.error()?.message == "\"\n[\u{1B} is no tag, so there is no such manifest")
        }
    }
}
