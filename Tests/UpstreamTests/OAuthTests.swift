// Identity tokens and registry tokens: the form that a token service gets, and what is never sent anywhere else.
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("Identity tokens and registry tokens") struct OAuthTests {
    private let identity = CredentialSource.login(Credentials(identityToken: "identity+1/=", username: "carol"))

    private var bearer: StubBearer {
        var bearer = StubBearer()
        bearer.door = .tokens
        bearer.identityToken = "identity+1/="
        bearer.member = "access_token"
        return bearer
    }

    private func run(_ bearer: StubBearer, _ body: (Laboratory) async throws -> Void) async throws {
        try await Laboratory.runWithImage(.bearer(bearer), body)
    }

    private func upstream(
        _ laboratory: Laboratory, _ source: CredentialSource, _ recorder: WarningRecorder = WarningRecorder()
    ) -> UpstreamRegistry {
        laboratory.upstream(from: source, authHosts: ["127.0.0.1"], logger: recorder.logger)
    }

    @Test func `an identity token goes to the token service as a form, and to nobody else`() async throws {
        try await run(bearer) { laboratory in
            let recorder = WarningRecorder()
            #expect(await laboratory.resolve(upstream(laboratory, identity, recorder)) == nil)
            let form = try #require(laboratory.stub.log.requests(door: .tokens).first)
            #expect(laboratory.stub.log.requests(door: .tokens).count == 1)
            #expect(form.method == "POST" && form.query == nil && !form.isAuthorized)
            #expect(
                String(decoding: form.body, as: UTF8.self)
                    == "grant_type=refresh_token&service=stub&scope=repository%3Alibrary%2Falpine%3Apull"
                    + "&client_id=wharf&refresh_token=identity%2B1%2F%3D")
            let registry = laboratory.stub.log.requests(door: .registry)
            #expect(registry.map(\.authorization) == [nil, "Bearer token-1"])
            #expect(!recorder.all.contains("identity"))
        }
    }

    @Test func `a token that takes its place is shown the next time, and no token is given up for it`() async throws {
        var bearer = bearer
        bearer.rotates = true
        try await run(bearer) { laboratory in
            let upstream = upstream(laboratory, identity)
            let revision = upstream.credentialRevision
            #expect(await laboratory.resolve(upstream) == nil)
            #expect(await laboratory.resolve(upstream) == nil)
            #expect(laboratory.stub.log.tokensIssued == 1)
            let other = try #require(RepositoryName("library/other"))
            #expect(await laboratory.resolve(upstream, other) == nil)
            #expect(await laboratory.resolve(upstream) == nil)
            let shown = laboratory.stub.log.requests(door: .tokens).map {
                String(decoding: $0.body, as: UTF8.self).split(separator: "=").last.map(String.init)
            }
            #expect(shown == ["identity%2B1%2F%3D", "identity-2"])
            #expect(upstream.credentialRevision == revision)
        }
    }

    @Test func `a no about one repository does not bring the spent token back`() async throws {
        var bearer = bearer
        bearer.rotates = true
        try await run(bearer) { laboratory in
            let upstream = upstream(laboratory, identity)
            #expect(await laboratory.resolve(upstream) == nil)
            laboratory.stub.inject(.status(401, body: "{\"error\":\"access_denied\"}"), into: "/token", times: 1)
            let (forbidden, other) = (try #require(RepositoryName("a/b")), try #require(RepositoryName("library/c")))
            #expect(await laboratory.resolve(upstream, forbidden) != nil)
            _ = await laboratory.resolve(upstream, other)
            let shown = laboratory.stub.log.requests(door: .tokens).map {
                String(decoding: $0.body, as: UTF8.self).split(separator: "=").last.map(String.init)
            }
            #expect(shown == ["identity%2B1%2F%3D", "identity-2", "identity-2"])
        }
    }

    @Test func `when the token that took its place is void, the configured one is shown again`() async throws {
        var bearer = bearer
        bearer.rotates = true
        try await run(bearer) { laboratory in
            let upstream = upstream(laboratory, identity)
            #expect(await laboratory.resolve(upstream) == nil)
            laboratory.stub.inject(.status(400, body: "{\"error\":\"invalid_grant\"}"), into: "/token", times: 1)
            _ = await laboratory.resolve(upstream, try #require(RepositoryName("library/c")))
            let shown = laboratory.stub.log.requests(door: .tokens).map {
                String(decoding: $0.body, as: UTF8.self).split(separator: "=").last.map(String.init)
            }
            #expect(shown == ["identity%2B1%2F%3D", "identity-2", "identity%2B1%2F%3D"])
        }
    }

    @Test(arguments: [401, 400])
    func `an identity token that is no good any more is told once`(_ status: Int) async throws {
        try await run(bearer) { laboratory in
            laboratory.stub.inject(.status(status, body: "{\"error\":\"invalid_grant\"}"), into: "/token", at: .tokens)
            let recorder = WarningRecorder()
            let upstream = upstream(laboratory, identity, recorder)
            for _ in 0..<3 {
                guard case .credentialsRefused(let message) = await laboratory.resolve(upstream) else {
                    Issue.record("expected a refusal of the credentials")
                    return
                }
                #expect(message.contains("the identity token of carol"))
            }
            #expect(laboratory.stub.log.requests(door: .tokens).count == 1)
            #expect(recorder.warnings.count == 1)
            #expect(!recorder.all.contains("identity+1") && !recorder.all.contains("identity%2B1"))
        }
    }

    @Test func `a 400 for another reason is a failure`() async throws {
        try await run(bearer) { laboratory in
            laboratory.stub.inject(.status(400, body: "{\"error\":\"invalid_scope\"}"), into: "/token", at: .tokens)
            guard case .failed(400, _) = await laboratory.resolve(upstream(laboratory, identity)) else {
                Issue.record("expected a failure")
                return
            }
        }
    }

    @Test func `concurrent askers of one scope cost one form`() async throws {
        try await run(bearer) { laboratory in
            let (challenge, gate) = (StubGate(), StubGate())
            laboratory.stub.inject(.hold(challenge), into: "/manifests/")
            laboratory.stub.inject(.hold(gate), into: "/token")
            let upstream = upstream(laboratory, identity)
            let askers = (1...10).map { _ in Task { await laboratory.resolve(upstream) } }
            await laboratory.stub.wait { $0.requests("/manifests/").count == 10 }  // nobody knows the challenge yet
            challenge.open()
            await laboratory.stub.wait { !$0.requests("/token").isEmpty }
            gate.open()
            for asker in askers { #expect(await asker.value == nil) }
            #expect(laboratory.stub.log.requests(method: "POST").count == 1)
        }
    }

    @Test func `a form's redirect is not followed`() async throws {
        try await run(bearer) { laboratory in
            let thief = try await StubRegistry.start()
            laboratory.stub.inject(.redirect(to: "\(thief.url)/token"), into: "/token", at: .tokens)
            guard case .failed(307, _) = await laboratory.resolve(upstream(laboratory, identity)) else {
                Issue.record("expected the 307")
                return
            }
            #expect(thief.connectionCount == 0)
            await thief.stop()
        }
    }

    @Test func `a registry token is shown to the endpoint itself, and no token service is asked`() async throws {
        var bearer = bearer
        bearer.registryToken = "fixed"
        try await run(bearer) { laboratory in
            let source = CredentialSource.login(Credentials(registryToken: "fixed"))
            let upstream = upstream(laboratory, source)
            #expect(await laboratory.resolve(upstream) == nil)
            #expect(await laboratory.resolve(upstream) == nil)
            #expect(laboratory.stub.log.requests.map(\.authorization) == [nil, "Bearer fixed", "Bearer fixed"])
        }
    }

    @Test func `a registry token that is refused is told once, and not shown again at once`() async throws {
        try await run(bearer) { laboratory in
            let recorder = WarningRecorder()
            let source = CredentialSource.login(Credentials(registryToken: "stale-secret"))
            let upstream = upstream(laboratory, source, recorder)
            for _ in 0..<3 { #expect(await laboratory.resolve(upstream)?.isCredentialsRefused == true) }
            #expect(laboratory.stub.log.requests.map(\.authorization) == [nil, "Bearer stale-secret"])
            #expect(recorder.warnings.count == 1)
            #expect(!recorder.all.contains("stale-secret"))
        }
    }

    @Test func `a registry token that would end its header field is never sent`() async throws {
        try await run(bearer) { laboratory in
            let source = CredentialSource.login(Credentials(registryToken: "a\r\nHost: b"))
            _ = await laboratory.resolve(upstream(laboratory, source))
            #expect(laboratory.stub.log.requests(door: .registry).allSatisfy { $0["Host"]?.hasPrefix("127") == true })
            #expect(!laboratory.stub.log.requests.contains { $0.authorization == "Bearer a" })
        }
    }

    @Test func `neither kind of token answers a Basic challenge`() async throws {
        try await Laboratory.runWithImage(.basic(username: "u", password: "p")) { laboratory in
            for source in [identity, .login(Credentials(registryToken: "fixed"))] {
                laboratory.stub.clearLog()
                #expect(await laboratory.resolve(upstream(laboratory, source))?.isDenied == true)
                #expect(laboratory.stub.log.requests.map(\.isAuthorized) == [false])
            }
        }
    }
}
