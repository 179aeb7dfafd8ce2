// RFC 9110 §10.1.1 and 9112 §6: bodies nobody asked for are dropped up to a limit.
import HTTPServer
import HTTPTypes
import Testing

@Suite("Request bodies", .timeLimit(.minutes(1))) struct RequestBodyTests {
    @Test func `a small body is dropped and the connection goes on`() async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let client = try await server.connect()
            let answers = try await onThread {
                let body = String(repeating: "GET /evil HTTP/1.1\r\n\r\n", count: 2_000)
                try client.get("/a", "POST", fields: "Content-Length: \(body.utf8.count)\r\n")
                try client.send(body)
                try client.get("/b", "PUT", fields: "Transfer-Encoding: chunked\r\n")
                try client.send("5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n")
                try client.get("/c")
                return try (0..<3).map { _ in try client.reply().text }
            }
            #expect(answers == ["POST /a", "PUT /b", "GET /c"])
        }
    }

    @Test(arguments: ["Content-Length: 10000000", "Transfer-Encoding: chunked"])
    func `behind a long body the connection is closed, and the answer still arrives`(field: String) async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let client = try await server.connect()
            let (status, end) = try await onThread {
                try client.get("/a", "PUT", fields: "\(field)\r\n")
                if field.hasPrefix("T") { try client.send("20000\r\n") }
                // The server stops listening to this somewhere; the answer must not be lost over it.
                try? client.send([UInt8](repeating: 0x61, count: 131_072))
                let reply = try client.reply()
                return ("\(reply.status) \(reply.text) \(reply.fields["connection"] ?? "-")", client.receiveAll().end)
            }
            #expect(status == "200 PUT /a close")
            #expect(end == .closed)
        }
    }

    @Test func `a client that expects 100 is told to go on`() async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let client = try await server.connect()
            let answers = try await onThread {
                try client.get("/a", "PUT", fields: "Content-Length: 5\r\nExpect: 100-continue\r\n")
                let interim = try client.reply().status
                try client.send("hello")
                let reply = try client.reply()
                return "\(interim) \(reply.status) \(reply.text)"
            }
            #expect(answers == "100 200 PUT /a")
        }
    }

    @Test func `a 100 waits for its turn in a pipeline`() async throws {
        let gate = Gate()
        let responder = StubResponder(respond: { request in
            if request.path == "/1" { await gate.wait() }
            return .text(request.path)
        })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            try await onThread {
                try client.send(
                    """
                    GET /1 HTTP/1.1\r\nHost: t\r\n\r\n\
                    PUT /2 HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n
                    """)
            }
            gate.open()
            let statuses = try await onThread {
                let first = [try client.reply().status, try client.reply().status]
                try client.send("x")
                return first + [try client.reply().status]
            }
            #expect(statuses == [200, 100, 200])
        }
    }

    @Test func `a body too long is answered at once, with no 100`() async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let client = try await server.connect()
            let reply = try await onThread {
                try client.get("/a", "PUT", fields: "Content-Length: 5000000\r\nExpect: 100-continue\r\n")
                return try client.reply()
            }
            #expect(reply.status == 200 && reply.fields["connection"] == "close")
        }
    }

    @Test func `another expectation is 417`() async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let (text, end) = try await server.exchange("GET / HTTP/1.1\r\nHost: t\r\nExpect: tea\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 417 ") && end == .closed)
        }
    }
}
