// Mirrors in a row and in a ring: what one says of its upstream, the other does not take for the truth about images.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("two mirrors in a row") struct ChainTests {
        private struct Chain {
            let bench: Bench
            let seed: Seed
            let registry: DebianRegistry
            /// Between the registry and the inner mirror.
            let far: Recorder
            let inner: Mirror
            /// Between the mirrors.
            let near: Recorder
            let outer: Mirror

            /// The far upstream answers again on its port.
            func farReturns() async throws {
                _ = try await Recorder.start(on: bench, to: registry.port, port: far.port)
            }
        }

        private func withChain(_ body: (Chain) async throws -> Void) async throws {
            let seed = try await Seed.shared()
            try await withBench { bench in
                let registry = try await DebianRegistry.start(on: bench, storage: seed.storage)
                let far = try await Recorder.start(on: bench, to: registry.port)
                let inner = try await Mirror.start(on: bench, configuration: Mirror.dockerHub(on: far.port))
                let near = try await Recorder.start(on: bench, to: inner.port)
                let outer = try await Mirror.start(
                    on: bench, configuration: Mirror.dockerHub(on: near.port, ["negative-for: 1h"]))
                try await body(
                    Chain(
                        bench: bench, seed: seed, registry: registry, far: far, inner: inner, near: near, outer: outer))
            }
        }

        private static let manifest = "/v2/library/harbour/manifests/latest"

        @Test func `pull like one, HEAD included, and each says who asks`() async throws {
            try await withChain { chain in
                let image = chain.seed.harbour
                let seen = try await chain.near.during {
                    let head = try await chain.outer.head(Self.manifest)
                    #expect(head.fields["Docker-Content-Digest"] == image.manifest.digest)
                    let manifest = try await chain.outer.get(Self.manifest)
                    #expect(Digest.of(manifest.body).description == image.manifest.digest)
                    for blob in image.blobs {
                        let path = "/v2/library/harbour/blobs/\(blob.digest)"
                        #expect(try await chain.outer.head(path).fields["Content-Length"] == "\(blob.size)")
                        #expect(Digest.of(try await chain.outer.get(path).body).description == blob.digest)
                    }
                }
                #expect(!seen.isEmpty && seen.allSatisfy { $0.forwarded.contains("wharf") }, "\(seen.map(\.forwarded))")
                let forwarded = try await chain.far.requests().map(\.forwarded)
                // Both are named: the inner mirror passes on for whom it asks.
                #expect(forwarded.contains { $0.split(separator: ",").count == 2 }, "\(forwarded)")
            }
        }

        @Test func `say 404 for what the far upstream does not have`() async throws {
            try await withChain { chain in
                let tag = try await chain.outer.get("/v2/library/harbour/manifests/none")
                #expect(tag.status == 404, "\(tag.summary)")
                #expect(tag.errorCode == "MANIFEST_UNKNOWN")
                #expect(tag.fields["Proxy-Status"] == nil)
                let digest = "sha256:" + String(repeating: "1", count: 64)
                let blob = try await chain.outer.get("/v2/library/harbour/blobs/\(digest)")
                #expect(blob.status == 404, "\(blob.summary)")
                #expect(blob.errorCode == "BLOB_UNKNOWN")
                #expect(blob.fields["Proxy-Status"] == nil)
                // Remembered, since it is the truth.
                let seen = try await chain.near.during {
                    let again = try await chain.outer.get("/v2/library/harbour/blobs/\(digest)")
                    #expect(again.status == 404)
                }
                #expect(seen.isEmpty)
            }
        }

        @Test func `never take an outage for absence`() async throws {
            try await withChain { chain in
                await chain.far.stop()
                for method in ["GET", "HEAD"] {
                    let answer = try await ask(method, Self.manifest, port: chain.outer.port)
                    #expect((500...504).contains(answer.status), "\(method): \(answer.summary)")
                    #expect(answer.fields["Proxy-Status"] != nil)
                }
                let paths = chain.seed.harbour.blobs.map { "/v2/library/harbour/blobs/\($0.digest)" }
                for path in paths {
                    let answer = try await chain.outer.get(path)
                    #expect(answer.status == 404, "\(answer.summary)")
                    #expect(answer.fields["Proxy-Status"] != nil)
                }
                try await chain.farReturns()
                // Had it been remembered, that would be for an hour.
                try await eventually(within: .seconds(10), "the manifest is there again") {
                    try await chain.outer.get(Self.manifest).status == 200
                }
                for path in paths { #expect(try await chain.outer.get(path).status == 200) }
            }
        }

        @Test func `that ask each other say 508`() async throws {
            try await withBench { bench in
                let port = try freePort()
                let first = try await Mirror.start(on: bench, configuration: Mirror.dockerHub(on: port))
                let second = try await Mirror.start(
                    on: bench, configuration: Mirror.dockerHub(on: first.port), port: port)
                for mirror in [first, second] {
                    for method in ["GET", "HEAD"] {
                        let answer = try await ask(method, Self.manifest, port: mirror.port)
                        #expect(answer.status == 508, "\(method): \(answer.summary)")
                    }
                }
            }
        }

        @Test func `which is one that asks itself says 508`() async throws {
            try await withBench { bench in
                let port = try freePort()
                let mirror = try await Mirror.start(on: bench, configuration: Mirror.dockerHub(on: port), port: port)
                let answer = try await mirror.get(Self.manifest)
                #expect(answer.status == 508, "\(answer.summary)")
                #expect(answer.fields["Proxy-Status"] != nil)
            }
        }
    }
}
