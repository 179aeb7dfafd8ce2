// Where one message ends and the next begins, however the bytes are cut into packets and wherever the client stops.
import HTTPServer
import HTTPTypes
import Synchronization
import Testing

@Suite("RFC 9112 §2: message boundaries", .timeLimit(.minutes(2))) struct BoundaryTests {
    /// Bodies that look like requests, of both framings, with what a chunked one may have besides.
    private static let stream =
        "PUT /1 HTTP/1.1\r\nHost: t\r\nContent-Length:  27 \r\n\r\nGET /evil HTTP/1.1\r\nA: b\r\n\r"
        + "GET /2 HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n\r\n"
        + "POST /3 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: Chunked\r\n\r\n"
        + "1B;name=\"v\"\r\nGET /evil HTTP/1.1\r\nA: b\r\n\r\r\n0002\r\n\r\n\r\n0\r\nT: 1\r\nU: 2\r\n\r\n"
        + "\r\nGET /4 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
    private static let answers = ["PUT /1", "GET /2", "POST /3", "GET /4"]

    /// The bodies of the answers to everything sent on one connection.
    private func answers(to pieces: [ArraySlice<UInt8>], from server: TestServer) async throws -> [String] {
        let client = try await server.connect()
        return try await onThread {
            for piece in pieces { try client.send(Array(piece)) }
            let answers = try Self.answers.map { _ in try client.reply().text }
            let (rest, end) = client.receiveAll()
            return rest.isEmpty && end == .closed ? answers : answers + ["\(rest) \(end)"]
        }
    }

    @Test func `messages end where they say, wherever two packets meet`() async throws {
        let bytes = Array(Self.stream.utf8)
        try await TestServer.run(StubResponder.echo) { server in
            for cut in 0...bytes.count {
                let answers = try await answers(to: [bytes[..<cut], bytes[cut...]], from: server)
                #expect(answers == Self.answers, "cut at \(cut)")
            }
            let answers = try await answers(to: bytes.indices.map { bytes[$0...$0] }, from: server)
            #expect(answers == Self.answers, "byte by byte")
        }
    }

    @Test func `a head begun behind a body has the time of a head, not that of an idle connection`() async throws {
        let configuration = ServerConfiguration.test { configuration in
            configuration.headerTimeout = .seconds(2)
            configuration.idleTimeout = .seconds(300)
        }
        try await TestServer.run(StubResponder.echo, configuration) { server in
            let (text, end) = try await server.exchange(
                "PUT /a HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nxGET /b HTTP/1.1\r\nHo")
            #expect(text.contains("PUT /aHTTP/1.1 408 ") && end == .closed)
        }
    }

    @Test func `a connection whose head came in two packets behind a body is idle afterwards`() async throws {
        let configuration = ServerConfiguration.test { configuration in
            configuration.headerTimeout = .seconds(2)
            configuration.idleTimeout = .seconds(4)
        }
        try await TestServer.run(StubResponder.echo, configuration) { server in
            let client = try await server.connect()
            let (answers, rest, end) = try await onThread {
                try client.send(
                    "PUT /a HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nxGET /b HTTP/1.1\r\nHost: t\r\n")
                let first = try client.reply().text
                try client.send("\r\n")
                let answers = [first, try client.reply().text]
                let (rest, end) = client.receiveAll()
                return (answers, String(decoding: rest, as: UTF8.self), end)
            }
            #expect(answers == ["PUT /a", "GET /b"])
            #expect(rest == "" && end == .closed)
        }
    }

    @Test(arguments: ["3;", "1\r\na\r\n0;"])
    func `a chunk extension without end is read no further than a body`(chunks: String) async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let client = try await server.connect()
            let reply = try await onThread {
                try client.get("/a", "PUT", fields: "Transfer-Encoding: chunked\r\n")
                // The server stops listening to this somewhere.
                try? client.send(chunks + String(repeating: "x", count: 200_000))
                return try client.reply()
            }
            #expect(reply.text == "PUT /a" && reply.fields["connection"] == "close")
        }
    }

    @Test func `a client that closes its side within a request gets no answer to it, and an end`() async throws {
        let request = Array(Self.stream.utf8)
        let whole = (0...Self.answers.count).map { Self.end(of: $0) }
        try await TestServer.run(StubResponder.echo) { server in
            for cut in 0...request.count {
                let client = try await server.connect()
                let (bytes, end) = try await onThread {
                    try client.send(Array(request[..<cut]))
                    client.shutdownOutput()
                    return client.receiveAll()
                }
                let answered = String(decoding: bytes, as: UTF8.self).components(of: "HTTP/1.1 200 ")
                #expect(answered == whole.lastIndex { $0 <= cut } && end == .closed, "cut at \(cut)")
            }
        }
    }

    /// Where in the stream the request of this number, from 1 on, is whole.
    private static func end(of request: Int) -> Int {
        guard request > 0 else { return 0 }
        let mark = ["GET /2", "POST /3", "\r\nGET /4"].dropFirst(request - 1).first
        guard let mark, let range = stream.utf8.firstRange(of: mark.utf8) else { return stream.utf8.count }
        return stream.utf8.distance(from: stream.startIndex, to: range.lowerBound)
    }

    @Test func `what is no UTF-8 in a target is not taken for what it is not`() async throws {
        let seen = Mutex<[String]>([])
        let responder = StubResponder(ready: { request in
            seen.withLock { $0.append("\(request.path)?\(request.queryValue("ns") ?? "")") }
            return .text("")
        })
        try await TestServer.run(responder) { server in
            for target: [UInt8] in [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xe2, 0x88]] {
                let client = try await server.connect()
                let (bytes, end) = try await onThread {
                    try client.send(
                        Array("GET /v2/a".utf8) + target + Array("b/?ns=c".utf8) + target
                            + Array(" HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".utf8))
                    return client.receiveAll()
                }
                #expect(String(decoding: bytes, as: UTF8.self).components(of: "HTTP/1.1 ") == 1 && end == .closed)
            }
        }
        // Nothing that a grammar of names knows, and nothing that a path or a query is cut at.
        for text in seen.withLock({ $0 }) {
            #expect(text.hasPrefix("/v2/a\u{fffd}") && text.components(of: "/") == 3)
            #expect(text.components(of: "\u{fffd}") > 1)
        }
    }
}
