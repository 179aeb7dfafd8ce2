// Which heads are known again, and that a known one says what it said.
import HTTPTypes
import Testing

@testable import HTTPServer

@Suite("Known heads") struct KnownHeadsTests {
    private func head(_ heads: inout KnownHeads, _ text: String) throws -> JudgedHead {
        try Array(text.utf8).withUnsafeBytes { try heads.head($0) }
    }

    private static func get(_ path: String, _ lines: String = "") -> String {
        "GET \(path) HTTP/1.1\r\nHost: a\r\n\(lines)\r\n"
    }

    @Test func `the same bytes are the same head, and others are another`() throws {
        var heads = KnownHeads()
        let first = try head(&heads, Self.get("/v2/a/manifests/1?ns=b.io", "User-Agent: c/1\r\n"))
        #expect(try head(&heads, Self.get("/v2/a/manifests/1?ns=b.io", "User-Agent: c/1\r\n")) === first)
        #expect(first.path == "/v2/a/manifests/1" && first.query == "ns=b.io" && first.isPersistent)
        #expect(first.loggedPath == "/v2/a/manifests/1?ns=b.io" && first.agent == "c/1")
        for other in [
            Self.get("/v2/a/manifests/2?ns=b.io", "User-Agent: c/1\r\n"),
            Self.get("/v2/a/manifests/1?ns=b.io", "User-Agent: c/2\r\n"),
            Self.get("/v2/a/manifests/1?ns=b.io", "User-Agent: c/1\r\nConnection: close\r\n"),
            Self.get("/v2/a/manifests/1?ns=b.io", "User-Agent: c/1\r\n").replacing("GET", with: "HEAD"),
        ] { #expect(try head(&heads, other) !== first) }
    }

    @Test(arguments: [
        "Authorization: Basic c2VjcmV0\r\n", "Cookie: secret=1\r\n", "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n", "Host: b\r\n", "X: \(String(repeating: "x", count: 1024))\r\n",
    ])
    func `no secret, no body, no mistake and nothing long is kept`(line: String) throws {
        var heads = KnownHeads()
        let first = try head(&heads, Self.get("/", line))
        #expect(try head(&heads, Self.get("/", line)) !== first)
    }

    @Test func `what cannot be read is not kept either`() throws {
        var heads = KnownHeads()
        for _ in 0..<2 {
            #expect(throws: RequestHead.Fault.malformed) { try head(&heads, "GET / HTTP/1.1\r\nHost : a\r\n\r\n") }
        }
    }

    @Test func `of very many the last are known, each as itself`() throws {
        var heads = KnownHeads()
        for number in 0..<20_000 { #expect(try head(&heads, Self.get("/\(number)")).path == "/\(number)") }
        let last = try head(&heads, Self.get("/19999"))
        #expect(try head(&heads, Self.get("/19999")) === last)
    }

    @Test func `a finding stays with the head`() throws {
        final class Finding: Sendable {}
        var heads = KnownHeads()
        let finding = Finding()
        func request() throws -> Request {
            Request(try head(&heads, Self.get("/")), peer: "127.0.0.1", id: 1, lane: 0, isByOwner: false)
        }
        try request().finding = finding
        #expect(try request().finding === finding)
    }
}
