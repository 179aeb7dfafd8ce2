// nginx before a registry: TLS of a private authority, HTTP/2, and client certificates where wanted.

import Foundation

struct TLSFront: Sendable {
    let port: Int
    let authority: PrivateAuthority
    let child: Child
    private let log: String

    /// One request as nginx saw it.
    struct Seen: Decodable, Sendable {
        /// "HTTP/2.0" or "HTTP/1.1".
        let `protocol`: String
        let uri: String
        let status: Int
        /// The name in the client's certificate; "" if it showed none.
        let client: String
        /// nginx's number of the connection.
        let connection: Int
    }

    /// - Parameters:
    ///   - names: as `subjectAltName` has them.
    ///   - asksForCertificate: whether only clients with a certificate of the authority are served.
    static func start(
        on bench: Bench, to target: Int, names: [String] = ["IP:127.0.0.1"], asksForCertificate: Bool = false
    ) async throws -> TLSFront {
        let authority = try await PrivateAuthority.make(on: bench)
        let pair = try await authority.issue("front", for: names)
        let port = try freePort()
        let folder = try bench.makeFolder("front-\(port)")
        let check = "ssl_client_certificate \(authority.certificate); ssl_verify_client on;"
        let child = try await startNginx(
            on: bench,
            """
            log_format seen escape=json '{"protocol":"$server_protocol","uri":"$uri","status":$status,'
                '"client":"$ssl_client_s_dn","connection":$connection}';
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            server {
                listen 127.0.0.1:\(port) ssl http2;
                ssl_certificate \(pair.certificate);
                ssl_certificate_key \(pair.key);
                \(asksForCertificate ? check : "")
                access_log \(folder)/seen seen;
                location / { proxy_pass http://127.0.0.1:\(target); }
            }
            """, folder: folder, port: port)
        return TLSFront(port: port, authority: authority, child: child, log: "\(folder)/seen")
    }

    /// Waits until `count` requests are logged, and returns all.
    func seen(atLeast count: Int = 0) async throws -> [Seen] {
        var seen: [Seen] = []
        try await eventually(within: .seconds(10), "nginx has logged \(count) requests") {
            // The last line may be half written.
            seen = try String(contentsOfFile: log, encoding: .utf8)
                .split(separator: "\n", omittingEmptySubsequences: false).dropLast()
                .map { try JSONDecoder().decode(Seen.self, from: Data($0.utf8)) }
            return seen.count >= count
        }
        return seen
    }
}
