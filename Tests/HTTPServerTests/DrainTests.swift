// Graceful shutdown: what is under way ends, nothing new begins, and it is over in time.
import HTTPServer
import HTTPTypes
import ServiceLifecycle
import Testing

@Suite("Graceful shutdown", .timeLimit(.minutes(1))) struct DrainTests {
    private func slow(_ file: GrowingFile, size: Int) -> StubResponder {
        StubResponder(ready: { request in
            request.path == "/blob" ? Response(status: .ok, body: file.body(to: Int64(size))) : .text("ready")
        })
    }

    @Test func `a body under way is sent whole, then the connection closes and the server ends`() async throws {
        let bytes = pattern(2 << 20)
        let file = try GrowingFile()
        try await TestServer.run(slow(file, size: bytes.count), .test { $0.drain = .seconds(20) }) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/blob") }
            #expect(await eventually { file.waiting == 1 })
            await server.group.triggerGracefulShutdown()
            #expect(await eventually { (try? await server.connect()) == nil }, "new connections are refused")
            try file.append(bytes)
            file.end(.complete(size: Int64(bytes.count)))
            let (body, end) = try await onThread { (try client.reply().body, client.receiveAll().end) }
            #expect(body == bytes && end == .closed)
            _ = await server.running.result
        }
    }

    @Test func `an idle connection is closed at once`() async throws {
        try await TestServer.run(StubResponder.echo, .test { $0.drain = .seconds(60) }) { server in
            let (silent, used) = (try await server.connect(), try await server.connect())
            try await onThread {
                try used.get("/")
                _ = try used.reply()
            }
            // One that nobody has accepted yet is reset with the listener.
            #expect(await eventually { server.server.openConnections == 2 })
            await server.group.triggerGracefulShutdown()
            let ends = try await onThread { [silent.receiveAll().end, used.receiveAll().end] }
            #expect(ends == [.closed, .closed])
            _ = await server.running.result
        }
    }

    @Test func `what is asked while the server stops is answered 503`() async throws {
        let file = try GrowingFile()
        try await TestServer.run(slow(file, size: 10), .test { $0.drain = .seconds(20) }) { server in
            let (busy, begun) = (try await server.connect(), try await server.connect())
            let idle = try await onThread { try (0..<16).map { _ in try Client(port: server.address.port) } }
            try await onThread {
                try busy.send("GET /blob HTTP/1.1\r\nHost: t\r\n\r\nGET /next HTTP/1.1\r\nHost: t\r\n\r\n")
                try begun.get("/")
                _ = try begun.reply()
                try begun.send("GET / HT")
            }
            #expect(await eventually { file.waiting == 1 })
            // The half of a head must have been read before the stop; only then is the connection not an idle one.
            #expect(await eventually { server.receiveQueue(of: server.address.port) == 0 })
            await server.group.triggerGracefulShutdown()
            // On every loop the stop has begun when no idle connection is left.
            _ = try await onThread { idle.map { $0.receiveAll() } }
            try file.append(pattern(10))
            let replies = try await onThread {
                try begun.send("TP/1.1\r\nHost: t\r\n\r\n")
                return [try begun.reply(), try busy.reply(), try busy.reply()]
            }
            #expect(replies.map(\.status) == [503, 200, 503])
            #expect(replies[0].fields["connection"] == "close" && replies[0].fields["retry-after"] == "1")
            #expect(replies[1].body == pattern(10) && replies[2].fields["connection"] == "close")
            _ = await server.running.result
        }
    }

    @Test func `a response made while the server stops is sent, and says close`() async throws {
        let gate = Gate()
        let started = Gate()
        let responder = StubResponder(respond: { _ in
            started.open()
            await gate.wait()
            return .text("late")
        })
        try await TestServer.run(responder, .test { $0.drain = .seconds(20) }) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/") }
            await started.wait()
            await server.group.triggerGracefulShutdown()
            #expect(await eventually { (try? await server.connect()) == nil })
            gate.open()
            let (reply, end) = try await onThread { (try client.reply(), client.receiveAll().end) }
            #expect(reply.text == "late" && reply.fields["connection"] == "close" && end == .closed)
        }
    }

    @Test func `at the deadline what is left is reset, and the server ends`() async throws {
        let file = try GrowingFile()
        let observer = RecordingObserver()
        let responder = StubResponder(ready: { _ in
            Response(status: .ok, body: file.body(to: 1_000), observer: observer)
        })
        try await TestServer.run(responder, .test { $0.drain = .milliseconds(100) }) { server in
            try file.append(pattern(10))
            let client = try await server.connect()
            try await onThread { try client.get("/") }
            #expect(await eventually { file.waiting == 1 })
            await server.group.triggerGracefulShutdown()
            let end = try await onThread { client.receiveAll().end }
            #expect(end == .reset)
            #expect(await observer.ending() == .broken)
            _ = await server.running.result
        }
        #expect(file.openDescriptors == 0)
    }

    @Test func `a cancelled server does not wait`() async throws {
        let file = try GrowingFile()
        try await TestServer.run(slow(file, size: 1_000), .test { $0.drain = .seconds(300) }) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/blob") }
            #expect(await eventually { file.waiting == 1 })
            await server.group.triggerGracefulShutdown()
            server.running.cancel()
            let end = try await onThread { client.receiveAll().end }
            #expect(end == .reset)
            _ = await server.running.result
        }
    }

    @Test func `a port that another process listens on is not shared`() async throws {
        try await TestServer.run(StubResponder.echo) { server in
            let second = HTTPServer(
                configuration: ServerConfiguration(addresses: [server.address]), responder: StubResponder.echo,
                logger: .quiet)
            await #expect(throws: (any Error).self) { try await second.bind() }
        }
    }

    @Test func `several addresses are served, IPv6 too`() async throws {
        let responder = StubResponder(ready: { .text($0.peer) })
        let configuration = ServerConfiguration.test { configuration in
            configuration.addresses = [.init(host: "::", port: 0), .init(host: "127.0.0.1", port: 0)]
        }
        try await TestServer.run(responder, configuration) { server in
            // An IPv4 client of the IPv6 listener is told by its IPv4 address.
            let (text, _) = try await server.exchange("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            #expect(text.hasSuffix("\r\n\r\n127.0.0.1"))
        }
    }
}
