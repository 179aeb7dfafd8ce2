// Credentials that print nothing, tokens read from answers, and the cache that shares them.
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("Credentials and tokens") struct TokenTests {
    private func token(_ body: String) throws(UpstreamError) -> Token {
        try TokenRequest.token(in: Array(body.utf8), askedAt: .seconds(100)).token
    }

    @Test func `credentials and tokens print as redacted, however they are printed`() throws {
        let credentials = Credentials(username: "user", password: "hunter2")
        let identityToken = Credentials(identityToken: "hunter2", username: "user")
        let registryToken = Credentials(registryToken: "hunter2")
        let token = Token(text: "hunter2", askedAt: .zero, lifetime: .seconds(60))
        let texts = [
            "\(credentials)", String(reflecting: credentials), "\(token)", String(reflecting: token),
            "\(identityToken)", "\(registryToken)",
        ]
        for text in texts {
            #expect(text == "<redacted>")
        }
        var dumped = ""
        dump(credentials, to: &dumped)
        dump(token, to: &dumped)
        dump(Authorization.bearer(token), to: &dumped)
        dump(Authorization.basic(Identity(credentials: credentials, revision: 0)), to: &dumped)
        dump(Authorization.registryToken(Identity(credentials: registryToken, revision: 0)), to: &dumped)
        dump([identityToken, registryToken], to: &dumped)
        dump(UpstreamConfiguration(name: "x", endpoints: [], credentials: .login(credentials)), to: &dumped)
        #expect(!dumped.contains("hunter2"))
    }

    @Test func `a password file's line end is not part of the password`() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(Array("pässword\r\n".utf8), to: "password")
        #expect(
            try Credentials(username: "u", passwordFile: path).basic
                == Credentials(username: "u", password: "pässword").basic)
        #expect(throws: (any Error).self) { try Credentials(username: "u", passwordFile: directory.path("none")) }
    }

    @Test func `a token comes as token or access_token, and lives 60 s where nothing is said`() throws {
        #expect(try token("{\"token\":\"a\"}").text == "a")
        #expect(try token("{\"access_token\":\"b\",\"expires_in\":300}").expiry == .seconds(400))
        #expect(try token("{\"token\":\"a\"}").expiry == .seconds(160))
        #expect(try token("{\"token\":\"\",\"access_token\":\"b\"}").text == "b")
    }

    @Test func `a token is refreshed ten seconds, at most a quarter of its life, before it expires`() throws {
        #expect(try token("{\"token\":\"a\",\"expires_in\":300}").refreshAt == .seconds(390))
        #expect(try token("{\"token\":\"a\",\"expires_in\":20}").refreshAt == .seconds(115))
        #expect(try token("{\"token\":\"a\",\"expires_in\":-5}").refreshAt == .seconds(100))
        #expect(try token("{\"token\":\"a\",\"expires_in\":1e300}").expiry == .seconds(100 + 3600))
    }

    @Test(arguments: ["", "[]", "{}", "{\"token\":\"\"}", "{\"token\":\"a\\r\\nHost: b\"}", "<html>"])
    func `what holds no token is refused`(_ body: String) {
        #expect(throws: UpstreamError.self) { try token(body) }
    }

    @Test func `an identity token that takes the place of the one shown is read, an empty one is none`() throws {
        func rotated(_ body: String) throws -> String? {
            try TokenRequest.token(in: Array(body.utf8), askedAt: .zero).identityToken
        }
        #expect(try rotated("{\"access_token\":\"a\",\"refresh_token\":\"next\"}") == "next")
        #expect(try rotated("{\"access_token\":\"a\",\"refresh_token\":\"\"}") == nil)
        #expect(try rotated("{\"token\":\"a\"}") == nil)
    }

    // MARK: The cache

    private typealias Fetch = @Sendable () async throws(UpstreamError) -> Token

    private let cache = FreshCache<String, Token> { .zero < $0.refreshAt }

    private static func token(_ text: String) -> Token { Token(text: text, askedAt: .zero, lifetime: .seconds(60)) }

    @Test func `all who ask while a token is fetched share the one fetch`() async throws {
        let gate = StubGate()
        let fetches = Counter()
        let fetch: Fetch = {
            fetches.increment()
            await gate.opened()
            return Self.token("t")
        }
        let askers = (1...20).map { _ in Task { [cache] in try await cache.value(for: "s", fetch: fetch) } }
        gate.open()
        for asker in askers { _ = try await asker.value }
        #expect(fetches.count == 1)
    }

    @Test func `an asker that is cancelled leaves, and the fetch goes on for the others`() async throws {
        let gate = StubGate()
        let fetch: Fetch = {
            await gate.opened()
            return Self.token("t")
        }
        let leaving = Task { [cache] in
            await failure { () async throws(UpstreamError) in try await cache.value(for: "s", fetch: fetch) }
        }
        leaving.cancel()
        #expect(await leaving.value == .cancelled)
        gate.open()
        #expect(try await cache.value(for: "s", fetch: fetch).text == "t")
    }

    @Test func `a refused token is not given again`() async throws {
        let fetches = Counter()
        let fetch: Fetch = { Self.token("t\(fetches.increment())") }
        let first = try await cache.value(for: "s", fetch: fetch)
        #expect(try await cache.value(for: "s", fetch: fetch) == first)
        let second = try await cache.value(for: "s", unless: { $0 == first }, fetch: fetch)
        #expect(second.text == "t2")
        #expect(try await cache.value(for: "s", unless: { $0 == first }, fetch: fetch) == second)
        #expect(try await cache.value(for: "other", fetch: fetch).text == "t3")
    }

    @Test func `a failure is told to all who wait, and not kept`() async throws {
        let fetch: Fetch = { () async throws(UpstreamError) in throw .failed(status: 500, message: "") }
        let error = await failure { () async throws(UpstreamError) in try await cache.value(for: "s", fetch: fetch) }
        #expect(error == .failed(status: 500, message: ""))
        #expect(try await cache.value(for: "s") { Self.token("t") }.text == "t")
    }
}
