// /v1: what Docker's search finds through this mirror, and what is stored here.

import HTTPServer
import OCI
import TestSupport
import Testing

@Suite("GET /v1/_ping, GET /v1/search") struct SearchTests {
    private func upstreamFinds(_ scene: Scene, _ results: [String], total: Int? = nil, pages: Int = 1) {
        scene.stub.inject(
            .status(
                200,
                body: """
                    {"num_results":\(total ?? results.count),"num_pages":\(pages),"page":1,"page_size":25,"query":"x",\
                    "results":[\(results.joined(separator: ","))]}
                    """), into: "/v1/search")
    }

    private func result(_ name: String, stars: Int = 0) -> String {
        #"{"name":"\#(name)","description":"of \#(name)","star_count":\#(stars),"is_official":false}"#
    }

    private func results(_ reply: Reply) async throws -> [[String: any Sendable]] {
        #expect(reply.status == 200)
        return try await reply.json()["results"] as? [[String: any Sendable]] ?? []
    }

    private func names(_ reply: Reply) async throws -> [String] {
        try await results(reply).compactMap { $0["name"] as? String }
    }

    /// Pulls an image, so that it is stored.
    private func store(_ scene: Scene, _ name: String, in stub: StubRegistry, at path: String) async throws {
        var builder = ImageBuilder()
        stub.add(builder.image(), to: name, tag: "1")
        try await scene.pull("/v2/\(path)/manifests/1")
    }

    @Test func `the ping says what Docker asks`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get("/v1/_ping")
            #expect(reply.status == 200)
            #expect(reply["X-Docker-Registry-Standalone"] == "true")
            #expect(reply["Content-Type"] == "application/json")
            #expect(reply.cacheStatus == "wharf; hit; detail=local")
            #expect(try await reply.text() == "true\n")
            #expect(await scene.head("/v1/_ping").status == 200)
        }
    }

    @Test func `what the upstream finds is passed on`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamFinds(scene, [result("debian", stars: 7), result("bitnami/debian")], total: 120, pages: 60)
            let reply = await scene.get("/v1/search", query: "q=deb%20%26ian&n=2&page=3")
            #expect(reply["Content-Type"] == "application/json")
            #expect(reply.cacheStatus == "wharf; fwd=miss; fwd-status=200")
            let page = try await reply.json()
            #expect(page["query"] as? String == "deb &ian")
            #expect(page["page"] as? Int == 3)
            #expect(page["page_size"] as? Int == 2)
            #expect(page["num_pages"] as? Int == 60)
            #expect(page["num_results"] as? Int == 120)
            let first = try await results(reply).first
            #expect(first?["star_count"] as? Int == 7)
            #expect(first?["description"] as? String == "of debian")
            #expect(first?["is_trusted"] as? Bool == false)
            #expect(scene.stub.log.requests("/v1/search").first?.query == "q=deb%20%26ian&n=2&page=3")
            #expect(try await scene.statistics().requests == [:])
        }
    }

    @Test func `n is 25 unless it is told, and at most 100`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamFinds(scene, [])
            _ = await scene.get("/v1/search", query: "q=a")
            _ = await scene.get("/v1/search", query: "q=a&n=5000")
            #expect(scene.stub.log.requests("/v1/search").map(\.query) == ["q=a&n=25&page=1", "q=a&n=100&page=1"])
        }
    }

    @Test(arguments: ["", "q=", "n=3", "q=a&n=0", "q=a&n=x", "q=a&page=0", "q=a&page=-1"])
    func `what is no search is 400`(query: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get("/v1/search", query: query)
            #expect(reply.status == 400)
            #expect(try await reply.error() != nil)
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `what is stored is added by the name that pulls it`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            try await store(scene, "library/apple", in: scene.stub, at: "apple")
            try await store(scene, "acme/app", in: scene.stub, at: "acme/app")
            try await store(scene, "acme/app", in: scene.other, at: "ghcr.io/acme/app")
            upstreamFinds(scene, [result("acme/app", stars: 3), result("zapp")], total: 2)
            let reply = await scene.get("/v1/search", query: "q=APP")
            #expect(try await names(reply) == ["acme/app", "zapp", "ghcr.io/acme/app", "apple"])
            let all = try await results(reply)
            #expect(all.first?["star_count"] as? Int == 3)
            #expect((all.last?["description"] as? String)?.contains("stored in this mirror") == true)
            #expect(all.last?["is_official"] as? Bool == true)
            #expect(try await reply.json()["num_results"] as? Int == 4)
            #expect(try await names(await scene.get("/v1/search", query: "q=app&page=2")) == ["acme/app", "zapp"])
            #expect(try await names(await scene.get("/v1/search", query: "q=app&n=2")).count == 2)
        }
    }

    @Test func `when the upstream fails, what is stored is found, and said to be that`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            for name in ["app", "app1", "app2"] { try await store(scene, "library/\(name)", in: scene.stub, at: name) }
            scene.stub.inject(.status(503), into: "/v1/search")
            let reply = await scene.get("/v1/search", query: "q=app&n=2")
            #expect(try await names(reply) == ["app", "app1"])
            #expect(reply["Warning"] == "299 - \"only what is stored in this mirror\"")
            #expect(reply.cacheStatus == "wharf; fwd=stale; fwd-status=503; detail=stale-if-error")
            #expect(try await reply.json()["num_pages"] as? Int == 2)
            #expect(try await names(await scene.get("/v1/search", query: "q=app&n=2&page=2")) == ["app2"])
            #expect(try await names(await scene.get("/v1/search", query: "q=app&page=\(Int.max)")).isEmpty)
            #expect(await scene.get("/v1/search", query: "q=none").status == 503)
        }
    }

    @Test func `an upstream without a search is no failure`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            #expect(try await names(await scene.get("/v1/search", query: "q=none")).isEmpty)
            try await store(scene, "library/app", in: scene.stub, at: "app")
            #expect(try await names(await scene.get("/v1/search", query: "q=app")) == ["app"])
        }
    }

    @Test(arguments: [401, 403, 404, 405, 501, 200]) func `a no of any kind says that there is no search`(
        status: Int
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.stub.inject(status == 200 ? .html : .status(status), into: "/v1/search")
            let reply = await scene.get("/v1/search", query: "q=none")
            #expect(try await names(reply).isEmpty)
            #expect(reply["Warning"] == nil)
            #expect(reply["Proxy-Status"] == nil)
            #expect(reply.cacheStatus == "wharf; fwd=miss; fwd-status=404")
        }
    }

    @Test func `another mirror's 404 for an outage is an outage`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.stub.inject(
                .status(404, fields: [("Proxy-Status", "wharf; error=connection_refused")]), into: "/v1/search")
            #expect(await scene.get("/v1/search", query: "q=none").status == 502)
        }
    }

    @Test func `one odd result loses no other`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamFinds(scene, [#"{"name":"a","star_count":1.5}"#, "{}", result("b", stars: 2)], total: 2)
            #expect(try await names(await scene.get("/v1/search", query: "q=x")) == ["a", "b"])
        }
    }

    @Test func `offline nobody is asked`() async throws {
        try await Scene.run(offline: true) { (scene: Scene) async throws in
            let reply = await scene.get("/v1/search", query: "q=app")
            #expect(try await names(reply).isEmpty)
            #expect(reply["Warning"] != nil)
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `names that lead elsewhere from here are left out`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let hostile = ["ghcr.io/acme/app", "ours/app", "Bad Name", "../x", "a\\\"b", "\\u001b[2J"].map {
                result($0)
            }
            upstreamFinds(scene, hostile + [result("good")])
            #expect(try await names(await scene.get("/v1/search", query: "q=a")) == ["good"])
        }
    }

    @Test(
        arguments: [
            "", "[]", "{}", "{\"results\":7}", "<html>",
            "{\"results\":[],\"x\":\"" + String(repeating: "a", count: 2 << 20) + "\"}",
        ]) func `what is no search result is an error`(body: String) async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            scene.stub.inject(.status(200, body: body), into: "/v1/search")
            let reply = await scene.get("/v1/search", query: "q=a")
            #expect(reply.status == 502)
            #expect(try await reply.error()?.code == "UNAVAILABLE")
        }
    }

    @Test func `more results than asked for are cut`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamFinds(scene, (0..<300).map { result("a\($0)") })
            #expect(try await names(await scene.get("/v1/search", query: "q=a&n=3")) == ["a0", "a1", "a2"])
        }
    }

    @Test(arguments: ["POST", "PUT", "DELETE"]) func `nothing but reading is allowed`(method: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            for path in ["/v1/_ping", "/v1/search"] {
                let reply = await scene.send(method, path, query: "q=a")
                #expect(reply.status == 405)
                #expect(reply["Allow"] == "GET, HEAD")
            }
            #expect(await scene.get("/v1/users").status == 404)
        }
    }

    @Test func `a search that has been here before is 508`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get("/v1/search", query: "q=a", ["Via": "1.1 wharf-other, 1.1 wharf-test"])
            #expect(reply.status == 508)
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `HEAD is answered as GET is`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamFinds(scene, [result("a")])
            let length = await scene.get("/v1/search", query: "q=a")["Content-Length"]
            let head = await scene.head("/v1/search", query: "q=a")
            #expect(head.status == 200)
            #expect(head["Content-Length"] == length)
        }
    }
}
