// RFC 9112 §2-§6, §11.2: what is refused at the door, and that two readers can never disagree on a message's end.
import HTTPServer
import HTTPTypes
import Synchronization
import Testing

@Suite("RFC 9112: malformed requests and smuggling", .timeLimit(.minutes(1))) struct MalformedRequestTests {
    private static let long = String(repeating: "a", count: 17_000)

    struct Refused: Sendable, CustomTestStringConvertible {
        let what: String
        let request: String
        let status: Int
        var testDescription: String { what }

        init(_ what: String, _ request: String, _ status: Int = 400) {
            self.what = what
            self.request = request
            self.status = status
        }

        /// A proper request but for these fields, and the body that goes with them.
        static func post(_ what: String, _ fields: String, _ body: String = "abc", _ status: Int = 400) -> Refused {
            Refused(what, "POST / HTTP/1.1\r\nHost: t\r\n\(fields)\r\n\r\n\(body)", status)
        }
    }

    private static let chunks = "0\r\n\r\n"
    private static let refused: [Refused] = [
        .post("two framings", "Content-Length: 3\r\nTransfer-Encoding: chunked", chunks),
        .post("two framings, reversed", "Transfer-Encoding: chunked\r\nContent-Length: 3", chunks),
        .post("two lengths", "Content-Length: 3\r\nContent-Length: 4", "abcd"),
        .post("two equal lengths", "Content-Length: 3\r\nContent-Length: 3"),
        .post("a list of lengths", "Content-Length: 3, 3"),
        .post("a signed length", "Content-Length: +3"),
        .post("a negative length", "Content-Length: -3"),
        .post("a hexadecimal length", "Content-Length: 0x3"),
        .post("a folded length", "Content-Length:\r\n 3"),
        .post("a length with a tail", "Content-Length: 3 4"),
        .post("a length with a point", "Content-Length: 3.0"),
        .post("a length of other digits", "Content-Length: ٣"),
        .post("a length too large", "Content-Length: 99999999999999999999", ""),
        .post("an empty length", "Content-Length:"),
        .post("an unknown coding", "Transfer-Encoding: xchunked", chunks, 501),
        .post("chunked not last", "Transfer-Encoding: chunked, identity", chunks),
        .post("a coding before chunked", "Transfer-Encoding: gzip, chunked", chunks, 501),
        .post("a coding of its own", "Transfer-Encoding: identity", "", 501),
        .post("a vertical tab before a coding", "Transfer-Encoding: \u{b}chunked", chunks),
        .post("a coding in quotes", "Transfer-Encoding: \"chunked\"", chunks, 501),
        .post("an empty coding", "Transfer-Encoding:", chunks, 501),
        .post("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", chunks),
        Refused("a coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        .post("a space before the colon", "Content-Length : 3"),
        .post("a tab before the colon", "Content-Length\t: 3"),
        .post("a name with a space", "Bad Name: 3"),
        .post("a line without colon", "nonsense"),
        .post("an empty name", ": x"),
        .post("NUL in a value", "A: a\u{0}b"),
        .post("NUL in a name", "A\u{0}: b"),
        Refused("NUL in the target", "GET /a\u{0}b HTTP/1.1\r\nHost: t\r\n\r\n"),
        Refused("a control byte in the target", "GET /a\u{7}b HTTP/1.1\r\nHost: t\r\n\r\n"),
        .post("CR in a value", "A: a\rB: c"),
        Refused("bare LF", "GET / HTTP/1.1\nHost: t\n\n"),
        .post("a folded field", "A: b\r\n c"),
        .post("a field folded by a tab", "A: b\r\n\tc"),
        Refused("a first field folded", "GET / HTTP/1.1\r\n Host: t\r\n\r\n"),
        .post("CR for a line's end", "A: b\rContent-Length: 3"),
        .post("CR in a name", "A\rB: c"),
        Refused("CR in the target", "GET /a\rb HTTP/1.1\r\nHost: t\r\n\r\n"),
        Refused("tabs in the request line", "GET\t/\tHTTP/1.1\r\nHost: t\r\n\r\n"),
        Refused("a space before the method", " GET / HTTP/1.1\r\nHost: t\r\n\r\n"),
        Refused("a space in the target", "GET /a b HTTP/1.1\r\nHost: t\r\n\r\n"),
        Refused("another protocol", "GET / RTSP/1.0\r\nHost: t\r\n\r\n"),
        Refused("yet another protocol", "SOURCE / ICE/1.0\r\nHost: t\r\n\r\n"),
        Refused("no Host", "GET / HTTP/1.1\r\n\r\n"),
        .post("two Hosts", "Host: t"),
        Refused("a Host with a path", "GET / HTTP/1.1\r\nHost: t/x\r\n\r\n"),
        Refused("a Host with user", "GET / HTTP/1.1\r\nHost: a@t\r\n\r\n"),
        Refused("a relative target", "GET v2/ HTTP/1.1\r\nHost: t\r\n\r\n"),
        Refused("another scheme", "GET ftp://t/v2/ HTTP/1.1\r\nHost: t\r\n\r\n"),
        Refused("an authority", "CONNECT t:443 HTTP/1.1\r\nHost: t\r\n\r\n"),
        Refused("* without OPTIONS", "GET * HTTP/1.1\r\nHost: t\r\n\r\n"),
        Refused("an unknown method", "BREW / HTTP/1.1\r\nHost: t\r\n\r\n"),
        Refused("a method in small letters", "get / HTTP/1.1\r\nHost: t\r\n\r\n"),
        Refused("no version", "GET /\r\nHost: t\r\n\r\n", 505),
        Refused("HTTP/2 in clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Refused("HTTP/2.0", "GET / HTTP/2.0\r\nHost: t\r\n\r\n", 505),
        Refused("HTTP/1.2", "GET / HTTP/1.2\r\nHost: t\r\n\r\n", 505),
        Refused("HTTP/11", "GET / HTTP/11\r\nHost: t\r\n\r\n", 505),
        Refused("a TLS hello", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}"),
        .post("a chunk size with a sign", "Transfer-Encoding: chunked", "-1\r\n\r\n"),
        .post("a chunk size with a plus", "Transfer-Encoding: chunked", "+1\r\na\r\n0\r\n\r\n"),
        .post("a chunk size with 0x", "Transfer-Encoding: chunked", "0x1\r\na\r\n0\r\n\r\n"),
        .post("a space before a chunk size", "Transfer-Encoding: chunked", " 1\r\na\r\n0\r\n\r\n"),
        .post("no chunk size", "Transfer-Encoding: chunked", "\r\na\r\n0\r\n\r\n"),
        .post("CR in a chunk extension", "Transfer-Encoding: chunked", "1;a\rb\r\na\r\n0\r\n\r\n"),
        .post("a chunk size too large", "Transfer-Encoding: chunked", "fffffffffffffffff\r\n"),
        Refused("a long request line", "GET /\(long) HTTP/1.1\r\nHost: t\r\n\r\n", 414),
        .post("a long field", "A: \(long)", "", 431),
        .post("a thousand fields of two bytes", String(repeating: "A:\r\n", count: 1_000) + "A:", "", 431),
        .post("many fields", String(repeating: "A: b\r\n", count: 4_000) + "A: b", "", 431),
        .post("bare LF after a chunk size", "Transfer-Encoding: chunked", "1\na\r\n0\r\n\r\n"),
        .post("bare LF after a chunk", "Transfer-Encoding: chunked", "1\r\na\n0\r\n\r\n"),
        .post("bare LF in a chunk extension", "Transfer-Encoding: chunked", "1;\na\r\n0\r\n\r\n"),
        .post("a chunk longer than it says", "Transfer-Encoding: chunked", "1\r\nab\r\n0\r\n\r\n"),
        .post("a space after a chunk size", "Transfer-Encoding: chunked", "1 \r\na\r\n0\r\n\r\n"),
        .post("long trailers", "Transfer-Encoding: chunked", "0\r\nA: \(long)\r\n\r\n", 431),
    ]

    @Test(arguments: refused)
    func `is refused, and nothing behind it is answered`(_ refused: Refused) async throws {
        let asked = Mutex(0)
        let responder = StubResponder(ready: { _ in
            asked.withLock { $0 += 1 }
            return .text("asked")
        })
        try await TestServer.run(responder) { server in
            let (text, end) = try await server.exchange(refused.request + "GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 \(refused.status) "))
            #expect(text.components(of: "HTTP/1.1 ") == 1)
            #expect(text.contains("Connection: close\r\n") && end == .closed)
            #expect(asked.withLock { $0 } == 0)
        }
    }

    private static let bodies = [
        "Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ]

    @Test(arguments: refused, bodies)
    func `is refused no less behind a body that came with it`(_ refused: Refused, body: String) async throws {
        let asked = Mutex<[String]>([])
        let responder = StubResponder(ready: { request in
            asked.withLock { $0.append(request.path) }
            return .text("asked")
        })
        try await TestServer.run(responder) { server in
            let (text, end) = try await server.exchange(
                "PUT /first HTTP/1.1\r\nHost: t\r\n\(body)\(refused.request)"
                    + "GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 200 ") && text.contains("askedHTTP/1.1 \(refused.status) "))
            #expect(text.components(of: "HTTP/1.1 ") == 2)
            #expect(end == .closed && asked.withLock { $0 } == ["/first"])
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
        try await TestServer.run(StubResponder.echo, .test { $0.headLimit = 1_000 }) { server in
            let frame = "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\nA: \r\n\r\n"
            for (extra, status) in [(1_000, 200), (1_001, 431)] {
                let value = String(repeating: "x", count: extra - frame.utf8.count)
                let (text, _) = try await server.exchange(
                    "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\nA: \(value)\r\n\r\n")
                #expect(text.hasPrefix("HTTP/1.1 \(status) "))
            }
        }
    }

    @Test(
        arguments: [
            ("http://other.example:80/v2/a?x=1", "/v2/a", "x=1"), ("HTTPS://t", "/", nil), ("http://t?x", "/", "x"),
            ("/v2/%2e%2E/a%2fb//c", "/v2/%2e%2E/a%2fb//c", nil), ("/a?b?c", "/a", "b?c"), ("/?", "/", ""),
            ("/http://t/", "/http://t/", nil),
        ] as [(String, String, String?)])
    func `a target's path and query arrive as they were sent`(target: String, path: String, query: String?) async throws
    {
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
                "GET /a HTTP/1.1\r\nHost: t\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n"
            )
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
