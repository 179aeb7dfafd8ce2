// Discovery without the face: where the next page is, where Docker Hub searches, and how much one list may take.

import HTTPSemantics
import OCI
import Store
import TestSupport
import Testing

@testable import PullThrough
@testable import Upstream

@Suite("Discovery") struct DiscoveryTests {
    @Test(
        arguments: [
            ("</v2/x?n=1&last=a>; rel=\"next\"", "n=1&last=a"), ("<?a=b>;rel=next", "a=b"),
            ("</x?p=1>; rel=\"prev\", </x?p=3>; rel=\"next\"", "p=3"), ("</x?p=1>; REL = \"Prev NEXT\"; a=b", "p=1"),
            ("</x?p=a,b;c>; title=\"y\"; rel=next", "p=a,b;c"), ("<https://evil.example/?p=1#next>; rel=next", "p=1"),
            ("</x>; rel=next", ""),
        ]) func `the next page is the query of the link that is so called`(row: (link: String, query: String))
    {
        #expect(ListPage.nextQuery(in: row.link) == row.query)
    }

    @Test(
        arguments: [
            "", "<", "</x?p=1", "</x?p=1>", "</x?p=1>; rel=prev", "</x?p=1>; rel=\"nextish\"", "</x?p=1>; next",
            "</x?rel=next>; rel=last", "rel=next",
        ]) func `any other link is none`(link: String)
    { #expect(ListPage.nextQuery(in: link) == nil) }

    @Test(
        arguments: [
            ("https://registry-1.docker.io", "https://index.docker.io/v1/search"),
            ("https://registry-1.docker.io/", "https://index.docker.io/v1/search"),
            ("https://registry-1.docker.io:8443", "https://registry-1.docker.io:8443/v1/search"),
            ("http://registry-1.docker.io", "http://registry-1.docker.io/v1/search"),
            ("https://mirror.test/hub", "https://mirror.test/hub/v1/search"),
        ]) func `an endpoint is searched at its own address, Docker Hub's at its index`(
            row: (endpoint: String, url: String)
        ) throws
    {
        let endpoint = try #require(UpstreamEndpoint(row.endpoint))
        #expect(UpstreamRegistry.searchURL(of: endpoint).absolute == row.url)
    }

    @Test func `tags are listed by the upstream, and from memory when it fails`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            for tag in ["1.0", "2.0"] { scene.stub.add(builder.image(), to: "library/alpine", tag: tag) }
            let discovery = Discovery(cache: scene.cache)
            let tag = try #require(Tag("1.0"))
            _ = try await scene.manifest(.tag(tag), in: Scene.alpine)
            scene.stub.inject(.status(503), into: "tags/list", times: 1)
            let known = try await discovery.tags(in: Scene.alpine, query: nil)
            #expect(known.list.tags == ["1.0"])
            #expect(known.list.isAllThatIsKnown)
            #expect(known.failure?.upstreamStatus == 503)
            let listed = try await discovery.tags(in: Scene.alpine, query: nil)
            #expect(listed.list.tags == ["1.0", "2.0"])
            #expect(!listed.list.isAllThatIsKnown)
        }
    }

    @Test func `what is behind credentials is kept for its own repository alone`() async throws {
        try await Scene.run(StubOptions(authentication: .basic(username: "acme", password: "secret"))) {
            (scene: Scene) async throws in
            var builder = ImageBuilder()
            scene.stub.add(builder.image(), to: "acme/secret", tag: "1.0")
            let discovery = Discovery(cache: scene.cache)
            let secret = try await discovery.tags(in: Scene.secret, query: nil)
            #expect(secret.list.tags == ["1.0"])
            let open = Repository(upstream: "docker.io", name: Scene.secret.name)
            let refusal = await refusal { () throws(Refusal) in try await discovery.tags(in: open, query: nil) }
            #expect(refusal != nil)
        }
    }

    @Test func `a search shows no token and no password`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.stub.inject(.status(200, body: "{\"results\":[]}"), into: "/v1/search")
            _ = try await Discovery(cache: scene.cache).search("a", count: 1, page: 1)
            #expect(scene.stub.log.requests("/v1/search").map(\.isAuthorized) == [false])
        }
    }

    private static let subject = Digest.of(Array("subject".utf8), .sha256)

    private static func index(_ digest: Digest? = nil) -> String {
        let entry = digest.map { #"{"mediaType":"\#(MediaType.ociManifest)","digest":"\#($0)","size":7}"# } ?? ""
        return #"{"schemaVersion":2,"manifests":[\#(entry)]}"#
    }

    private static func referrers(_ scene: Scene) async throws -> Discovery.Fetched<ReferrerList> {
        try await Discovery(cache: scene.cache).referrers(of: subject, in: Scene.alpine)
    }

    /// So many pages, each with a descriptor of its own.
    private func upstreamPages(_ scene: Scene, _ count: Int) {
        // All rules befall a request, and the last of them counts until it is used up.
        for number in (0..<count).reversed() {
            let link = [(name: "Link", value: "<?page=\(number + 1)>; rel=next")]
            let body = Self.index(Digest.of(Array("\(number)".utf8), .sha256))
            scene.stub.inject(
                .status(200, body: body, fields: number == count - 1 ? [] : link), into: "/referrers/",
                times: number + 1)
        }
    }

    @Test func `a list of referrers is a thousand pages long, and one that does not end is refused, not cut`()
        async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            upstreamPages(scene, 1000)
            #expect(try await Self.referrers(scene).list.count == 1000)
        }
        try await Scene.run { (scene: Scene) async throws in
            upstreamPages(scene, 1001)
            let refusal = await refusal { () throws(Refusal) in
                try await Discovery(cache: scene.cache).referrers(of: Self.subject, in: Scene.alpine)
            }
            #expect(refusal?.error.proxyError == .httpProtocolError)
            #expect(scene.asked("/referrers/") == 1000)
        }
    }

    /// Without a common bound the second question would wait for a time that nobody turns the clock to.
    @Test(.timeLimit(.minutes(1)), arguments: [200, 404])
    func `all that one list takes is asked within the time of one answer`(first: Int) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (one, two) = (StubGate(), StubGate())
            // A page that leads to another, or a no that leads to the tag.
            let next = [(name: "Link", value: "<?page=2>; rel=next")]
            scene.stub.inject(.status(first, body: Self.index(), fields: next), into: "/referrers/")
            scene.stub.inject(.hold(one), into: "/referrers/", times: 1)
            let second = first == 200 ? "/referrers/" : "/manifests/"
            async let refused = refusal { () throws(Refusal) in
                try await Discovery(cache: scene.cache).referrers(of: Self.subject, in: Scene.alpine)
            }
            await scene.stub.wait { $0.held == 1 }
            scene.stub.inject(.hold(two), into: second)
            scene.clock.advance(by: .seconds(14))
            one.open()
            await scene.stub.wait { $0.held == 2 }
            scene.clock.advance(by: .seconds(2))
            // What was left for the second. The transport, whose time is the real one, would say something else.
            #expect(await refused?.error.message.contains("no answer within 1 s") == true)
            two.open()
        }
    }
}
