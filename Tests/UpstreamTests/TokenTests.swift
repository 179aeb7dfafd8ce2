// Credentials that print nothing, tokens read from answers, and the cache that shares them.
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("Credentials and tokens") struct TokenTests {
    private func token(_ body: String) throws(UpstreamError) -> Token {
        try TokenRequest.token(in: Array(body.utf8), askedAt: .seconds(100))
    }

    @Test func `credentials and tokens print as redacted, however they are printed`() throws {
        let credentials = Credentials(username: "user", password: "hunter2")
        let token = Token(text: "hunter2", askedAt: .zero, lifetime: .seconds(60))
        for text in ["\(credentials)", String(reflecting: credentials), "\(token)", String(reflecting: token)] {
            #expect(text == "<redacted>")
        }
        var dumped = ""
        dump(credentials, to: &dumped)
        dump(token, to: &dumped)
        dump(Authorization.bearer(token), to: &dumped)
        dump(
            UpstreamConfiguration(name: "x", endpoints: [], credentials: credentials), to: &dumped)
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
        #expect(try token("{\"token\":\"a\",\"expires_in\":1e300}").expiry == .seconds(100 + 86_400))
    }

    @Test(arguments: ["", "[]", "{}", "{\"token\":\"\"}", "{\"token\":\"a\\r\\nHost: b\"}", "<html>"])
    func `what holds no token is refused`(_ body: String) {
        #expect(throws: UpstreamError.self) { try token(body) }
    }

    @Test func `all who ask while a token is fetched share the one fetch`() async throws {
        let gate = StubGate()
        let fetches = Counter()
        let cache = TokenCache(uptime: { .zero })
        let fetch: @Sendable () async throws(UpstreamError) -> Token = {
            fetches.increment()
            await gate.opened()
            return Token(text: "t", askedAt: .zero, lifetime: .seconds(60))
        }
        let askers = (1...20).map { _ in Task { try await cache.token(for: "s", refusing: nil, fetch: fetch) } }
        gate.open()
        for asker in askers { _ = try await asker.value }
        #expect(fetches.count == 1)
    }

    @Test func `an asker that is cancelled leaves, and the fetch goes on for the others`() async throws {
        let gate = StubGate()
        let cache = TokenCache(uptime: { .zero })
        let fetch: @Sendable () async throws(UpstreamError) -> Token = {
            await gate.opened()
            return Token(text: "t", askedAt: .zero, lifetime: .seconds(60))
        }
        let leaving = Task {
            await failure { () async throws(UpstreamError) in
                try await cache.token(for: "s", refusing: nil, fetch: fetch)
            }
        }
        leaving.cancel()
        #expect(await leaving.value == .cancelled)
        gate.open()
        #expect(try await cache.token(for: "s", refusing: nil, fetch: fetch).text == "t")
    }

    @Test func `a refused token is not given again`() async throws {
        let fetches = Counter()
        let cache = TokenCache(uptime: { .zero })
        let fetch: @Sendable () async throws(UpstreamError) -> Token = {
            Token(text: "t\(fetches.increment())", askedAt: .zero, lifetime: .seconds(60))
        }
        let first = try await cache.token(for: "s", refusing: nil, fetch: fetch)
        #expect(try await cache.token(for: "s", refusing: nil, fetch: fetch) == first)
        let second = try await cache.token(for: "s", refusing: first, fetch: fetch)
        #expect(second.text == "t2")
        #expect(try await cache.token(for: "s", refusing: first, fetch: fetch) == second)
        #expect(try await cache.token(for: "other", refusing: nil, fetch: fetch).text == "t3")
    }
}
