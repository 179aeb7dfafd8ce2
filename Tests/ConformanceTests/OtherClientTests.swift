// containerd, podman and skopeo, each configured as its users configure it.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("containerd with hosts.toml") struct ContainerdTests {
        private let image = "docker.io/library/harbour:latest"

        @Test func `a pull sends ns=docker.io and comes through the mirror alone`() async throws {
            try await withScene { scene in
                let hub = try await FakeHub.start(on: scene.bench)
                let front = try await Recorder.start(on: scene.bench, to: scene.mirror.port)
                let containerd = try await ContainerdDaemon.start(on: scene.bench, hub: hub)
                try containerd.useMirror(on: front.port)
                let seen = try await front.during { try await containerd.pull(image) }
                #expect(seen.allSatisfy { $0.uri.hasSuffix("?ns=docker.io") })
                #expect(seen.allSatisfy { $0.status == 200 || $0.status == 206 })
                #expect(seen.filter(\.isBlob).count == scene.seed.harbour.blobs.count)

                // Again with an upstream that is gone: everything is at hand.
                try await scene.settle()
                await scene.upstream.stop()
                try await containerd.forget(image)
                let again = try await front.during { try await containerd.pull(image) }
                #expect(again.filter(\.isBlob).count == scene.seed.harbour.blobs.count)
                #expect(try hub.requestsForContent().isEmpty)
            }
        }

        @Test func `the answer to ns=docker.io echoes it, an unknown ns is 404 NAME_UNKNOWN`() async throws {
            try await withScene { scene in
                let path = "/v2/library/harbour/manifests/latest"
                let known = try await scene.mirror.get(path + "?ns=docker.io")
                #expect(known.status == 200)
                #expect(known.fields["OCI-Namespace"] == "docker.io")
                let unknown = try await scene.mirror.get(path + "?ns=registry.example.test")
                #expect(unknown.status == 404)
                #expect(unknown.errorCode == "NAME_UNKNOWN")
            }
        }
    }

    @Suite("podman with registries.conf") struct PodmanTests {
        @Test func `a pull comes through the mirror alone, cold and after the upstream has stopped`() async throws {
            try await withScene { scene in
                let bench = scene.bench
                let hub = try await FakeHub.start(on: bench)
                let front = try await Recorder.start(on: bench, to: scene.mirror.port)
                var surroundings = hub.surroundings
                surroundings.variables["CONTAINERS_REGISTRIES_CONF"] = try bench.write(
                    """
                    [[registry]]
                    prefix = "docker.io"
                    location = "docker.io"

                    [[registry.mirror]]
                    location = "127.0.0.1:\(front.port)"
                    insecure = true
                    """, to: "registries.conf")
                let policy = try bench.write(
                    #"{"default":[{"type":"insecureAcceptAnything"}]}"#, to: "policy.json")
                let podman = [
                    "--root", bench.path("podman"), "--runroot", bench.path("podman-run"), "--storage-driver", "vfs",
                    "--tmpdir", bench.path("podman-tmp"),
                ]
                let pull = podman + ["pull", "--signature-policy", policy, "docker.io/library/harbour:latest"]
                let seen = try await front.during {
                    try await bench.succeed("podman", pull, surroundings: surroundings)
                }
                #expect(
                    Set(seen.filter(\.isBlob).map(\.uri))
                        == Set(
                            scene.seed.harbour.blobs.map {
                                "/v2/library/harbour/blobs/\($0.digest)"
                            }))
                try await scene.settle()
                await scene.upstream.stop()
                try await bench.succeed("podman", podman + ["rmi", "--all", "--force"], surroundings: surroundings)
                let again = try await front.during {
                    try await bench.succeed("podman", pull, surroundings: surroundings)
                }
                #expect(again.filter(\.isBlob).count >= scene.seed.harbour.layers.count)
                #expect(try hub.requestsForContent().isEmpty)
            }
        }
    }

    @Suite("skopeo against the mirror's own address") struct SkopeoTests {
        private func copy(_ image: String, to folder: String, in scene: Scene, _ more: String...) async throws {
            let source = "docker://127.0.0.1:\(scene.mirror.port)/\(image)"
            try await scene.bench.succeed(
                "skopeo",
                ["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false"] + more + [source, "dir:\(folder)"])
        }

        /// Whether the blob lies in the folder with its own bytes; the `dir:` form names files by their digests.
        private func has(_ blob: Described, in folder: String) throws -> Bool {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(blob.digest.dropFirst(7))"))
            return Digest.of([UInt8](bytes)).description == blob.digest
        }

        @Test func `an image is copied whole, cold and warm`() async throws {
            try await withScene { scene in
                for pass in ["cold", "warm"] {
                    let folder = scene.bench.path(pass)
                    try await copy("library/harbour:latest", to: folder, in: scene)
                    for blob in scene.seed.harbour.blobs { #expect(try has(blob, in: folder), "\(pass)") }
                }
            }
        }

        @Test func `an index is copied with all its images`() async throws {
            try await withScene { scene in
                let folder = scene.bench.path("all")
                try await copy("fleet", to: folder, in: scene, "--all")
                for image in scene.seed.fleetImages.values {
                    for blob in image.blobs { #expect(try has(blob, in: folder)) }
                }
            }
        }

        @Test func `another registry's image is named by its host in front`() async throws {
            let seed = try await Seed.shared()
            try await withBench { bench in
                let registry = try await DebianRegistry.start(on: bench, storage: seed.storage)
                let upstream = try await Recorder.start(on: bench, to: registry.port)
                let mirror = try await Mirror.start(
                    on: bench,
                    configuration: """
                        upstreams:
                          ghcr.io: {endpoints: ["http://127.0.0.1:\(upstream.port)"], allow-http: true}
                        """)
                let scene = Scene(bench: bench, seed: seed, registry: registry, upstream: upstream, mirror: mirror)
                try await copy("ghcr.io/acme/tool:1.0", to: bench.path("tool"), in: scene)
                for blob in seed.harbour.blobs { #expect(try has(blob, in: bench.path("tool"))) }
                // containerd's way to say the same.
                let answer = try await mirror.get("/v2/acme/tool/manifests/1.0?ns=ghcr.io")
                #expect(answer.status == 200)
                #expect(answer.fields["OCI-Namespace"] == "ghcr.io")
            }
        }
    }
}
