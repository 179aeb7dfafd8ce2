// Clients that take their time: slow heads, idle connections, readers that stop reading.
import Glibc
import HTTPServer
import HTTPTypes
import Testing

@Suite("Timeouts", .timeLimit(.minutes(1))) struct TimeoutTests {
    @Test func `a head that does not come to its end is 408`() async throws {
        try await TestServer.run(StubResponder.echo, .test { $0.headerTimeout = .seconds(2) }) { server in
            let (text, end) = try await server.exchange("GET / HTTP/1.1\r\nHost: t\r\nA: ")
            #expect(text.hasPrefix("HTTP/1.1 408 ") && end == .closed)
        }
    }

    @Test func `drops of a head do not keep a connection open`() async throws {
        try await TestServer.run(StubResponder.echo, .test { $0.headerTimeout = .seconds(2) }) { server in
            let client = try await server.connect()
            try await onThread { try client.send("GET / HTTP/1.1\r\nA: b") }
            let dripping = Task {
                while true {
                    try await Task.sleep(for: .milliseconds(20))
                    try await onThread { try client.send("b") }
                }
            }
            defer { dripping.cancel() }
            let (bytes, end) = try await onThread { client.receiveAll() }
            // It ends, that is the point; drops after the answer may make the end a reset, which takes the answer along.
            #expect(end == .reset || String(decoding: bytes, as: UTF8.self).contains(" 40"))
        }
    }

    @Test func `a connection that says nothing is closed after the header timeout`() async throws {
        try await TestServer.run(StubResponder.echo, .test { $0.headerTimeout = .seconds(2) }) { server in
            let (text, end) = try await server.exchange("")
            #expect(text == "" && end == .closed)
        }
    }

    @Test func `a body that is to be dropped must come in time, too`() async throws {
        try await TestServer.run(StubResponder.echo, .test { $0.headerTimeout = .seconds(2) }) { server in
            let (text, end) = try await server.exchange("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nab")
            #expect(text.hasPrefix("HTTP/1.1 408 ") && end == .closed)
        }
    }

    @Test func `an idle connection is closed after the idle timeout, not the header timeout`() async throws {
        let configuration = ServerConfiguration.test { configuration in
            configuration.headerTimeout = .seconds(2)
            configuration.idleTimeout = .seconds(4)
        }
        try await TestServer.run(StubResponder.echo, configuration) { server in
            let client = try await server.connect()
            let (idle, end) = try await onThread {
                let begin = ContinuousClock.now
                try client.get("/")
                _ = try client.reply()
                let end = client.receiveAll().end
                return (ContinuousClock.now - begin, end)
            }
            #expect(idle > .milliseconds(3_900) && end == .closed)
        }
    }

    @Test func `waiting for an answer has no timeout here`() async throws {
        let responder = StubResponder(respond: { _ in
            try? await Task.sleep(for: .seconds(4))
            return .text("late")
        })
        let configuration = ServerConfiguration.test { configuration in
            configuration.headerTimeout = .seconds(2)
            configuration.idleTimeout = .seconds(2)
            configuration.clientStallTimeout = .seconds(2)
        }
        try await TestServer.run(responder, configuration) { server in
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
        let configuration = ServerConfiguration.test { configuration in
            configuration.clientStallTimeout = .milliseconds(200)
        }
        try await TestServer.run(responder, configuration) { server in
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
        try await TestServer.run(responder, .test { $0.clientStallTimeout = .seconds(2) }) { server in
            let client = try await onThread { try Client(port: server.address.port, receiveBuffer: 128 << 10) }
            try await onThread { try client.get("/") }
            let (received, end) = try await onThread {
                let begin = ContinuousClock.now
                var (received, end) = (0, Client.End?.none)
                while received < size, end == nil {
                    let elapsed = ContinuousClock.now - begin
                    var allowed = 64 * 1024
                    if elapsed < .seconds(5) {
                        usleep(20_000)
                        allowed = Int(elapsed / .seconds(1) * 300_000) - received
                    }
                    guard allowed > 0 else { continue }
                    let (bytes, ending) = client.receive(upTo: min(allowed, 64 * 1024))
                    received += bytes.count
                    end = ending
                }
                return (received, end)
            }
            #expect(received >= size && end == nil)
        }
    }
}
