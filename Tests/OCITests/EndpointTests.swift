// The endpoint grammar, both ways.

import OCI
import Testing

private let digest = "sha256:" + String(repeating: "ab", count: 32)

@Suite("Endpoint") struct EndpointTests {
    private static func name(_ text: String) throws -> RepositoryName { try #require(RepositoryName(text)) }
    private static func sha() throws -> Digest { try #require(Digest(digest)) }

    @Test func `each path of the spec is its endpoint, and is printed again`() throws {
        let (name, sha) = (try Self.name("library/debian"), try Self.sha())
        let table: [(String, Endpoint)] = [
            ("/v2/", .base),
            ("/v2/library/debian/blobs/\(digest)", .blob(name, sha)),
            ("/v2/library/debian/manifests/12", .manifest(name, .tag(try #require(Tag("12"))))),
            ("/v2/library/debian/manifests/\(digest)", .manifest(name, .digest(sha))),
            ("/v2/library/debian/tags/list", .tags(name)),
            ("/v2/library/debian/referrers/\(digest)", .referrers(name, sha)),
            ("/v2/library/debian/blobs/uploads/", .uploads(name)),
            ("/v2/library/debian/blobs/uploads/a-B_9", .upload(name, "a-B_9")),
            ("/v2/_catalog", .catalog),
        ]
        for (path, endpoint) in table {
            #expect(try Endpoint(path: path) == endpoint)
            #expect(endpoint.path == path)
        }
    }

    @Test(arguments: [
        ("/v2/a/manifests/b/manifests/latest", "a/manifests/b"), ("/v2/manifests/manifests/latest", "manifests"),
        ("/v2/a/blobs/uploads/manifests/1", "a/blobs/uploads"), ("/v2/tags/list/manifests/1", "tags/list"),
        ("/v2/ghcr.io/acme/app/manifests/1", "ghcr.io/acme/app"),
    ])
    func `a repository may be called like the spec's own words`(path: String, name: String) throws {
        guard case .manifest(let found, _) = try Endpoint(path: path) else {
            Issue.record("\(path) is no manifest")
            return
        }
        #expect("\(found)" == name)
    }

    @Test func `a tags list may be of a repository called manifests`() throws {
        #expect(try Endpoint(path: "/v2/a/manifests/tags/list") == .tags(try Self.name("a/manifests")))
        #expect(try Endpoint(path: "/v2/uploads/blobs/\(digest)") == .blob(try Self.name("uploads"), try Self.sha()))
    }

    @Test func `other spellings of the same are understood`() throws {
        #expect(try Endpoint(path: "/v2") == .base)
        #expect(try Endpoint(path: "/v2/a/blobs/uploads") == .uploads(try Self.name("a")))
        let escaped = digest.replacing(":", with: "%3A")
        #expect(try Endpoint(path: "/v2/a/blobs/\(escaped)") == .blob(try Self.name("a"), try Self.sha()))
    }

    @Test(arguments: [
        "", "/", "/v1/_ping", "/v2x", "/v2x/", "v2/", "//v2/", "/V2/", "/v2/a", "/v2/a/", "/v2/a/b", "/v2/a/tags",
        "/v2/a/tags/", "/v2/a/tags/list/", "/v2/a/tags/lists", "/v2/a/uploads/x", "/v2/_catalog/", "/v2/../stats",
        "/v2/a/blobs/uploads/x/y", "/v2/a/blobs/uploads/sha256:x", "/v2/a/blobs/uploads/..",
        "/v2/a/blobs/uploads/" + String(repeating: "x", count: 129), "/v2/a/manifests/x/", "/v2/a/Manifests/x",
    ])
    func `what the spec does not know is no endpoint`(path: String) {
        #expect(throws: EndpointError.notAnEndpoint) { try Endpoint(path: path) }
    }

    @Test(arguments: [
        ("/v2//manifests/1", ""), ("/v2/manifests/1", ""), ("/v2/tags/list", ""), ("/v2/A/manifests/1", "A"),
        ("/v2/a//b/blobs/\(digest)", "a//b"), ("/v2/a/../b/tags/list", "a/../b"), ("/v2/./manifests/1", "."),
        ("/v2/a/%2e%2e/manifests/1", "a/.."), ("/v2/a%20b/manifests/1", "a b"), ("/v2/_x/blobs/sha256:1", "_x"),
        ("/v2/é/manifests/1", "é"), ("/v2/a:5000/b/manifests/1", "a:5000/b"), ("/v2//blobs/uploads/", ""),
    ])
    func `a name against the grammar is named`(path: String, name: String) {
        #expect(throws: EndpointError.nameInvalid(name)) { try Endpoint(path: path) }
    }

    @Test(arguments: [
        "/v2/a%2fb/manifests/1", "/v2/a%2Fb/manifests/1", "/v2/a/manifests/%00", "/v2/a/manifests/%5c",
        "/v2/a/manifests/%", "/v2/a/manifests/%4", "/v2/a/manifests/%zz", "/v2/a/manifests/%ff", "/v2/a/%C3%28/x",
    ])
    func `escapes that hide something are refused`(path: String) {
        #expect(throws: EndpointError.nameInvalid(path)) { try Endpoint(path: path) }
    }

    @Test(arguments: [
        ("/v2/a/blobs/sha256:abc", "sha256:abc"), ("/v2/a/blobs/", ""), ("/v2/a/blobs/latest", "latest"),
        ("/v2/a/manifests/sha256:abc", "sha256:abc"), ("/v2/a/manifests/x:y", "x:y"), ("/v2/a/referrers/x", "x"),
        ("/v2/a/blobs/\(digest.uppercased())", digest.uppercased()),
        ("/v2/a/manifests/sha384:\(String(repeating: "a", count: 96))", "sha384:\(String(repeating: "a", count: 96))"),
    ])
    func `a malformed digest is named`(path: String, text: String) {
        #expect(throws: EndpointError.digestInvalid(text)) { try Endpoint(path: path) }
    }

    @Test(arguments: [
        (".x", ".x"), ("-x", "-x"), ("", ""), ("a+b", "a+b"), ("a%20b", "a b"), ("%2e%2e", ".."),
        (String(repeating: "a", count: 129), String(repeating: "a", count: 129)),
    ])
    func `an ungrammatical tag is told apart, with its repository`(raw: String, text: String) throws {
        let name = try Self.name("a/b")
        #expect(throws: EndpointError.tagInvalid(name, text)) { try Endpoint(path: "/v2/a/b/manifests/\(raw)") }
    }
}
