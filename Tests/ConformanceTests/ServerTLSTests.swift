// The mirror behind its own TLS: a real client that checks it, and certificates that are replaced while it serves.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("TLS of the mirror's own") struct ServerTLSTests {
        private struct SecureScene {
            let bench: Bench
            let seed: Seed
            let authority: PrivateAuthority
            let pair: KeyPair
            let mirror: Mirror

            /// Has curl ask for `/v2/`, and returns the name in the certificate that it was shown and accepted.
            func shown(_ more: String...) async throws -> String? {
                let (status, output) = try await bench.run(
                    "curl",
                    ["-sv", "--max-time", "10", "--cacert", authority.certificate] + more
                        + ["https://127.0.0.1:\(mirror.port)/v2/"])
                guard status == 0 else { return nil }
                return output.components(separatedBy: "subject: CN=").last?.components(separatedBy: "\n").first
            }

            /// Puts the files of one pair in the place of those that the mirror was told of.
            func replace(by other: KeyPair) throws {
                for (from, to) in [(other.certificate, pair.certificate), (other.key, pair.key)] {
                    try FileManager.default.removeItem(atPath: to)
                    try FileManager.default.copyItem(atPath: from, toPath: to)
                }
            }

            func logs(_ words: String, times count: Int = 1) async throws {
                try await eventually(within: .seconds(20), "the log says \(words)") {
                    mirror.child.outputText().components(separatedBy: words).count > count
                }
            }
        }

        private func withSecureScene(
            clients: Bool = false, _ body: (SecureScene) async throws -> Void
        ) async throws {
            let seed = try await Seed.shared()
            try await withBench { bench in
                let registry = try await DebianRegistry.start(on: bench, storage: seed.storage)
                let authority = try await PrivateAuthority.make(on: bench)
                let pair = try await authority.issue("first", for: ["IP:127.0.0.1"])
                var tls = "tls:\n  certificate: \(pair.certificate)\n  key: \(pair.key)\n"
                if clients { tls += "  client-ca: \(authority.certificate)\n" }
                let mirror = try await Mirror.start(
                    on: bench, configuration: tls + Mirror.dockerHub(on: registry.port))
                try await body(
                    SecureScene(bench: bench, seed: seed, authority: authority, pair: pair, mirror: mirror))
            }
        }

        @Test func `skopeo copies an image whole from a mirror that it checks, cold and warm`() async throws {
            try await withSecureScene { (scene: SecureScene) async throws in
                let certificates = try scene.bench.makeFolder("certs.d")
                let authority = try String(contentsOfFile: scene.authority.certificate, encoding: .utf8)
                try scene.bench.write(authority, to: "certs.d/ca.crt")
                for pass in ["cold", "warm"] {
                    let folder = scene.bench.path(pass)
                    try await scene.bench.succeed(
                        "skopeo",
                        [
                            "copy", "--quiet", "--insecure-policy", "--src-cert-dir", certificates,
                            "docker://127.0.0.1:\(scene.mirror.port)/library/harbour:latest", "dir:\(folder)",
                        ])
                    for blob in scene.seed.harbour.blobs {
                        let file = URL(fileURLWithPath: "\(folder)/\(blob.digest.dropFirst(7))")
                        #expect(Digest.of([UInt8](try Data(contentsOf: file))).description == blob.digest, "\(pass)")
                    }
                }
            }
        }

        @Test func `a certificate that is written into its file is shown soon, a useless one never`() async throws {
            try await withSecureScene { (scene: SecureScene) async throws in
                let second = try await scene.authority.issue("second", for: ["IP:127.0.0.1"])
                let third = try await scene.authority.issue("third", for: ["IP:127.0.0.1"])
                #expect(try await scene.shown() == "first")
                try scene.replace(by: second)
                try await scene.logs("certificate renewed")
                #expect(try await scene.shown() == "second")

                // The key of another.
                try scene.replace(by: KeyPair(certificate: second.certificate, key: third.key))
                try await scene.logs("is not the key of the first certificate")
                try await scene.logs("is shown on")
                #expect(try await scene.shown() == "second")
                let program = try Mirror.program()
                let (status, output) = try await scene.bench.run(program, ["reload", "--data", scene.mirror.data])
                #expect(status == 1 && output.contains("tls.key: "), "\(output)")
                #expect(try await scene.shown() == "second")

                try scene.replace(by: third)
                scene.mirror.child.signal(SIGHUP)
                try await eventually(within: .seconds(20), "the third is shown") {
                    try await scene.shown() == "third"
                }
                #expect(scene.mirror.child.outputText().components(separatedBy: "is shown on").count == 2)
            }
        }

        @Test func `only clients of the authority are served, and the admin socket asks for none`() async throws {
            try await withSecureScene(clients: true) { (scene: SecureScene) async throws in
                #expect(try await scene.shown() == nil)
                let client = try await scene.authority.issue("client", for: ["DNS:client.test"])
                #expect(try await scene.shown("--cert", client.certificate, "--key", client.key) == "first")
                let program = try Mirror.program()
                let (status, output) = try await scene.bench.run(program, ["reload", "--data", scene.mirror.data])
                #expect(status == 0 && output.contains("nothing has changed"), "\(output)")
            }
        }
    }
}
