// A multi-platform image: only what is asked for is fetched, and what this program has never heard of passes through.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    /// An index as buildx and others make them today.
    private struct Assortment {
        let index: TestBlob
        /// What can be run, by architecture: manifest, and config with layers.
        let images: [String: (manifest: TestBlob, blobs: [TestBlob])]
        /// `unknown/unknown`: config and statements about the first image.
        let attestation: (manifest: TestBlob, blobs: [TestBlob])
        /// A manifest of a type that nobody knows, and what it names.
        let oddity: (manifest: TestBlob, blobs: [TestBlob])

        var children: [TestBlob] {
            images.values.map(\.manifest) + [attestation.manifest, oddity.manifest]
        }

        init(_ seed: Seed) throws {
            var images: [String: (manifest: TestBlob, blobs: [TestBlob])] = [:]
            for (architecture, image) in seed.fleetImages {
                images[architecture] = (
                    TestBlob(try seed.bytes(of: image.manifest), .ociManifest),
                    try image.blobs.map { TestBlob(try seed.bytes(of: $0)) }
                )
            }
            let first = try #require(images["amd64"]).manifest
            attestation = Self.attestation(of: first)
            oddity = Self.oddity()
            let platforms = images.sorted { $0.key < $1.key }.map { architecture, image in
                image.manifest.descriptor(#""platform":{"architecture":"\#(architecture)","os":"linux"}"#)
            }
            let statement = attestation.manifest.descriptor(
                #""annotations":{"vnd.docker.reference.digest":"\#(first.digest)","#
                    + #""vnd.docker.reference.type":"attestation-manifest"},"#
                    + #""platform":{"architecture":"unknown","os":"unknown"}"#)
            // Spacing, an escape, a number that no double holds and an unknown member: what was parsed and written
            // again would be another document.
            let text = """
                {
                   "schemaVersion": 2,  "x-note" : "\\u00e9\\/",\t"x-number": 1.00000000000000000000001e3,
                   "mediaType": "\(MediaType.ociIndex)",
                   "manifests": [ \(platforms.joined(separator: " ,\n")),
                     \(statement),
                     \(oddity.manifest.descriptor(#""platform":{"architecture":"wasm","os":"wasi"}"#))
                   ],
                   "annotations": {"org.opencontainers.image.title": "Schön"}
                }

                """
            index = TestBlob(Array(text.utf8), .ociIndex)
            self.images = images
        }

        private static func attestation(of image: TestBlob) -> (manifest: TestBlob, blobs: [TestBlob]) {
            let type = MediaType(rawValue: "application/vnd.in-toto+json")
            let statements = ["https://slsa.dev/provenance/v0.2", "https://spdx.dev/Document"].map { predicate in
                TestBlob(
                    Array(
                        (#"{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"\#(predicate)","#
                            + #""subject":[{"name":"_","digest":{"sha256":"\#(image.digest.hex)"}}]}"#).utf8), type)
            }
            let ids = statements.map { "\"\($0.digest)\"" }.joined(separator: ",")
            let config = TestBlob(
                Array(
                    (#"{"architecture":"unknown","os":"unknown","config":{},"#
                        + #""rootfs":{"type":"layers","diff_ids":[\#(ids)]}}"#).utf8), .ociConfig)
            let layers = statements.map {
                $0.descriptor(#""annotations":{"in-toto.io/predicate-type":"https://slsa.dev/provenance/v0.2"}"#)
            }
            let text =
                #"{"schemaVersion":2,"mediaType":"\#(MediaType.ociManifest)","config":\#(config.descriptor()),"#
                + #""layers":[\#(layers.joined(separator: ","))]}"#
            return (TestBlob(Array(text.utf8), .ociManifest), [config] + statements)
        }

        private static func oddity() -> (manifest: TestBlob, blobs: [TestBlob]) {
            let parts = [
                TestBlob(Array(#"{"parts": "of a thing"}"#.utf8), MediaType(rawValue: "application/vnd.example.part")),
                TestBlob([0, 1, 2, 255, 254], MediaType(rawValue: "application/x-odd")),
            ]
            let type = MediaType(rawValue: "application/vnd.example.thing.v3+json")
            let text = """
                { "schemaVersion" : 2,\r\n  "mediaType":"\(type)",
                  "layers" : [ \(parts[0].descriptor()) , \(parts[1].descriptor()) ] }
                """
            return (TestBlob(Array(text.utf8), type), parts)
        }

        func add(to registry: StubRegistry, _ name: String) {
            for (manifest, blobs) in Array(images.values) + [attestation, oddity] {
                registry.add(manifest: manifest, to: name)
                for blob in blobs { registry.add(blob: blob, to: name) }
            }
            registry.add(manifest: index, to: name, tag: "latest")
        }
    }

    @Suite("an index") struct IndexTests {
        @Test func `and its children pass through byte for byte, attestations and unknown types among them`()
            async throws
        {
            let assortment = try Assortment(try await Seed.shared())
            try await withStub(keys: ["fresh-for: 1h"]) { scene in
                assortment.add(to: scene.upstream, StubScene.repository)
                for pass in ["cold", "warm"] {
                    if pass == "warm" { await scene.upstream.stop() }
                    let answer = try await scene.ask()
                    #expect(answer.isManifest(assortment.index), "\(pass): \(answer.summary)")
                    for child in assortment.children {
                        let answer = try await scene.ask("\(child.digest)")
                        #expect(answer.isManifest(child), "\(pass): \(child.mediaType): \(answer.summary)")
                    }
                    let blobs =
                        assortment.attestation.blobs + assortment.oddity.blobs
                        + assortment.images.values.flatMap(\.blobs)
                    for blob in blobs {
                        let answer = try await scene.mirror.get(scene.path(blob))
                        #expect(answer.status == 200 && answer.body == blob.bytes, "\(pass): \(blob.mediaType)")
                    }
                    try await scene.settle()
                }
            }
        }

        @Test func `brings no child that nobody asked for`() async throws {
            let assortment = try Assortment(try await Seed.shared())
            try await withStub { scene in
                assortment.add(to: scene.upstream, StubScene.repository)
                for _ in 0..<3 { #expect(try await scene.ask().isManifest(assortment.index)) }
                #expect(scene.questions.filter { $0.hasPrefix("GET") } == ["GET \(assortment.index.digest)"])
                let wanted = try #require(assortment.images["arm64"])
                scene.upstream.clearLog()
                #expect(try await scene.ask("\(wanted.manifest.digest)").isManifest(wanted.manifest))
                for blob in wanted.blobs { #expect(try await scene.pull(blob).isWhole) }
                try await scene.settle()
                let asked = Set(scene.upstream.log.requests.compactMap { $0.path.split(separator: "/").last })
                let allowed = Set((wanted.blobs + [wanted.manifest]).map { Substring("\($0.digest)") })
                #expect(asked.isSubset(of: allowed), "\(asked.subtracting(allowed))")
                #expect(try await scene.mirror.statistics()["storage"]["manifests"].number == 2)
            }
        }

        @Test func `that moved brings its new children, and the old ones are still there`() async throws {
            try await withStub(keys: ["fresh-for: 0s"]) { (scene: StubScene) async throws in
                var builder = ImageBuilder(seed: 7)
                let old = scene.upstream.add(builder.index(), to: StubScene.repository, tag: "latest")
                #expect(try await scene.ask().isManifest(old.manifest))
                let oldChild = old.images[0]
                #expect(try await scene.ask("\(oldChild.manifest.digest)").isManifest(oldChild.manifest))
                for blob in oldChild.blobs { #expect(try await scene.pull(blob).isWhole) }

                let new = scene.upstream.add(builder.index(), to: StubScene.repository, tag: "latest")
                for image in old.images {
                    scene.upstream.remove(image.manifest.digest, from: StubScene.repository)
                    for blob in image.blobs { scene.upstream.remove(blob.digest, from: StubScene.repository) }
                }
                // A client that has just got the old index goes on with its children.
                #expect(try await scene.ask().isManifest(new.manifest))
                #expect(try await scene.ask("\(oldChild.manifest.digest)").isManifest(oldChild.manifest))
                for blob in oldChild.blobs { #expect(try await scene.pull(blob).isWhole) }
                let newChild = new.images[0]
                #expect(try await scene.ask("\(newChild.manifest.digest)").isManifest(newChild.manifest))
                for blob in newChild.blobs { #expect(try await scene.pull(blob).isWhole) }
            }
        }

        @Test func `with attestations and a type it does not know is pulled by dockerd, of which it takes one image`()
            async throws
        {
            let host = try await DockerHost.shared()
            let seed = try await Seed.shared()
            let assortment = try Assortment(seed)
            try await host.daemon.forgetImages()
            try await withStub { scene in
                assortment.add(to: scene.upstream, "library/assorted")
                let front = try await Recorder.start(
                    on: scene.bench, to: scene.mirror.port, port: host.mirrorPort)
                let fallen = try host.hub.requestsForContent().count
                for pass in ["cold", "warm"] {
                    let seen = try await front.during { try await host.daemon.pull("assorted") }
                    #expect(seen.allSatisfy { $0.status == 200 }, "\(pass): \(seen)")
                    try await host.daemon.forgetImages()
                    try await scene.settle()
                }
                #expect(try host.hub.requestsForContent().count == fallen)
                let asked = scene.upstream.log.requests("sha256:").map(\.path)
                for manifest in [assortment.attestation.manifest, assortment.oddity.manifest] {
                    #expect(!asked.contains { $0.hasSuffix("\(manifest.digest)") })
                }
                let images = assortment.images.values.map(\.manifest)
                #expect(images.filter { image in asked.contains { $0.hasSuffix("\(image.digest)") } }.count == 1)
            }
        }
    }
}
