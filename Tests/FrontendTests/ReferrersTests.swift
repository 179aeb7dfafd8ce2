// end-12: the upstream's list whole and filtered, the tag that stands for it, and what is known when it fails.

import HTTPServer
import OCI
import TestSupport
import Testing

@Suite("end-12: GET /v2/<name>/referrers/<digest>") struct ReferrersTests {
    static let subject = Digest.of(Array("subject".utf8), .sha256)
    static let path = "\(Scene.alpine)/referrers/\(subject)"
    static let tagPath = "\(Scene.alpine)/manifests/\(subject.referrersTag)"

    /// A manifest that names the subject.
    static func referrer(_ artifactType: String, note: String = "") -> TestBlob {
        let text = """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","artifactType":"\(artifactType)",\
            "config":{"mediaType":"\(MediaType.ociEmpty)","digest":"\(Digest.of(Array("{}".utf8), .sha256))","size":2},\
            "layers":[],"annotations":{"note":"\(note)"},\
            "subject":{"mediaType":"\(MediaType.ociManifest)","digest":"\(subject)","size":7}}
            """
        return TestBlob(Array(text.utf8), .ociManifest)
    }

    static func index(_ descriptors: [String]) -> String {
        #"{"schemaVersion":2,"mediaType":"\#(MediaType.ociIndex)","manifests":["#
            + "\(descriptors.joined(separator: ","))]}"
    }

    private func upstreamLists(_ scene: Scene, _ descriptors: [String], link: String? = nil, times: Int? = nil) {
        let fields = link.map { [(name: "Link", value: $0)] } ?? []
        scene.stub.inject(
            .status(200, body: Self.index(descriptors), fields: fields), into: "/referrers/", times: times)
    }

    /// One descriptor a page. All rules befall a request, and the last of them counts until it is used up.
    private func upstreamPages(_ scene: Scene, _ descriptors: [String]) {
        for (number, descriptor) in descriptors.enumerated().reversed() {
            let isLast = number == descriptors.count - 1
            upstreamLists(
                scene, [descriptor], link: isLast ? nil : "</elsewhere?page=\(number + 1)>; rel=\"next\"",
                times: number + 1)
        }
    }

    private func digests(_ reply: Reply) async throws -> [String] {
        #expect(reply.status == 200)
        let list = try await reply.json()["manifests"] as? [[String: any Sendable]]
        return (list ?? []).compactMap { $0["digest"] as? String }
    }

    private func asked(_ scene: Scene, _ part: String = "/referrers/") -> Int { scene.stub.log.requests(part).count }

    @Test func `the upstream's list is passed on, descriptors with all their members`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let descriptor = Self.referrer("a/b").descriptor(
                #""artifactType":"a/b","annotations":{"k":"v"},"data":"e30=","x-new":[1.0,{}]"#)
            upstreamLists(scene, [descriptor])
            let reply = await scene.get(Self.path)
            #expect(reply["Content-Type"] == "application/vnd.oci.image.index.v1+json")
            #expect(reply["OCI-Filters-Applied"] == nil)
            #expect(reply.cacheStatus == "wharf; fwd=miss; fwd-status=200; stored")
            #expect(reply["Age"] == "0")
            #expect(try await reply.text() == Self.index([descriptor]) + "\n")
            let head = await scene.head(Self.path)
            #expect(head.status == 200)
            #expect(head["Content-Length"] == "\(Self.index([descriptor]).utf8.count + 1)")
        }
    }

    @Test func `a list is filtered here, and asked for and kept unfiltered`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (one, two) = (Self.referrer("application/x+json"), Self.referrer("b/c"))
            upstreamLists(
                scene,
                [one.descriptor(#""artifactType":"application/x+json""#), two.descriptor(#""artifactType":"b/c""#)])
            for query in ["artifactType=application%2Fx%2Bjson", "artifactType=application/x+json&ns=docker.io"] {
                let reply = await scene.get(Self.path, query: query)
                #expect(reply["OCI-Filters-Applied"] == "artifactType")
                #expect(try await digests(reply) == ["\(one.digest)"])
            }
            let none = await scene.get(Self.path, query: "artifactType=x/y")
            #expect(try await digests(none).isEmpty)
            #expect(none.cacheStatus == "wharf; hit")
            #expect(try await digests(await scene.get(Self.path)).count == 2)
            #expect(asked(scene) == 1)
            #expect(scene.stub.log.requests("/referrers/").first?.query == nil)
        }
    }

    @Test func `a kept list costs no question while it is fresh`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, [])
            _ = await scene.get(Self.path)
            scene.wall.advance(by: .seconds(59))
            let reply = await scene.get(Self.path)
            #expect(reply.cacheStatus == "wharf; hit")
            #expect(reply["Age"] == "59")
            scene.wall.advance(by: .seconds(1))
            #expect(await scene.get(Self.path).cacheStatus == "wharf; fwd=stale; fwd-status=200; stored")
            #expect(asked(scene) == 2)
        }
    }

    @Test func `all pages of the upstream make one list`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let blobs = (0..<3).map { Self.referrer("a/b", note: "\($0)") }
            upstreamPages(scene, blobs.map { $0.descriptor() })
            let reply = await scene.get(Self.path)
            #expect(reply["Link"] == nil)
            #expect(try await digests(reply) == blobs.map { "\($0.digest)" })
            #expect(scene.stub.log.requests("/referrers/").map(\.query) == [nil, "page=1", "page=2"])
        }
    }

    @Test func `a list of more than 20,000 is refused, not cut, from the tag too`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let many = Self.index(Array(repeating: "{}", count: 20_001))
            scene.stub.inject(.status(200, body: many), into: "/referrers/")
            #expect(await scene.get(Self.path).status == 502)
            scene.stub.heal()
            let descriptor = Self.referrer("a/b").descriptor()
            let index = TestBlob(Array(Self.index(Array(repeating: descriptor, count: 20_001)).utf8), .ociIndex)
            scene.stub.add(manifest: index, to: "library/alpine", tag: "\(Self.subject.referrersTag)")
            #expect(await scene.get(Self.path).status == 502)
        }
    }

    @Test func `a fresh list is read once, and then no store is asked for it`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let descriptor = Self.referrer("a/b").descriptor()
            upstreamLists(scene, [descriptor])
            _ = await scene.get(Self.path)
            scene.closeDatabase()
            let reply = await scene.get(Self.path)
            #expect(reply.cacheStatus == "wharf; hit")
            #expect(try await reply.text() == Self.index([descriptor]) + "\n")
        }
    }

    @Test func `pages that are too much together are refused`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let filler = #""x":"\#(String(repeating: "x", count: 3 << 20))""#
            upstreamPages(scene, (0..<2).map { Self.referrer("a/b", note: "\($0)").descriptor(filler) })
            #expect(await scene.get(Self.path).status == 502)
            #expect(asked(scene) == 2)
        }
    }

    @Test(
        arguments: [
            "</x?page=1>; rel=\"next\"", "</x>; rel=\"next\"", "<?a=b c>; rel=next",
            "<https://evil.example/x?p=1>;rel=next",
        ]) func `pages that lead in a circle are refused`(link: String) async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, [Self.referrer("a/b").descriptor()], link: link)
            let reply = await scene.get(Self.path)
            #expect(reply.status == 502)
            #expect(asked(scene) <= 2)
            #expect(scene.stub.log.requests.allSatisfy { $0.path == Self.path })
        }
    }

    @Test(
        arguments: [
            "", "[]", "{}", "{\"manifests\":7}", "<html>", "{\"manifests\":[{}",
            "{\"manifests\":[],\"x\":\"" + String(repeating: "a", count: 5 << 20) + "\"}",
        ]) func `what is no list is an error, and nothing is asked for instead`(body: String) async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            scene.stub.inject(.status(200, body: body), into: "/referrers/")
            let reply = await scene.get(Self.path)
            #expect(reply.status == 502)
            #expect(try await reply.error()?.code == "UNAVAILABLE")
            #expect(asked(scene, "/manifests/") == 0)
        }
    }

    @Test(arguments: [404, 400, 405, 501]) func `where the upstream has no such list, a tag stands for it`(
        status: Int
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let descriptor = Self.referrer("a/b").descriptor(#""artifactType":"a/b","x":1"#)
            let index = TestBlob(Array(Self.index([descriptor]).utf8), .ociIndex)
            scene.stub.add(manifest: index, to: "library/alpine", tag: "\(Self.subject.referrersTag)")
            scene.stub.inject(.status(status), into: "/referrers/")
            let reply = await scene.get(Self.path)
            #expect(try await reply.text() == Self.index([descriptor]) + "\n")
            #expect(reply.cacheStatus == "wharf; fwd=miss; fwd-status=200; stored; detail=referrers-tag")
            #expect(await scene.get(Self.path).cacheStatus == "wharf; hit")
            #expect(asked(scene) == 1)
            #expect(try await scene.statistics().requests == [:])
        }
    }

    @Test func `where there is no such tag either, the list is empty`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get(Self.path)
            #expect(try await reply.text() == Self.index([]) + "\n")
            #expect(reply.cacheStatus == "wharf; fwd=miss; fwd-status=404; stored; detail=referrers-tag")
            #expect(await scene.get(Self.path).cacheStatus == "wharf; hit")
            #expect(asked(scene, Self.tagPath) == 1)
        }
    }

    @Test func `a tag that names no index is no list`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image(tag: "\(Self.subject.referrersTag)")
            #expect(try await digests(await scene.get(Self.path)).isEmpty)
        }
    }

    @Test func `another mirror's 404 for an outage is an outage, for the list and for the tag`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let outage = StubFault.status(404, fields: [("Proxy-Status", "wharf; error=connection_refused")])
            scene.stub.inject(outage, into: "/referrers/", times: 1)
            #expect(await scene.get(Self.path).status == 502)
            #expect(asked(scene, "/manifests/") == 0)
            scene.stub.inject(outage, into: "/manifests/")
            let reply = await scene.get(Self.path)
            #expect(reply.status == 502)
            #expect(reply["Proxy-Status"] != nil)
        }
    }

    @Test func `when the upstream fails, the kept list and what is stored are united`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (listed, pulled) = (Self.referrer("a/b", note: "1"), Self.referrer("c/d", note: "2"))
            upstreamLists(scene, [listed.descriptor()])
            _ = await scene.get(Self.path)
            scene.stub.add(manifest: pulled, to: "library/alpine")
            try await scene.pull("\(Scene.alpine)/manifests/\(pulled.digest)")
            scene.wall.advance(by: .seconds(60))
            scene.stub.inject(.status(503), into: "/referrers/")
            let reply = await scene.get(Self.path)
            #expect(try await digests(reply) == ["\(listed.digest)", "\(pulled.digest)"])
            #expect(reply.cacheStatus == "wharf; fwd=stale; fwd-status=503; detail=stale-if-error")
            #expect(reply["Warning"] == "299 - \"only the referrers known to this mirror\"")
            #expect(reply["Proxy-Status"]?.contains("error=") == true)
            let filtered = try await scene.get(Self.path, query: "artifactType=c/d").text()
            #expect(filtered.contains(#""annotations":{"note":"2"},"artifactType":"c/d","digest":"\#(pulled.digest)""#))
            #expect(!filtered.contains("\(listed.digest)"))
        }
    }

    @Test func `when the tag's question fails, what is known is listed`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let pulled = Self.referrer("c/d")
            scene.stub.add(manifest: pulled, to: "library/alpine")
            try await scene.pull("\(Scene.alpine)/manifests/\(pulled.digest)")
            scene.stub.inject(.status(429), into: "\(Self.subject.referrersTag)")
            let reply = await scene.get(Self.path)
            #expect(try await digests(reply) == ["\(pulled.digest)"])
            #expect(reply["Warning"] != nil)
        }
    }

    @Test func `what another repository pulled is not told`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let pulled = Self.referrer("c/d")
            scene.stub.add(manifest: pulled, to: "acme/secret")
            try await scene.pull("/v2/acme/secret/manifests/\(pulled.digest)")
            scene.stub.inject(.status(503), into: "/referrers/")
            #expect(await scene.get(Self.path).status == 503)
            #expect(try await digests(await scene.get("/v2/acme/secret/referrers/\(Self.subject)")).count == 1)
        }
    }

    @Test(arguments: [
        (upstream: 503, status: 503, code: "UNAVAILABLE"), (429, 429, "TOOMANYREQUESTS"), (403, 403, "DENIED"),
    ])
    func `when nothing is known here, the failure is told`(
        row: (upstream: Int, status: Int, code: String)
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.stub.inject(.status(row.upstream), into: "/referrers/")
            let reply = await scene.get(Self.path)
            #expect(reply.status == row.status)
            #expect(try await reply.error()?.code == row.code)
        }
    }

    @Test func `being listed gives no right to be seen`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder(seed: 9)
            let secret = scene.stub.add(builder.image(), to: "acme/secret")
            try await scene.pull("/v2/acme/secret/manifests/\(secret.manifest.digest)")
            try await scene.pull("/v2/acme/secret/blobs/\(secret.config.digest)")
            upstreamLists(scene, [secret.manifest.descriptor(), secret.config.descriptor()])
            #expect(try await digests(await scene.get(Self.path)).count == 2)
            #expect(await scene.get("\(Scene.alpine)/manifests/\(secret.manifest.digest)").status == 404)
            #expect(await scene.get("\(Scene.alpine)/blobs/\(secret.config.digest)").status == 404)
        }
    }

    @Test func `a malformed digest is 400, and nothing but reading is allowed`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let reply = await scene.get("\(Scene.alpine)/referrers/sha256:12")
            #expect(reply.status == 400)
            #expect(try await reply.error()?.code == "DIGEST_INVALID")
            #expect(await scene.send("POST", Self.path).status == 405)
            #expect(scene.stub.log.requests.isEmpty)
        }
    }

    @Test func `through ns= the list is that upstream's`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            upstreamLists(scene, [])
            scene.other.inject(.status(200, body: Self.index([Self.referrer("a/b").descriptor()])), into: "/referrers/")
            let reply = await scene.get("/v2/acme/app/referrers/\(Self.subject)", query: "ns=ghcr.io")
            #expect(reply["OCI-Namespace"] == "ghcr.io")
            #expect(try await digests(reply).count == 1)
            #expect(asked(scene) == 0)
        }
    }
}
