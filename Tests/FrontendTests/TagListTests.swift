// end-8: the upstream's tags page by page, our own pages where it knows none, and what is known when it fails.

import HTTPServer
import OCI
import TestSupport
import Testing

@Suite("end-8: GET /v2/<name>/tags/list") struct TagListTests {
    static let path = "\(Scene.alpine)/tags/list"

    private struct List: Equatable {
        let tags: [String]
        /// `Link` without its relation.
        let next: String?
    }

    private func list(_ scene: Scene, _ path: String = Self.path, query: String? = nil) async throws -> List {
        let reply = await scene.get(path, query: query)
        #expect(reply.status == 200)
        let relation = ">; rel=\"next\""
        let link = reply["Link"]
        #expect(link.map { $0.hasPrefix("<") && $0.hasSuffix(relation) } ?? true)
        let tags = try await reply.json()["tags"] as? [String] ?? []
        return List(tags: tags, next: link.map { String($0.dropFirst().dropLast(relation.count)) })
    }

    /// From a page to the last, as a client follows them.
    private func pages(_ scene: Scene, query: String) async throws -> [[String]] {
        var pages: [[String]] = []
        var next: String? = "\(Self.path)?\(query)"
        while let link = next, pages.count < 20 {
            let parts = link.split(separator: "?", maxSplits: 1)
            let list = try await list(scene, String(parts[0]), query: parts.count > 1 ? String(parts[1]) : nil)
            pages.append(list.tags)
            next = list.next
        }
        return pages
    }

    private func tag(_ scene: Scene, _ tags: [String]) {
        for (seed, tag) in tags.enumerated() { scene.image(tag: tag, seed: UInt64(seed)) }
    }

    /// The upstream answers this list whatever is asked.
    private func upstreamKnowsNoPages(_ scene: Scene, _ tags: [String], link: String? = nil) {
        let list = tags.map { "\"\($0)\"" }.joined(separator: ",")
        let fields = link.map { [(name: "Link", value: $0)] } ?? []
        let body = "{\"name\":\"library/alpine\",\"tags\":[\(list)]}"
        scene.stub.inject(.status(200, body: body, fields: fields), into: "tags/list")
    }

    @Test(arguments: ["GET", "HEAD"]) func `the upstream's list is passed on`(method: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            tag(scene, ["b", "a", "c"])
            let reply = await scene.send(method, Self.path)
            #expect(reply.status == 200)
            #expect(reply["Content-Type"] == "application/json")
            #expect(reply.cacheStatus == "wharf; fwd=miss; fwd-status=200; stored")
            #expect(reply["Link"] == nil)
            #expect(reply.logged("repository") == "docker.io/library/alpine")
            #expect(try await list(scene) == List(tags: ["a", "b", "c"], next: nil))
        }
    }

    @Test func `pages follow one another to the last`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            tag(scene, ["a", "b", "c", "d", "e"])
            #expect(try await pages(scene, query: "n=2") == [["a", "b"], ["c", "d"], ["e"]])
            #expect(try await list(scene, query: "last=c").tags == ["d", "e"])
            #expect(try await list(scene, query: "n=1&last=c").tags == ["d"])
            #expect(scene.stub.log.requests("tags/list").last?.query == "n=1&last=c")
        }
    }

    @Test func `a page leads on through the same path and ns=`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            for tag in ["a", "b", "c"] {
                var builder = ImageBuilder(seed: 1)
                scene.other.add(builder.image(), to: "acme/app", tag: tag)
            }
            let first = try await list(scene, "/v2/acme/app/tags/list", query: "ns=ghcr.io&n=1")
            #expect(first.tags == ["a"])
            let parts = (first.next ?? "").split(separator: "?")
            #expect(parts.first == "/v2/acme/app/tags/list")
            #expect(parts.last?.split(separator: "&").contains("ns=ghcr.io") == true)
            let second = try await list(scene, String(parts[0]), query: String(parts[1]))
            #expect(second.tags == ["b"])
            let prefixed = try await list(scene, "/v2/ghcr.io/acme/app/tags/list", query: "n=1")
            #expect(prefixed.next?.hasPrefix("/v2/ghcr.io/acme/app/tags/list?") == true)
        }
    }

    @Test func `where the upstream knows no pages, they are made here`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamKnowsNoPages(scene, ["e", "a", "d", "b", "c"])
            #expect(try await pages(scene, query: "n=2") == [["a", "b"], ["c", "d"], ["e"]])
            #expect(try await pages(scene, query: "n=5").count == 1)
            #expect(try await list(scene, query: "last=c") == List(tags: ["d", "e"], next: nil))
            #expect(try await list(scene, query: "n=9&last=c") == List(tags: ["d", "e"], next: nil))
            #expect(try await list(scene).tags == ["e", "a", "d", "b", "c"])
        }
    }

    @Test func `an upstream's own order is left alone where it does page`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            // By age, say: its last page, after "a", begins before "a".
            upstreamKnowsNoPages(scene, ["0.9", "0.1"])
            #expect(try await list(scene, query: "n=3&last=a").tags == ["0.9", "0.1"])
        }
    }

    @Test(arguments: ["https://evil.example/v2/x/tags/list", "/v2/other/tags/list", "//evil.example/"])
    func `of an upstream's Link only the query is taken`(target: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamKnowsNoPages(scene, ["a", "b"], link: "<\(target)?n=2&last=b>; rel=\"next\"")
            #expect(try await list(scene, query: "n=2") == List(tags: ["a", "b"], next: "\(Self.path)?n=2&last=b"))
        }
    }

    @Test func `an upstream that goes on by a token of its own gets it back`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamKnowsNoPages(
                scene, ["a", "b"], link: "</v2/x/tags/list?n=2&next_page=gA+AA%3D%3D&ns=x>; rel=\"next\"")
            let next = try await list(scene, query: "n=2").next ?? ""
            let query = next.split(separator: "?").last.map(String.init)
            _ = try await list(scene, query: query)
            #expect(scene.stub.log.requests("tags/list").last?.query == "n=2&next_page=gA+AA%3D%3D")
        }
    }

    @Test(
        arguments: [
            (#"n=1&last=a"%3E<b"#, "n=1&last=a%22%3E%3Cb", "n=1&last=a%22%3E%3Cb"),
            ("n=5&last=a+b", "n=5&last=a+b", "n=5&last=a+b"),
            (#"p=a<"+&last=b&n=1"#, "n=1&next=p%3Da%253C%2522%2B%26last%3Db", "n=1&p=a%3C%22+&last=b"),
            ("n=-3&next=x", "next=next%3Dx", "next=x"), ("?last=b", "next=%3Flast%3Db", "?last=b"),
        ]) func `what an upstream goes on by breaks no Link, and comes back to it`(
            row: (next: String, link: String, asked: String)
        ) async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            upstreamKnowsNoPages(scene, ["a"], link: "<?\(row.next)>; rel=next")
            #expect(try await list(scene, query: "n=1").next == "\(Self.path)?\(row.link)")
            _ = try await list(scene, query: row.link)
            #expect(scene.stub.log.requests("tags/list").last?.query == row.asked)
        }
    }

    @Test func `n=0 is an empty list without Link`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            tag(scene, ["a", "b"])
            #expect(try await list(scene, query: "n=0") == List(tags: [], next: nil))
            upstreamKnowsNoPages(scene, ["a", "b"], link: "</v2/x/tags/list?n=2&last=b>; rel=\"next\"")
            #expect(try await list(scene, query: "n=0") == List(tags: [], next: nil))
        }
    }

    @Test func `n is capped at a thousand`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let tags = (0..<1500).map { "\(10_000 + $0)" }
            upstreamKnowsNoPages(scene, tags)
            let first = try await list(scene, query: "n=5000")
            #expect(first.tags.count == 1000)
            #expect(scene.stub.log.requests("tags/list").last?.query == "n=1000")
            #expect(try await pages(scene, query: "n=5000").map(\.count) == [1000, 500])
        }
    }

    @Test(arguments: ["-1", "x", "", "1.5", "%22", "1%00"]) func `an n that is no number is 400`(text: String)
        async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get(Self.path, query: "n=\(text)")
            #expect(reply.status == 400)
            #expect(try await reply.error()?.code == "PAGINATION_NUMBER_INVALID")
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `hostile tags break neither the list nor the Link`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamKnowsNoPages(
                scene, ["a", "b\\\"],\\\"x\\\":[\\\"", "c>; rel=\\\"next\\\"", "d\\r\\nSet-Cookie: x", "e"])
            #expect(try await pages(scene, query: "n=1").flatMap { $0 } == ["a", "e"])
            let hostile = await scene.get(Self.path, query: "n=1&last=b\"],%22%3E;%20%0d%0a")
            #expect(hostile["Link"]?.contains("\r") != true)
        }
    }

    @Test func `a hostile last cannot reach into the upstream's query`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            tag(scene, ["a"])
            _ = await scene.get(Self.path, query: "last=a%26scope=admin%23%0d%0aX:y")
            #expect(scene.stub.log.requests("tags/list").last?.query == "last=a%26scope=admin%23%0d%0aX:y")
            _ = await scene.get(Self.path, query: "last=a#b\u{1}&q=1&n=1")
            #expect(scene.stub.log.requests("tags/list").last?.query == "n=1&last=a%23b%01")
            _ = await scene.get(Self.path, query: "next=last%3Da%26n%3D99999%26ns%3Dx%0D%0AX:y&n=2")
            #expect(scene.stub.log.requests("tags/list").last?.query == "n=2&last=a")
        }
    }

    @Test func `when the upstream fails, what is known here is listed, and said to be that`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            tag(scene, ["a", "b", "c"])
            for tag in ["a", "c"] { _ = await scene.get("\(Scene.alpine)/manifests/\(tag)") }
            scene.stub.inject(.status(503), into: "tags/list")
            let reply = await scene.get(Self.path)
            #expect(try await reply.json()["tags"] as? [String] == ["a", "c"])
            #expect(try await scene.get(Self.path).json()["name"] as? String == "library/alpine")
            #expect(reply.cacheStatus == "wharf; fwd=stale; fwd-status=503; detail=stale-if-error")
            #expect(reply["Warning"] == "299 - \"only the tags known to this mirror\"")
            #expect(reply["Proxy-Status"]?.hasPrefix("wharf; error=") == true)
            #expect(try await pages(scene, query: "n=1") == [["a"], ["c"]])
        }
    }

    @Test(
        arguments: [
            (upstream: 404, status: 404, code: "NAME_UNKNOWN"), (401, 403, "DENIED"), (429, 429, "TOOMANYREQUESTS"),
            (503, 503, "UNAVAILABLE"), (500, 502, "UNAVAILABLE"),
        ]) func `when nothing is known here, the failure is told`(
            row: (upstream: Int, status: Int, code: String)
        ) async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            scene.stub.inject(.status(row.upstream), into: "tags/list")
            let reply = await scene.get(Self.path)
            #expect(reply.status == row.status)
            #expect(try await reply.error()?.code == row.code)
            #expect((reply["Retry-After"] != nil) == (row.status == 429))
        }
    }

    @Test func `tags lists are no pulls`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            tag(scene, ["a"])
            _ = try await scene.get(Self.path).bytes()
            _ = try await scene.get("/v2/none/tags/list").bytes()
            #expect(try await scene.statistics().requests == [:])
            #expect(try await scene.statistics().bytes == [:])
        }
    }
}
