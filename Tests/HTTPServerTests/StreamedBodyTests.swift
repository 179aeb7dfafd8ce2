// RFC 9110 §10.1.1 and 9112 §6, §7.1: a body that the responder takes, piece by piece.
import HTTPTypes
import Synchronization
import Testing

@testable import HTTPServer

/// Takes the bodies of paths that begin with `/take`, and leaves all others.
private struct Taker: Responder {
    let onRespond: @Sendable (Request) async -> Response

    func takesBody(_ request: Request) -> Bool { request.path.hasPrefix("/take") }
    func respond(to request: Request) async -> Response { await onRespond(request) }

    /// Answers with how many bytes came and their sum, or with why not all did.
    static let counting = Taker { request in
        guard request.path != "/take/refused" else { return .text("refused", status: .forbidden) }
        var (count, sum) = (0, 0)
        do throws(RequestBodyStream.Fault) {
            while let piece = try await request.body?.next() {
                count += piece.count
                sum += piece.reduce(0) { $0 + Int($1) }
            }
            return .text("\(request.path) \(count) \(sum)")
        } catch {
            return .text("\(error)", status: .badRequest)
        }
    }
}

@Suite("Bodies that are taken", .timeLimit(.minutes(1))) struct StreamedBodyTests {
    private let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }

    private var sum: Int { bytes.reduce(0) { $0 + Int($1) } }

    @Test func `all of it comes, by length and in chunks, and the connection goes on`() async throws {
        try await TestServer.run(Taker.counting) { server in
            let client = try await server.connect()
            let answers = try await onThread { [bytes] in
                try client.get("/take/1", "PUT", fields: "Content-Length: \(bytes.count)\r\n")
                try client.send(bytes)
                let first = try client.reply().text
                try client.get("/take/2", "PATCH", fields: "Transfer-Encoding: chunked\r\n")
                for start in stride(from: 0, to: bytes.count, by: 70_001) {
                    let chunk = bytes[start..<min(start + 70_001, bytes.count)]
                    try client.send("\(String(chunk.count, radix: 16))\r\n")
                    try client.send(Array(chunk))
                    try client.send("\r\n")
                }
                try client.send("0\r\n\r\n")
                let second = try client.reply().text
                try client.get("/other")
                return [first, second, try client.reply().text]
            }
            #expect(answers == ["/take/1 \(bytes.count) \(sum)", "/take/2 \(bytes.count) \(sum)", "/other 0 0"])
        }
    }

    @Test func `what comes behind a body in one piece is the next request`() async throws {
        try await TestServer.run(Taker.counting) { server in
            let client = try await server.connect()
            let answers = try await onThread {
                try client.send(
                    """
                    POST /take/1 HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc\
                    PUT /take/2 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n\
                    GET /3 HTTP/1.1\r\nHost: t\r\n\r\n
                    """)
                return try (0..<3).map { _ in try client.reply().text }
            }
            #expect(answers == ["/take/1 3 294", "/take/2 2 195", "/3 0 0"])
        }
    }

    @Test func `100 is said when the body is asked for, and not to who is refused`() async throws {
        try await TestServer.run(Taker.counting) { server in
            let client = try await server.connect()
            let statuses = try await onThread {
                try client.get("/take/1", "PUT", fields: "Content-Length: 2\r\nExpect: 100-continue\r\n")
                let interim = try client.reply().status
                try client.send("hi")
                let final = try client.reply().status
                try client.get("/take/refused", "PUT", fields: "Content-Length: 2\r\nExpect: 100-continue\r\n")
                let refusal = try client.reply()
                return "\(interim) \(final) \(refusal.status) \(refusal.fields["connection"] ?? "-")"
            }
            #expect(statuses == "100 200 403 close")
            let end = try await onThread { client.receiveAll().end }
            #expect(end == .closed)
        }
    }

    @Test func `a little that nobody took does not end the connection, and much does`() async throws {
        try await TestServer.run(Taker.counting) { server in
            let client = try await server.connect()
            let answers = try await onThread {
                try client.get("/take/refused", "PUT", fields: "Content-Length: 60000\r\n")
                try client.send([UInt8](repeating: 1, count: 60_000))
                let first = try client.reply()
                try client.get("/take/refused", "PUT", fields: "Content-Length: 6000000\r\n")
                // The server stops listening to this somewhere; the answer must not be lost over it.
                try? client.send([UInt8](repeating: 1, count: 131_072))
                let second = try client.reply()
                return [first, second].map { "\($0.status) \($0.fields["connection"] ?? "-")" }
            }
            #expect(answers == ["403 -", "403 close"])
        }
    }

    @Test func `who is refused and waits for that before he sends more is answered`() async throws {
        try await TestServer.run(Taker { _ in .text("no", status: .forbidden) }) { server in
            let client = try await server.connect()
            let status = try await onThread {
                try client.get("/take", "PUT", fields: "Transfer-Encoding: chunked\r\n")
                return try client.reply().status
            }
            #expect(status == 403)
        }
    }

    @Test func `a client whose bytes nobody asks for waits in its own socket`() async throws {
        let (gate, asked) = (Gate(), Gate())
        let taken = Mutex(0)
        let taker = Taker { request in
            asked.open()
            _ = try? await request.body?.next()
            await gate.wait()
            var count = 0
            while let piece = (try? await request.body?.next()) ?? nil { count += piece.count }
            taken.withLock { $0 = count }
            return .text("done")
        }
        try await TestServer.run(taker) { server in
            let client = try await server.connect()
            let length = 40_000_000
            let sending = Task {
                try await onThread {
                    try client.get("/take", "PUT", fields: "Content-Length: \(length)\r\n")
                    try client.send([UInt8](repeating: 7, count: length))
                    return try client.reply().text
                }
            }
            await asked.wait()
            // The kernel's buffers fill up, and so it stands: what is read on top is what may wait for the taker.
            #expect(await eventually { server.receiveQueue(of: server.address.port) > 10_000 })
            gate.open()
            #expect(try await sending.value == "done")
            #expect(taken.withLock { $0 } > length / 2)
        }
    }

    @Test(arguments: ["5\r\nab", "2\r\nabX"])
    func `a body that breaks is told to its taker`(text: String) async throws {
        let faults = Mutex<[RequestBodyStream.Fault]>([])
        let (told, tell) = AsyncStream.makeStream(of: Void.self)
        let taker = Taker { request in
            do throws(RequestBodyStream.Fault) {
                while try await request.body?.next() != nil {}
            } catch {
                faults.withLock { $0.append(error) }
            }
            tell.yield()
            return .text("")
        }
        try await TestServer.run(taker) { server in
            let client = try await server.connect()
            try await onThread {
                try client.get("/take", "PUT", fields: "Transfer-Encoding: chunked\r\n")
                try client.send(text)
                if !text.hasSuffix("X") { client.close() }
            }
            _ = await told.first { _ in true }
            #expect(faults.withLock { $0 } == [text.hasSuffix("X") ? .malformed : .clientLeft])
        }
    }

    @Test func `a client that sends nothing more is given up, and told`() async throws {
        let configuration = ServerConfiguration.test { $0.clientStallTimeout = .milliseconds(200) }
        try await TestServer.run(Taker.counting, configuration) { server in
            let client = try await server.connect()
            let (reply, end) = try await onThread {
                try client.get("/take", "PUT", fields: "Content-Length: 100\r\n")
                try client.send("only this")
                return (try client.reply(), client.receiveAll().end)
            }
            #expect(reply.status == 400 && reply.text == "stalled")
            #expect(end == .closed)
        }
    }

    @Test func `HTTP 1.0 and a client that closes its side behind the body are served`() async throws {
        try await TestServer.run(Taker.counting) { server in
            let client = try await server.connect()
            let reply = try await onThread {
                try client.send("PUT /take HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
                client.shutdownOutput()
                return try client.reply()
            }
            #expect(reply.text == "/take 3 294")
        }
    }

    @Test func `an address for logging in says so of its requests`() async throws {
        let responder = StubResponder(respond: { .text("\($0.isAtLogin) \($0.lane < 64)") })
        let configuration = ServerConfiguration.test { $0.loginAddresses = [.init(host: "127.0.0.1", port: 0)] }
        try await TestServer.run(responder, configuration) { server in
            let port = try #require(server.server.loginAddresses.first?.port)
            let answers = try await onThread {
                try [server.address.port, port].map { port in
                    let client = try Client(port: port)
                    try client.get("/")
                    return try client.reply().text
                }
            }
            #expect(answers == ["false true", "true true"])
        }
    }
}
