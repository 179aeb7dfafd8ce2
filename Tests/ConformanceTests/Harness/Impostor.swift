// An upstream, a token service or an attacker that plays the part a test wrote for it, and remembers who came.

import Foundation
import Synchronization

/// A process of its own, so that it can stand in a network of its own too. It notes every connection, even one on
/// which nothing is said: the proof of what an attacker did not get.
///
/// ```swift
/// let registry = Impostor.Door("registry", port: try freePort())
/// let impostor = try await Impostor.start(on: bench, [registry], [
///     Impostor.Line(at: registry, "/v2/.*", status: 404),
/// ])
/// … #expect(try await impostor.visits(to: registry).isEmpty)
/// ```
struct Impostor: Sendable {
    /// Where it listens.
    struct Door: Encodable, Sendable {
        let name: String
        let address: String
        let port: Int
        /// Files of PEM; `nil`: it speaks in clear text.
        var certificate: String?
        var key: String?

        init(_ name: String, at address: String = "127.0.0.1", port: Int, _ pair: KeyPair? = nil) {
            self.name = name
            self.address = address
            self.port = port
            certificate = pair?.certificate
            key = pair?.key
        }

        /// With brackets around an IPv6 address.
        var authority: String { address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)" }
        var url: String { "\(certificate == nil ? "http" : "https")://\(authority)" }
    }

    /// What it answers; the first line that fits a request counts, and where none does it says 404.
    struct Line: Encodable, Sendable {
        let door: String
        /// An expression that the whole path, without the query, has to match.
        let path: String
        var method: String?
        /// Fits only where `Authorization` is this; "" where there is none; `nil`: whatever it is.
        var authorization: String?
        /// How often it fits; `nil`: always.
        var times: Int?
        let status: Int
        var fields: [[String]] = []
        var body = ""
        /// Seconds that it takes.
        var delay = 0.0

        init(at door: Door, _ path: String, status: Int, _ fields: [String: String] = [:], body: String = "") {
            self.door = door.name
            self.path = path
            self.status = status
            self.fields = fields.map { [$0, $1] }
            self.body = body
        }

        func of(_ method: String) -> Line { changed { $0.method = method } }
        func times(_ count: Int) -> Line { changed { $0.times = count } }
        func authorized(_ value: String) -> Line { changed { $0.authorization = value } }

        private func changed(_ change: (inout Line) -> Void) -> Line {
            var line = self
            change(&line)
            return line
        }
    }

    /// One connection, and what was asked on it if anything was.
    struct Visit: Decodable, Sendable, CustomStringConvertible {
        let door: String
        let connection: Int
        /// `nil`: this line tells of the connection itself.
        let method: String?
        let target: String?
        /// By lower-case name.
        let fields: [String: String]?
        let body: String?

        var authorization: String? { fields?["authorization"] }
        var description: String { "\(door)#\(connection) \(method ?? "connection") \(target ?? "")" }
    }

    let child: Child
    private let log: String
    private let network: OwnNetwork?

    static func start(
        on bench: Bench, _ doors: [Door], _ lines: [Line], in network: OwnNetwork? = nil
    ) async throws -> Impostor {
        struct Script: Encodable {
            let log: String
            let doors: [Door]
            let lines: [Line]
        }
        let folder = try bench.makeFolder("impostor-\(UInt32.random(in: 0...(.max)))")
        let script = Script(log: "\(folder)/log", doors: doors, lines: lines)
        try JSONEncoder().encode(script).write(to: URL(fileURLWithPath: "\(folder)/script.json"))
        try program.write(toFile: "\(folder)/impostor.py", atomically: true, encoding: .utf8)
        let child = try bench.start(
            "impostor", "python3", ["\(folder)/impostor.py", "\(folder)/script.json"],
            surroundings: network?.surroundings ?? .plain)
        try await eventually(within: .seconds(20), "the impostor listens") {
            guard child.exitStatus == nil else { throw HarnessError("it ended: \(child.outputText())") }
            return FileManager.default.fileExists(atPath: script.log)
        }
        return Impostor(child: child, log: script.log, network: network)
    }

    /// Who has come to a door so far. It accepts in order, so a visit of our own, which is left out, proves that
    /// everything before it stands in the log. A door that speaks TLS has none: there only what was answered is sure
    /// to stand here.
    func visits(to door: Door) async throws -> [Visit] {
        guard door.certificate == nil else { return try read().filter { $0.door == door.name } }
        let marker = "/.marker/\(UInt64.random(in: 0...(.max)))"
        _ = try await blocking { [network] in
            let connection = try Connection(port: door.port, at: door.address, in: network)
            try connection.send("GET", marker, ["Connection": "close"])
            return try connection.read(.max).bytes.count
        }
        let seen = try read()
        guard seen.contains(where: { $0.target == marker }) else { throw HarnessError("\(marker) is not in the log") }
        let ours = Set(seen.filter { $0.target?.hasPrefix("/.marker/") == true }.map(\.connection))
        return seen.filter { $0.door == door.name && !ours.contains($0.connection) }
    }

    /// The requests that came to a door so far.
    func requests(to door: Door) async throws -> [Visit] { try await visits(to: door).filter { $0.method != nil } }

    private func read() throws -> [Visit] {
        let text = try String(contentsOfFile: log, encoding: .utf8)
        // The last line may be half written.
        return try text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map {
            try JSONDecoder().decode(Visit.self, from: Data($0.utf8))
        }
    }

    private static let program = #"""
        import json, re, socket, ssl, sys, threading, time
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        script = json.load(open(sys.argv[1]))
        lock = threading.Lock()
        count = 0
        log = None

        def say(door, connection, **more):
            with lock:
                log.write(json.dumps(dict(door=door, connection=connection, **more)) + "\n")
                log.flush()

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def __init__(self, door):
                self.door = door
                if ":" in door["address"]:
                    self.address_family = socket.AF_INET6
                self.context = None
                if door.get("certificate"):
                    self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    self.context.load_cert_chain(door["certificate"], door["key"])
                super().__init__((door["address"], door["port"]), Part)

            def server_bind(self):
                if self.address_family == socket.AF_INET6:
                    self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                socket.socket.bind(self.socket, self.server_address)

            def process_request(self, request, client):
                global count
                with lock:
                    count += 1
                    number = count
                say(self.door["name"], number)
                super().process_request(request, (client, number))

            def finish_request(self, request, client):
                try:
                    if self.context:
                        request = self.context.wrap_socket(request, server_side=True)
                    Part(request, client, self)
                    request.close()
                except OSError:
                    pass

        class Part(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def play(self):
                door = self.server.door["name"]
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
                fields = {name.lower(): value for name, value in self.headers.items()}
                say(door, self.client_address[1], method=self.command, target=self.path, fields=fields, body=body)
                path = self.path.split("?")[0]
                line = self.choose(door, path, fields.get("authorization", ""))
                time.sleep(line.get("delay", 0))
                content = line.get("body", "").encode()
                try:
                    self.send_response(line["status"])
                    for name, value in line.get("fields", []):
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(content)
                except OSError:
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = play

            def choose(self, door, path, authorization):
                with lock:
                    for line in script["lines"]:
                        if line["door"] != door or not re.fullmatch(line["path"], path):
                            continue
                        if line.get("method") not in (None, self.command) or line.get("times") == 0:
                            continue
                        if line.get("authorization") not in (None, authorization):
                            continue
                        if line.get("times"):
                            line["times"] -= 1
                        return line
                return {"status": 404}

        servers = [Server(door) for door in script["doors"]]
        log = open(script["log"], "w")
        for server in servers[1:]:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        servers[0].serve_forever()
        """#
}
