// An upstream behind TLS: a private authority, a client certificate, HTTP/2 for manifests and HTTP/1.1 for blobs.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("an upstream behind TLS") struct UpstreamTLSTests {
        private static let manifest = "/v2/library/harbour/manifests/latest"

        private func withFront(
            asksForCertificate: Bool = false, _ body: (Bench, Seed, TLSFront) async throws -> Void
        ) async throws {
            let seed = try await Seed.shared()
            try await withBench { bench in
                let registry = try await DebianRegistry.start(on: bench, storage: seed.storage)
                let front = try await TLSFront.start(
                    on: bench, to: registry.port, asksForCertificate: asksForCertificate)
                try await body(bench, seed, front)
            }
        }

        private func mirror(of front: TLSFront, on bench: Bench, _ keys: [String]) async throws -> Mirror {
            try await Mirror.start(
                on: bench, configuration: Mirror.dockerHub(at: ["https://127.0.0.1:\(front.port)"], keys))
        }

        @Test func `of a private authority speaks HTTP/2 for manifests and HTTP/1.1 for blobs`() async throws {
            try await withFront { bench, seed, front in
                let mirror = try await mirror(of: front, on: bench, ["ca-file: \(front.authority.certificate)"])
                #expect(try await mirror.head(Self.manifest).status == 200)
                try await mirror.warm(Self.manifest)
                for blob in seed.harbour.blobs {
                    let answer = try await mirror.get("/v2/library/harbour/blobs/\(blob.digest)")
                    #expect(Digest.of(answer.body).description == blob.digest)
                }
                let seen = try await front.seen(atLeast: 2 + seed.harbour.blobs.count)
                let manifests = seen.filter { $0.uri.contains("/manifests/") }
                let blobs = seen.filter { $0.uri.contains("/blobs/") }
                #expect(!manifests.isEmpty && manifests.allSatisfy { $0.protocol == "HTTP/2.0" }, "\(manifests)")
                #expect(!blobs.isEmpty && blobs.allSatisfy { $0.protocol == "HTTP/1.1" }, "\(blobs)")
                #expect(Set(manifests.map(\.connection)).isDisjoint(with: blobs.map(\.connection)))
            }
        }

        @Test func `of an authority that nobody trusts is not believed`() async throws {
            try await withFront { bench, _, front in
                let mirror = try await mirror(of: front, on: bench, [])
                let answer = try await mirror.get(Self.manifest)
                #expect(answer.status == 502, "\(answer.summary)")
                #expect(answer.fields["Proxy-Status"]?.contains("tls_certificate_error") == true)
                #expect(try await front.seen().isEmpty)
            }
        }

        @Test func `with a certificate for another name is not believed`() async throws {
            let seed = try await Seed.shared()
            try await withBench { bench in
                let registry = try await DebianRegistry.start(on: bench, storage: seed.storage)
                let front = try await TLSFront.start(on: bench, to: registry.port, names: ["DNS:other.test"])
                let mirror = try await mirror(of: front, on: bench, ["ca-file: \(front.authority.certificate)"])
                let answer = try await mirror.get(Self.manifest)
                #expect(answer.status == 502, "\(answer.summary)")
                #expect(answer.fields["Proxy-Status"]?.contains("tls_certificate_error") == true)
            }
        }

        @Test func `that asks for a client certificate is shown ours, and without one serves nothing`() async throws {
            try await withFront(asksForCertificate: true) { bench, seed, front in
                let trust = "ca-file: \(front.authority.certificate)"
                let stranger = try await mirror(of: front, on: bench, [trust])
                let refused = try await stranger.get(Self.manifest)
                // nginx says 400, which is no word about the image.
                #expect((500...504).contains(refused.status), "\(refused.summary)")

                let own = try await front.authority.issue("mirror", for: ["DNS:mirror.test"])
                let mirror = try await mirror(
                    of: front, on: bench,
                    [trust, "client-certificate: \(own.certificate)", "client-key: \(own.key)"])
                try await mirror.warm(Self.manifest)
                for blob in seed.harbour.blobs { try await mirror.warm("/v2/library/harbour/blobs/\(blob.digest)") }
                let seen = try await front.seen(atLeast: 3).filter { $0.status == 200 }
                #expect(!seen.isEmpty && seen.allSatisfy { $0.client == "CN=mirror" }, "\(seen)")
            }
        }
    }
}
