// An upstream that is not to be trusted: what it may not make the mirror do, and what it may not make it serve.

import Foundation
import OCI
import TestSupport
import Testing

/// A hostile registry with an attacker beside it, and a mirror with credentials for the registry.
struct HostileScene: Sendable {
    let bench: Bench
    let impostor: Impostor
    let registry: Impostor.Door
    let attacker: Impostor.Door
    let mirror: Mirror

    static let manifest = "/v2/library/prize/manifests/latest"
    /// A blob of text, which an impostor can have as a body.
    static let blob = TestBlob(Array(String(repeating: "cargo of the good ship\n", count: 200).utf8))
    static var text: String { String(decoding: blob.bytes, as: UTF8.self) }
    static var blobPath: String { "/v2/library/prize/blobs/\(blob.digest)" }
    static let user = "carol"
    static let password = "hostile-secret-6"
    static var basic: String { "Basic " + Data("\(user):\(password)".utf8).base64EncodedString() }

    /// Nobody came to the attacker, not even without a word.
    func expectNobodyCame(_ place: SourceLocation = #_sourceLocation) async throws {
        let visits = try await impostor.visits(to: attacker)
        #expect(visits.isEmpty, sourceLocation: place)
    }
}

/// - Parameters:
///   - tls: whether the registry speaks TLS, with a certificate that the mirror trusts.
///   - attackerPort: where the attacker listens, if the caller has to know.
///   - keys: of the upstream.
///   - lines: for the doors of registry and attacker.
func withHostile(
    tls: Bool = false, attackerPort: Int? = nil, keys: [String] = [],
    _ lines: (_ registry: Impostor.Door, _ attacker: Impostor.Door) -> [Impostor.Line],
    _ body: (HostileScene) async throws -> Void
) async throws {
    try await withBench { bench in
        var pair: KeyPair?
        var trust: [String] = []
        if tls {
            let authority = try await PrivateAuthority.make(on: bench)
            pair = try await authority.issue("registry", for: ["IP:127.0.0.1"])
            trust = ["ca-file: \(authority.certificate)"]
        }
        let registry = Impostor.Door("registry", port: try freePort(), pair)
        let attacker = Impostor.Door("attacker", port: try attackerPort ?? freePort())
        let impostor = try await Impostor.start(on: bench, [registry, attacker], lines(registry, attacker))
        let login = try login(HostileScene.user, HostileScene.password, on: bench)
        let mirror = try await Mirror.start(
            on: bench, configuration: Mirror.dockerHub(at: [registry.url], trust + login + keys))
        try await body(
            HostileScene(
                bench: bench, impostor: impostor, registry: registry, attacker: attacker, mirror: mirror))
    }
}

extension Conformance {
    @Suite("a token realm of the upstream's choice") struct UpstreamRealmTests {
        private static func challenge(_ realm: String) -> [String: String] {
            ["WWW-Authenticate": #"Bearer realm="\#(realm)",service="tests",scope="repository:library/prize:pull""#]
        }

        private static let granted = #"{"token":"granted","expires_in":300}"#

        enum Realm: CaseIterable {
            case otherPort, otherHost, otherScheme, userinfo, userinfoThatLooksLikeTheHost, noWebScheme
            case redirected

            func url(_ registry: Impostor.Door, _ attacker: Impostor.Door) -> String {
                switch self {
                case .otherPort: "\(attacker.url)/token"
                case .otherHost: "http://localhost:\(attacker.port)/token"
                case .otherScheme: "https://127.0.0.1:\(attacker.port)/token"
                case .userinfo: "http://eve:evil@127.0.0.1:\(attacker.port)/token"
                case .userinfoThatLooksLikeTheHost: "http://127.0.0.1:\(registry.port)@127.0.0.1:\(attacker.port)/token"
                case .noWebScheme: "ftp://127.0.0.1:\(attacker.port)/token"
                case .redirected: "\(registry.url)/moved"
                }
            }
        }

        @Test(arguments: Realm.allCases)
        func `where it is not the registry's own place gets no request, and no connection`(realm: Realm) async throws {
            try await withHostile { registry, attacker in
                [
                    Impostor.Line(at: registry, "/v2/.*", status: 401, Self.challenge(realm.url(registry, attacker))),
                    Impostor.Line(at: registry, "/moved", status: 307, ["Location": "\(attacker.url)/token"]),
                    Impostor.Line(at: attacker, "/.*", status: 200, body: Self.granted),
                ]
            } _: { scene in
                for path in [HostileScene.manifest, HostileScene.blobPath] {
                    let answer = try await scene.mirror.get(path)
                    #expect(answer.status >= 403, "\(answer.summary)")
                    #expect(answer.errorCode != nil)
                    #expect(answer.fields["Proxy-Status"] != nil)
                }
                try await scene.expectNobodyCame()
            }
        }

        @Test func `in auth-hosts is asked with the credentials, of its port alone where one is given`() async throws {
            for (port, isAsked) in [(0, true), (1, false)] {
                let attackerPort = try freePort()
                let keys = ["auth-hosts: [\"127.0.0.1:\(attackerPort + port)\"]"]
                try await withHostile(attackerPort: attackerPort, keys: keys) { registry, attacker in
                    [
                        Impostor.Line(at: registry, "/v2/.*", status: 404).authorized("Bearer granted"),
                        Impostor.Line(at: registry, "/v2/.*", status: 401, Self.challenge("\(attacker.url)/token")),
                        Impostor.Line(at: attacker, "/token", status: 200, body: Self.granted),
                    ]
                } _: { scene in
                    let answer = try await scene.mirror.get(HostileScene.manifest)
                    #expect((answer.status == 404) == isAsked, "\(answer.summary)")
                    let asked = try await scene.impostor.requests(to: scene.attacker)
                    #expect(asked.compactMap(\.authorization) == (isAsked ? [HostileScene.basic] : []))
                }
            }
        }

        @Test func `in clear text gets nothing where the registry speaks TLS, auth-hosts or not`() async throws {
            let attackerPort = try freePort()
            let keys = ["auth-hosts: [\"127.0.0.1:\(attackerPort)\"]"]
            try await withHostile(tls: true, attackerPort: attackerPort, keys: keys) { registry, attacker in
                [
                    Impostor.Line(at: registry, "/v2/.*", status: 401, Self.challenge("\(attacker.url)/token")),
                    Impostor.Line(at: attacker, "/token", status: 200, body: Self.granted),
                ]
            } _: { scene in
                let answer = try await scene.mirror.get(HostileScene.manifest)
                #expect(answer.status >= 403, "\(answer.summary)")
                #expect(try await !scene.impostor.requests(to: scene.registry).isEmpty)
                try await scene.expectNobodyCame()
            }
        }

        /// The token itself is that long, or it is a good one in an answer that long.
        @Test(arguments: [#"{"token":"LONG"}"#, #"{"more":"LONG","token":"granted"}"#])
        func `that answers with 10 MB for a token is not believed`(form: String) async throws {
            let long = String(repeating: "t", count: 10_000_000)
            let body = form.replacingOccurrences(of: "LONG", with: long)
            try await withHostile { registry, _ in
                [
                    Impostor.Line(at: registry, "/v2/.*", status: 401, Self.challenge("\(registry.url)/token")),
                    Impostor.Line(at: registry, "/token", status: 200, body: body),
                ]
            } _: { scene in
                let answer = try await scene.mirror.get(HostileScene.manifest)
                #expect((500...599).contains(answer.status), "\(answer.summary)")
                let shown = try await scene.impostor.requests(to: scene.registry).filter { $0.authorization != nil }
                #expect(shown.map(\.authorization) == [HostileScene.basic], "\(shown)")
                #expect(try await scene.mirror.get("/livez").status == 200)
            }
        }

        @Test func `in a challenge of 64 KiB is not followed`() async throws {
            let length = 64 << 10
            try await withHostile { registry, attacker in
                let realm = "\(registry.url)/token?" + String(repeating: "r", count: length)
                return [
                    Impostor.Line(at: registry, "/v2/.*", status: 401, Self.challenge(realm)),
                    Impostor.Line(at: registry, "/token", status: 200, body: Self.granted),
                ]
            } _: { scene in
                let answer = try await scene.mirror.get(HostileScene.manifest)
                #expect(answer.status >= 403, "\(answer.summary)")
                #expect(answer.body.count < 4096)
                let asked = try await scene.impostor.requests(to: scene.registry)
                #expect(!asked.isEmpty)
                #expect(!asked.contains { $0.target?.hasPrefix("/token") == true }, "\(asked)")
                #expect(scene.mirror.child.outputText().utf8.count < length)
            }
        }
    }

    @Suite("an upstream that lies about a manifest") struct UpstreamLieTests {
        /// Asks for whatever is at `latest`, and what a mirror says that keeps nothing of it.
        private func refused(_ scene: HostileScene, _ word: String) async throws {
            for _ in 0..<2 {
                let answer = try await scene.mirror.get(HostileScene.manifest)
                #expect(answer.status == 502, "\(answer.summary)")
                #expect(answer.text.contains(word), "\(answer.summary)")
                #expect(answer.fields["Proxy-Status"] != nil)
            }
            let storage = try await scene.mirror.statistics()["storage"]
            #expect(storage["manifests"].number == 0)
            #expect(storage["tags"].number == 0)
        }

        @Test func `one of 5 MB is refused with the reason, and not kept`() async throws {
            let note = String(repeating: "n", count: 5_000_000)
            let text = """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociIndex)","manifests":[],"annotations":{"n":"\(note)"}}
                """
            let digest = Digest.of(Array(text.utf8))
            try await withHostile { registry, _ in
                let fields = ["Content-Type": "\(MediaType.ociIndex)", "Docker-Content-Digest": "\(digest)"]
                return [Impostor.Line(at: registry, "/v2/.*", status: 200, fields, body: text)]
            } _: { scene in
                try await refused(scene, "over")
                let byDigest = try await scene.mirror.get("/v2/library/prize/manifests/\(digest)")
                #expect(byDigest.status == 502, "\(byDigest.summary)")
            }
        }

        @Test func `a page of HTML is no manifest and no blob`() async throws {
            let page = "<html><body>please log in to the hotel's network</body></html>"
            try await withHostile { registry, _ in
                [Impostor.Line(at: registry, "/v2/.*", status: 200, ["Content-Type": "text/html"], body: page)]
            } _: { scene in
                try await refused(scene, "HTML")
                let blob = TestBlob(Array(page.utf8))
                // Even where the bytes are those asked for: a captive portal's 200 means nothing.
                let answer = try await scene.mirror.get("/v2/library/prize/blobs/\(blob.digest)")
                #expect(answer.status == 404, "\(answer.summary)")
                #expect(answer.fields["Proxy-Status"] != nil)
                #expect(!answer.text.contains("hotel"))
            }
        }
    }

    @Suite("ns= and host prefixes that name no upstream") struct UpstreamNamingTests {
        @Test func `are 404 NAME_UNKNOWN, and nobody is contacted`() async throws {
            try await withHostile { registry, _ in
                [Impostor.Line(at: registry, "/v2/.*", status: 404)]
            } _: { scene in
                let names = [
                    scene.attacker.authority, "localhost:\(scene.attacker.port)", "evil.example", "ghcr.io",
                    "docker.io.evil.example", "docker.io:\(scene.attacker.port)", "http://\(scene.attacker.authority)",
                    "docker.io@\(scene.attacker.authority)",
                ]
                for name in names {
                    for method in ["GET", "HEAD"] {
                        let path = "\(HostileScene.manifest)?ns=\(name)"
                        let answer = try await ask(method, path, port: scene.mirror.port)
                        #expect(answer.status == 404 || answer.status == 400, "\(name): \(answer.summary)")
                        if method == "GET" { #expect(answer.errorCode == "NAME_UNKNOWN", "\(name)") }
                    }
                }
                #expect(try await scene.impostor.visits(to: scene.registry).isEmpty)
                try await scene.expectNobodyCame()
            }
        }

        @Test func `of the upstream are echoed`() async throws {
            try await withScene { scene in
                let answer = try await scene.mirror.get("/v2/library/harbour/manifests/latest?ns=docker.io")
                #expect(answer.status == 200)
                #expect(answer.fields["OCI-Namespace"] == "docker.io")
            }
        }
    }
}
