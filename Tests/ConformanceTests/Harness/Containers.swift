// The real daemons of the clients: containerd, and a dockerd on a containerd of its own.

import Foundation

/// Everything it writes lies on the bench; no other containerd of this machine is touched.
struct ContainerdDaemon: Sendable {
    let socket: String
    private let bench: Bench
    private let surroundings: Surroundings

    static func start(on bench: Bench, hub: FakeHub) async throws -> ContainerdDaemon {
        let folder = try bench.makeFolder("containerd")
        let configuration = try bench.write(
            """
            version = 2
            root = "\(folder)/root"
            state = "\(folder)/state"
            disabled_plugins = ["io.containerd.grpc.v1.cri"]
            [grpc]
              address = "\(folder)/socket"
            [plugins."io.containerd.internal.v1.opt"]
              path = "\(folder)/opt"
            """, to: "containerd/config.toml")
        let child = try bench.start(
            "containerd", "containerd", ["--config", configuration, "--log-level", "warn"],
            surroundings: hub.surroundings)
        let daemon = ContainerdDaemon(socket: "\(folder)/socket", bench: bench, surroundings: hub.surroundings)
        try await eventually(within: .seconds(60), "containerd answers") {
            guard child.exitStatus == nil else { throw HarnessError("containerd ended: \(child.outputText())") }
            return try await bench.run("ctr", ["-a", daemon.socket, "version"]).status == 0
        }
        return daemon
    }

    /// Writes the `hosts.toml` that makes the mirror on `port` the first to be asked for docker.io's images.
    func useMirror(on port: Int) throws {
        _ = try bench.makeFolder("certs.d/docker.io")
        try bench.write(
            """
            server = "https://registry-1.docker.io"

            [host."http://127.0.0.1:\(port)"]
              capabilities = ["pull", "resolve"]
            """, to: "certs.d/docker.io/hosts.toml")
    }

    func pull(_ image: String) async throws {
        try await ctr("images", "pull", "--hosts-dir", bench.path("certs.d"), "--snapshotter", "native", image)
    }

    /// Forgets the image and, at once, its content.
    func forget(_ image: String) async throws { try await ctr("images", "rm", "--sync", image) }

    /// Removes what it holds for another program that keeps its content here.
    func removeContent(of namespace: String) async throws {
        let content = ["-a", socket, "-n", namespace, "content"]
        let digests = try await bench.succeed("ctr", content + ["ls", "-q"]).split(separator: "\n").map(String.init)
        // Some of it may be collected meanwhile; what is left is seen by the next who lists it.
        if !digests.isEmpty { _ = try await bench.run("ctr", content + ["rm"] + digests) }
    }

    func ctr(_ arguments: String...) async throws {
        try await bench.succeed("ctr", ["-a", socket, "-n", "tests"] + arguments, surroundings: surroundings)
    }
}

/// No bridge, no firewall rules, no container is ever run: only `docker pull`.
struct DockerDaemon: Sendable {
    private let socket: String
    private let containerd: ContainerdDaemon
    private let bench: Bench

    static func start(on bench: Bench, mirror port: Int, hub: FakeHub) async throws -> DockerDaemon {
        // Without `--containerd` it would take a containerd that runs on this machine already.
        let containerd = try await ContainerdDaemon.start(on: bench, hub: hub)
        let socket = bench.path("docker.sock")
        let child = try bench.start(
            "dockerd", "dockerd",
            [
                "--config-file", try bench.write("{}", to: "daemon.json"), "--data-root", bench.path("docker"),
                "--exec-root", bench.path("exec"), "--pidfile", bench.path("docker.pid"), "-H", "unix://\(socket)",
                "--containerd", containerd.socket, "--storage-driver", "vfs", "--iptables=false", "--ip6tables=false",
                "--ip-forward=false", "--bridge=none", "--registry-mirror", "http://127.0.0.1:\(port)",
            ], surroundings: hub.surroundings)
        let daemon = DockerDaemon(socket: socket, containerd: containerd, bench: bench)
        try await eventually(within: .seconds(90), "dockerd answers") {
            guard child.exitStatus == nil else { throw HarnessError("dockerd ended: \(child.outputText())") }
            return try await daemon.docker("version").status == 0
        }
        return daemon
    }

    func docker(_ arguments: String...) async throws -> (status: Int32, output: String) { try await docker(arguments) }

    func docker(_ arguments: [String]) async throws -> (status: Int32, output: String) {
        try await bench.run("docker", ["-H", "unix://\(socket)"] + arguments)
    }

    func pull(_ image: String) async throws {
        let (status, output) = try await docker("pull", image)
        guard status == 0 else { throw HarnessError("docker pull \(image) exited \(status): \(output)") }
    }

    /// `docker rmi` of every image, and of the manifests that it keeps for a while after that: a pull meanwhile would
    /// ask for blobs alone.
    func forgetImages() async throws {
        let identifiers = Set(
            try await docker("images", "-q", "--no-trunc").output.split(separator: "\n").map(String.init))
        for identifier in identifiers {
            let (status, output) = try await docker("rmi", "-f", identifier)
            guard status == 0 else { throw HarnessError("docker rmi \(identifier) exited \(status): \(output)") }
        }
        try await containerd.removeContent(of: "moby")
    }
}
