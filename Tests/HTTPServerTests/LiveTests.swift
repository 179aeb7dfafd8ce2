// Bodies without an end: pieces as they come to be, their framing, and the ends that a producer or a drain gives them.
import Glibc
import HTTPServer
import HTTPTypes
import ServiceLifecycle
import Synchronization
import Testing

@Suite("Live bodies", .timeLimit(.minutes(1))) struct LiveTests {
    @Test func `the head goes out before anything is written, and each piece before the next`() async throws {
        let stage = Stage()
        try await TestServer.run(stage.responder()) { server in
            let client = try await server.connect()
            let head = try await onThread {
                try client.get("/live")
                return String(decoding: client.receive().bytes, as: UTF8.self)
            }
            #expect(head.hasSuffix("\r\n\r\n") && head.contains("\r\nTransfer-Encoding: chunked\r\n"))
            #expect(!head.contains("Content-Length") && !head.contains("Connection"))
            let writer = await stage.writer()
            for text in ["first", "the second"] {
                writer.write(Array(text.utf8))
                let chunk = "\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n"
                let received = try await onThread { client.receive(exactly: chunk.utf8.count) }
                #expect(received == chunk)
            }
        }
    }

    @Test func `a body ended by its producer is whole, and the connection serves the next request`() async throws {
        let stage = Stage()
        try await TestServer.run(stage.responder()) { server in
            let client = try await server.connect()
            try await onThread { try client.send("\(Stage.get("/live"))\(Stage.get("/next"))") }
            let writer = await stage.writer()
            writer.write(Array("a".utf8))
            writer.write([])
            writer.write(Array("b".utf8))
            writer.end()
            writer.write(Array("too late".utf8))
            writer.end()
            let texts = try await onThread { [try client.reply().text, try client.reply().text] }
            #expect(texts == ["ab", "GET /next"])
        }
        #expect(await stage.observer.ending() == .complete)
        #expect(stage.observer.sent == 2 && stage.closes.value == 1)
    }

    @Test func `what many threads write arrives whole, each thread's pieces in its order`() async throws {
        let stage = Stage()
        try await TestServer.run(stage.responder()) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/live") }
            let writer = await stage.writer()
            let reply = Task { try await onThread { try client.reply().text } }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for thread in 0..<8 {
                    group.addTask {
                        try await onThread { for index in 0..<500 { writer.write(Array("\(thread):\(index)\n".utf8)) } }
                    }
                }
                try await group.waitForAll()
            }
            writer.end()
            let lines = try await reply.value.split(separator: "\n").map(String.init)
            for thread in 0..<8 {
                let expected = (0..<500).map { "\(thread):\($0)" }
                #expect(lines.filter { $0.hasPrefix("\(thread):") } == expected)
            }
            #expect(lines.count == 4_000)
        }
    }

    @Test func `HTTP/1.0 gets the bare bytes until the close`() async throws {
        let stage = Stage()
        try await TestServer.run(stage.responder()) { server in
            let reply = Task { try await server.exchange("GET /live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") }
            let writer = await stage.writer()
            writer.write(Array("ab".utf8))
            writer.end()
            let (text, end) = try await reply.value
            #expect(text.hasSuffix("\r\n\r\nab") && end == .closed)
            #expect(text.contains("\r\nConnection: close\r\n") && !text.contains("Transfer-Encoding"))
        }
    }

    @Test func `HEAD has the same fields, and begins nothing`() async throws {
        let stage = Stage()
        try await TestServer.run(stage.responder()) { server in
            let client = try await server.connect()
            let (head, next) = try await onThread {
                try client.get("/live", "HEAD")
                let head = try client.reply(isHEAD: true)
                try client.get("/next")
                return (head, try client.reply().text)
            }
            #expect(head.status == 200 && head.fields["transfer-encoding"] == "chunked" && next == "GET /next")
        }
        #expect(stage.begun.value == 0)
        #expect(await stage.observer.ending() == .complete)
    }

    @Test func `who asks after the end is told at once, and who asked before it once`() async throws {
        let stage = Stage()
        try await TestServer.run(stage.responder()) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/live") }
            let writer = await stage.writer()
            writer.end()
            _ = try await onThread { try client.reply() }
            #expect(await eventually { stage.closes.value == 1 })
            writer.onClose { stage.closes.add() }
            #expect(stage.closes.value == 2)
        }
        #expect(stage.closes.value == 2)
    }

    @Test func `a drain ends it at once and properly, with all that was written`() async throws {
        let stage = Stage()
        try await TestServer.run(stage.responder(), .test { $0.drain = .seconds(300) }) { server in
            let clients = try await onThread { try (0..<4).map { _ in try Client(port: server.address.port) } }
            try await onThread { for client in clients { try client.get("/live") } }
            for _ in clients { await stage.writer().write(Array("last words".utf8)) }
            await server.group.triggerGracefulShutdown()
            let replies = try await onThread { try clients.map { (try $0.reply().text, $0.receiveAll().end) } }
            #expect(replies.allSatisfy { $0 == ("last words", .closed) })
            _ = await server.running.result
        }
        #expect(stage.closes.value == 4)
        #expect(stage.observer.endings == [.complete, .complete, .complete, .complete])
    }

    @Test func `a drain does not wait for a client that does not read`() async throws {
        let stage = Stage()
        try await TestServer.run(stage.responder(), .test { $0.drain = .seconds(300) }) { server in
            let client = try await onThread { try Client(port: server.address.port, receiveBuffer: 4 << 10) }
            try await onThread { try client.get("/live") }
            let writer = await stage.writer()
            try await stage.fill(writer)
            await server.group.triggerGracefulShutdown()
            _ = await server.running.result
            let end = try await onThread { client.receiveAll().end }
            #expect(end == .reset)
        }
        #expect(stage.closes.value == 1)
    }

    @Test func `one that is answered while the server stops ends at once`() async throws {
        let (stage, gate, started) = (Stage(), Gate(), Gate())
        let responder = StubResponder(respond: { _ in
            started.open()
            await gate.wait()
            return stage.response()
        })
        try await TestServer.run(responder, .test { $0.drain = .seconds(300) }) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/live") }
            await started.wait()
            await server.group.triggerGracefulShutdown()
            #expect(await eventually { (try? await server.connect()) == nil })
            gate.open()
            // The head says so if this connection's loop had heard of it by then; it ends in either case.
            let (reply, end) = try await onThread { (try client.reply(), client.receiveAll().end) }
            #expect(reply.status == 200 && end == .closed)
            _ = await server.running.result
        }
        #expect(stage.closes.value == 1)
    }
}

/// The producer's side: every `/live` is a live body whose writer comes out here; other paths answer at once.
final class Stage: Sendable {
    final class Count: Sendable {
        private let count = Mutex(0)
        var value: Int { count.withLock { $0 } }
        func add() { count.withLock { $0 += 1 } }
    }

    let heartbeat: LiveBody.Heartbeat
    let observer = RecordingObserver()
    let begun = Count()
    let closes = Count()
    private let (writers, continuation) = AsyncStream.makeStream(of: LiveWriter.self)

    init(heartbeat: LiveBody.Heartbeat = .init([], every: .seconds(3600))) {
        self.heartbeat = heartbeat
    }

    static func get(_ path: String) -> String { "GET \(path) HTTP/1.1\r\nHost: t\r\n\r\n" }

    func response() -> Response {
        let body = LiveBody(heartbeat: heartbeat) { [self] writer in
            begun.add()
            writer.onClose { [closes] in closes.add() }
            continuation.yield(writer)
        }
        return Response(status: .ok, body: .live(body), observer: observer)
    }

    func responder() -> StubResponder {
        StubResponder(ready: { [self] request in
            request.path == "/live" ? response() : .text("\(request.method) \(request.path)")
        })
    }

    /// The next one to begin.
    func writer() async -> LiveWriter {
        for await writer in writers { return writer }
        preconditionFailure("the stream of writers never ends")
    }

    /// Writes until the kernel takes no more and something waits here, but less than is too much.
    func fill(_ writer: LiveWriter) async throws {
        let piece = [UInt8](repeating: 0x61, count: LiveWriter.mostWaiting / 2)
        var before: Int64 = -1
        while observer.sent > before {
            before = observer.sent
            writer.write(piece)
            // What the kernel has room for, it takes at once.
            for _ in 0..<400 where observer.sent == before { try await Task.sleep(for: .milliseconds(5)) }
        }
    }
}

extension Client {
    /// Asks for a live body and reads the head, all there is so far: with something unread a close would be a reset.
    func begin() throws {
        try get("/live")
        var head: [UInt8] = []
        while !head.suffix(4).elementsEqual([13, 10, 13, 10]) {
            let (byte, end) = receive(upTo: 1)
            guard end == nil else { throw SystemError(EPIPE) }
            head += byte
        }
    }

    /// So many bytes as text, or fewer if the connection ends.
    func receive(exactly count: Int) -> String {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let (more, end) = receive(upTo: count - bytes.count)
            bytes += more
            if end != nil { break }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
