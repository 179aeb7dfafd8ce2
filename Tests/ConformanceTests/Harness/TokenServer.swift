// A token service for docker-registry: tokens that it really verifies, and a note of everybody who asked for one.

import Foundation

/// Speaks both forms of distribution's "Token Authentication": GET with Basic, and POST with a refresh token.
struct TokenServer: Sendable {
    /// Who may pull what.
    struct Guest: Encodable, Sendable {
        /// "" is who comes without credentials.
        var name = ""
        var password = ""
        /// For the POST form.
        var refreshToken: String?
        /// Expressions that a whole repository's name has to match.
        var repositories: [String] = []
    }

    /// One request for a token.
    struct Question: Decodable, Sendable {
        let method: String
        /// The name it came with; "" if none.
        let user: String
        let scopes: [String]
        /// Of the POST form.
        let form: [String: String]
        let status: Int
        /// What was given, and is a secret.
        let token: String?
    }

    let port: Int
    let child: Child
    private let folder: String

    /// What names this service as a realm: `127.0.0.1:PORT`.
    var authority: String { "127.0.0.1:\(port)" }
    /// For docker-registry's `auth`.
    var authentication: String {
        """
        {token: {realm: "http://\(authority)/token", service: tests, issuer: tests, \
        rootcertbundle: "\(folder)/certificate.pem"}}
        """
    }

    /// - Parameter delay: seconds that every answer takes, so that askers can meet.
    static func start(on bench: Bench, _ guests: [Guest], delay: Double = 0) async throws -> TokenServer {
        struct Script: Encodable {
            let port: Int
            let folder: String
            let guests: [Guest]
            let delay: Double
        }
        let port = try freePort()
        let folder = try bench.makeFolder("tokens-\(port)")
        // RSA, since docker-registry is shown the certificate in the token (`x5c`) and openssl signs as JWT wants it.
        try await bench.succeed(
            "openssl",
            [
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens",
                "-keyout", "\(folder)/key.pem", "-out", "\(folder)/certificate.pem",
            ])
        let script = Script(port: port, folder: folder, guests: guests, delay: delay)
        try JSONEncoder().encode(script).write(to: URL(fileURLWithPath: "\(folder)/script.json"))
        try program.write(toFile: "\(folder)/tokens.py", atomically: true, encoding: .utf8)
        let child = try bench.start("tokens", "python3", ["\(folder)/tokens.py", "\(folder)/script.json"])
        try await answers(on: port, by: child, path: "/")
        return TokenServer(port: port, child: child, folder: folder)
    }

    /// Everything asked so far; a question stands here before it is answered.
    func questions() throws -> [Question] {
        let text = try String(contentsOfFile: "\(folder)/log", encoding: .utf8)
        // The last line may be half written.
        return try text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map {
            try JSONDecoder().decode(Question.self, from: Data($0.utf8))
        }
    }

    private static let program = #"""
        import base64, json, re, subprocess, sys, threading, time
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
        from urllib.parse import parse_qs, urlsplit

        script = json.load(open(sys.argv[1]))
        folder = script["folder"]
        lock = threading.Lock()
        log = open(folder + "/log", "w")

        def run(*command, input=None):
            return subprocess.run(command, input=input, stdout=subprocess.PIPE, check=True).stdout

        certificate = run("openssl", "x509", "-in", folder + "/certificate.pem", "-outform", "DER")

        def text(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")

        def token(user, access):
            now = int(time.time())
            head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(certificate).decode()]}
            claims = {"iss": "tests", "aud": "tests", "sub": user, "iat": now, "nbf": now - 60, "exp": now + 300,
                      "jti": str(time.time_ns()), "access": access}
            signed = text(json.dumps(head).encode()) + b"." + text(json.dumps(claims).encode())
            signature = run("openssl", "dgst", "-sha256", "-sign", folder + "/key.pem", input=signed)
            return (signed + b"." + text(signature)).decode()

        class Service(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                query = parse_qs(urlsplit(self.path).query)
                if urlsplit(self.path).path != "/token":
                    return self.say(404, {})
                name, password = "", ""
                kind, _, value = self.headers.get("Authorization", "").partition(" ")
                if kind == "Basic":
                    name, _, password = base64.b64decode(value).decode().partition(":")
                known = [guest for guest in script["guests"] if (guest["name"], guest["password"]) == (name, password)]
                self.answer("GET", name, query.get("scope", []), {}, known)

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                known = [guest for guest in script["guests"]
                         if form.get("grant_type") == "refresh_token" and guest.get("refreshToken")
                         and guest["refreshToken"] == form.get("refresh_token")]
                self.answer("POST", "", form.get("scope", "").split(), form, known)

            def answer(self, method, user, scopes, form, known):
                time.sleep(script["delay"])
                given = None
                if known:
                    access = []
                    for scope in scopes:
                        kind, _, rest = scope.partition(":")
                        name, _, actions = rest.rpartition(":")
                        if any(re.fullmatch(pattern, name) for pattern in known[0]["repositories"]):
                            access.append({"type": kind, "name": name, "actions": ["pull"]})
                    given = token(known[0]["name"], access)
                status = 200 if known else 401
                with lock:
                    log.write(json.dumps(dict(method=method, user=user, scopes=scopes, form=form, status=status,
                                              token=given)) + "\n")
                    log.flush()
                if known:
                    self.say(200, {"token": given, "access_token": given, "expires_in": 300})
                else:
                    self.say(401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]})

            def say(self, status, value):
                content = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        Server(("127.0.0.1", script["port"]), Service).serve_forever()
        """#
}
