// RFC 9110 and 9112 §6: how heads and bodies are delimited.
import HTTPServer
import HTTPTypes
import Testing

@Suite("RFC 9112 §6: message bodies", .timeLimit(.minutes(1))) struct FramingTests {
    private func reply(
        to method: String, _ version: String = "1.1", with response: @escaping @Sendable () -> Response
    ) async throws -> (head: String, body: String, end: Client.End) {
        try await TestServer.run(StubResponder(ready: { _ in response() })) { server in
            let (text, end) = try await server.exchange(
                "\(method) /a HTTP/\(version)\r\nHost: test\r\nConnection: close\r\n\r\n")
            let split = try #require(text.firstRange(of: "\r\n\r\n"))
            return (String(text[..<split.lowerBound]), String(text[split.upperBound...]), end)
        }
    }

    @Test func `bytes have their length, whatever the fields say`() async throws {
        let (head, body, _) = try await reply(to: "GET") {
            Response(
                status: .ok, fields: [.contentLength: "7", .transferEncoding: "chunked", .connection: "upgrade"],
                body: .bytes(Array("abc".utf8)))
        }
        #expect(head.contains("Content-Length: 3") && head.components(of: "Content-Length") == 1)
        #expect(!head.contains("Transfer-Encoding") && !head.contains("upgrade") && body == "abc")
    }

    @Test func `an empty answer has the length 0, and a Date`() async throws {
        let (head, body, end) = try await reply(to: "GET") { Response(status: .notFound) }
        #expect(head.hasPrefix("HTTP/1.1 404 Not Found\r\nDate: "))
        #expect(head.contains("Content-Length: 0") && body == "" && end == .closed)
    }

    @Test(arguments: [304, 204])
    func `a status without body has neither body nor length`(code: Int) async throws {
        let (head, body, end) = try await reply(to: "GET") {
            Response(
                status: .init(code: code), fields: [.eTag: "\"a\"", .contentLength: "3"], body: .bytes([1, 2, 3]))
        }
        #expect(head.contains("ETag: \"a\"") && !head.lowercased().contains("content-length"))
        #expect(body == "" && end == .closed)
    }

    @Test func `HEAD says the body's length, or the one the response names, and sends nothing`() async throws {
        let bytes = try await reply(to: "HEAD") { .text("abc") }
        #expect(bytes.head.contains("Content-Length: 3") && bytes.body == "")
        let named = try await reply(to: "HEAD") { Response(status: .ok, fields: [.contentLength: "12345"]) }
        #expect(named.head.contains("Content-Length: 12345") && named.body == "")
        let file = try GrowingFile(pattern(1_000))
        let blob = try await reply(to: "HEAD") { Response(status: .ok, body: file.body(from: 100, to: 900)) }
        #expect(blob.head.contains("Content-Length: 800") && blob.body == "")
        let unknown = try await reply(to: "HEAD") { Response(status: .ok, body: file.body()) }
        #expect(unknown.head.contains("Transfer-Encoding: chunked") && unknown.body == "" && unknown.end == .closed)
        #expect(await eventually { file.openDescriptors == 0 })
    }

    @Test func `a connection goes on after HEAD, 304 and an empty body`() async throws {
        let file = try GrowingFile(pattern(10))
        let responder = StubResponder(ready: { request in
            switch request.path {
            case "/304": Response(status: .notModified)
            case "/empty": Response(status: .ok, body: file.body(from: 5, to: 5))
            default: .text("abc")
            }
        })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            let answers = try await onThread {
                try client.get("/", "HEAD")
                try client.get("/304")
                try client.get("/empty")
                try client.get("/")
                return [
                    try client.reply(isHEAD: true), try client.reply(), try client.reply(), try client.reply(),
                ].map { "\($0.status) \($0.text)" }
            }
            #expect(answers == ["200 ", "304 ", "200 ", "200 abc"])
        }
    }

    @Test func `a part of a file is sent, byte for byte`() async throws {
        let file = try GrowingFile(pattern(3 << 20))
        let responder = StubResponder(ready: { _ in
            Response(status: .partialContent, body: file.body(from: 1_234_567, to: 2_999_999))
        })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            let bodies = try await onThread {
                try (0..<2).map { _ in
                    try client.get("/")
                    return try client.reply().body
                }
            }
            #expect(bodies.allSatisfy { $0 == pattern(2_999_999 - 1_234_567, from: 1_234_567) })
        }
        #expect(file.openDescriptors == 0)
    }

    @Test func `a large body of bytes arrives whole`() async throws {
        let bytes = pattern(4 << 20)
        let observer = RecordingObserver()
        let responder = StubResponder(respond: { _ in
            Response(status: .ok, body: .bytes(bytes), observer: observer)
        })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            let body = try await onThread {
                try client.get("/")
                return try client.reply().body
            }
            #expect(body == bytes)
            #expect(await observer.ending() == .complete)
            #expect(observer.sent == Int64(bytes.count))
        }
    }

    @Test func `a body of unknown size is chunked, and delimited by the end in HTTP 1.0`() async throws {
        let file = try GrowingFile(pattern(300_000))
        let responder = StubResponder(ready: { _ in Response(status: .ok, body: file.body()) })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            let replies = try await onThread {
                try (0..<2).map { _ in
                    try client.get("/")
                    return try client.reply()
                }
            }
            #expect(replies.allSatisfy { $0.fields["transfer-encoding"] == "chunked" && $0.body == pattern(300_000) })

            let old = try await server.connect()
            let reply = try await onThread {
                try old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                return try old.reply()
            }
            #expect(reply.fields["transfer-encoding"] == nil && reply.fields["connection"] == "close")
            #expect(reply.body == pattern(300_000))
        }
    }

    @Test func `a field value cannot end its line`() async throws {
        let (head, _, _) = try await reply(to: "GET") {
            Response(status: .ok, fields: [.eTag: "a\r\nEvil: yes\u{0}"])
        }
        #expect(!head.contains("\nEvil"))
    }
}
