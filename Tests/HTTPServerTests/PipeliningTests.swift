// RFC 9112 §9: persistence, pipelining, half-close and the end of a connection.
import Foundation
import HTTPServer
import HTTPTypes
import Synchronization
import Testing

@Suite("RFC 9112 §9: connections", .timeLimit(.minutes(1))) struct PipeliningTests {
    @Test func `requests of one connection are answered in order, from memory and from tasks`() async throws {
        let responder = StubResponder(ready: { $0.path.hasSuffix("fast") ? .text($0.path) : nil })
        var slow = responder
        slow.onRespond = { request in
            await Task.yield()
            return .text(request.path)
        }
        try await TestServer.run(slow) { server in
            let client = try await server.connect()
            let paths = (0..<100).map { "/\($0)/\($0 % 3 == 0 ? "slow" : "fast")" }
            let answers = try await onThread {
                try client.send(paths.map { "GET \($0) HTTP/1.1\r\nHost: test\r\n\r\n" }.joined())
                return try paths.map { _ in try client.reply().text }
            }
            #expect(answers == paths)
        }
    }

    @Test func `a second request is not asked for before the first is answered`() async throws {
        let gate = Gate()
        let asked = Mutex<[String]>([])
        let responder = StubResponder(respond: { request in
            asked.withLock { $0.append(request.path) }
            if request.path == "/1" { await gate.wait() }
            return .text(request.path)
        })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            try await onThread {
                try client.get("/1")
                try client.get("/2")
            }
            #expect(await eventually { asked.withLock { $0 } == ["/1"] })
            gate.open()
            let answers = try await onThread { [try client.reply().text, try client.reply().text] }
            #expect(answers == ["/1", "/2"])
            #expect(asked.withLock { $0 } == ["/1", "/2"])
        }
    }

    @Test func `a busy connection reads no more than it must`() async throws {
        let gate = Gate()
        let responder = StubResponder(respond: { request in
            if request.path == "/wait" { await gate.wait() }
            return .text("")
        })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            let count = 1_500
            try await onThread { try client.get("/wait") }
            // More than socket buffers and queue can hold: the client must be made to wait.
            let sender = Task { try await onThread { try client.send(String(repeating: Self.small, count: count)) } }
            let isBlocked = await eventually { server.receiveQueue(of: server.address.port) > 100_000 }
            #expect(isBlocked)
            gate.open()
            let statuses = try await onThread { try (0...count).map { _ in try client.reply().status } }
            try await sender.value
            #expect(statuses.allSatisfy { $0 == 200 })
        }
    }

    @Test func `whoever says it sends no more is answered all that memory knows, however much it was`() async throws {
        try await TestServer.run(StubResponder.echo) { server in
            for _ in 0..<5 {
                let client = try await server.connect()
                let (bytes, end) = try await onThread {
                    try client.send((0..<1_000).map { "GET /\($0) HTTP/1.1\r\nHost: t\r\n\r\n" }.joined())
                    client.shutdownOutput()
                    return client.receiveAll()
                }
                let answers = String(decoding: bytes, as: UTF8.self).components(separatedBy: "HTTP/1.1 200 OK\r\n")
                #expect(answers.count - 1 == 1_000 && end == .closed)
            }
        }
    }

    @Test func `answers of many connections at once stay each with its own`() async throws {
        let responder = StubResponder(ready: { request in
            request.path.hasPrefix("/large")
                ? .text(String(repeating: request.path, count: 60_000 / request.path.utf8.count)) : .text(request.path)
        })
        try await TestServer.run(responder) { server in
            var clients: [Client] = []
            for _ in 0..<100 { clients.append(try await server.connect()) }
            try await onThread { [clients] in
                for (number, client) in clients.enumerated() {
                    try client.get("/small/\(number)")
                    try client.get("/large/\(number)")
                    try client.get("/last/\(number)")
                }
                // Some are gone before they are answered.
                for client in clients[90...] { client.reset() }
                for (number, client) in clients[..<90].enumerated() {
                    #expect(try client.reply().text == "/small/\(number)")
                    #expect(try client.reply().text.hasPrefix("/large/\(number)/large/\(number)/"))
                    #expect(try client.reply().text == "/last/\(number)")
                }
            }
        }
    }

    private static let small = "GET /\(String(repeating: "x", count: 4_000)) HTTP/1.1\r\nHost: test\r\n\r\n"

    @Test func `Connection: close is obeyed and said`() async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let (text, end) = try await server.exchange("GET /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            #expect(text.contains("Connection: close\r\n") && text.hasSuffix("GET /a"))
            #expect(end == .closed)
        }
    }

    @Test func `a response that says close ends the connection, with what was sent behind it unanswered`() async throws
    {
        let responder = StubResponder(ready: { request in
            Response(status: .ok, fields: [.connection: "close"], body: .bytes(Array(request.path.utf8)))
        })
        try await TestServer.run(responder) { server in
            let request = "GET /a HTTP/1.1\r\nHost: t\r\n\r\n"
            let (text, end) = try await server.exchange(request + request + String(repeating: "x", count: 50_000))
            #expect(text.components(of: "HTTP/1.1 200") == 1)
            #expect(end == .closed)
        }
    }

    @Test func `HTTP/1.0 closes, unless it is asked to stay`() async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let (text, end) = try await server.exchange("GET /a HTTP/1.0\r\n\r\n")
            #expect(text.contains("Connection: close\r\n") && text.hasSuffix("GET /a") && end == .closed)

            let client = try await server.connect()
            let replies = try await onThread {
                try (0..<2).map { _ in
                    try client.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                    return try client.reply().fields["connection"]
                }
            }
            #expect(replies == ["keep-alive", "keep-alive"])
        }
    }

    @Test func `a client that closes its side gets the answers to what it sent`() async throws {
        let gate = Gate()
        let responder = StubResponder(respond: { request in
            await gate.wait()
            return .text(request.path)
        })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            try await onThread {
                try client.get("/1")
                try client.get("/2")
                client.shutdownOutput()
            }
            // Whichever loop has the client, it answers some of these, and so has read the client's end before.
            for _ in 0..<16 { #expect(try await server.exchange("none\r\n\r\n").text.hasPrefix("HTTP/1.1 400 ")) }
            gate.open()
            let (bytes, end) = try await onThread { client.receiveAll() }
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(text.components(of: "HTTP/1.1 200") == 2 && text.hasSuffix("/2"))
            #expect(text.components(of: "Connection: close") == 1)
            #expect(end == .closed)
        }
    }

    @Test func `a half-closed client that sent a great many requests is answered within bounds`() async throws {
        let gate = Gate()
        let responder = StubResponder(respond: { _ in
            await gate.wait()
            return .text("")
        })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            try await onThread {
                try client.send(String(repeating: "GET / HTTP/1.1\r\nHost: t\r\n\r\n", count: 5_000))
                client.shutdownOutput()
            }
            gate.open()
            let (bytes, end) = try await onThread { client.receiveAll() }
            let answers = String(decoding: bytes, as: UTF8.self).components(of: "HTTP/1.1 200")
            #expect((1...5_000).contains(answers) && end == .closed)
        }
    }

    @Test func `a task is cancelled when its client leaves by reset`() async throws {
        let started = Gate()
        let cancelled = Gate()
        let responder = StubResponder(respond: { _ in
            started.open()
            await Gate().wait()
            if Task.isCancelled { cancelled.open() }
            return .text("late")
        })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/") }
            await started.wait()
            client.reset()
            await cancelled.wait()
        }
    }

    @Test func `a client that closed and stays silent is given up after the header timeout`() async throws {
        let cancelled = Gate()
        let observer = RecordingObserver()
        let responder = StubResponder(respond: { _ in
            await Gate().wait()  // Until cancelled.
            cancelled.open()
            return Response(status: .ok, body: .bytes([1]), observer: observer)
        })
        try await TestServer.run(responder, .test { $0.headerTimeout = .seconds(2) }) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/") }
            client.close()
            await cancelled.wait()
            #expect(await observer.ending() == .clientLeft)
            #expect(observer.sent == 0)
        }
    }
}

extension String {
    /// How often `part` occurs.
    func components(of part: String) -> Int {
        var count = 0
        var rest = utf8[...]
        while let range = rest.firstRange(of: part.utf8) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
