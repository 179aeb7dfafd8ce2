// A fake Docker Hub over TLS, to which docker.io's names lead in the clients' world: what reaches it fell back.

import Foundation

/// Holds nothing and answers 404 to everything but `/v2/`; its log tells who came.
struct FakeHub: Sendable {
    /// For a client: its hosts file names this hub, its trusted certificates are this hub's alone.
    let surroundings: Surroundings
    let child: Child
    private let log: String

    private static let names = [
        "registry-1.docker.io", "index.docker.io", "auth.docker.io", "docker.io", "hub.docker.com",
        "registry.hub.docker.com", "production.cloudflare.docker.com",
    ]

    static func start(on bench: Bench) async throws -> FakeHub {
        let folder = try bench.makeFolder("hub")
        // An address of 127/8 of its own, so that port 443 can be had whatever else runs here.
        let address = "127.\(Int.random(in: 10...250)).\(Int.random(in: 1...250)).\(Int.random(in: 1...250))"
        try await bench.succeed(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=fake hub", "-addext",
                "subjectAltName=" + names.map { "DNS:\($0)" }.joined(separator: ","),
                "-keyout", "\(folder)/key.pem", "-out", "\(folder)/certificate.pem",
            ])
        let hosts = try bench.write(
            "127.0.0.1 localhost\n\(address) \(names.joined(separator: " "))\n", to: "hub/hosts")
        let statusPort = try freePort()
        let child = try await startNginx(
            on: bench,
            """
            log_format came escape=json '$host $request_method $request_uri $status';
            default_type application/json;
            server {
                listen \(address):443 ssl;
                ssl_certificate \(folder)/certificate.pem;
                ssl_certificate_key \(folder)/key.pem;
                access_log \(folder)/requests came;
                location = /v2/ { return 200 '{}'; }
                location / {
                    return 404 '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"the fake hub has nothing"}]}';
                }
            }
            server {
                listen 127.0.0.1:\(statusPort);
                location / { return 204; }
            }
            """, folder: folder, port: statusPort)
        let certificates = ["SSL_CERT_FILE": "\(folder)/certificate.pem", "SSL_CERT_DIR": "\(folder)/none"]
        return FakeHub(
            surroundings: Surroundings(variables: certificates, hosts: hosts), child: child, log: "\(folder)/requests")
    }

    /// The requests for manifests and blobs so far.
    func requestsForContent() throws -> [String] {
        let text = try String(contentsOfFile: log, encoding: .utf8)
        return text.split(separator: "\n").map(String.init).filter {
            $0.contains("/manifests/") || $0.contains("/blobs/")
        }
    }
}
