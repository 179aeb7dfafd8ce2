// Clients that take their time: slow heads, idle connections, readers that stop reading.
import HTTPServer
import HTTPTypes
import Testing

@Suite("Timeouts", .timeLimit(.minutes(1))) struct TimeoutTests {
    @Test func `a head that does not come to its end is 408`() async throws {
        try await TestServer.run(StubResponder.echo, configure: { $0.headerTimeout = .milliseconds(800) }) { server in
            let (text, end) = try await server.exchange("GET / HTTP/1.1\r\nHost: t\r\nA: ")
            #expect(text.hasPrefix("HTTP/1.1 408 ") && end == .closed)
        }
    }

    @Test func `drops of a head do not keep a connection open`() async throws {
        try await TestServer.run(StubResponder.echo, configure: { $0.headerTimeout = .milliseconds(800) }) { server in
            let client = try await server.connect()
            let dripping = Task {
                while true {
                    try await Task.sleep(for: .milliseconds(20))
                    try await onThread { try client.send("GET / HTTP/1.1\r\nA: b") }
                }
            }
            defer { dripping.cancel() }
            let (bytes, _) = try await onThread { client.receiveAll() }
            // More drops after the answer may make the end a reset; the answer is there.
            #expect(String(decoding: bytes, as: UTF8.self).contains(" 40"))
        }
    }

    @Test func `a connection that says nothing is closed after the header timeout`() async throws {
        try await TestServer.run(StubResponder.echo, configure: { $0.headerTimeout = .milliseconds(800) }) { server in
            let (text, end) = try await server.exchange("")
            #expect(text == "" && end == .closed)
        }
    }

    @Test func `a body that is to be dropped must come in time, too`() async throws {
        try await TestServer.run(StubResponder.echo, configure: { $0.headerTimeout = .milliseconds(800) }) { server in
            let (text, end) = try await server.exchange("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nab")
            #expect(text.hasPrefix("HTTP/1.1 408 ") && end == .closed)
        }
    }

    @Test func `an idle connection is closed after the idle timeout, not the header timeout`() async throws {
        let configure = { (configuration: inout ServerConfiguration) in
            configuration.headerTimeout = .milliseconds(800)
            configuration.idleTimeout = .milliseconds(2_000)
        }
        try await TestServer.run(StubResponder.echo, configure: configure) { server in
            let client = try await server.connect()
            let (idle, end) = try await onThread {
                let begin = ContinuousClock.now
                try client.get("/")
                _ = try client.reply()
                let end = client.receiveAll().end
                return (ContinuousClock.now - begin, end)
            }
            #expect(idle > .milliseconds(1_900) && end == .closed)
        }
    }

    @Test func `waiting for an answer has no timeout here`() async throws {
        let responder = StubResponder(respond: { _ in
            try? await Task.sleep(for: .milliseconds(1_200))
            return .text("late")
        })
        let configure = { (configuration: inout ServerConfiguration) in
            configuration.headerTimeout = .milliseconds(500)
            configuration.idleTimeout = .milliseconds(500)
            configuration.clientStallTimeout = .milliseconds(500)
        }
        try await TestServer.run(responder, configure: configure) { server in
            let client = try await server.connect()
            let text = try await onThread {
                try client.get("/")
                return try client.reply().text
            }
            #expect(text == "late")
        }
    }

    @Test(arguments: [true, false])
    func `a client that takes no byte of a body is reset`(isFile: Bool) async throws {
        let bytes = pattern(32 << 20)
        let file = try GrowingFile(bytes)
        let observer = RecordingObserver()
        let responder = StubResponder(ready: { _ in
            Response(status: .ok, body: isFile ? file.body(to: 32 << 20) : .bytes(bytes), observer: observer)
        })
        let configure = { (configuration: inout ServerConfiguration) in
            configuration.clientStallTimeout = .milliseconds(200)
        }
        try await TestServer.run(responder, configure: configure) { server in
            let client = try await onThread { try Client(port: server.address.port, receiveBuffer: 16 << 10) }
            try await onThread { try client.get("/") }
            #expect(await observer.ending() == .clientLeft)
            let (received, end) = try await onThread { client.receiveAll() }
            #expect(end == .reset && received.count < bytes.count)
            #expect(observer.endings.count == 1)
        }
        #expect(file.openDescriptors == 0)
    }

    @Test func `a slow client that goes on taking bytes is served to the end`() async throws {
        // The view has no end when asked, so pieces are of 1 MiB: at 300 KB/s one takes longer than the stall timeout.
        let size = 12 << 20
        let file = try GrowingFile()
        try file.append(pattern(size))
        let responder = StubResponder(ready: { _ in Response(status: .ok, body: file.body(to: Int64(size))) })
        try await TestServer.run(responder, configure: { $0.clientStallTimeout = .seconds(2) }) { server in
            let client = try await onThread { try Client(port: server.address.port, receiveBuffer: 128 << 10) }
            try await onThread { try client.get("/") }
            let begin = ContinuousClock.now
            var (received, next, end) = (0, begin, Client.End?.none)
            while received < size, end == nil {
                if next - begin < .seconds(5) {
                    next += .milliseconds(20)
                    try await Task.sleep(until: next, clock: .continuous)
                }
                let (bytes, ending) = try await onThread { client.receive(upTo: 6_000) }
                received += bytes.count
                end = ending
            }
            #expect(received >= size && end == nil)
        }
    }
}
