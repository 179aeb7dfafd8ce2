// RFC 9112 §2-§6, §11.2: what is refused at the door, and that two readers can never disagree on a message's end.
import HTTPServer
import HTTPTypes
import Synchronization
import Testing

@Suite("RFC 9112: malformed requests and smuggling", .timeLimit(.minutes(1))) struct MalformedRequestTests {
    private static let long = String(repeating: "a", count: 17_000)

    @Test(arguments: [
        ("two framings", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("two framings, reversed", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
        ("two lengths", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        ("two equal lengths", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        ("a list of lengths", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
        ("a signed length", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: +3\r\n\r\nabc", 400),
        ("a negative length", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: -3\r\n\r\nabc", 400),
        ("a hexadecimal length", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0x3\r\n\r\nabc", 400),
        ("a length too large", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        ("an empty length", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length:\r\n\r\nabc", 400),
        ("an unknown coding", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        ("chunked not last", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        ("a coding before chunked", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("chunked twice", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("a coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("a space before the colon", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length : 3\r\n\r\nabc", 400),
        ("a name with a space", "GET / HTTP/1.1\r\nHost: t\r\nBad Name: 3\r\n\r\n", 400),
        ("a line without colon", "GET / HTTP/1.1\r\nHost: t\r\nnonsense\r\n\r\n", 400),
        ("an empty name", "GET / HTTP/1.1\r\nHost: t\r\n: x\r\n\r\n", 400),
        ("NUL in a value", "GET / HTTP/1.1\r\nHost: t\r\nA: a\u{0}b\r\n\r\n", 400),
        ("NUL in a name", "GET / HTTP/1.1\r\nHost: t\r\nA\u{0}: b\r\n\r\n", 400),
        ("NUL in the target", "GET /a\u{0}b HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("a control byte in the target", "GET /a\u{7}b HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("CR in a value", "GET / HTTP/1.1\r\nHost: t\r\nA: a\rB: c\r\n\r\n", 400),
        ("bare LF", "GET / HTTP/1.1\nHost: t\n\n", 400),
        ("a folded field", "GET / HTTP/1.1\r\nHost: t\r\nA: b\r\n c\r\n\r\n", 400),
        ("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
        ("two Hosts", "GET / HTTP/1.1\r\nHost: t\r\nHost: t\r\n\r\n", 400),
        ("a Host with a path", "GET / HTTP/1.1\r\nHost: t/x\r\n\r\n", 400),
        ("a Host with user", "GET / HTTP/1.1\r\nHost: a@t\r\n\r\n", 400),
        ("a relative target", "GET v2/ HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("another scheme", "GET ftp://t/v2/ HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("an authority", "CONNECT t:443 HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("* without OPTIONS", "GET * HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("an unknown method", "BREW / HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("a method in small letters", "get / HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("no version", "GET /\r\nHost: t\r\n\r\n", 505),
        ("HTTP/2 in clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: t\r\n\r\n", 505),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: t\r\n\r\n", 505),
        ("HTTP/11", "GET / HTTP/11\r\nHost: t\r\n\r\n", 505),
        ("a TLS hello", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", 400),
        ("a chunk size with a sign", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", 400),
        ("a chunk size too large", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
        ("a long request line", "GET /\(long) HTTP/1.1\r\nHost: t\r\n\r\n", 414),
        ("a long field", "GET / HTTP/1.1\r\nHost: t\r\nA: \(long)\r\n\r\n", 431),
        ("many fields", "GET / HTTP/1.1\r\nHost: t\r\n\(String(repeating: "A: b\r\n", count: 4_000))\r\n", 431),
        ("long trailers", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: \(long)\r\n\r\n", 431),
    ] as [(String, String, Int)])
    func `is refused, and nothing behind it is answered`(what: String, request: String, status: Int) async throws {
        let asked = Mutex(0)
        let responder = StubResponder(ready: { _ in
            asked.withLock { $0 += 1 }
            return .text("asked")
        })
        try await TestServer.run(responder) { server in
            let (text, end) = try await server.exchange(request + "GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 \(status) "), "\(what)")
            #expect(text.components(of: "HTTP/1.1 ") == 1, "\(what)")
            #expect(text.contains("Connection: close\r\n") && end == .closed, "\(what)")
            #expect(asked.withLock { $0 } == 0, "\(what)")
        }
    }

    @Test func `requests before a malformed one are answered first`() async throws {
        let gate = Gate()
        let responder = StubResponder(respond: { _ in
            await gate.wait()
            return .text("good")
        })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            try await onThread { try client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\nnonsense\r\n\r\n") }
            gate.open()
            let (bytes, end) = try await onThread { client.receiveAll() }
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(text.hasPrefix("HTTP/1.1 200 ") && text.contains("HTTP/1.1 400 ") && end == .closed)
        }
    }

    @Test func `a head of just the limit is served`() async throws {
        try await TestServer.run(StubResponder.echo, configure: { $0.headLimit = 1_000 }) { server in
            let frame = "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\nA: \r\n\r\n"
            for (extra, status) in [(1_000, 200), (1_001, 431)] {
                let value = String(repeating: "x", count: extra - frame.utf8.count)
                let (text, _) = try await server.exchange(
                    "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\nA: \(value)\r\n\r\n")
                #expect(text.hasPrefix("HTTP/1.1 \(status) "))
            }
        }
    }

    @Test(arguments: [
        ("http://other.example:80/v2/a?x=1", "/v2/a", "x=1"), ("HTTPS://t", "/", nil), ("http://t?x", "/", "x"),
        ("/v2/%2e%2E/a%2fb//c", "/v2/%2e%2E/a%2fb//c", nil), ("/a?b?c", "/a", "b?c"), ("/?", "/", ""),
        ("/http://t/", "/http://t/", nil),
    ] as [(String, String, String?)])
    func `a target's path and query arrive as they were sent`(target: String, path: String, query: String?) async throws {
        let seen = Mutex<[Request]>([])
        let responder = StubResponder(ready: { request in
            seen.withLock { $0.append(request) }
            return .text("")
        })
        try await TestServer.run(responder) { server in
            _ = try await server.exchange("GET \(target) HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        }
        #expect(seen.withLock { $0.map(\.path) } == [path])
        #expect(seen.withLock { $0.map(\.query) } == [query])
    }

    @Test func `an upgrade is not taken, and the connection ends with the answer`() async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let (text, end) = try await server.exchange(
                "GET /a HTTP/1.1\r\nHost: t\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 200 ") && text.hasSuffix("GET /a") && end == .closed)
        }
    }

    @Test func `the fields arrive in their order, repeated ones apart`() async throws {
        let accepts = Mutex<[String]>([])
        let responder = StubResponder(ready: { request in
            accepts.withLock { $0 = request.fields[values: .accept] }
            return .text(request.peer)
        })
        try await TestServer.run(responder) { server in
            let (text, _) = try await server.exchange(
                "\r\nGET / HTTP/1.1\r\nHost: t\r\nAccept: b\r\nX: y\r\nAccept:  a \r\nConnection: close\r\n\r\n")
            #expect(text.hasSuffix("127.0.0.1"))
        }
        #expect(accepts.withLock { $0 } == ["b", "a"])
    }
}
