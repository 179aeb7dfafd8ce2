// URLs, endpoints, realms and redirects: who is asked, and what is never said aloud.
import HTTPTypes
import OCI
import Testing

@testable import Upstream

@Suite("UpstreamURL and the rules about hosts") struct URLTests {
    private func url(_ text: String) throws -> UpstreamURL { try #require(UpstreamURL(text)) }

    @Test func `a URL is taken apart, the scheme's own port filled in`() throws {
        let plain = try url("https://Registry-1.Docker.io/v2/?n=1#part")
        #expect(plain.origin == UpstreamURL.Origin(isSecure: true, host: "registry-1.docker.io", port: 443))
        #expect(plain.path == "/v2/")
        #expect(plain.query == "n=1")
        #expect(plain.absolute == "https://registry-1.docker.io/v2/?n=1")
        #expect(try url("http://[::1]:5000").absolute == "http://[::1]:5000/")
    }

    @Test(arguments: [
        "ftp://a/", "file:///etc/passwd", "//host/", "host", "https://", "https://u:p@host/", "https://u@h/",
        "http://169%252e254%252e169%252e254/", "http://a%2525b/",
    ])
    func `what is no plain http or https URL is none`(_ text: String) {
        #expect(UpstreamURL(text) == nil)
    }

    @Test func `printing shows no query`() throws {
        #expect("\(try url("https://cdn.example/blob?signature=secret"))" == "https://cdn.example/blob")
    }

    @Test func `dot segments and escapes stay as they came`() throws {
        #expect(try url("https://h/a/../b%2Fc").absolute == "https://h/a/../b%2Fc")
    }

    @Test func `a Location is resolved where it is relative`() throws {
        let base = try url("https://h:5000/v2/a/blobs/x?y=1")
        #expect(base.resolving("/other?q=2")?.absolute == "https://h:5000/other?q=2")
        #expect(base.resolving("//cdn/x")?.absolute == "https://cdn/x")
        #expect(base.resolving("http://cdn/x")?.absolute == "http://cdn/x")
        #expect(base.resolving("file:///etc/passwd") == nil)
        #expect(base.resolving("https://user@cdn/x") == nil)
    }

    @Test func `query items are added percent-encoded`() throws {
        let items = [(name: "service", value: "a b"), (name: "scope", value: "repository:x/y:pull")]
        #expect(
            try url("https://auth/token").adding(items).absolute
                == "https://auth/token?service=a%20b&scope=repository%3Ax%2Fy%3Apull")
        #expect(try url("https://auth/token?a=1").adding([("b", "2")]).query == "a=1&b=2")
    }

    @Test func `an endpoint keeps its path and nothing more`() {
        #expect(UpstreamEndpoint("https://h/prefix/")?.description == "https://h/prefix")
        #expect(UpstreamEndpoint("https://h?x=1") == nil)
        #expect(UpstreamEndpoint("https://h")?.url(.base, query: nil).absolute == "https://h/v2/")
        #expect(UpstreamEndpoint("https://h/p")?.url(.base, query: "n=1").absolute == "https://h/p/v2/?n=1")
    }

    @Test(arguments: [
        ("https://registry.example/token", true), ("https://auth.docker.io/token", true),
        ("https://auth.docker.io:8443/token", true), ("https://exact.example:444/token", true),
        ("https://exact.example/token", false), ("https://evil.example/token", false),
        ("http://auth.docker.io/token", false), ("https://registry.example:8443/token", false),
        ("https://auth.docker.io.evil.example/token", false), ("https://user:pw@auth.docker.io/token", false),
        ("token", false),
    ])
    func `only the endpoint's own host and auth-hosts may be realms, with TLS`(
        _ realm: String, _ isTrusted: Bool
    ) throws {
        let endpoint = try #require(UpstreamEndpoint("https://registry.example"))
        let configuration = UpstreamConfiguration(
            name: "x", endpoints: [endpoint], authHosts: ["auth.docker.io", "exact.example:444"])
        let result = Result { try configuration.realm(realm, of: endpoint) }
        #expect((try? result.get()) != nil ? isTrusted : !isTrusted)
    }

    @Test func `an http endpoint may name an http realm`() throws {
        let endpoint = try #require(UpstreamEndpoint("http://registry.example:5000"))
        let configuration = UpstreamConfiguration(name: "x", endpoints: [endpoint], authHosts: ["auth.example"])
        #expect(try configuration.realm("http://auth.example/token", of: endpoint).origin.host == "auth.example")
        #expect(try configuration.realm("http://registry.example:5000/token", of: endpoint).path == "/token")
    }
}

@Suite("Redirects") struct RedirectsTests {
    private func head(_ location: String?) -> ResponseHead {
        var fields = HTTPFields()
        fields[.location] = location
        return ResponseHead(status: 307, fields: fields, length: 0)
    }

    private func start(_ text: String = "https://registry.example/v2/") throws -> Redirects {
        let url = try #require(UpstreamURL(text))
        return Redirects(from: url, home: url.origin)
    }

    @Test func `leaving the endpoint is noticed, and so is coming back`() throws {
        var way = try start()
        #expect(way.isHome)
        try way.follow(head("https://registry.example:8443/x"))
        #expect(!way.isHome)
        try way.follow(head("https://registry.example/y"))
        #expect(way.isHome)
    }

    @Test func `the sixth redirect is refused`() throws {
        var way = try start()
        for _ in 1...5 { try way.follow(head("/again")) }
        #expect(throws: UpstreamError.self) { try way.follow(head("/again")) }
    }

    @Test func `https never leads to http, and the error keeps the query to itself`() throws {
        var way = try start()
        do {
            try way.follow(head("http://cdn.example/x?signature=secret"))
            Issue.record("followed")
        } catch {
            guard case .refused(let words) = error else { throw error }
            #expect(words.contains("http://cdn.example") && !words.contains("secret"))
        }
    }

    @Test(arguments: [nil, "", "ftp://x/", "https://u:p@x/"])
    func `a redirect to nowhere is refused`(_ location: String?) throws {
        var way = try start()
        if location == "" {
            try way.follow(head(location))  // RFC 3986 §4.4: the same document; the limit of five ends it
            #expect(way.isHome)
        } else {
            #expect(throws: UpstreamError.self) { try way.follow(head(location)) }
        }
    }
}
