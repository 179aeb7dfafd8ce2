// end-8: pages are kept with a freshness of their own, and united with what was pulled when the upstream fails.

import HTTPServer
import OCI
import Store
import TestSupport
import Testing

@Suite("end-8: what is kept") struct TagListKeepingTests {
    static let path = "\(Scene.alpine)/tags/list"
    private static let repository = Repository(
        upstream: "docker.io", name: RepositoryName("library/alpine")!)  // grammatical

    private func upstreamLists(_ scene: Scene, _ tags: [String], link: String? = nil) {
        let list = tags.map { "\"\($0)\"" }.joined(separator: ",")
        let fields = link.map { [(name: "Link", value: $0)] } ?? []
        scene.stub.heal()
        scene.stub.inject(.status(200, body: "{\"tags\":[\(list)]}", fields: fields), into: "tags/list")
    }

    private func tags(_ reply: Reply) async throws -> [String] { try await reply.json()["tags"] as? [String] ?? [] }

    private func asked(_ scene: Scene) -> Int { scene.stub.log.requests("tags/list").count }

    @Test func `a fresh page costs no question, an older one does`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, ["a", "b"], link: "</v2/x?n=2&last=b>; rel=\"next\"")
            let first = await scene.get(Self.path, query: "n=2")
            #expect(first["Age"] == "0")
            upstreamLists(scene, ["c"])
            scene.wall.advance(by: .seconds(59))
            let second = await scene.get(Self.path, query: "n=2")
            #expect(second.cacheStatus == "wharf; hit")
            #expect(second["Age"] == "59")
            #expect(second["Link"] == first["Link"])
            #expect(try await tags(second) == ["a", "b"])
            #expect(asked(scene) == 1)
            scene.wall.advance(by: .seconds(1))
            let third = await scene.get(Self.path, query: "n=2")
            #expect(third.cacheStatus == "wharf; fwd=stale; fwd-status=200; stored")
            #expect(try await tags(third) == ["c"])
            #expect(third["Link"] == nil)
        }
    }

    @Test func `pages and repositories are kept apart`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, ["a"])
            for query in [nil, "n=5", "n=5&last=x"] as [String?] {
                #expect(await scene.get(Self.path, query: query).cacheStatus?.contains("fwd=miss") == true)
            }
            #expect(await scene.get("/v2/library/other/tags/list").cacheStatus?.contains("fwd=miss") == true)
            #expect(await scene.get(Self.path, query: "n=5&ns=docker.io").cacheStatus == "wharf; hit")
        }
    }

    @Test func `a fresh page is read once, and then no store is asked for it`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, ["c", "a", "b"])
            #expect(try await tags(await scene.get(Self.path, query: "n=2")) == ["a", "b"])
            scene.closeDatabase()
            let reply = await scene.get(Self.path, query: "n=2")
            #expect(reply.cacheStatus == "wharf; hit")
            #expect(try await tags(reply) == ["a", "b"])
        }
    }

    @Test func `what is kept from an earlier run is read`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let page = KeptList(
                bytes: Array("{\"tags\":[\"a\"]}".utf8), mediaType: nil, link: nil, fetchedAt: scene.wall.now)
            try await scene.store.keep(page, as: ListKey(kind: .tags, query: "n=2"), of: Self.repository)
            #expect(await scene.get(Self.path, query: "n=2").cacheStatus == "wharf; hit")
            scene.closeDatabase()
            #expect(await scene.get(Self.path, query: "n=2").cacheStatus == "wharf; hit")
            #expect(asked(scene) == 0)
        }
    }

    @Test func `what a client makes up is asked of nobody, and nothing is kept under it`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, ["a"])
            let made = ["foo=1", "foo=2", "next_page=x&foo=3", "N=5", "ns=docker.io&foo", "", "&&", "last", "next="]
            for query in [nil] + made { _ = await scene.get(Self.path, query: query) }
            for query in ["n=5&foo=1&last=x", "last=x&n=005", "foo=2&last=x&last=y&n=5"] {
                _ = await scene.get(Self.path, query: query)
            }
            #expect(scene.stub.log.requests("tags/list").map(\.query) == [nil, "n=5&last=x"])
            #expect(try await scene.store.lists(.tags, of: Self.repository).count == 2)
        }
    }

    @Test func `a list of more than 200,000 is refused`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, Array(repeating: "a", count: 200_001))
            let reply = await scene.get(Self.path, query: "n=1")
            #expect(reply.status == 502)
            #expect(try await reply.error()?.code == "UNAVAILABLE")
        }
    }

    @Test func `a clock that went back makes nothing fresh`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, ["a"])
            _ = await scene.get(Self.path)
            scene.wall.set(by: .seconds(-1))
            #expect(await scene.get(Self.path).cacheStatus?.contains("fwd=") == true)
        }
    }

    @Test func `who asks the same at the same time shares one question`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let gate = StubGate()
            upstreamLists(scene, ["a"])
            scene.stub.inject(.hold(gate), into: "tags/list")
            async let first = scene.get(Self.path)
            await scene.stub.wait { $0.held == 1 }
            async let second = scene.get(Self.path)
            // The second has joined, or will find what the first has brought: either way it asks nobody.
            await Task.yield()
            gate.open()
            let replies = await [first, second]
            for reply in replies { #expect(try await tags(reply) == ["a"]) }
            #expect(asked(scene) == 1)
        }
    }

    @Test func `kept pages and pulled tags make one list when the upstream fails`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image(tag: "zz")
            _ = await scene.get("\(Scene.alpine)/manifests/zz")
            upstreamLists(scene, ["b", "Z"], link: "</v2/x?n=2&last=Z>; rel=\"next\"")
            _ = await scene.get(Self.path, query: "n=2")
            upstreamLists(scene, ["10", "9", "b"])
            _ = await scene.get(Self.path, query: "n=2&last=Z")
            scene.wall.advance(by: .seconds(60))
            scene.stub.inject(.status(503), into: "tags/list")
            let reply = await scene.get(Self.path)
            #expect(try await tags(reply) == ["10", "9", "Z", "b", "zz"])
            #expect(reply.cacheStatus == "wharf; fwd=stale; fwd-status=503; detail=stale-if-error")
            #expect(reply["Warning"] == "299 - \"only the tags known to this mirror\"")
            #expect(reply["Age"] == nil)
            let page = await scene.get(Self.path, query: "n=2&last=9")
            #expect(try await tags(page) == ["Z", "b"])
            #expect(page["Link"] == "<\(Self.path)?n=2&last=b>; rel=\"next\"")
        }
    }

    @Test func `what is kept counts no longer than stale-if-error allows`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, ["a"])
            _ = await scene.get(Self.path)
            scene.stub.inject(.status(503), into: "tags/list")
            scene.wall.advance(by: .seconds(3659))
            #expect(await scene.get(Self.path).status == 200)
            scene.wall.advance(by: .seconds(1))
            #expect(await scene.get(Self.path).status == 503)
        }
    }

    @Test func `a repository that is gone by the upstream's own word is gone here`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, ["a"])
            for query in [nil, "n=2"] as [String?] { _ = await scene.get(Self.path, query: query) }
            scene.wall.advance(by: .seconds(59))
            for query in ["n=1", "n=1&last=a"] { _ = await scene.get(Self.path, query: query) }
            scene.wall.advance(by: .seconds(1))
            scene.stub.heal()
            scene.stub.inject(.status(404), into: "tags/list")
            let reply = await scene.get(Self.path)
            #expect(reply.status == 404)
            #expect(try await reply.error()?.code == "NAME_UNKNOWN")
            // No page of it is left, be it fresh.
            #expect(await scene.get(Self.path, query: "n=1").status == 404)
            scene.stub.heal()
            scene.stub.inject(.status(503), into: "tags/list")
            for query in [nil, "n=2", "n=1&last=a"] as [String?] {
                #expect(await scene.get(Self.path, query: query).status == 503)
            }
        }
    }

    @Test func `another mirror's 404 for an outage is an outage`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, ["a"])
            _ = await scene.get(Self.path)
            scene.wall.advance(by: .seconds(60))
            scene.stub.inject(
                .status(404, fields: [("Proxy-Status", "wharf; error=connection_refused")]), into: "tags/list")
            #expect(try await tags(await scene.get(Self.path)) == ["a"])
            #expect(await scene.get("/v2/library/other/tags/list").status == 502)
        }
    }

    @Test(
        arguments: [
            "", "[]", "{}", "null", "{\"tags\":\"a\"}", "{\"tags\":[1]}", "{\"errors\":[]}", "<html>a</html>",
            "{\"tags\":[\"a\"", "{\"tags\":[\"" + String(repeating: "a", count: 5 << 20) + "\"]}",
        ]) func `what is no list of tags is neither passed on nor kept`(body: String) async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            scene.stub.inject(.status(200, body: body), into: "tags/list")
            let reply = await scene.get(Self.path)
            #expect(reply.status == 502)
            #expect(try await reply.error()?.code == "UNAVAILABLE")
            #expect(reply["Proxy-Status"]?.contains("error=http_protocol_error") == true)
            scene.stub.heal()
            upstreamLists(scene, ["a"])
            #expect(await scene.get(Self.path).cacheStatus == "wharf; fwd=miss; fwd-status=200; stored")
        }
    }

    @Test func `an HTML page is no list, and what was kept stays`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, ["a"])
            _ = await scene.get(Self.path)
            scene.wall.advance(by: .seconds(60))
            scene.stub.inject(.html, into: "tags/list")
            #expect(try await tags(await scene.get(Self.path)) == ["a"])
            #expect(try await tags(await scene.get(Self.path)) == ["a"])
        }
    }

    @Test func `what is no tag is shown to nobody`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, ["a", "\\u001b[2J", "b\\u0000", "c\\\"],\\\"x\\\":[\\\"", "d\\r\\nX: y", "../e", "f"])
            let reply = await scene.get(Self.path)
            #expect(try await reply.text() == "{\"name\":\"library/alpine\",\"tags\":[\"a\",\"f\"]}\n")
        }
    }

    @Test(arguments: [true, false]) func `2,500 tags come once each, page by page`(knowsPages: Bool) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let all = (0..<2500).map { "\(10_000 + $0)" }
            if knowsPages {
                var builder = ImageBuilder()
                let image = builder.image()
                for tag in all { scene.stub.add(manifest: image.manifest, to: "library/alpine", tag: tag) }
            } else {
                upstreamLists(scene, all.reversed())
            }
            for _ in 0..<2 {  // asked, and then kept
                var found: [String] = []
                var query: String? = "n=700&ns=docker.io"
                var pages = 0
                while let asked = query, pages < 10 {
                    let reply = await scene.get("/v2/alpine/tags/list", query: asked)
                    found += try await tags(reply)
                    query = reply["Link"].map { link in
                        #expect(link.hasPrefix("</v2/alpine/tags/list?"))
                        #expect(link.contains("ns=docker.io"))
                        return String(link.drop { $0 != "?" }.dropFirst().prefix { $0 != ">" })
                    }
                    pages += 1
                }
                #expect(found == all)
                #expect(pages == 4)
            }
            #expect(asked(scene) == 4)
        }
    }

    @Test func `offline, what is kept and known is listed, however old`() async throws {
        try await Scene.run(offline: true) { (scene: Scene) async throws in
            let page = KeptList(
                bytes: Array("{\"tags\":[\"b\",\"a\"]}".utf8), mediaType: nil, link: nil, fetchedAt: scene.wall.now)
            try await scene.store.keep(page, as: ListKey(kind: .tags, query: "n=2"), of: Self.repository)
            scene.wall.advance(by: .seconds(1_000_000))
            let reply = await scene.get(Self.path)
            #expect(try await tags(reply) == ["a", "b"])
            #expect(reply["Warning"] != nil)
            #expect(scene.stub.log.requests.isEmpty)
            #expect(await scene.get("/v2/library/other/tags/list").status == 503)
        }
    }
}
