// What a request is called: taken over and told back, or made; and what the server counts of its time.

import HTTPTypes
import NIOCore
import Synchronization
import Testing

@testable import HTTPServer

@Suite("X-Request-Id") struct RequestIDTests {
    private static let name = HTTPField.Name("X-Request-Id")

    private func given(_ value: String) throws -> String? {
        let fields: RequestFields = [try #require(Self.name): value]
        return RequestID.given(fields)
    }

    @Test func `a plain name of 8 to 64 characters is taken over, and no other`() throws {
        for name in ["12345678", "A-b_c.1234", String(repeating: "x", count: 64)] {
            #expect(try given(name) == name)
        }
        for name in ["1234567", String(repeating: "x", count: 65), "1234 5678", "12345678\"", "1234567é", ""] {
            #expect(try given(name) == nil, "\(name)")
        }
        let name = try #require(Self.name)
        #expect(RequestID.given([name: "12345678", name: "87654321"]) == nil)
        #expect(RequestID.given([:]) == nil)
    }

    /// What is answered, and what the log is given.
    private func answer(
        _ status: HTTPResponse.Status, to fields: String = ""
    ) async throws -> (head: String, record: AccessRecord) {
        let recorder = LogRecorder()
        let responder = StubResponder(ready: { _ in Response(status: status, body: .bytes([1])) })
        let head = Mutex("")
        try await TestServer.run(responder, log: recorder) { server in
            let request = "GET / HTTP/1.1\r\nHost: t\r\n\(fields)Connection: close\r\n\r\n"
            let text = try await server.exchange(request).text
            head.withLock { $0 = text }
        }
        return (head.withLock { $0 }, try #require(recorder.records.first))
    }

    @Test func `who names his request gets the name back, and finds it in the log`() async throws {
        let (head, record) = try await answer(.ok, to: "X-Request-Id: build-4711.a\r\n")
        #expect(head.contains("X-Request-Id: build-4711.a\r\n"))
        #expect(record.givenID == "build-4711.a")
    }

    @Test func `a name that could forge a line is not told back`() async throws {
        let (head, record) = try await answer(.ok, to: "X-Request-Id: a b=c d=e f\r\n")
        #expect(!head.contains("X-Request-Id"))
        #expect(record.givenID == nil)
    }

    @Test func `an answer that is an error says what the log calls it, and no other does`() async throws {
        let (head, record) = try await answer(.notFound)
        #expect(head.contains("X-Request-Id: \(RequestID.run)-\(record.id)\r\n"))
        #expect(!(try await answer(.ok).head.contains("X-Request-Id")))
    }

    @Test func `made ones are short and say of which run they are`() {
        #expect(RequestID.run.utf8.count == 6)
        #expect(RequestID.made(42) == "\(RequestID.run)-42")
    }
}

@Suite("Request times") struct RequestTimesTests {
    @Test func `each time stands in the smallest bucket that holds it`() {
        let times = RequestTimes()
        for nanoseconds in [0, 500_000, 500_001, 1_000_000_000, 301_000_000_000] as [Int64] {
            times.count(3, whole: .nanoseconds(nanoseconds), firstByte: .nanoseconds(1))
        }
        var figures = ServerFigures()
        times.add(to: &figures)
        let whole = figures.times[3].whole
        #expect(whole.counts.reduce(0, +) == 5)
        #expect(whole.counts[0] == 2 && whole.counts[1] == 1 && whole.counts[10] == 1 && whole.counts.last == 1)
        #expect(abs(whole.sum - 302.001000001) < 1e-6)
        #expect(figures.times[3].firstByte.counts[0] == 5)
        #expect(figures.times[0] == ServerFigures.Times())
    }

    @Test func `what has no end of its own counts its first byte alone, and a made-up series with the last`() {
        let times = RequestTimes()
        times.count(99, whole: nil, firstByte: .milliseconds(3))
        var figures = ServerFigures()
        times.add(to: &figures)
        #expect(figures.times[15].whole == Histogram())
        #expect(figures.times[15].firstByte.counts[3] == 1)
    }
}
