// Several upstreams behind one mirror: bytes are shared among them, the right to see them is not.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("two upstreams, one with credentials") struct UpstreamLinkTests {
        private struct Two {
            /// docker.io, which lets in only who has the password; the mirror has it.
            let vault: StubRegistry
            /// open.test, where anyone may put anything.
            let open: StubRegistry
            let mirror: Mirror
            let secret: TestImage

            func path(_ what: String) -> String { "/v2/open.test/acme/steal/\(what)" }
        }

        private func withTwo(deny: String = "[]", _ body: (Two) async throws -> Void) async throws {
            let basic = StubAuthentication.basic(username: "carol", password: "vault-secret-2")
            let vault = try await StubRegistry.start(StubOptions(authentication: basic))
            let open = try await StubRegistry.start()
            var builder = ImageBuilder(seed: 5)
            let secret = vault.add(builder.image(layers: [100_000]), to: "library/secret", tag: "latest")
            let outcome: Result<Void, any Error>
            do {
                try await withBench { bench in
                    let more = """
                          open.test:
                            endpoints: ["\(open.url)"]
                            allow-http: true
                            deny: \(deny)

                        """
                    let mirror = try await Mirror.start(
                        on: bench,
                        configuration: Mirror.dockerHub(
                            on: vault.port(), try login("carol", "vault-secret-2", on: bench)) + more)
                    try await body(Two(vault: vault, open: open, mirror: mirror, secret: secret))
                }
                outcome = .success(())
            } catch { outcome = .failure(error) }
            await vault.stop()
            await open.stop()
            try outcome.get()
        }

        /// Fetches the secret image whole, so that its bytes are here.
        private func warm(_ two: Two) async throws {
            try await two.mirror.warm("/v2/library/secret/manifests/latest")
            for blob in two.secret.blobs { try await two.mirror.warm("/v2/library/secret/blobs/\(blob.digest)") }
        }

        @Test func `a manifest of the open one that names the other's blobs and manifests opens none`() async throws {
            try await withTwo { two in
                try await warm(two)
                let image = """
                    {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","config":\(two.secret.config.descriptor()),\
                    "layers":[\(two.secret.layers[0].descriptor())],"annotations":{"forged":"here"}}
                    """
                let index = """
                    {"schemaVersion":2,"mediaType":"\(MediaType.ociIndex)",\
                    "manifests":[\(two.secret.manifest.descriptor())]}
                    """
                two.open.add(manifest: TestBlob(Array(image.utf8), .ociManifest), to: "acme/steal", tag: "image")
                two.open.add(manifest: TestBlob(Array(index.utf8), .ociIndex), to: "acme/steal", tag: "index")
                try await two.mirror.warm(two.path("manifests/image"))
                try await two.mirror.warm(two.path("manifests/index"))
                let named =
                    two.secret.blobs.map { "blobs/\($0.digest)" } + ["manifests/\(two.secret.manifest.digest)"]
                for what in named {
                    let answer = try await two.mirror.get(two.path(what))
                    #expect(answer.status == 404, "\(what): \(answer.summary)")
                    #expect(try await two.mirror.head(two.path(what)).status == 404, "\(what)")
                }
                // What the vault gave is still served where it gave it.
                #expect(try await two.mirror.get("/v2/library/secret/blobs/\(named[0].dropFirst(6))").status == 200)
            }
        }

        @Test func `a blob that both have is fetched once, and the second costs a HEAD`() async throws {
            try await withTwo { two in
                try await warm(two)
                let layer = two.secret.layers[0]
                two.open.add(blob: layer, to: "acme/steal")
                let answer = try await two.mirror.get(two.path("blobs/\(layer.digest)"))
                #expect(answer.body == layer.bytes)
                #expect(two.open.log.requests("\(layer.digest)").map(\.method) == ["HEAD"])
            }
        }

        @Test func `no credentials of the one are shown to the other`() async throws {
            try await withTwo { two in
                try await warm(two)
                _ = try await two.mirror.get(two.path("manifests/latest"))
                #expect(!two.open.log.requests.isEmpty)
                #expect(two.open.log.requests.allSatisfy { !$0.isAuthorized })
            }
        }

        @Test func `a repository that is denied is 403 DENIED, and nobody is asked`() async throws {
            try await withTwo(deny: "[\"acme/**\"]") { two in
                for what in ["manifests/latest", "blobs/\(two.secret.layers[0].digest)"] {
                    let answer = try await two.mirror.get(two.path(what))
                    #expect(answer.status == 403, "\(answer.summary)")
                    #expect(answer.errorCode == "DENIED")
                }
                #expect(two.open.connectionCount == 0)
                #expect(try await two.mirror.get("/v2/open.test/other/tool/manifests/1").status == 404)
                #expect(two.open.connectionCount > 0)
            }
        }
    }
}
