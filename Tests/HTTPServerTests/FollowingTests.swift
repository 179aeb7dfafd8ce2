// Bodies that grow while they are sent: followers, their ends, and the clients that do not stay for them.
import HTTPServer
import HTTPTypes
import Testing

@Suite("Bodies that grow", .timeLimit(.minutes(1))) struct FollowingTests {
    @Test func `the head and the first bytes go out before the rest has landed`() async throws {
        let file = try GrowingFile()
        let responder = StubResponder(ready: { _ in Response(status: .ok, body: file.body(to: 100)) })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            let head = try await onThread {
                try client.get("/")
                return String(decoding: client.receive().bytes, as: UTF8.self)
            }
            #expect(head.hasSuffix("\r\n\r\n") && head.contains("Content-Length: 100"))
            try file.append(pattern(1))
            let first = try await onThread { client.receive().bytes }
            #expect(first == pattern(1))
            try file.append(pattern(99, from: 1))
            var rest: [UInt8] = []
            while rest.count < 99 { rest += try await onThread { client.receive().bytes } }
            #expect(rest == pattern(99, from: 1))
        }
    }

    @Test func `followers on every loop get the same bytes while the file grows`() async throws {
        let size = 12 << 20
        let bytes = pattern(size)
        let file = try GrowingFile()
        let responder = StubResponder(ready: { request in
            Response(status: .ok, body: file.body(to: request.path == "/known" ? Int64(size) : nil))
        })
        try await TestServer.run(responder) { server in
            let count = 24
            let bodies = Task {
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    for index in 0..<count {
                        group.addTask {
                            try await onThread {
                                let client = try Client(port: server.address.port)
                                try client.get(index % 2 == 0 ? "/known" : "/unknown")
                                return try client.reply().body == bytes
                            }
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
            }
            #expect(await eventually { file.waiting == count })
            #expect(file.loopsWaiting > 1)
            #expect(file.openDescriptors == count)
            var offset = 0
            var steps = [1, 70_000, 300_000, 1_500_000]
            while offset < size {
                let length = min(steps[0], size - offset)
                try file.append(Array(bytes[offset..<offset + length]))
                offset += length
                steps.append(steps.removeFirst())
                await Task.yield()
            }
            file.end(.complete(size: Int64(size)))
            let areWhole = try await bodies.value
            #expect(areWhole.count == count && areWhole.allSatisfy { $0 })
        }
        #expect(file.openDescriptors == 0 && file.waiting == 0)
    }

    @Test func `many small writes of the upstream become few pieces, and none is kept back`() async throws {
        let file = try GrowingFile()
        let observer = RecordingObserver()
        let responder = StubResponder(ready: { _ in
            Response(status: .ok, body: file.body(to: 2_000), observer: observer)
        })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/") }
            for index in 0..<1_000 { try file.append(pattern(1, from: index)) }
            // Nothing more lands for now, and yet all of it arrives.
            #expect(await eventually { observer.sent == 1_000 })
            try file.append(pattern(1_000, from: 1_000))
            let body = try await onThread { try client.reply().body }
            #expect(body == pattern(2_000))
        }
    }

    @Test(arguments: ["HTTP/1.1 known", "HTTP/1.1 unknown", "HTTP/1.0 unknown"], [0, 10, 3_000_000])
    func `a body that breaks is a reset, never an end`(kind: String, landed: Int) async throws {
        let file = try GrowingFile()
        let observer = RecordingObserver()
        let responder = StubResponder(ready: { _ in
            Response(status: .ok, body: file.body(to: kind.hasSuffix(" known") ? 6 << 20 : nil), observer: observer)
        })
        try await TestServer.run(responder) { server in
            try file.append(pattern(landed))
            let client = try await server.connect()
            try await onThread { try client.send("GET / \(kind.prefix(8))\r\nHost: t\r\n\r\n") }
            #expect(await eventually { file.waiting == 1 })
            file.end(.broken)
            let end = try await onThread { client.receiveAll().end }
            #expect(end == .reset)
            #expect(await observer.ending() == .broken)
        }
        #expect(observer.endings.count == 1 && file.openDescriptors == 0)
    }

    @Test func `a body that ends before its announced size is a reset`() async throws {
        let file = try GrowingFile(pattern(1_000))
        let responder = StubResponder(ready: { _ in Response(status: .ok, body: file.body(to: 1_001)) })
        try await TestServer.run(responder) { server in
            let (text, end) = try await server.exchange("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(text.contains("Content-Length: 1001") && end == .reset)
        }
    }

    @Test func `a file shorter than its view says is a reset, not a wait without end`() async throws {
        let file = try GrowingFile(pattern(2 << 20))
        file.truncate(to: 1 << 20)
        let observer = RecordingObserver()
        let responder = StubResponder(ready: { _ in
            Response(status: .ok, body: file.body(to: 2 << 20), observer: observer)
        })
        try await TestServer.run(responder) { server in
            let (_, end) = try await server.exchange("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(end == .reset)
            #expect(await observer.ending() == .broken)
        }
        #expect(file.openDescriptors == 0)
    }

    @Test func `clients that leave mid-way leave no descriptor, and the others get everything`() async throws {
        let size = 16 << 20
        let bytes = pattern(size)
        let file = try GrowingFile()
        let observers = (0..<12).map { _ in RecordingObserver() }
        let responder = StubResponder(ready: { request in
            let index = Int(request.path.dropFirst()) ?? 0
            return Response(status: .ok, body: file.body(to: Int64(size)), observer: observers[index])
        })
        try await TestServer.run(responder) { server in
            let clients = try await onThread {
                try (0..<12).map { index in
                    let client = try Client(port: server.address.port)
                    try client.get("/\(index)")
                    return client
                }
            }
            try file.append(Array(bytes[..<(8 << 20)]))
            // The first four read something, then a third leaves by RST, a third by FIN, and a third stays.
            try await onThread { for client in clients[..<4] { _ = client.receive() } }
            for client in clients[..<4] { client.reset() }
            for client in clients[4..<8] { client.close() }
            let staying = clients[8...].map { client in Task { try await onThread { try client.reply().body == bytes } }
            }
            for observer in observers[..<8] { #expect(await observer.ending() == .clientLeft) }
            // Long before the body ends.
            #expect(await eventually { file.openDescriptors == 4 })
            try file.append(Array(bytes[(8 << 20)...]))
            file.end(.complete(size: Int64(size)))
            for client in staying { #expect(try await client.value) }
            for observer in observers[8...] {
                #expect(await observer.ending() == .complete)
                #expect(observer.sent == Int64(size))
            }
        }
        #expect(file.openDescriptors == 0)
        #expect(observers.allSatisfy { $0.endings.count == 1 })
    }

    @Test func `a client that left while its response was being made costs no descriptor`() async throws {
        let file = try GrowingFile(pattern(1_000))
        let started = Gate()
        let observer = RecordingObserver()
        let responder = StubResponder(respond: { _ in
            started.open()
            await Gate().wait()  // Until cancelled.
            return Response(status: .ok, body: file.body(to: 1_000), observer: observer)
        })
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/") }
            await started.wait()
            client.reset()
            #expect(await observer.ending() == .clientLeft)
        }
        #expect(await eventually { file.openDescriptors == 0 })
        #expect(observer.endings == [.clientLeft])
    }
}
