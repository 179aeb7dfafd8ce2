// The transport over libcurl against a real server on loopback.
import HTTPSemantics
import HTTPTypes
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("CurlTransport") struct CurlTransportTests {
    private func request(
        _ url: String, _ method: HTTPRequest.Method = .get, fields: HTTPFields = [:], stall: Duration = .seconds(20)
    ) throws -> TransferRequest {
        TransferRequest(
            method: method, url: try #require(UpstreamURL(url)), fields: fields, version: .http1,
            connectTimeout: .seconds(5), stallTimeout: stall)
    }

    private func blob(_ laboratory: Laboratory, _ size: Int) -> (blob: TestBlob, url: String) {
        var builder = ImageBuilder()
        let blob = laboratory.stub.add(blob: builder.blob(size), to: "a")
        return (blob, "\(laboratory.stub.url)/v2/a/blobs/\(blob.digest)")
    }

    @Test func `a transfer brings one head, all bytes and one end`() async throws {
        try await Laboratory.run { laboratory in
            let (_, url) = blob(laboratory, 1_000_000)
            let recorder = TransferRecorder()
            _ = laboratory.transport.begin(try request(url), recorder)
            #expect(await recorder.end() == .complete)
            #expect(recorder.now.heads.map(\.status) == [200])
            #expect(recorder.now.heads.first?.length == 1_000_000)
            #expect(recorder.now.heads.first?.remoteAddress == "127.0.0.1")
            #expect(recorder.now.count == 1_000_000)
        }
    }

    @Test func `HEAD brings the length and no byte`() async throws {
        try await Laboratory.run { laboratory in
            let (_, url) = blob(laboratory, 5000)
            let recorder = TransferRecorder()
            _ = laboratory.transport.begin(try request(url, .head), recorder)
            #expect(await recorder.end() == .complete)
            #expect(recorder.now.heads.first?.length == 5000)
            #expect(recorder.now.count == 0)
        }
    }

    @Test func `fields are sent as given, and nothing of the environment`() async throws {
        try await Laboratory.run { laboratory in
            let (_, url) = blob(laboratory, 10)
            let recorder = TransferRecorder()
            _ = laboratory.transport.begin(
                try request(url + "?x=1", fields: [.acceptEncoding: "identity", .via: "1.1 wharf-x"]), recorder)
            #expect(await recorder.end() == .complete)
            let seen = try #require(laboratory.stub.log.requests.first)
            #expect(seen["Accept-Encoding"] == "identity")
            #expect(seen["Via"] == "1.1 wharf-x")
            #expect(seen.query == "x=1")
        }
    }

    @Test func `a POST sends its body as a form, zero bytes too, and asks for no 100 before it`() async throws {
        let listener = try Listener { $0.answerAll() }
        try await CurlTransport.run { transport in
            let body = Array("grant_type=a&x=".utf8) + [0] + Array(repeating: UInt8(ascii: "y"), count: 2 << 20)
            let answer = try await transport.fetch(listener.url, .post, body: body)
            #expect(answer.heads.map(\.status) == [200])
            let head = try #require(listener.heads.first)
            #expect(head.hasPrefix("POST / HTTP/1.1\r\n"))
            #expect(head.contains("\r\nContent-Type: application/x-www-form-urlencoded\r\n"))
            #expect(head.contains("\r\nContent-Length: \(body.count)\r\n"))
            #expect(!head.lowercased().contains("\r\nexpect:"))
            #expect(listener.bodies == [body])
            let empty = try await transport.fetch(listener.url, .post, fields: [.contentType: "text/plain"])
            #expect(empty.heads.map(\.status) == [200])
            #expect(listener.heads.last?.contains("\r\nContent-Length: 0\r\n") == true)
            #expect(listener.heads.last?.contains("\r\nContent-Type: text/plain\r\n") == true)
        }
    }

    /// Lines of 1000 bytes, one line, and one line that libcurl itself finds too long.
    @Test(arguments: [Array(repeating: 1000, count: 70), [80_000], [150_000]])
    func `a head of more than 64 KiB is refused, whoever notices first`(_ lines: [Int]) async throws {
        let listener = try Listener { connection in
            _ = connection.readHead()
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n")
            for count in lines { connection.write("X: \(String(repeating: "a", count: count))\r\n") }
            connection.write("\r\n")
        }
        try await CurlTransport.run { transport in
            let answer = try await transport.fetch(listener.url)
            #expect(answer.heads.isEmpty)
            #expect(answer.failure?.error == .httpResponseHeaderSectionSize, "\(answer.ends)")
            #expect(answer.failure?.words == "more than 65536 bytes of header fields")
        }
    }

    @Test func `an IPv6 address is connected to, and named in Host with its brackets`() async throws {
        let listener = try Listener(isIPv6: true) { $0.answerAll() }
        try await CurlTransport.run { transport in
            let answer = try await transport.fetch("http://[::1]:\(listener.port)/x")
            #expect(answer.heads.map(\.status) == [200])
            #expect(answer.heads.first?.remoteAddress == "::1")
            #expect(listener.heads.first?.contains("\r\nHost: [::1]:\(listener.port)\r\n") == true)
        }
    }

    @Test func `a pause stops the socket, and a resume brings every byte once`() async throws {
        try await Laboratory.run { laboratory in
            let size = 32 << 20
            let (_, url) = blob(laboratory, size)
            let recorder = TransferRecorder(pauseAt: 1 << 20)
            let transfer = laboratory.transport.begin(try request(url), recorder)
            await recorder.wait { $0.pauses > 0 }
            // What the kernel's buffers hold may still leave the server; then it stands.
            var sent = -1
            while laboratory.stub.log.bytesSent != sent {
                sent = laboratory.stub.log.bytesSent
                try await Task.sleep(for: .milliseconds(50))  // nothing happens, so nothing can be waited for
            }
            #expect(sent < size)
            #expect(recorder.now.ends.isEmpty)
            recorder.letPass()
            transfer.resume()
            #expect(await recorder.end() == .complete)
            #expect(recorder.now.count == size)
        }
    }

    @Test func `a cancel while paused ends at once and exactly once`() async throws {
        try await Laboratory.run { laboratory in
            let (_, url) = blob(laboratory, 32 << 20)
            let recorder = TransferRecorder(pauseAt: 0)
            let transfer = laboratory.transport.begin(try request(url), recorder)
            await recorder.wait { $0.pauses > 0 }
            transfer.cancel()
            transfer.cancel()
            transfer.resume()
            #expect(await recorder.end() == .cancelled)
            await laboratory.stub.wait { $0.abandoned == 1 }
            await laboratory.transport.stop()
            #expect(recorder.now.ends == [.cancelled])
        }
    }

    @Test func `a cancel before the head ends the transfer`() async throws {
        try await Laboratory.run { laboratory in
            let (_, url) = blob(laboratory, 10)
            laboratory.stub.inject(.hold(StubGate()), into: "/blobs/")
            let recorder = TransferRecorder()
            let transfer = laboratory.transport.begin(try request(url), recorder)
            await laboratory.stub.wait { $0.held == 1 }
            transfer.cancel()
            #expect(await recorder.end() == .cancelled)
            #expect(recorder.now.heads.isEmpty)
        }
    }

    @Test func `stopping ends what runs, and what begins later`() async throws {
        try await Laboratory.run { laboratory in
            let (_, url) = blob(laboratory, 10)
            laboratory.stub.inject(.hold(StubGate()), into: "/blobs/")
            let running = TransferRecorder()
            _ = laboratory.transport.begin(try request(url), running)
            await laboratory.stub.wait { $0.held == 1 }
            await laboratory.transport.stop()
            #expect(running.now.ends == [.cancelled])
            let late = TransferRecorder()
            laboratory.transport.begin(try request(url), late).cancel()
            #expect(late.now.ends == [.cancelled])
        }
    }

    @Test(arguments: [
        (StubFault.cut(at: 1000, reset: true), ProxyError.connectionTerminated),
        (.cut(at: 1000, reset: false), .httpResponseIncomplete), (.overstate(by: 5), .httpResponseIncomplete),
    ])
    func `a body that ends early is told by its RFC 9209 token`(_ fault: StubFault, _ token: ProxyError) async throws {
        try await Laboratory.run { laboratory in
            let (_, url) = blob(laboratory, 5000)
            laboratory.stub.inject(fault, into: "/blobs/")
            let recorder = TransferRecorder()
            _ = laboratory.transport.begin(try request(url), recorder)
            guard case .failed(let error, _) = await recorder.end() else {
                Issue.record("\(recorder.now.ends)")
                return
            }
            #expect(error == token)
        }
    }

    @Test func `nobody listening is a refused connection, no name a DNS error`() async throws {
        try await Laboratory.run { laboratory in
            let gone = try await StubRegistry.start()
            let url = gone.url
            await gone.stop()
            for (url, token) in [(url, ProxyError.connectionRefused), ("http://wharf.invalid", .dnsError)] {
                let recorder = TransferRecorder()
                _ = laboratory.transport.begin(try request(url), recorder)
                guard case .failed(let error, let words) = await recorder.end() else { continue }
                #expect(error == token, "\(words)")
            }
        }
    }

    @Test func `a body that stalls is given up, a paused one is not`() async throws {
        try await Laboratory.run { laboratory in
            let (_, url) = blob(laboratory, 1 << 20)
            laboratory.stub.inject(.stall(at: 1000), into: "/blobs/", times: 1)
            let stalled = TransferRecorder()
            let paused = TransferRecorder(pauseAt: 0)
            _ = laboratory.transport.begin(try request(url, stall: .seconds(1)), stalled)
            await stalled.wait { $0.count > 0 }
            let transfer = laboratory.transport.begin(try request(url, stall: .seconds(1)), paused)
            guard case .failed(.connectionReadTimeout, _) = await stalled.end() else {
                Issue.record("\(stalled.now.ends)")
                return
            }
            #expect(paused.now.ends.isEmpty)
            paused.letPass()
            transfer.resume()
            #expect(await paused.end() == .complete)
        }
    }

    @Test func `one connection serves one request after another`() async throws {
        try await Laboratory.run { laboratory in
            let (_, url) = blob(laboratory, 100)
            for _ in 1...20 {
                let recorder = TransferRecorder()
                _ = laboratory.transport.begin(try request(url), recorder)
                #expect(await recorder.end() == .complete)
            }
            #expect(laboratory.stub.connectionCount == 1)
        }
    }

    @Test func `many transfers run at once on the one thread`() async throws {
        try await Laboratory.run { laboratory in
            let (_, url) = blob(laboratory, 1 << 20)
            let recorders = (1...64).map { _ in TransferRecorder() }
            for recorder in recorders { _ = laboratory.transport.begin(try request(url), recorder) }
            for recorder in recorders {
                #expect(await recorder.end() == .complete)
                #expect(recorder.now.count == 1 << 20)
            }
        }
    }
}
