// The Bearer dance and Basic, against a registry that insists.
import HTTPSemantics
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("Authorization at an upstream") struct AuthorizationTests {
    private let name = Laboratory.name
    private let tag = Reference("3")!  // a literal of the grammar

    private func run(
        _ authentication: StubAuthentication, redirectsBlobs: Bool = false,
        _ body: (Laboratory, TestImage) async throws -> Void
    ) async throws {
        let options = StubOptions(authentication: authentication, redirectsBlobs: redirectsBlobs)
        try await Laboratory.run(options) { laboratory in
            var builder = ImageBuilder()
            let image = laboratory.stub.add(builder.image(), to: "\(name)", tag: "3")
            laboratory.stub.add(image, to: "library/other", tag: "3")
            try await body(laboratory, image)
        }
    }

    private func resolve(_ upstream: UpstreamRegistry) async -> UpstreamError? {
        await failure { () async throws(UpstreamError) in try await upstream.resolve(name, tag) }
    }

    @Test func `a challenge is answered with a token, which later requests show at once`() async throws {
        try await run(.bearer()) { laboratory, image in
            let upstream = laboratory.upstream()
            #expect(try await upstream.resolve(name, tag).digest == image.manifest.digest)
            _ = try await upstream.manifest(name, tag)
            let log = laboratory.stub.log
            #expect(log.requests.map(\.path).filter { $0 == "/token" }.count == 1)
            #expect(log.requests("/manifests/").map(\.isAuthorized) == [false, true, true])
            let token = try #require(log.requests("/token").first)
            #expect(token.query == "service=stub&scope=repository%3Alibrary%2Falpine%3Apull")
            #expect(!token.isAuthorized)
            #expect(upstream.figures.first?.requests == 3)
        }
    }

    @Test func `another repository needs another token, and no further challenge`() async throws {
        try await run(.bearer()) { laboratory, _ in
            let upstream = laboratory.upstream()
            _ = try await upstream.resolve(name, tag)
            _ = try await upstream.resolve(try #require(RepositoryName("library/other")), tag)
            #expect(laboratory.stub.log.tokensIssued == 2)
            #expect(laboratory.stub.log.requests("/library/other/").map(\.isAuthorized) == [true])
        }
    }

    @Test func `concurrent askers share one token request`() async throws {
        try await run(.bearer()) { laboratory, image in
            let (challenge, gate) = (StubGate(), StubGate())
            laboratory.stub.inject(.hold(challenge), into: "/manifests/")
            laboratory.stub.inject(.hold(gate), into: "/token")
            let upstream = laboratory.upstream()
            let askers = (1...10).map { _ in Task { try await upstream.resolve(name, tag).digest } }
            await laboratory.stub.wait { $0.requests("/manifests/").count == 10 }  // nobody knows the challenge yet
            challenge.open()
            await laboratory.stub.wait { !$0.requests("/token").isEmpty }
            gate.open()
            for asker in askers {
                let digest = try await asker.value
                #expect(digest == image.manifest.digest)
            }
            #expect(laboratory.stub.log.tokensIssued == 1)
        }
    }

    @Test func `a token is fetched anew shortly before it expires`() async throws {
        try await run(.bearer()) { laboratory, _ in
            let upstream = laboratory.upstream()
            _ = try await upstream.resolve(name, tag)
            laboratory.clock.advance(by: .seconds(289))
            _ = try await upstream.resolve(name, tag)
            #expect(laboratory.stub.log.tokensIssued == 1)
            laboratory.clock.advance(by: .seconds(2))
            _ = try await upstream.resolve(name, tag)
            #expect(laboratory.stub.log.tokensIssued == 2)
            #expect(laboratory.stub.log.requests("/manifests/").count == 4)
        }
    }

    @Test func `without expires_in a token lives 60 s, and access_token is a token`() async throws {
        var bearer = StubBearer()
        bearer.expiresIn = nil
        bearer.member = "access_token"
        try await run(.bearer(bearer)) { laboratory, _ in
            let upstream = laboratory.upstream()
            _ = try await upstream.resolve(name, tag)
            laboratory.clock.advance(by: .seconds(51))
            _ = try await upstream.resolve(name, tag)
            #expect(laboratory.stub.log.tokensIssued == 2)
        }
    }

    @Test func `a token that is refused is replaced once`() async throws {
        try await run(.bearer()) { laboratory, image in
            let upstream = laboratory.upstream()
            _ = try await upstream.resolve(name, tag)
            laboratory.stub.revokeTokens()
            #expect(try await upstream.resolve(name, tag).digest == image.manifest.digest)
            #expect(laboratory.stub.log.tokensIssued == 2)
            #expect(laboratory.stub.log.requests("/manifests/").count == 4)
        }
    }

    @Test func `a 401 to a fresh token is a denial, after exactly one retry`() async throws {
        try await run(.bearer()) { laboratory, _ in
            let challenge = "Bearer realm=\"\(laboratory.stub.url)/token\",service=\"stub\""
            laboratory.stub.inject(.status(401, fields: [("WWW-Authenticate", challenge)]), into: "/manifests/")
            let error = await resolve(laboratory.upstream())
            guard case .denied(401, _) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(laboratory.stub.log.requests("/manifests/").count == 2)
            #expect(laboratory.stub.log.tokensIssued == 1)
        }
    }

    @Test func `credentials go to the realm, and only the token to the registry`() async throws {
        var bearer = StubBearer()
        bearer.username = "user"
        bearer.password = "secret"
        bearer.door = .tokens
        try await run(.bearer(bearer)) { laboratory, _ in
            let credentials = Credentials(username: "user", password: "secret")
            let upstream = laboratory.upstream(authHosts: ["127.0.0.1"], credentials: credentials)
            _ = try await upstream.resolve(name, tag)
            let log = laboratory.stub.log
            #expect(log.requests(door: .tokens).map(\.authorization) == ["Basic dXNlcjpzZWNyZXQ="])
            #expect(log.requests(door: .registry).map(\.authorization) == [nil, "Bearer token-1"])
        }
    }

    @Test func `a token service's no to who shows nothing is a denial`() async throws {
        var bearer = StubBearer()
        bearer.username = "user"
        bearer.password = "secret"
        try await run(.bearer(bearer)) { laboratory, _ in
            guard case .denied(401, _) = await resolve(laboratory.upstream()) else {
                Issue.record("expected a denial")
                return
            }
        }
    }

    @Test func `a failing token service is a failure, not an unknown`() async throws {
        try await run(.bearer()) { laboratory, _ in
            let upstream = laboratory.upstream()
            laboratory.stub.inject(.status(503), into: "/token", times: 1)
            guard case .failed(503, _) = await resolve(upstream) else {
                Issue.record("expected the 503")
                return
            }
            laboratory.stub.inject(.status(404), into: "/token", times: 1)
            guard case .failed(404, _) = await resolve(upstream) else {
                Issue.record("expected the 404")
                return
            }
            laboratory.stub.inject(.redirect(to: laboratory.stub.url(.tokens) + "/token"), into: "/token", times: 1)
            guard case .failed(307, _) = await resolve(upstream) else {
                Issue.record("a token request followed a redirect")
                return
            }
            #expect(laboratory.stub.log.requests(door: .tokens).isEmpty)
            #expect(await resolve(upstream) == nil)
        }
    }

    @Test func `a registry that answers Basic gets the credentials, at once from then on`() async throws {
        try await run(.basic(username: "user", password: "secret")) { laboratory, image in
            let upstream = laboratory.upstream(credentials: Credentials(username: "user", password: "secret"))
            #expect(try await upstream.resolve(name, tag).digest == image.manifest.digest)
            _ = try await upstream.resolve(name, tag)
            #expect(laboratory.stub.log.requests.map(\.isAuthorized) == [false, true, true])
        }
    }

    @Test func `a registry that answers Basic denies us without credentials`() async throws {
        try await run(.basic(username: "user", password: "secret")) { laboratory, _ in
            guard case .denied(401, _) = await resolve(laboratory.upstream()) else {
                Issue.record("expected a denial")
                return
            }
            #expect(laboratory.stub.log.requests.count == 1)
        }
    }

    @Test func `the redirect's host sees no authorization, and its secret is in no error`() async throws {
        try await run(.bearer(), redirectsBlobs: true) { laboratory, image in
            let upstream = laboratory.upstream(credentials: Credentials(username: "u", password: "p"))
            let sink = RecordingSink()
            _ = try await upstream.blob(name, image.layers[0].digest, into: sink)
            #expect(await sink.end()?.error == nil)
            #expect(sink.now.bytes == image.layers[0].bytes)
            #expect(sink.now.head?.host == "127.0.0.1:\(laboratory.stub.port(.blobs))")
            let seen = laboratory.stub.log.requests(door: .blobs)
            #expect(seen.map(\.isAuthorized) == [false])

            laboratory.stub.inject(.status(403, body: "expired"), into: "/store/")
            let error = await failure { () async throws(UpstreamError) in
                try await upstream.blob(name, image.layers[1].digest, into: RecordingSink())
            }
            guard case .failed(403, let message) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(message.contains("expired") && !message.contains("secret"))
        }
    }
}
