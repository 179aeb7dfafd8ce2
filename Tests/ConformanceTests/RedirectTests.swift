// Redirects of blobs: followed without credentials, and only where an upstream may lead.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("a redirect of a blob") struct RedirectTests {
        /// A registry that asks for Basic and then answers GETs of blobs with these Locations, the last one for good.
        private static func registry(_ registry: Impostor.Door, moves locations: [String]) -> [Impostor.Line] {
            let moves = locations.enumerated().map { index, location in
                let move = Impostor.Line(at: registry, "/v2/.*/blobs/.*", status: 307, ["Location": location])
                    .authorized(HostileScene.basic)
                return index < locations.count - 1 ? move.of("GET").times(1) : move
            }
            return moves + [
                Impostor.Line(at: registry, "/v2/.*", status: 401, ["WWW-Authenticate": "Basic realm=\"x\""])
            ]
        }

        private static func content(at door: Impostor.Door) -> Impostor.Line {
            let fields = ["Content-Type": "application/octet-stream"]
            return Impostor.Line(at: door, "/store", status: 200, fields, body: HostileScene.text)
        }

        private func expectRefused(_ scene: HostileScene) async throws {
            let answer = try await scene.mirror.get(HostileScene.blobPath)
            #expect(answer.status == 404, "\(answer.summary)")
            #expect(answer.fields["Proxy-Status"] != nil)
            let head = try await scene.mirror.head(HostileScene.blobPath)
            #expect(head.status >= 400)
            #expect(try await !scene.impostor.requests(to: scene.registry).isEmpty)
        }

        @Test func `to another host carries no credentials, and its bytes are served`() async throws {
            try await withHostile { registry, attacker in
                Self.registry(registry, moves: ["\(attacker.url)/store?signature=signed-secret-8"])
                    + [Self.content(at: attacker)]
            } _: { scene in
                let answer = try await scene.mirror.get(HostileScene.blobPath)
                #expect(answer.text == HostileScene.text)
                let requests = try await scene.impostor.requests(to: scene.attacker)
                #expect(!requests.isEmpty)
                for request in requests {
                    #expect(request.authorization == nil)
                    #expect(request.fields?["cookie"] == nil)
                    #expect(request.fields?["referer"] == nil)
                }
                #expect(!scene.mirror.child.outputText().contains("signed-secret-8"))
            }
        }

        enum Trap: CaseIterable {
            case userinfo, userinfoThatLooksLikeTheHost, file, gopher, noHost

            func url(_ registry: Impostor.Door, _ attacker: Impostor.Door) -> String {
                switch self {
                case .userinfo: "http://eve:evil@\(attacker.authority)/store"
                case .userinfoThatLooksLikeTheHost: "http://\(registry.authority)@\(attacker.authority)/store"
                case .file: "file:///etc/passwd"
                case .gopher: "gopher://\(attacker.authority)/store"
                case .noHost: "http:///store"
                }
            }
        }

        @Test(arguments: Trap.allCases)
        func `with userinfo or to no web server is not followed`(trap: Trap) async throws {
            try await withHostile { registry, attacker in
                Self.registry(registry, moves: [trap.url(registry, attacker)]) + [Self.content(at: attacker)]
            } _: { scene in
                try await expectRefused(scene)
                try await scene.expectNobodyCame()
            }
        }

        @Test func `from https to http is not followed`() async throws {
            try await withHostile(tls: true) { registry, attacker in
                Self.registry(registry, moves: ["\(attacker.url)/store"]) + [Self.content(at: attacker)]
            } _: { scene in
                try await expectRefused(scene)
                try await scene.expectNobodyCame()
            }
        }

        @Test func `that leads to itself ends after five hops`() async throws {
            try await withHostile { registry, _ in
                Self.registry(registry, moves: [HostileScene.blobPath])
            } _: { scene in
                let answer = try await scene.mirror.get(HostileScene.blobPath)
                #expect(answer.status == 404, "\(answer.summary)")
                #expect(answer.fields["Proxy-Status"] != nil)
                let asked = try await scene.impostor.requests(to: scene.registry).filter { $0.authorization != nil }
                // The first and five hops, and that three times at most before there was any answer.
                #expect((2...18).contains(asked.count), "\(asked.count)")
            }
        }

        @Test(arguments: [403, 404, 500, 503])
        func `whose host fails goes back to the registry for another`(status: Int) async throws {
            try await withHostile { registry, attacker in
                Self.registry(registry, moves: ["\(attacker.url)/broken", "\(attacker.url)/store"]) + [
                    Impostor.Line(at: attacker, "/broken", status: status), Self.content(at: attacker),
                ]
            } _: { scene in
                let answer = try await scene.mirror.get(HostileScene.blobPath)
                #expect(answer.text == HostileScene.text, "\(answer.summary)")
                let targets = try await scene.impostor.requests(to: scene.attacker).map(\.target)
                #expect(targets.first == "/broken")
                #expect(targets.last == "/store")
            }
        }
    }

    @Suite("docker-registry on SeaweedFS: 307 to presigned URLs") struct RedirectToObjectStoreTests {
        @Test func `an image is pulled whole, and no signature is written down`() async throws {
            let seed = try await Seed.shared()
            try await withBench { bench in
                let store = try await ObjectStore.start(on: bench)
                let tokens = try await TokenServer.start(
                    on: bench, [TokenServer.Guest(name: "alice", password: "s3-pass-secret", repositories: [".*"])])
                // Seeded by one registry without a password, read through another that asks for a token.
                let open = try await DebianRegistry.start(on: bench, storage: store.driver)
                let source = try await DebianRegistry.start(on: bench, storage: seed.storage)
                try await open.push(
                    "docker://127.0.0.1:\(source.port)/library/harbour:latest", to: "library/harbour:latest",
                    with: bench)
                let registry = try await DebianRegistry.start(
                    on: bench, storage: store.driver, authentication: tokens.authentication)
                let keys = ["auth-hosts: [\"\(tokens.authority)\"]"] + (try login("alice", "s3-pass-secret", on: bench))
                let mirror = try await Mirror.start(
                    on: bench, configuration: "log: {level: trace}\n" + Mirror.dockerHub(on: registry.port, keys))

                try await mirror.warm("/v2/library/harbour/manifests/latest")
                for blob in seed.harbour.blobs {
                    let path = "/v2/library/harbour/blobs/\(blob.digest)"
                    #expect(try await mirror.head(path).fields["Content-Length"] == "\(blob.size)")
                    // SeaweedFS refuses a presigned URL that comes with `Authorization` beside it.
                    #expect(Digest.of(try await mirror.get(path).body).description == blob.digest)
                }
                let range = try await mirror.get(
                    "/v2/library/harbour/blobs/\(seed.largeLayer.digest)", ["Range": "bytes=100-199"])
                #expect(range.status == 206)
                let said = try await mirror.child.outputText() + mirror.get("/stats").text
                #expect(!said.contains("X-Amz-Signature"))
                #expect(!said.contains("X-Amz-Credential"))
                await store.stop()
                // What was fetched needs no store any more.
                #expect(try await mirror.get("/v2/library/harbour/blobs/\(seed.smallLayer.digest)").status == 200)
            }
        }
    }
}
