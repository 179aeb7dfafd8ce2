// A recording nginx between two parties; towards the mirror it can also behave like Docker Hub, or misbehave.

import Foundation
import Synchronization

/// One request as nginx saw it, one line of its log.
struct Recorded: Decodable, Sendable, CustomStringConvertible {
    let method: String
    let uri: String
    let status: Int
    /// Body bytes sent.
    let bytes: Int
    let range: String
    let agent: String
    let accept: String
    let authorization: String
    /// `If-None-Match`.
    let condition: String
    let forwarded: String
    let port: Int

    var path: Substring { uri.prefix { $0 != "?" } }
    var isManifest: Bool { path.contains("/manifests/") }
    var isBlob: Bool { path.contains("/blobs/") }
    /// What a registry is for; `/v2/` and tokens are not.
    var isContent: Bool { isManifest || isBlob }

    var description: String {
        "\(method) \(uri) -> \(status) \(bytes) B\(range.isEmpty ? "" : " range \(range)")"
    }
}

/// How the recorder treats what passes, besides recording it.
struct RecorderManners: Sendable {
    /// Like Docker Hub: no content without a token of its own.
    var asksForToken = false
    /// Like Docker Hub: blobs come from a second address, by redirect.
    var redirectsBlobs = false
    /// Like Docker Hub: `ratelimit-*` fields.
    var tellsLimits = false
    /// Bytes a second at which blobs are handed out.
    var blobRate: Int?
}

/// What it can do to a request for content instead of passing it on.
enum RecorderFailure: Hashable, Sendable {
    /// One of `statuses`.
    case status(Int)
    /// The connection is reset (RST) instead of an answer.
    case reset
    /// 200 and a page of HTML, as of a captive portal.
    case page
    /// 200 and a manifest that is not the one whose digest is told with it.
    case lie

    static let statuses = [401, 403, 404, 408, 429, 500, 503]
    static let all = statuses.map { RecorderFailure.status($0) } + [.reset, .page, .lie]

    /// Of the file that switches it on.
    var name: String { if case .status(let status) = self { "fail-\(status)" } else { "fail-\(self)" } }
}

final class Recorder: Sendable {
    let port: Int
    let child: Child
    private let log: String
    private let switches: String
    private let markers = Mutex(0)

    static func start(
        on bench: Bench, to target: Int, port: Int? = nil, _ manners: RecorderManners = RecorderManners()
    ) async throws -> Recorder {
        let port = try port ?? freePort()
        let folder = try bench.makeFolder("recorder-\(port)-\(UInt16.random(in: 0...(.max)))")
        let configuration = Configuration(
            port: port, secondPort: try freePort(), target: target, folder: folder, manners: manners)
        let child = try await startNginx(on: bench, configuration.text, folder: folder, port: port)
        return Recorder(port: port, child: child, log: "\(folder)/requests", switches: folder)
    }

    private init(port: Int, child: Child, log: String, switches: String) {
        self.port = port
        self.child = child
        self.log = log
        self.switches = switches
    }

    /// What was asked while `body` ran, in the order in which the requests ended.
    func during(_ body: () async throws -> Void) async throws -> [Recorded] {
        let before = try await requests().count
        try await body()
        let seen = Array(try await requests().dropFirst(before))
        if ProcessInfo.processInfo.environment["WHARF_TEST_SHOW"] == "1" {
            print(
                "recorder \(port):\n"
                    + seen.map { "    \($0) [\($0.agent.prefix(40))] accept: \($0.accept)" }.joined(separator: "\n"))
        }
        return seen
    }

    /// Everything asked so far. nginx has one process here and logs a request in the turn in which it sent its last
    /// byte, so once a request sent now stands in the log, so does all that its askers have seen answered.
    func requests() async throws -> [Recorded] {
        let marker =
            "/.recorded/"
            + String(
                markers.withLock { number in
                    number += 1
                    return number
                })
        _ = try await ask("GET", marker, port: port)
        var lines: [Recorded] = []
        try await eventually(within: .seconds(10), "the recorder's log has \(marker)") {
            lines = try read()
            return lines.contains { $0.uri == marker }
        }
        return lines.filter { !$0.uri.hasPrefix("/.recorded/") }
    }

    private func read() throws -> [Recorded] {
        let text = try String(contentsOfFile: log, encoding: .utf8)
        // The last line may be half written.
        return try text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map {
            try JSONDecoder().decode(Recorded.self, from: Data($0.utf8))
        }
    }

    /// From now on every request for content gets this status; `nil`: none does.
    func fail(with status: Int?) throws { try misbehave(status.map { .status($0) }) }

    /// From now on every request for content is treated like this; `nil`: passed on again.
    func misbehave(_ manner: RecorderFailure?) throws {
        for known in RecorderFailure.all {
            let path = "\(switches)/\(known.name)"
            if known == manner {
                try Data().write(to: URL(fileURLWithPath: path))
            } else if FileManager.default.fileExists(atPath: path) {
                try FileManager.default.removeItem(atPath: path)
            }
        }
    }

    /// Connections to it are accepted, by the kernel, and nothing is answered on any until it thaws.
    func freeze() { child.signal(SIGSTOP) }

    func thaw() { child.signal(SIGCONT) }

    /// Ends it: connections to it are refused from now on.
    func stop() async { await child.end() }
}

extension Recorder {
    struct Configuration {
        let port: Int
        let secondPort: Int
        let target: Int
        let folder: String
        let manners: RecorderManners

        var text: String {
            """
            log_format recorded escape=json '{"method":"$request_method","uri":"$request_uri","status":$status,'
                '"bytes":$body_bytes_sent,"range":"$http_range","agent":"$http_user_agent","accept":"$http_accept",'
                '"authorization":"$http_authorization","condition":"$http_if_none_match","forwarded":"$http_via",'
                '"port":$server_port}';
            map $http_authorization $allowed { default \(manners.asksForToken ? 0 : 1); "Bearer tests-token" 1; }
            map $uri $scope {
                default "";
                "~^/v2/(?<repository>.+)/(manifests|blobs|tags)/" ',scope="repository:$repository:pull"';
            }
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_buffering off;
            proxy_redirect off;
            proxy_read_timeout 120s;
            server {
                listen 127.0.0.1:\(port);
                access_log \(folder)/requests recorded;
                default_type application/json;
                reset_timedout_connection on;
                location /.recorded/ { return 204; }
                location = /.page {
                    internal;
                    default_type text/html;
                    return 200 '<html><body>please log in to the hotel network</body></html>';
                }
                location = /.lie {
                    internal;
                    default_type application/vnd.oci.image.manifest.v1+json;
                    add_header Docker-Content-Digest sha256:\(String(repeating: "1", count: 64));
                    return 200 '{"schemaVersion":2}';
                }
                location = /token { return 200 '{"token":"tests-token","expires_in":300}'; }
                location ~ ^/v2/.+/blobs/ {
                    \(rules)
                    \(manners.redirectsBlobs ? "return 307 http://127.0.0.1:\(secondPort)$request_uri;" : pacedPass)
                }
                location / {
                    \(rules)
                    \(pass)
                }
            }
            server {
                listen 127.0.0.1:\(secondPort);
                access_log \(folder)/requests recorded;
                location / { \(pacedPass) }
            }
            """
        }

        private var pass: String { "proxy_pass http://127.0.0.1:\(target);" }
        /// nginx paces only what it buffers; in memory, so that the upstream is held back too.
        private var pacedPass: String {
            (manners.blobRate.map { "proxy_buffering on; proxy_max_temp_file_size 0; limit_rate \($0); " } ?? "") + pass
        }

        private var rules: String {
            let challenge = #"'Bearer realm="http://127.0.0.1:\#(port)/token",service="tests"$scope'"#
            var rules = """
                if ($allowed = 0) {
                    add_header WWW-Authenticate \(challenge) always;
                    return 401 '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}';
                }
                """
            for failure in [RecorderFailure.page, .lie] {
                rules += "\nif (-e \(folder)/\(failure.name)) { rewrite ^ /.\(failure) last; }"
            }
            // nginx's own word for closing without an answer, which the server's rule above turns into a reset.
            rules += "\nif (-e \(folder)/\(RecorderFailure.reset.name)) { return 444; }"
            for status in RecorderFailure.statuses {
                let body = #"'{"errors":[{"code":"TOLD","message":"the upstream was told to say \#(status)"}]}'"#
                rules += """

                    if (-e \(folder)/\(RecorderFailure.status(status).name)) {
                        \(status == 429 ? "add_header Retry-After 7 always;" : "")
                        return \(status) \(body);
                    }
                    """
            }
            guard manners.tellsLimits else { return rules }
            return rules + """

                add_header ratelimit-limit '100;w=21600' always;
                add_header ratelimit-remaining '76;w=21600' always;
                add_header docker-ratelimit-source 192.0.2.1 always;
                """
        }
    }
}

/// Starts an nginx of one process in the foreground, everything it writes in `folder`.
func startNginx(on bench: Bench, _ configuration: String, folder: String, port: Int) async throws -> Child {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map { "\($0)_temp_path \(folder)/\($0);" }
    let path = "\(folder)/nginx.conf"
    try """
    daemon off;
    master_process off;
    pid \(folder)/nginx.pid;
    error_log stderr warn;
    events { worker_connections 1024; }
    http {
    \(temporary.joined(separator: "\n"))
    access_log off;
    lingering_close off;
    client_max_body_size 0;
    \(configuration)
    }
    """.write(toFile: path, atomically: true, encoding: .utf8)
    let child = try bench.start("nginx-\(port)", "nginx", ["-e", "stderr", "-c", path])
    try await eventually(within: .seconds(10), "nginx listens on port \(port)") {
        guard child.exitStatus == nil else { throw HarnessError("nginx ended: \(child.outputText())") }
        // Refused: not listening yet.
        return (try? Connection(port: port)) != nil
    }
    return child
}
