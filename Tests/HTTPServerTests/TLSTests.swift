// What clients get over TLS: the same bytes, the same ends, and no more memory than a piece for one that is slow.
import Glibc
import HTTPServer
import HTTPTypes
import TestSupport
import Testing

@Suite("TLS", .timeLimit(.minutes(1))) struct TLSTests {
    private let files: TLSFiles

    init() throws { files = try TLSFiles() }

    @Test(arguments: ["--tlsv1.3", "--tls-max=1.2"], ["ECDSA", "RSA"])
    func `a file arrives whole, and a part of it as it was asked for`(version: String, kind: String) async throws {
        let bytes = pattern(5_000_003)
        let file = try GrowingFile(bytes)
        let responder = StubResponder(ready: { request in
            request.path == "/part"
                ? Response(status: .partialContent, body: file.body(from: 100_001, to: 2_000_000))
                : Response(status: .ok, body: file.body(to: Int64(bytes.count)))
        })
        let tls =
            kind == "RSA" ? try ServerTLS.of(TestCertificates.rsa, TestCertificates.rsaKey) : try ServerTLS.server()
        let option = version.split(separator: "=").map(String.init)
        try await TestServer.run(responder, .secure(tls)) { server in
            let whole = try await files.curl("/", on: server, option[0], option.count > 1 ? option[1] : "--http1.1")
            #expect(whole.status == 0 && whole.output == bytes, "\(whole.complaints)")
            let part = try await files.curl("/part", on: server, option[0], option.count > 1 ? option[1] : "--http1.1")
            #expect(part.status == 0 && part.output == Array(bytes[100_001..<2_000_000]), "\(part.complaints)")
        }
        #expect(file.openDescriptors == 0)
    }

    @Test(arguments: ["/known", "/unknown"]) func `a file arrives as it grows`(path: String) async throws {
        let size = 3_000_000
        let file = try GrowingFile()
        let responder = StubResponder(ready: { request in
            Response(status: .ok, body: file.body(to: request.path == "/known" ? Int64(size) : nil))
        })
        try await TestServer.run(responder, .secure()) { server in
            async let outcome = files.curl(path, on: server)
            #expect(await eventually { file.waiting == 1 })
            for step in stride(from: 0, to: size, by: 100_000) {
                try file.append(pattern(100_000, from: step))
                await Task.yield()
            }
            file.end(.complete(size: Int64(size)))
            let whole = try await outcome
            #expect(whole.status == 0 && whole.output == pattern(size), "\(whole.complaints)")
        }
    }

    @Test(arguments: ["--http1.1", "--http1.0"]) func `a body that breaks is no end, not even one that TLS tells`(
        version: String
    ) async throws {
        let file = try GrowingFile()
        try file.append(pattern(1_000_000))
        file.end(.broken)
        let responder = StubResponder(ready: { _ in
            // All that is there is sent first; without a length, only the connection's end tells that it was all.
            Response(status: .ok, body: file.body())
        })
        try await TestServer.run(responder, .secure()) { server in
            let outcome = try await files.curl("/", on: server, version)
            #expect(outcome.status != 0)
        }
    }

    @Test func `one connection asks and is answered again and again`() async throws {
        try await TestServer.run(StubResponder.echo, .secure()) { server in
            let client = try SecureClient(to: server)
            for path in ["/one", "/two"] {
                let body = try await onThread {
                    try client.get(path)
                    _ = try client.head()
                    return try client.receive("GET \(path)".utf8.count)
                }
                #expect(String(decoding: body, as: UTF8.self) == "GET \(path)")
            }
        }
    }

    @Test func `of what a client does not take, no more is read than its kernel and one piece hold`() async throws {
        let size = 128 << 20
        let file = try GrowingFile()
        try file.append([1])
        file.truncate(to: Int64(size))
        file.end(.complete(size: Int64(size)))
        let observer = RecordingObserver()
        let body = FileBody(
            complete: OpenFile(taking: open(file.path, O_RDONLY | O_CLOEXEC)), end: Int64(size), size: Int64(size))
        let responder = StubResponder(ready: { _ in Response(status: .ok, body: .file(body), observer: observer) })
        try await TestServer.run(responder, .secure()) { server in
            let client = try SecureClient(to: server)
            _ = try await onThread {
                try client.get("/")
                return try client.head()
            }
            #expect(try await observer.standstill() < 32 << 20)
            let received = try await onThread { try client.receive(size) }
            #expect(received.count == size)
            #expect(await observer.ending() == .complete)
        }
    }

    @Test func `a version before 1.2 is refused`() async throws {
        try await TestServer.run(StubResponder.echo, .secure()) { server in
            let outcome = try await files.curl(
                "/", on: server, "--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0")
            #expect(outcome.status == 35)
            #expect(outcome.complaints.contains("protocol version"), "\(outcome.complaints)")
        }
    }

    @Test func `http 1.1 is what is agreed on`() async throws {
        try await TestServer.run(StubResponder.echo, .secure()) { server in
            let told = try await files.session(on: server, "-alpn", "h2,http/1.1")
            #expect(told.contains("ALPN protocol: http/1.1"))
            #expect(told.contains("Verify return code: 0 (ok)"))
            #expect(told.contains("HTTP/1.1 200"))
        }
    }

    @Test func `who speaks HTTP is told to speak TLS`() async throws {
        try await TestServer.run(StubResponder.echo, .secure()) { server in
            let (text, end) = try await server.exchange("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 400 ") && text.hasSuffix("ask with https://\n"), "\(text)")
            #expect(end == .closed)
        }
    }

    @Test func `a client of the authority is served, a stranger and who shows nothing are not`() async throws {
        let tls = try ServerTLS.server(clients: TestCertificates.authority)
        try await TestServer.run(StubResponder.echo, .secure(tls)) { server in
            let known = try await files.curl(
                "/", on: server, "--cert", files.path("client.pem"), "--key", files.path("client.key"))
            #expect(known.text == "GET /", "\(known.complaints)")
            let stranger = try await files.curl(
                "/", on: server, "--cert", files.path("stranger.pem"), "--key", files.path("stranger.key"))
            #expect(stranger.status != 0 && stranger.output.isEmpty)
            let nobody = try await files.curl("/", on: server)
            #expect(nobody.status != 0 && nobody.output.isEmpty)
        }
    }
}

@Suite("TLS: connections", .timeLimit(.minutes(1))) struct TLSConnectionTests {
    private let files: TLSFiles

    init() throws { files = try TLSFiles() }

    /// The beginning of a ClientHello, and nothing at all.
    @Test(arguments: [[], [0x16, 3, 1, 2, 0, 1]] as [[UInt8]])
    func `a handshake that does not come to its end is closed after the header timeout`(bytes: [UInt8]) async throws {
        try await TestServer.run(StubResponder.echo, .secure { $0.headerTimeout = .seconds(2) }) { server in
            let client = try await server.connect()
            let (received, end) = try await onThread {
                try client.send(bytes)
                return client.receiveAll()
            }
            #expect(received.isEmpty && end == .closed)
        }
    }

    @Test func `a connection without its handshake counts, and who is beyond the limit is told`() async throws {
        try await TestServer.run(StubResponder.echo, .secure { $0.connections = 1 }) { server in
            let half = try await server.connect()
            try await onThread { try half.send([0x16]) }
            let refused = try await files.curl("/", on: server, "-o", "-", "-w", "%{http_code}")
            #expect(refused.text.hasSuffix("503"), "\(refused.complaints)")
            half.close()
            var answer = ""
            for _ in 0..<100 where answer != "GET /" { answer = try await files.curl("/", on: server).text }
            #expect(answer == "GET /")
        }
    }

    @Test func `what is no TLS ends that connection, and nothing else`() async throws {
        try await TestServer.run(StubResponder.echo, .secure()) { server in
            let noises: [[UInt8]] = [
                Array(repeating: 0, count: 100), Array("SSH-2.0-x\r\n".utf8), [0x16, 3, 1, 0, 1, 9],
            ]
            for bytes in noises {
                let client = try await server.connect()
                let end = try await onThread {
                    try client.send(bytes)
                    client.shutdownOutput()
                    return client.receiveAll().end
                }
                #expect(end != .timeout)
            }
            #expect(try await files.curl("/", on: server).text == "GET /")
        }
    }

    @Test func `a session is gone on with by its ticket, but not under another certificate`() async throws {
        try await TestServer.run(StubResponder.echo, .secure()) { server in
            let ticket = files.path("session")
            #expect(try await files.session(on: server, "-sess_out", ticket).contains("New, TLSv1.3"))
            #expect(try await files.session(on: server, "-sess_in", ticket).contains("Reused, TLSv1.3"))
            let renewed = try ServerTLS.of(TestCertificates.renewed, TestCertificates.renewedKey)
            server.server.reconfigure(try .secure(renewed))
            #expect(try await files.session(on: server, "-sess_in", ticket).contains("New, TLSv1.3"))
        }
    }

    @Test func `another certificate is shown to who comes, and who is there goes on`() async throws {
        let file = try GrowingFile()
        try file.append(pattern(10))
        let responder = StubResponder(ready: { _ in Response(status: .ok, body: file.body(to: 1_000_000)) })
        try await TestServer.run(responder, .secure()) { server in
            let client = try SecureClient(to: server)
            let first = try await onThread {
                try client.get("/")
                _ = try client.head()
                return try client.receive(10)
            }
            #expect(first == pattern(10))
            #expect(try await Self.name(files, server) == "server")
            let renewed = try ServerTLS.of(TestCertificates.renewed, TestCertificates.renewedKey)
            server.server.reconfigure(try .secure(renewed))
            #expect(await eventually { (try? await Self.name(files, server)) == "renewed" })
            try file.append(pattern(999_990, from: 10))
            file.end(.complete(size: 1_000_000))
            let rest = try await onThread { try client.receive(999_990) }
            #expect(rest == pattern(999_990, from: 10))
            // The same connection, once more.
            let again = try await onThread {
                try client.get("/")
                _ = try client.head()
                return try client.receive(1_000_000)
            }
            #expect(again == pattern(1_000_000))
        }
    }

    /// The name in the certificate that is shown.
    private static func name(_ files: TLSFiles, _ server: TestServer) async throws -> String {
        let outcome = try await files.curl("/", on: server, "-v", "-I")
        let line = outcome.complaints.split(separator: "\n").first { $0.contains("subject: CN=") }
        return line.flatMap { $0.split(separator: "=").last.map(String.init) } ?? outcome.complaints
    }

    @Test func `clear text and TLS are exchanged by a reload, too`() async throws {
        try await TestServer.run(StubResponder.echo, .test { _ in }) { server in
            #expect(try await files.curl("/", on: server, scheme: "http").text == "GET /")
            server.server.reconfigure(try .secure())
            #expect(await eventually { (try? await files.curl("/", on: server).text) == "GET /" })
        }
    }
}

extension RecordingObserver {
    /// The bytes that were sent when for a while nothing more was: all that lies between is full.
    fileprivate func standstill() async throws -> Int64 {
        var before: Int64 = 0
        while sent == 0 || sent != before {
            before = sent
            try await Task.sleep(for: .milliseconds(200))
        }
        return before
    }
}
