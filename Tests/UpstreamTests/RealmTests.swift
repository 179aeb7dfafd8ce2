// Who may give us tokens, and for what: an attacker's endpoint names realms and scopes, and gets nothing.
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("Token realms and scopes") struct RealmTests {
    private let login = CredentialSource.login(Credentials(username: "user", password: "secret"))

    /// Asks an endpoint that challenges like this, with its own port for OWN and an attacker's listener's for THIEF.
    private func challenged(
        _ challenge: String, authHosts: [String] = [],
        _ check: (_ error: UpstreamError?, _ own: StubRegistry, _ thief: StubRegistry) async throws -> Void
    ) async throws {
        let thief = try await StubRegistry.start(StubOptions(authentication: .bearer()))
        try await Laboratory.runWithImage(.bearer()) { laboratory in
            let challenge = challenge.replacing("OWN", with: "\(laboratory.stub.port())")
                .replacing("THIEF", with: "\(thief.port())")
            laboratory.stub.inject(.status(401, fields: [("WWW-Authenticate", challenge)]), into: "/manifests/")
            let upstream = laboratory.upstream(from: login, authHosts: authHosts)
            try await check(await laboratory.resolve(upstream), laboratory.stub, thief)
        }
        await thief.stop()
    }

    private func rule(of error: UpstreamError?) -> String? { if case .refused(let rule) = error { rule } else { nil } }

    @Test func `a realm on another host or port is not even connected to`() async throws {
        for host in ["127.0.0.1", "localhost"] {
            try await challenged("Bearer realm=\"http://\(host):THIEF/token\"") { error, own, thief in
                #expect(rule(of: error)?.contains("auth-hosts") == true, "\(String(describing: error))")
                #expect(thief.connectionCount == 0)
                #expect(own.log.requests.allSatisfy { !$0.isAuthorized })
            }
        }
    }

    @Test func `a realm in auth-hosts is asked, by host for any port and by host and port for that one`() async throws {
        for isExact in [true, false] {
            var bearer = StubBearer()
            bearer.door = .tokens
            try await Laboratory.runWithImage(.bearer(bearer)) { laboratory in
                let port = laboratory.stub.port(.tokens)
                let host = isExact ? "127.0.0.1:\(port)" : "127.0.0.1"
                #expect(await laboratory.resolve(laboratory.upstream(from: login, authHosts: [host])) == nil)
                let error = await laboratory.resolve(
                    laboratory.upstream(from: login, authHosts: ["127.0.0.1:\(port + 1)"]))
                #expect(rule(of: error)?.contains("auth-hosts") == true)
            }
        }
    }

    @Test(arguments: [
        "http://user:pw@127.0.0.1:THIEF/token", "http://127.0.0.1:OWN@127.0.0.1:THIEF/token",
        "http://127.0.0.1:OWN\\@127.0.0.1:THIEF/token", "ftp://127.0.0.1:THIEF/token", "//127.0.0.1:THIEF/token",
        "/token",
        "http://127.0.0.1:THIEF#@127.0.0.1:OWN/token", "file:///etc/passwd", "http://", "",
    ])
    func `a realm that hides its host is not even connected to`(_ realm: String) async throws {
        let escaped = realm.replacing("\\", with: "\\\\")
        try await challenged("Bearer realm=\"\(escaped)\"") { error, own, thief in
            #expect(rule(of: error) != nil, "\(String(describing: error))")
            #expect(thief.connectionCount == 0)
            #expect(own.log.requests("/token").isEmpty)
        }
    }

    @Test func `of a realm elsewhere only the path is the endpoint's to choose`() throws {
        let endpoint = try #require(UpstreamEndpoint("https://registry.test"))
        let configuration = UpstreamConfiguration(
            name: "registry.test", endpoints: [endpoint], authHosts: ["auth.test"])
        let query = "scope=repository:other/private:pull,push&account=x"
        let elsewhere = try configuration.realm("https://auth.test/token?\(query)", of: endpoint)
        #expect(elsewhere.absolute == "https://auth.test/token")
        let own = try configuration.realm("https://registry.test/token?\(query)", of: endpoint)
        #expect(own.query == query)
    }

    @Test func `without TLS there is no realm for an endpoint with it, wherever it is`() throws {
        let secure = try #require(UpstreamEndpoint("https://registry.example"))
        let plain = try #require(UpstreamEndpoint("http://registry.example"))
        let configuration = UpstreamConfiguration(
            name: "x", endpoints: [], authHosts: ["auth.example", "registry.example:80", "Auth2.Example:8443"])
        for realm in ["http://auth.example/token", "http://registry.example/token", "http://registry.example:443/"] {
            #expect(throws: UpstreamError.self) { try configuration.realm(realm, of: secure) }
        }
        for realm in ["https://auth.example:8443/", "https://registry.example/t", "https://AUTH2.example:8443/t"] {
            #expect(throws: Never.self) { try configuration.realm(realm, of: secure) }
        }
        #expect(throws: UpstreamError.self) { try configuration.realm("https://auth2.example/", of: secure) }
        #expect(throws: UpstreamError.self) { try configuration.realm("https://auth.example.evil/", of: secure) }
        #expect(throws: Never.self) { try configuration.realm("http://auth.example/token", of: plain) }
    }

    @Test func `a token answer of 10 MB is refused, and not read to its end`() async throws {
        for isChunked in [true, false] {
            try await Laboratory.runWithImage(.bearer()) { laboratory in
                let body = "{\"token\":\"" + String(repeating: "a", count: 10_000_000) + "\"}"
                laboratory.stub.inject(.status(200, body: body), into: "/token")
                if isChunked { laboratory.stub.inject(.chunked, into: "/token") }
                let error = await laboratory.resolve(laboratory.upstream(from: login))
                #expect(rule(of: error)?.contains("262144 bytes") == true, "\(String(describing: error))")
                await laboratory.stub.wait { $0.abandoned == 1 }
            }
        }
    }

    @Test(arguments: [9_000, 64 * 1024, 200 * 1024])
    func `a challenge that is too long is refused`(_ length: Int) async throws {
        let filler = String(repeating: "a", count: length)
        try await challenged("Bearer realm=\"http://127.0.0.1:OWN/token\",x=\"\(filler)\"") { error, own, _ in
            #expect(error != nil && error?.isDenied == false, "\(String(describing: error))")
            #expect(own.log.requests("/token").isEmpty)
        }
    }

    @Test(arguments: [
        "Bearer", "Bearer realm", "Bearer realm=", "Bearer realm=\"http://x", "realm=\"http://x/\"", ",,,",
        "Bearer realm=\"",
        "Digest realm=\"x\"", "Bearer service=\"stub\"", "=",
    ])
    func `a malformed challenge is a denial, and nothing is shown`(_ challenge: String) async throws {
        try await challenged(challenge) { error, own, _ in
            #expect(error?.isDenied == true || rule(of: error) != nil, "\(String(describing: error))")
            #expect(own.log.requests.map(\.isAuthorized) == [false])
        }
    }

    // MARK: Scopes

    @Test func `an endpoint cannot have a token made for another repository, or for pushing`() async throws {
        let tokens = try await StubRegistry.start(StubOptions(authentication: .bearer()))
        let authority = "127.0.0.1:\(tokens.port())"
        let greedy = "repository:secret/vault:pull,push repository:library/alpine:pull,push,delete registry:catalog:*"
        let challenge = "Bearer realm=\"http://\(authority)/token\",service=\"stub\",scope=\"\(greedy)\""
        try await challenged(challenge, authHosts: [authority]) { error, _, _ in
            #expect(error?.isDenied == true)
            #expect(
                tokens.log.requests.map(\.query) == ["service=stub&scope=repository%3Alibrary%2Falpine%3Apull"])
        }
        await tokens.stop()
    }

    @Test func `a scope that names no repository is asked for as it is, and unasked the next time`() async throws {
        var bearer = StubBearer()
        bearer.scope = "aws"
        try await Laboratory.runWithImage(.bearer(bearer)) { laboratory in
            let upstream = laboratory.upstream(from: login)
            #expect(await laboratory.resolve(upstream) == nil)
            let other = try #require(RepositoryName("library/other"))
            #expect(await laboratory.resolve(upstream, other) == nil)
            #expect(laboratory.stub.log.requests("/token").map(\.query) == ["service=stub&scope=aws"])
            #expect(laboratory.stub.log.requests("/manifests/").map(\.isAuthorized) == [false, true, true])
        }
    }

    private func scope(_ challenged: String?, isOwnRealm: Bool = false) -> String {
        TokenScope(challenged: challenged, pulling: Laboratory.name, isOwnRealm: isOwnRealm).text
    }

    @Test(arguments: [
        nil, "", " ", "repository:library/alpine:pull", "repository:library/alpine:pull,push",
        "repository:library/alpine:*", "repository:library/alpine:", "repository:library/alpine:push",
        "repository:secret/vault:pull", "registry:catalog:*",
        "repository(plugin):secret/vault:pull", "REPOSITORY:secret/vault:pull", "repository:library/alpine", "*",
        "anything:secret/vault:push", "anything:secret/vault:pull,push", "repository:a b:pull", "repository::pull",
        "repository:secret/vault:pull:pull", "repository:library/../vault:pull",
    ])
    func `of a shared token service only the repository's own pull is asked`(_ challenged: String?) {
        #expect(scope(challenged) == "repository:library/alpine:pull")
    }

    @Test func `an endpoint's own token service may know the repository by another name, but only to pull`() {
        #expect(scope("repository:mirror/alpine:pull,push", isOwnRealm: true) == "repository:mirror/alpine:pull")
        #expect(scope("repository:../x:pull", isOwnRealm: true) == "repository:library/alpine:pull")
        #expect(scope("registry:catalog:*", isOwnRealm: true) == "repository:library/alpine:pull")
    }

    @Test func `several scopes are asked for together, each once and few in all`() {
        #expect(scope("aws repository:library/alpine:pull aws") == "aws repository:library/alpine:pull")
        #expect(scope((1...100).map { "s\($0)" }.joined(separator: " ")) == "s1 s2 s3 s4")
    }
}
