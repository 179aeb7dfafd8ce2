// Credentials of an upstream: who gets to see them, what they open, and what is said when they are wrong.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("an upstream with token authentication") struct CredentialTests {
        @Test func `a private image is served, and the password is shown to the token service alone`() async throws {
            try await withPrivate { scene in
                let seen = try await scene.upstream.during {
                    for path in [PrivateScene.manifest] + scene.blobs { try await scene.mirror.warm(path) }
                }
                let questions = try scene.tokens.questions()
                #expect(questions.map(\.user) == [PrivateScene.user])
                #expect(questions.first?.scopes == ["repository:library/harbour:pull"])
                #expect(seen.contains { $0.authorization.hasPrefix("Bearer ") })
                #expect(!seen.contains { $0.authorization.hasPrefix("Basic ") })
            }
        }

        @Test func `askers of one scope at the same time cost one token request`() async throws {
            try await withPrivate(delay: 0.5) { scene in
                let paths = [PrivateScene.manifest, PrivateScene.manifest] + scene.blobs
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for path in paths + paths + paths {
                        group.addTask { try await scene.mirror.get(path).status }
                    }
                    for try await status in group { #expect(status == 200) }
                }
                #expect(try scene.tokens.questions().count == 1)
            }
        }

        @Test func `a wrong password is 403 DENIED in plain words, told once, and not tried again at once`()
            async throws
        {
            try await withPrivate(.password("wrong-secret-1")) { scene in
                for path in [PrivateScene.manifest, "/v2/library/fleet/manifests/latest", PrivateScene.manifest] {
                    let answer = try await scene.mirror.get(path)
                    #expect(answer.status == 403, "\(answer.summary)")
                    #expect(answer.errorCode == "DENIED")
                    #expect(answer.text.contains("credentials"), "\(answer.summary)")
                }
                #expect(try scene.tokens.questions().map(\.status) == [401])
                let told = scene.mirror.complaints
                #expect(told.count == 1, "\(told)")
                #expect(told.first?.contains(PrivateScene.user) == true)
                #expect(told.first?.contains("password-file") == true)
                #expect(!scene.mirror.child.outputText().contains("wrong-secret-1"))
            }
        }

        @Test func `what a stranger may not have is 403 DENIED as at Docker Hub, and remembered`() async throws {
            try await withPrivate(.none, keys: ["negative-for: 1h"]) { scene in
                let first = try await scene.mirror.get(PrivateScene.manifest)
                #expect(first.status == 403, "\(first.summary)")
                #expect(first.errorCode == "DENIED")
                #expect(first.fields["WWW-Authenticate"] == nil)
                #expect(try scene.tokens.questions().map(\.user) == [""])
                let seen = try await scene.upstream.during {
                    let again = try await scene.mirror.get(PrivateScene.manifest)
                    #expect(again.status == 403)
                    #expect(again.cacheStatus.contains("hit"), "\(again.cacheStatus)")
                }
                #expect(seen.isEmpty)
                // That someone may not have something is no news for an operator.
                #expect(scene.mirror.complaints.isEmpty, "\(scene.mirror.complaints)")
            }
        }

        @Test func `Docker's config gives the password, read again when it has changed`() async throws {
            func auths(_ password: String) -> String {
                let login = Data("\(PrivateScene.user):\(password)".utf8).base64EncodedString()
                return #"{"auths": {"docker.io": {"auth": "\#(login)"}}}"#
            }
            try await withPrivate(.dockerConfig(auths("old-secret"))) { scene in
                #expect(try await scene.mirror.get(PrivateScene.manifest).status == 403)
                try scene.bench.write(auths(PrivateScene.password), to: "config.json")
                #expect(try await scene.mirror.get(PrivateScene.manifest).status == 200)
                #expect(try scene.tokens.questions().map(\.status) == [401, 200])
            }
        }

        @Test func `an identity token goes to the token service as a form`() async throws {
            let config = #"{"auths": {"docker.io": {"identitytoken": "\#(PrivateScene.refreshToken)"}}}"#
            try await withPrivate(.dockerConfig(config)) { scene in
                try await scene.mirror.warm(PrivateScene.manifest)
                let questions = try scene.tokens.questions()
                #expect(questions.map(\.method) == ["POST"])
                #expect(questions.first?.form["grant_type"] == "refresh_token")
                #expect(questions.first?.form["service"] == "tests")
                #expect(questions.first?.scopes == ["repository:library/harbour:pull"])
                #expect(!scene.mirror.child.outputText().contains(PrivateScene.refreshToken))
            }
        }

        @Test func `a credential helper is asked, with the host on its standard input`() async throws {
            let helper = """
                #!/bin/sh
                [ "$1" = get ] && [ $# = 1 ] || exit 1
                read -r host
                echo "$host" >>"$(dirname "$0")/asked"
                echo '{"ServerURL": "", "Username": "\(PrivateScene.user)", "Secret": "\(PrivateScene.password)"}'
                """
            let config = #"{"credHelpers": {"docker.io": "wharf-tests"}}"#
            try await withPrivate(.dockerConfig(config), helper: helper) { scene in
                for path in [PrivateScene.manifest] + scene.blobs { try await scene.mirror.warm(path) }
                #expect(try scene.tokens.questions().map(\.user) == [PrivateScene.user])
                let asked = try String(contentsOfFile: scene.bench.path("bin/asked"), encoding: .utf8)
                #expect(asked.split(separator: "\n").count == 1, "\(asked)")
            }
        }

        @Test func `no secret is in a log line at level trace, in the statistics, in an error or among the arguments`()
            async throws
        {
            try await withPrivate(others: ["log: {level: trace}"]) { scene in
                let paths = [PrivateScene.manifest, "/v2/acme/tool/manifests/1.0", "/v2/library/none/manifests/1"]
                var said = ""
                for path in paths + scene.blobs {
                    let answer = try await scene.mirror.get(path)
                    if answer.status != 200 { said += answer.text }
                }
                said += try await scene.mirror.get("/stats").text + scene.mirror.child.outputText()
                said += try String(contentsOfFile: "/proc/\(scene.mirror.child.identifier)/cmdline", encoding: .utf8)
                let tokens = try scene.tokens.questions().compactMap(\.token)
                #expect(!tokens.isEmpty)
                #expect(said.contains(" trace ") || said.contains(" debug "), "it says nothing at that level")
                let login = Data("\(PrivateScene.user):\(PrivateScene.password)".utf8).base64EncodedString()
                for secret in tokens + [PrivateScene.password, login] {
                    #expect(!said.contains(secret), "\(secret) is in what it says")
                }
            }
        }

        @Test func `an endpoint cannot have a token made for another repository, or for pushing`() async throws {
            try await withBench { bench in
                let alice = TokenServer.Guest(
                    name: PrivateScene.user, password: PrivateScene.password, repositories: [".*"])
                let tokens = try await TokenServer.start(on: bench, [alice])
                let registry = Impostor.Door("registry", port: try freePort())
                let challenge = """
                    Bearer realm="http://\(tokens.authority)/token",service="tests",\
                    scope="repository:secret/vault:pull,push"
                    """
                let impostor = try await Impostor.start(
                    on: bench, [registry],
                    [Impostor.Line(at: registry, "/v2/.*", status: 401, ["WWW-Authenticate": challenge])])
                let keys = ["auth-hosts: [\"\(tokens.authority)\"]"]
                let mirror = try await Mirror.start(
                    on: bench,
                    configuration: Mirror.dockerHub(
                        on: registry.port, keys + (try login(PrivateScene.user, PrivateScene.password, on: bench))))
                let answer = try await mirror.get("/v2/acme/tool/manifests/1.0")
                #expect(answer.status == 403, "\(answer.summary)")
                let scopes = Set(try tokens.questions().flatMap(\.scopes))
                #expect(scopes.isSubset(of: ["repository:acme/tool:pull"]), "\(scopes)")
                #expect(try await !impostor.requests(to: registry).isEmpty)
            }
        }
    }

    @Suite("an upstream that knows Basic alone") struct BasicCredentialTests {
        private static let user = "bob"
        private static let password = "basic-secret-4"

        /// docker-registry with htpasswd behind a recorder.
        private func withHtpasswd(
            _ password: String, _ body: (Mirror, Recorder, Seed) async throws -> Void
        ) async throws {
            let seed = try await Seed.shared()
            try await withBench { bench in
                let line = try await bench.succeed("htpasswd", ["-Bbn", Self.user, Self.password])
                let users = try bench.write(line, to: "htpasswd")
                let registry = try await DebianRegistry.start(
                    on: bench, storage: seed.storage, authentication: "{htpasswd: {realm: tests, path: \"\(users)\"}}")
                let upstream = try await Recorder.start(on: bench, to: registry.port)
                let keys = try login(Self.user, password, on: bench)
                let mirror = try await Mirror.start(
                    on: bench, configuration: "log: {level: trace}\n" + Mirror.dockerHub(on: upstream.port, keys))
                try await body(mirror, upstream, seed)
            }
        }

        @Test func `a private image is served, and the password is nowhere to be read`() async throws {
            try await withHtpasswd(Self.password) { mirror, _, seed in
                try await mirror.warm(PrivateScene.manifest)
                for blob in seed.harbour.blobs {
                    let answer = try await mirror.get("/v2/library/harbour/blobs/\(blob.digest)")
                    #expect(Digest.of(answer.body).description == blob.digest)
                }
                let said = try await mirror.child.outputText() + mirror.get("/stats").text
                #expect(!said.contains(Self.password))
                #expect(!said.contains(Data("\(Self.user):\(Self.password)".utf8).base64EncodedString()))
            }
        }

        @Test func `a wrong password is told once and not tried again at once`() async throws {
            try await withHtpasswd("wrong-secret-2") { mirror, upstream, _ in
                let seen = try await upstream.during {
                    for _ in 0..<3 {
                        let answer = try await mirror.get(PrivateScene.manifest)
                        #expect(answer.status == 403, "\(answer.summary)")
                        #expect(answer.errorCode == "DENIED")
                    }
                }
                #expect(seen.filter { $0.authorization.hasPrefix("Basic ") }.count == 1, "\(seen)")
                #expect(mirror.complaints.count == 1, "\(mirror.complaints)")
            }
        }

        @Test func `without credentials it is 403 DENIED`() async throws {
            try await withBench { bench in
                let registry = Impostor.Door("registry", port: try freePort())
                _ = try await Impostor.start(
                    on: bench, [registry],
                    [Impostor.Line(at: registry, "/v2/.*", status: 401, ["WWW-Authenticate": "Basic realm=\"x\""])])
                let mirror = try await Mirror.start(on: bench, upstream: registry.port)
                let answer = try await mirror.get(PrivateScene.manifest)
                #expect(answer.status == 403, "\(answer.summary)")
                #expect(answer.errorCode == "DENIED")
            }
        }
    }
}
