// The real clients push to repositories that are hosted here, pull from them, find them and delete from them.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("Docker with repositories of our own") struct DockerHostingTests {
        @Test func `login, push, pull and search, with and without a login`() async throws {
            let host = try await DockerHost.shared()
            try await host.daemon.forgetImages()
            try await withHosting { scene in
                let configuration = try scene.bench.makeFolder("docker-config")
                func docker(_ arguments: String...) async throws -> String {
                    let (status, output) = try await host.daemon.docker(["--config", configuration] + arguments)
                    guard status == 0 else { throw HarnessError("docker \(arguments) exited \(status): \(output)") }
                    return output
                }
                let (open, login) = ("127.0.0.1:\(scene.mirror.port)", "127.0.0.1:\(scene.login)")
                _ = try await docker("pull", "\(open)/library/harbour")
                _ = try await docker("tag", "\(open)/library/harbour", "\(login)/acme/team/harbour:v1")
                _ = try await docker("tag", "\(open)/library/harbour", "\(open)/acme/open/harbour:v1")

                let refused = try await host.daemon.docker(
                    ["--config", configuration, "push", "\(login)/acme/team/harbour:v1"])
                #expect(refused.status != 0)
                let wrong = try await host.daemon.docker(
                    ["--config", configuration, "login", "-u", HostedScene.user, "-p", "wrong", login])
                #expect(wrong.status != 0)
                #expect(
                    try await docker("login", "-u", HostedScene.user, "-p", HostedScene.password, login)
                        .contains("Login Succeeded"))
                _ = try await docker("push", "\(login)/acme/team/harbour:v1")
                // From a network that needs no login, where nobody is asked for one.
                _ = try await docker("push", "\(open)/acme/open/harbour:v1")

                try await host.daemon.forgetImages()
                _ = try await docker("pull", "\(open)/acme/team/harbour:v1")
                _ = try await docker("pull", "\(login)/acme/team/harbour:v1")
                #expect(try await docker("search", "\(open)/acme").contains("acme/team/harbour"))
                #expect(try await docker("search", "\(login)/acme").contains("acme/open/harbour"))
                let catalog = try await scene.mirror.get("/v2/_catalog")
                #expect(catalog.text == #"{"repositories":["acme/open/harbour","acme/team/harbour"]}"# + "\n")
                try await host.daemon.forgetImages()
            }
        }
    }

    @Suite("podman and skopeo with repositories of our own") struct PodmanHostingTests {
        @Test func `podman logs in, pushes and pulls`() async throws {
            try await withHosting { scene in
                let bench = scene.bench
                let authorization = bench.path("auth.json")
                let policy = try bench.write(#"{"default":[{"type":"insecureAcceptAnything"}]}"#, to: "policy.json")
                let podman = [
                    "--root", bench.path("podman"), "--runroot", bench.path("podman-run"), "--storage-driver", "vfs",
                    "--tmpdir", bench.path("podman-tmp"),
                ]
                let (open, login) = ("127.0.0.1:\(scene.mirror.port)", "127.0.0.1:\(scene.login)")
                try await bench.succeed(
                    "podman",
                    podman + [
                        "login", "--tls-verify=false", "--authfile", authorization, "-u", HostedScene.user, "-p",
                        HostedScene.password, login,
                    ])
                try await bench.succeed(
                    "podman",
                    podman + [
                        "pull", "--tls-verify=false", "--signature-policy", policy, "\(open)/library/harbour:latest",
                    ])
                try await bench.succeed(
                    "podman",
                    podman + [
                        "push", "--tls-verify=false", "--authfile", authorization, "--signature-policy", policy,
                        "\(open)/library/harbour:latest", "docker://\(login)/acme/team/podman:v1",
                    ])
                try await bench.succeed("podman", podman + ["rmi", "--all", "--force"])
                try await bench.succeed(
                    "podman",
                    podman + [
                        "pull", "--tls-verify=false", "--signature-policy", policy, "\(open)/acme/team/podman:v1",
                    ])
            }
        }

        @Test func `buildah builds, and pushes with a login`() async throws {
            try await withHosting { scene in
                let bench = scene.bench
                let login = "127.0.0.1:\(scene.login)"
                let buildah = [
                    "--root", bench.path("buildah"), "--runroot", bench.path("buildah-run"), "--storage-driver", "vfs",
                ]
                let policy = try bench.write(#"{"default":[{"type":"insecureAcceptAnything"}]}"#, to: "policy.json")
                let container = try await bench.succeed("buildah", buildah + ["from", "scratch"])
                    .split(separator: "\n").last.map(String.init) ?? ""
                let file = try bench.write("built\n", to: "built.txt")
                try await bench.succeed("buildah", buildah + ["copy", container, file, "/built.txt"])
                try await bench.succeed(
                    "buildah", buildah + ["commit", "--signature-policy", policy, container, "built:v1"])
                try await bench.succeed(
                    "buildah",
                    buildah + [
                        "push", "--tls-verify=false", "--creds", "\(HostedScene.user):\(HostedScene.password)",
                        "--signature-policy", policy, "localhost/built:v1", "docker://\(login)/acme/team/built:v1",
                    ])
                let manifest = try await scene.mirror.get("/v2/acme/team/built/manifests/v1")
                #expect(manifest.status == 200)
            }
        }

        @Test func `skopeo copies an index with all its images, lists it and deletes it`() async throws {
            try await withHosting { scene in
                let bench = scene.bench
                let (open, login) = ("127.0.0.1:\(scene.mirror.port)", "127.0.0.1:\(scene.login)")
                let credentials = "\(HostedScene.user):\(HostedScene.password)"
                try await bench.succeed(
                    "skopeo",
                    [
                        "copy", "--quiet", "--all", "--insecure-policy", "--src-tls-verify=false",
                        "--dest-tls-verify=false", "--dest-creds", credentials, "docker://\(open)/library/fleet:latest",
                        "docker://\(login)/acme/team/fleet:v1",
                    ])
                let folder = bench.path("fleet")
                try await bench.succeed(
                    "skopeo",
                    [
                        "copy", "--quiet", "--all", "--insecure-policy", "--src-tls-verify=false",
                        "docker://\(open)/acme/team/fleet:v1", "dir:\(folder)",
                    ])
                for image in scene.seed.fleetImages.values {
                    for blob in image.blobs {
                        let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(blob.digest.dropFirst(7))"))
                        #expect(Digest.of([UInt8](bytes)).description == blob.digest)
                    }
                }
                let tags = try await bench.succeed(
                    "skopeo", ["list-tags", "--tls-verify=false", "docker://\(open)/acme/team/fleet"])
                #expect(tags.contains("\"v1\""))
                try await bench.succeed(
                    "skopeo",
                    [
                        "delete", "--tls-verify=false", "--creds", credentials, "docker://\(login)/acme/team/fleet:v1",
                    ])
                #expect(try await scene.mirror.head("/v2/acme/team/fleet/manifests/v1").status == 404)
            }
        }
    }

    @Suite("containerd with repositories of our own") struct ContainerdHostingTests {
        @Test func `an image is pushed with a login and pulled without`() async throws {
            try await withHosting { scene in
                let hub = try await FakeHub.start(on: scene.bench)
                let containerd = try await ContainerdDaemon.start(on: scene.bench, hub: hub)
                let (open, login) = ("127.0.0.1:\(scene.mirror.port)", "127.0.0.1:\(scene.login)")
                let (pulled, pushed) = ("\(open)/library/harbour:latest", "\(login)/acme/team/harbour:ctr")
                try await containerd.ctr("images", "pull", "--plain-http", "--snapshotter", "native", pulled)
                try await containerd.ctr(
                    "images", "push", "--plain-http", "--user", "\(HostedScene.user):\(HostedScene.password)", pushed,
                    pulled)
                try await containerd.ctr(
                    "images", "pull", "--plain-http", "--snapshotter", "native", "\(open)/acme/team/harbour:ctr")
            }
        }
    }
}
