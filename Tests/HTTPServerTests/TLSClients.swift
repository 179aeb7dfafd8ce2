// Clients of TLS that others have written: curl, and openssl with a connection that stays open.
import Foundation
import HTTPServer
import Synchronization
import TestSupport

extension ServerTLS {
    /// Shown with the certificate of a `TestCertificates` server.
    static func of(_ certificate: String, _ key: String, clients: String? = nil) throws -> ServerTLS {
        try ServerTLS(
            certificate: Array(certificate.utf8), key: Array(key.utf8),
            clientAuthority: clients.map { Array($0.utf8) })
    }

    static func server(clients: String? = nil) throws -> ServerTLS {
        try of(TestCertificates.server, TestCertificates.serverKey, clients: clients)
    }
}

extension ServerConfiguration {
    static func secure(
        _ tls: ServerTLS? = nil, _ change: (inout ServerConfiguration) -> Void = { _ in }
    ) throws -> ServerConfiguration {
        let tls = try tls ?? .server()
        return .test { configuration in
            configuration.tls = tls
            change(&configuration)
        }
    }
}

/// What a client needs of files.
final class TLSFiles: Sendable {
    private let folder: TemporaryDirectory

    init() throws {
        folder = try TemporaryDirectory()
        for (name, text) in [
            ("ca.pem", TestCertificates.authority), ("client.pem", TestCertificates.client),
            ("client.key", TestCertificates.renewedKey), ("stranger.pem", TestCertificates.stranger),
            ("stranger.key", TestCertificates.serverKey),
        ] { try folder.write(Array(text.utf8), to: name) }
    }

    func path(_ name: String) -> String { folder.path(name) }

    struct Outcome: Sendable {
        let status: Int32
        let output: [UInt8]
        let complaints: String
        var text: String { String(decoding: output, as: UTF8.self) }
    }

    /// Runs curl to its end; the authority is known to it.
    func curl(_ path: String, on server: TestServer, scheme: String = "https", _ arguments: String...) async throws
        -> Outcome
    {
        let url = "\(scheme)://127.0.0.1:\(server.address.port)\(path)"
        return try await run(
            "/usr/bin/curl", ["-sS", "--max-time", "30", "--cacert", self.path("ca.pem")] + arguments + [url])
    }

    /// Runs `openssl s_client` with one request, and returns what it says of the connection.
    func session(on server: TestServer, _ arguments: String...) async throws -> String {
        let options = [
            "s_client", "-ign_eof", "-connect", "127.0.0.1:\(server.address.port)", "-CAfile", path("ca.pem"),
        ]
        let request = "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
        return try await run("/usr/bin/openssl", options + arguments, input: request).text
    }

    private func run(_ program: String, _ arguments: [String], input: String = "") async throws -> Outcome {
        try await onThread {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: program)
            process.arguments = arguments
            let (source, output, errors) = (Pipe(), Pipe(), Pipe())
            (process.standardInput, process.standardOutput, process.standardError) = (source, output, errors)
            try process.run()
            try source.fileHandleForWriting.write(contentsOf: Data(input.utf8))
            try source.fileHandleForWriting.close()
            let bytes = try output.fileHandleForReading.readToEnd() ?? Data()
            let complaints = try errors.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            return Outcome(
                status: process.terminationStatus, output: Array(bytes),
                complaints: String(decoding: complaints, as: UTF8.self))
        }
    }
}

/// One connection of `openssl s_client`, which takes from it only as fast as it is read here.
final class SecureClient: Sendable {
    private let process: Mutex<Process>
    private let input = Pipe()
    private let output = Pipe()

    init(to server: TestServer) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = ["s_client", "-quiet", "-connect", "127.0.0.1:\(server.address.port)"]
        (process.standardInput, process.standardOutput) = (input, output)
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.process = Mutex(process)
    }

    deinit { process.withLock { $0.terminate() } }

    func get(_ path: String) throws {
        try input.fileHandleForWriting.write(contentsOf: Data("GET \(path) HTTP/1.1\r\nHost: t\r\n\r\n".utf8))
    }

    /// Blocks for so many bytes; fewer at the end of the connection.
    func receive(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            guard let more = try output.fileHandleForReading.read(upToCount: count - bytes.count), !more.isEmpty
            else { break }
            bytes += more
        }
        return bytes
    }

    /// A head, up to its empty line.
    func head() throws -> String {
        var bytes: [UInt8] = []
        while !bytes.suffix(4).elementsEqual([13, 10, 13, 10]) {
            let more = try receive(1)
            guard !more.isEmpty else { break }
            bytes += more
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
