// The access log: one line a request, and no secret in it.
import HTTPServer
import HTTPTypes
import Logging
import Synchronization
import Testing

/// Keeps what it is given.
final class LogRecorder: Sendable {
    private let entries = Mutex<[(message: String, metadata: Logger.Metadata)]>([])

    var lines: [(message: String, metadata: Logger.Metadata)] { entries.withLock { $0 } }

    func logger(level: Logger.Level = .info) -> Logger {
        var logger = Logger(label: "test") { _ in Handler(recorder: self) }
        logger.logLevel = level
        return logger
    }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.MetadataValue? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            recorder.entries.withLock { $0.append(("\(event.message)", event.metadata ?? [:])) }
        }
    }
}

@Suite("Access log", .timeLimit(.minutes(1))) struct AccessLogTests {
    private func line(for request: String, level: Logger.Level = .info) async throws -> Logger.Metadata? {
        let recorder = LogRecorder()
        let responder = StubResponder(ready: { _ in
            Response(
                status: .ok, fields: HTTPField.Name("Cache-Status").map { [$0: "wharf; hit"] } ?? [:],
                body: .bytes([1, 2, 3]), logged: [("upstream", "docker.io")])
        })
        try await TestServer.run(responder, logger: recorder.logger(level: level)) { server in
            _ = try await server.exchange(request)
        }
        #expect(recorder.lines.count == (level <= .info ? 1 : 0))
        return recorder.lines.first?.metadata
    }

    @Test func `a request is one line with the keys of the glossary`() async throws {
        let metadata = try await line(
            for: "GET /v2/a/blobs/b HTTP/1.1\r\nHost: t\r\nUser-Agent: docker/20\r\nConnection: close\r\n\r\n")
        let line = try #require(metadata)
        #expect(Set(line.keys) == Set(AccessLog.keys).union(["upstream"]))
        #expect(line["method"] == "GET" && line["path"] == "/v2/a/blobs/b" && line["status"] == "200")
        #expect(line["bytes"] == "3" && line["client"] == "127.0.0.1" && line["agent"] == "docker/20")
        #expect(line["cache"] == "wharf; hit" && line["upstream"] == "docker.io")
        #expect(line["ms"]?.description.split(separator: ".").last?.count == 3)
    }

    @Test func `of the query only ns is told, and no token`() async throws {
        let metadata = try await line(
            for: """
                GET /v2/?token=secret&ns=docker.io&x=secret HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer secret\r\n\
                Cookie: secret\r\nConnection: close\r\n\r\n
                """)
        let line = try #require(metadata)
        #expect(line["path"] == "/v2/?ns=docker.io")
        #expect(!line.values.contains { "\($0)".contains("secret") })
    }

    @Test func `a malformed request is a line, too`() async throws {
        let line = try #require(try await line(for: "nonsense\r\n\r\n"))
        #expect(line["status"] == "400" && line["method"] == "-" && line["path"] == "-")
    }

    @Test func `above info nothing is written`() async throws {
        _ = try await line(for: "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", level: .notice)
    }

    @Test func `a client that left is told from one that was served`() async throws {
        let recorder = LogRecorder()
        let started = Gate()
        let responder = StubResponder(respond: { _ in
            started.open()
            await Gate().wait()
            return .text("late")
        })
        try await TestServer.run(responder, logger: recorder.logger()) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/") }
            await started.wait()
            client.reset()
            #expect(await eventually { recorder.lines.count == 1 })
        }
        #expect(recorder.lines.first?.metadata["ended"] == "client-left")
        #expect(recorder.lines.first?.metadata["status"] == "499")
    }

    @Test func `every request of a process has its own id`() async throws {
        let ids = Mutex<[UInt64]>([])
        let responder = StubResponder(ready: { request in
            ids.withLock { $0.append(request.id) }
            return .text("")
        })
        try await TestServer.run(responder) { server in
            for _ in 0..<40 {
                _ = try await server.exchange("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            }
        }
        #expect(Set(ids.withLock { $0 }).count == 40)
    }
}
