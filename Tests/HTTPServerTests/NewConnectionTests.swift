// What a connection brings with it, and how it ends, before the loop is told of it.
import Dispatch
import HTTPServer
import NIOCore
import NIOPosix
import TestSupport
import Testing

@Suite("New connections") struct NewConnectionTests {
    /// All that these clients do has been done before the first of them is accepted.
    private func beforeAccepted<Result: Sendable>(
        _ act: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        let gate = DispatchSemaphore(value: 0)
        let loops = Array(MultiThreadedEventLoopGroup.singleton.makeIterator())
        for loop in loops { loop.execute { gate.wait() } }
        defer { for _ in loops { gate.signal() } }
        return try await onThread(act)
    }

    private static let close = "Connection: close\r\n"

    /// Answers at once, or in a task.
    private static func responder(_ isAtOnce: Bool) -> StubResponder {
        isAtOnce ? .echo : StubResponder(respond: { .text("\($0.method) \($0.path)") })
    }

    @Test(arguments: [true, false])
    func `many that ask one thing and want nothing more are answered and closed`(isAtOnce: Bool) async throws {
        try await TestServer.run(Self.responder(isAtOnce)) { server in
            let port = server.address.port
            let clients = try await beforeAccepted {
                try (0..<100).map { number in
                    let client = try Client(port: port)
                    try client.get("/\(number)", fields: Self.close)
                    return client
                }
            }
            try await onThread {
                for (number, client) in clients.enumerated() {
                    let reply = try client.reply()
                    #expect(reply.status == 200 && reply.text == "GET /\(number)")
                    #expect(client.receive().end == .closed)
                }
            }
            #expect(await eventually { server.server.openConnections == 0 })
        }
    }

    @Test(arguments: [true, false])
    func `one that stays is read on`(isAtOnce: Bool) async throws {
        try await TestServer.run(Self.responder(isAtOnce)) { server in
            let port = server.address.port
            let client = try await beforeAccepted {
                let client = try Client(port: port)
                try client.get("/first")
                return client
            }
            try await onThread {
                try #expect(client.reply().text == "GET /first")
                try client.get("/second")
                try #expect(client.reply().text == "GET /second")
            }
        }
    }

    @Test(arguments: [true, false])
    func `one that has closed its side gets its answer`(isAtOnce: Bool) async throws {
        try await TestServer.run(Self.responder(isAtOnce)) { server in
            let port = server.address.port
            let client = try await beforeAccepted {
                let client = try Client(port: port)
                try client.get("/")
                client.shutdownOutput()
                return client
            }
            try await onThread {
                try #expect(client.reply().text == "GET /")
                #expect(client.receive().end == .closed)
            }
            #expect(await eventually { server.server.openConnections == 0 })
        }
    }

    @Test func `a head in two pieces, and more than fits what is read at once`() async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let port = server.address.port
            let (half, many) = try await beforeAccepted {
                let (half, many) = (try Client(port: port), try Client(port: port))
                try half.send("GET /half HTTP/1.1\r\nHos")
                for number in 0..<300 { try many.get("/\(number)", fields: number == 299 ? Self.close : "") }
                return (half, many)
            }
            try await onThread {
                for number in 0..<300 { try #expect(many.reply().text == "GET /\(number)") }
                #expect(many.receive().end == .closed)
                try half.send("t: test\r\n\r\n")
                try #expect(half.reply().text == "GET /half")
            }
        }
    }

    @Test func `what cannot be read is refused, and what belongs to a body is not taken for a request`() async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let port = server.address.port
            let (wrong, body) = try await beforeAccepted {
                let (wrong, body) = (try Client(port: port), try Client(port: port))
                try wrong.send("GET / HTTP/1.1\r\n\r\nGET /more HTTP/1.1\r\nHost: test\r\n\r\n")
                try body.get("/body", "POST", fields: "Content-Length: 100\r\n")
                try body.send("GET /inside HTTP/1.1\r\n")
                return (wrong, body)
            }
            try await onThread {
                try #expect(wrong.reply().status == 400)
                #expect(wrong.receive().end == .closed)
                try body.send(String(repeating: "x", count: 100 - "GET /inside HTTP/1.1\r\n".count))
                try #expect(body.reply().text == "POST /body")
            }
        }
    }

    @Test func `who has gone before is no connection any more`() async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let port = server.address.port
            try await beforeAccepted {
                for number in 0..<40 {
                    let client = try Client(port: port)
                    if number % 4 > 0 { try client.get("/", fields: number % 4 == 1 ? Self.close : "") }
                    number % 4 == 3 ? client.close() : client.reset()
                }
            }
            let (text, _) = try await server.exchange("GET /next HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            #expect(text.hasSuffix("GET /next"))
            #expect(await eventually { server.server.openConnections == 0 })
        }
    }
}
