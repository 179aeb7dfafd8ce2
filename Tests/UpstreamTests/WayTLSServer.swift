// An nginx with TLS, HTTP/2 and certificates of its own, for one test.
import Foundation
import TestSupport

/// Answers every request with the protocol it came by, the number of its connection, and what is known of the client's
/// certificate (`SUCCESS` or `NONE`).
final class TLSServer: Sendable {
    let port: Int
    let folder: TemporaryDirectory
    private let reserved: CInt
    private let process: Process

    var caFile: String { folder.path("ca.pem") }
    var client: (certificate: String, key: String) { (folder.path("client.pem"), folder.path("client.key")) }
    var url: String { "https://127.0.0.1:\(port)/" }

    /// Runs the body, and ends nginx after it.
    static func run(_ body: (TLSServer) async throws -> Void) async throws {
        let server = try await TLSServer()
        do {
            try await body(server)
        } catch {
            server.end()
            throw error
        }
        server.end()
    }

    private init() async throws {
        folder = try TemporaryDirectory()
        try Self.makeCertificates(in: folder)
        // Held without listening, so that the port is nobody else's: nginx shares it by SO_REUSEPORT.
        reserved = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        var yes: CInt = 1
        setsockopt(reserved, SOL_SOCKET, SO_REUSEPORT, &yes, socklen_t(MemoryLayout<CInt>.size))
        guard let port = bindToLoopback(reserved) else { throw POSIXError(.EADDRNOTAVAIL) }
        self.port = port
        let settings = """
            daemon off; master_process off; pid nginx.pid; error_log error.log; events {}
            http {
                access_log off;
                client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
                server {
                    listen 127.0.0.1:\(port) ssl http2 reuseport;
                    ssl_certificate server.pem; ssl_certificate_key server.key;
                    ssl_client_certificate ca.pem; ssl_verify_client optional;
                    location / { return 200 "$server_protocol $connection $ssl_client_verify $http_authorization"; }
                }
            }
            """
        try folder.write(Array(settings.utf8), to: "nginx.conf")
        process = Process()
        process.executableURL = URL(fileURLWithPath: try Self.path(of: "nginx"))
        process.arguments = ["-p", folder.path, "-c", folder.path("nginx.conf"), "-e", folder.path("error.log")]
        process.standardError = FileHandle.nullDevice
        try process.run()
        try await waitUntilListening()
    }

    private func waitUntilListening() async throws {
        while true {
            let probe = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
            defer { close(probe) }
            if withLoopback(port, { connect(probe, $0, $1) }) == 0 { return }
            guard process.isRunning else {
                // What it says is the failure; without a file there is nothing to add.
                let words = (try? String(contentsOfFile: folder.path("error.log"), encoding: .utf8)) ?? ""
                throw TLSServerError(words: "nginx does not start: \(words)")
            }
            try await Task.sleep(for: .milliseconds(10))  // another program's start, which tells nobody
        }
    }

    private func end() {
        // Started from a thread of a pool, it has inherited a mask that holds SIGTERM back.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        close(reserved)
    }

    // MARK: Certificates

    private static func makeCertificates(in folder: TemporaryDirectory) throws {
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        func make(_ name: String, _ more: [String]) throws {
            try openssl(
                ["req", "-x509"] + key
                    + [
                        "-subj", "/CN=\(name)", "-keyout", folder.path("\(name).key"), "-out",
                        folder.path("\(name).pem"),
                    ]
                    + more)
        }
        let byCA = ["-CA", folder.path("ca.pem"), "-CAkey", folder.path("ca.key"), "-addext"]
        try make("ca", [])
        try make("server", byCA + ["subjectAltName=IP:127.0.0.1,DNS:registry.test"])
        try make("client", byCA + ["extendedKeyUsage=clientAuth"])
    }

    private static func openssl(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try path(of: "openssl"))
        process.arguments = arguments
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw TLSServerError(words: "openssl \(arguments) failed") }
    }

    private static func path(of program: String) throws -> String {
        for folder in ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"] {
            if FileManager.default.isExecutableFile(atPath: "\(folder)/\(program)") { return "\(folder)/\(program)" }
        }
        throw TLSServerError(words: "\(program) is not installed; `deploy/test` installs what these tests need")
    }
}

struct TLSServerError: Error, CustomStringConvertible {
    let words: String
    var description: String { words }
}
