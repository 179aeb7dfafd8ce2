// The clients of live bodies: those that leave, do not read, or have nothing to hear for long; and what they cost.
import Glibc
import HTTPServer
import HTTPTypes
import Synchronization
import Testing

@Suite("Clients of live bodies", .timeLimit(.minutes(1))) struct LiveClientTests {
    private static let beat = Array(": \n\n".utf8)

    @Test(arguments: [true, false])
    func `a client that leaves while nothing is written is noticed at once`(isReset: Bool) async throws {
        let stage = Stage(heartbeat: .init(Self.beat, every: .seconds(3600)))
        try await TestServer.run(stage.responder()) { server in
            let client = try await server.connect()
            try await onThread { try client.begin() }
            let writer = await stage.writer()
            isReset ? client.reset() : client.close()
            #expect(await stage.observer.ending() == .clientLeft)
            #expect(stage.closes.value == 1)
            writer.write(Array("into the void".utf8))
            writer.end()
        }
        #expect(stage.closes.value == 1 && stage.observer.endings.count == 1)
    }

    @Test func `a client that closed only its side is told what happens as before`() async throws {
        let stage = Stage(heartbeat: .init(Self.beat, every: .seconds(3600)))
        try await TestServer.run(stage.responder()) { server in
            let client = try await server.connect()
            try await onThread {
                try client.get("/live")
                client.shutdownOutput()
            }
            let writer = await stage.writer()
            writer.write(Array("a".utf8))
            #expect(await eventually { stage.observer.sent >= 1 })
            writer.write(Array("b".utf8))
            writer.end()
            let (text, end) = try await onThread { (try client.reply().text, client.receiveAll().end) }
            #expect(text.filter { "ab".contains($0) } == "ab" && end == .closed)
        }
        #expect(stage.observer.endings == [.complete])
    }

    @Test func `no timeout ends one that is silent, and the heartbeat goes on`() async throws {
        let stage = Stage(heartbeat: .init(Self.beat, every: .seconds(3)))
        let configuration = ServerConfiguration.test { configuration in
            configuration.headerTimeout = .seconds(2)
            configuration.idleTimeout = .seconds(2)
            configuration.clientStallTimeout = .seconds(2)
        }
        try await TestServer.run(stage.responder(), configuration) { server in
            let (client, text) = try await onThread {
                let client = try Client(port: server.address.port)
                try client.begin()
                return (client, client.receive(exactly: 18))
            }
            #expect(text == "4\r\n: \n\n\r\n4\r\n: \n\n\r\n")
            #expect(stage.observer.endings.isEmpty)
            client.close()
        }
    }

    @Test func `a client that reads nothing is reset after the stall timeout, though the kernel has room`() async throws
    {
        let stage = Stage()
        let configuration = ServerConfiguration.test { $0.clientStallTimeout = .milliseconds(400) }
        try await TestServer.run(stage.responder(), configuration) { server in
            let client = try await onThread { try Client(port: server.address.port, receiveBuffer: 4 << 10) }
            try await onThread { try client.get("/live") }
            let writer = await stage.writer()
            // Little by little: further pieces give no further time.
            let dripping = Task {
                while !Task.isCancelled, stage.observer.endings.isEmpty {
                    writer.write([UInt8](repeating: 0x61, count: 4 << 10))
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
            defer { dripping.cancel() }
            #expect(await stage.observer.ending() == .clientLeft)
            #expect(stage.closes.value == 1)
            // All that was written, the kernel had taken.
            #expect(stage.observer.sent < 1 << 20)
            let end = try await onThread { client.receiveAll().end }
            #expect(end == .reset)
        }
    }

    @Test func `a client that reads slowly is not reset`() async throws {
        let stage = Stage()
        // Longer than a busy machine may leave this client's thread without a turn.
        let configuration = ServerConfiguration.test { $0.clientStallTimeout = .seconds(5) }
        try await TestServer.run(stage.responder(), configuration) { server in
            let client = try await onThread { try Client(port: server.address.port, receiveBuffer: 128 << 10) }
            try await onThread { try client.get("/live") }
            let writer = await stage.writer()
            // Two of them may wait: the writer may not have heard yet that the one before was taken.
            let (piece, pieces) = ([UInt8](repeating: 0x61, count: 100 << 10), 48)
            // For more than twice the timeout it takes less than there is, so that something waits all the time.
            let reading = Task {
                try await onThread {
                    var received = 0
                    let begin = ContinuousClock.now
                    while received < pieces * piece.count {
                        let elapsed = ContinuousClock.now - begin
                        let isSlow = elapsed < .seconds(12)
                        let allowed = isSlow ? Int(elapsed / .seconds(1) * 300_000) - received : 64 << 10
                        if isSlow { usleep(20_000) }
                        guard allowed > 0 else { continue }
                        let (bytes, end) = client.receive(upTo: min(allowed, 64 << 10))
                        received += bytes.count
                        if end != nil { break }
                    }
                    return received
                }
            }
            for sent in 1...pieces {
                writer.write(piece)
                #expect(await eventually { stage.observer.sent >= Int64(sent * piece.count) })
            }
            writer.end()
            let received = try await reading.value
            #expect(received >= pieces * piece.count)
            #expect(await stage.observer.ending() == .complete)
        }
    }

    @Test func `more than may wait resets the client at once, and costs no memory`() async throws {
        let stage = Stage()
        try await TestServer.run(stage.responder()) { server in
            let client = try await onThread { try Client(port: server.address.port, receiveBuffer: 4 << 10) }
            try await onThread { try client.get("/live") }
            let writer = await stage.writer()
            try await stage.fill(writer)
            #expect(stage.observer.endings.isEmpty)
            let before = residentBytes()
            // A gibibyte for a client that takes none of it.
            let piece = [UInt8](repeating: 0x61, count: 1 << 20)
            for _ in 0..<1024 { writer.write(piece) }
            #expect(residentBytes() - before < 512 << 20)
            #expect(await stage.observer.ending() == .clientLeft)
            #expect(stage.closes.value == 1)
            let (bytes, end) = try await onThread { client.receiveAll() }
            #expect(end == .reset && bytes.count < 16 << 20)
        }
    }

    @Test func `exactly as much as may wait is sent`() async throws {
        let stage = Stage()
        try await TestServer.run(stage.responder()) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/live") }
            let writer = await stage.writer()
            writer.write(pattern(LiveWriter.mostWaiting))
            writer.end()
            let body = try await onThread { try client.reply().body }
            #expect(body == pattern(LiveWriter.mostWaiting))
        }
    }

    @Test func `what the producer held is let go when a client leaves, though it keeps the writer`() async throws {
        final class Held: Sendable {
            let gone: Stage.Count
            init(_ gone: Stage.Count) { self.gone = gone }
            deinit { gone.add() }
        }
        let gone = Stage.Count()
        let stage = Stage(heartbeat: .init(Self.beat, every: .seconds(3600)))
        try await TestServer.run(stage.responder()) { server in
            let client = try await server.connect()
            try await onThread { try client.begin() }
            let writer = await stage.writer()
            do {
                let held = Held(gone)
                writer.onClose { _ = held }
            }
            #expect(gone.value == 0)
            client.close()
            #expect(await stage.observer.ending() == .clientLeft)
            #expect(await eventually { gone.value == 1 })
            writer.write([1])
        }
    }

    @Test func `a thousand clients come and go, and each is told of once`() async throws {
        let stage = Stage(heartbeat: .init(Self.beat, every: .seconds(3600)))
        try await TestServer.run(stage.responder()) { server in
            let clients = try await onThread {
                try (0..<1_000).map { _ in
                    let client = try Client(port: server.address.port)
                    try client.begin()
                    return client
                }
            }
            #expect(await eventually { stage.begun.value == 1_000 })
            for client in clients { client.close() }
            #expect(await eventually { stage.observer.endings.count == 1_000 })
            #expect(stage.closes.value == 1_000)
        }
        #expect(stage.closes.value == 1_000)
    }
}

/// Of this process, from `/proc/self/statm`.
private func residentBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, CInt(line.count), file) != nil else { return 0 }
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
}
