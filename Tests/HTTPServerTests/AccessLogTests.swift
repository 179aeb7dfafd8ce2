// The access log: one line a request, and no secret in it.
import HTTPServer
import HTTPTypes
import Synchronization
import Testing

/// Keeps what it is given.
final class LogRecorder: AccessLog {
    let isOn: Bool
    private let entries = Mutex<[AccessRecord]>([])

    init(isOn: Bool = true) { self.isOn = isOn }

    var records: [AccessRecord] { entries.withLock { $0 } }

    func write(_ record: AccessRecord) { entries.withLock { $0.append(record) } }
}

@Suite("Access log", .timeLimit(.minutes(1))) struct AccessLogTests {
    private func record(of request: String, isOn: Bool = true) async throws -> AccessRecord? {
        let recorder = LogRecorder(isOn: isOn)
        let responder = StubResponder(ready: { _ in
            Response(
                status: .ok, fields: HTTPField.Name("Cache-Status").map { [$0: "wharf; hit"] } ?? [:],
                body: .bytes([1, 2, 3]), logged: [("upstream", "docker.io")])
        })
        try await TestServer.run(responder, log: recorder) { server in
            _ = try await server.exchange(request)
        }
        #expect(recorder.records.count == (isOn ? 1 : 0))
        return recorder.records.first
    }

    @Test func `a request is one line with the keys of the glossary`() async throws {
        let record = try await record(
            of: "GET /v2/a/blobs/b HTTP/1.1\r\nHost: t\r\nUser-Agent: docker/20\r\nConnection: close\r\n\r\n")
        let line = try #require(record)
        #expect(line.method == "GET" && line.path == "/v2/a/blobs/b" && line.status == 200)
        #expect(line.bytes == 3 && line.client == "127.0.0.1" && line.agent == "docker/20")
        #expect(line.cache == "wharf; hit" && line.own.map(\.key) == ["upstream"] && line.ended == nil)
        #expect(0..<60_000_000 ~= line.microseconds)
    }

    @Test func `of the query only ns is told, and no token`() async throws {
        let record = try await record(
            of: """
                GET /v2/?token=secret&ns=docker.io&x=secret HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer secret\r\n\
                Cookie: secret\r\nConnection: close\r\n\r\n
                """)
        let line = try #require(record)
        #expect(line.path == "/v2/?ns=docker.io")
        #expect(!"\(line)".contains("secret"))
    }

    @Test func `a malformed request is a line, too`() async throws {
        let line = try #require(try await record(of: "nonsense\r\n\r\n"))
        #expect(line.status == 400 && line.method == "-" && line.path == "-")
    }

    @Test func `where nobody wants it nothing is written`() async throws {
        _ = try await record(of: "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", isOn: false)
    }

    @Test func `a client that left is told from one that was served`() async throws {
        let recorder = LogRecorder()
        let started = Gate()
        let responder = StubResponder(respond: { _ in
            started.open()
            await Gate().wait()
            return .text("late")
        })
        try await TestServer.run(responder, log: recorder) { server in
            let client = try await server.connect()
            try await onThread { try client.get("/") }
            await started.wait()
            client.reset()
            #expect(await eventually { recorder.records.count == 1 })
        }
        #expect(recorder.records.first?.ended == "client-left")
        #expect(recorder.records.first?.status == 499)
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
