// Clients that leave in the middle, ask for a great deal at once, or read nothing of what they asked for.
import Glibc
import HTTPServer
import HTTPTypes
import Synchronization
import Testing

@Suite("Rude clients", .timeLimit(.minutes(2))) struct RudeClientTests {
    @Test func `a thousand requests in one go, small ones and files, are answered in order`() async throws {
        let file = try GrowingFile(pattern(200_000))
        var responder = StubResponder(ready: { request in
            request.path.hasSuffix("file")
                ? Response(status: .ok, body: file.body(from: 7, to: 20_007))
                : request.path.hasSuffix("fast") ? .text(request.path) : nil
        })
        responder.onRespond = { request in
            await Task.yield()
            return request.path.hasSuffix("chunked") ? Response(status: .ok, body: file.body()) : .text(request.path)
        }
        let kinds = ["fast", "file", "slow", "fast", "fast", "chunked", "file"]
        let paths = (0..<1_000).map { "/\($0)/\(kinds[$0 % kinds.count])" }
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            let sender = Task {
                try await onThread {
                    try client.send(paths.map { "GET \($0) HTTP/1.1\r\nHost: test\r\n\r\n" }.joined())
                }
            }
            let wrong = try await onThread {
                try paths.filter { path in
                    let body = try client.reply().body
                    if path.hasSuffix("file") { return body != pattern(20_000, from: 7) }
                    return body != (path.hasSuffix("chunked") ? pattern(200_000) : Array(path.utf8))
                }
            }
            try await sender.value
            #expect(wrong == [])
        }
        #expect(file.openDescriptors == 0)
    }

    @Test func `clients that reset at any moment leave nothing behind`() async throws {
        let size = 2 << 20
        let file = try GrowingFile(pattern(size))
        let begun = Mutex(0)
        let endings = Mutex(0)
        let responder = StubResponder(respond: { _ in
            await Task.yield()
            begun.withLock { $0 += 1 }
            return Response(
                status: .ok, body: file.body(to: Int64(size)),
                observer: CountingObserver { endings.withLock { $0 += 1 } })
        })
        try await TestServer.run(responder) { server in
            try await onThread {
                for number in 0..<400 {
                    let client = try Client(port: server.address.port)
                    let request = "GET / HTTP/1.1\r\nHost: test\r\n\r\n"
                    switch number % 4 {
                    case 0: break
                    case 1: try client.send(String(request.prefix(number % request.count)))
                    default: try client.send(request)
                    }
                    // From the status line to the whole body.
                    var left = number % 4 == 3 ? 1 + number * size / 400 : 0
                    while left > 0 {
                        let (bytes, end) = client.receive(upTo: min(left, 1 << 16))
                        guard end == nil else { break }
                        left -= bytes.count
                    }
                    client.reset()
                }
            }
            #expect(await eventually { endings.withLock { $0 } == begun.withLock { $0 } && file.openDescriptors == 0 })
            #expect(begun.withLock { $0 } > 0)
            let (text, _) = try await server.exchange("HEAD / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 200 "))
        }
        #expect(file.openDescriptors == 0)
        #expect(endings.withLock { $0 } == begun.withLock { $0 })
    }

    @Test func `what a half-closed client has sent is kept to a bound in bytes, too`() async throws {
        let gate = Gate()
        let responder = StubResponder(respond: { _ in
            await gate.wait()
            return .text("")
        })
        let count = 7
        try await TestServer.run(responder) { server in
            let client = try await server.connect()
            // All of it fits into the server's socket buffer, and as requests also into the queue.
            let large = "GET /\(String(repeating: "x", count: 7_000)) HTTP/1.1\r\nHost: t\r\n\r\n"
            try await onThread {
                try client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n" + String(repeating: large, count: count))
                client.shutdownOutput()
            }
            #expect(await eventually { server.receiveQueue(of: server.address.port) == 0 })
            gate.open()
            let (bytes, end) = try await onThread { client.receiveAll() }
            let answers = String(decoding: bytes, as: UTF8.self).components(of: "HTTP/1.1 200")
            #expect((2..<count).contains(answers) && end == .closed)
        }
    }

    @Test func `a client that sends requests and reads no answer is made to wait, then reset`() async throws {
        let asked = Mutex(0)
        let body = pattern(4_000)
        let responder = StubResponder(ready: { _ in
            asked.withLock { $0 += 1 }
            return Response(status: .ok, body: .bytes(body))
        })
        let configuration = ServerConfiguration.test { $0.clientStallTimeout = .milliseconds(400) }
        try await TestServer.run(responder, configuration) { server in
            let client = try await onThread { try Client(port: server.address.port, receiveBuffer: 16 << 10) }
            // 400 MB of answers, if anybody made them.
            let sender = Task {
                try await onThread {
                    try client.send(String(repeating: "GET / HTTP/1.1\r\nHost: t\r\n\r\n", count: 100_000))
                }
            }
            #expect(await eventually { client.hasBeenReset })
            _ = await sender.result
            // What the sockets' buffers hold, and no more.
            #expect(asked.withLock { $0 } < 10_000)
        }
    }
}

/// Tells that a response has ended, once each.
private final class CountingObserver: ResponseObserver {
    private let end: @Sendable () -> Void

    init(_ end: @escaping @Sendable () -> Void) { self.end = end }

    func sent(_ bytes: Int64) {}
    func ended(_ ending: ResponseEnding) { end() }
}
