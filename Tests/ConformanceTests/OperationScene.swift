// The scene of the tests about operation: a mirror that a shell starts, with a file that can be written anew, and the
// commands that speak to it.

import Foundation
import OCI
import TestSupport

struct OperationScene: Sendable {
    let bench: Bench
    /// What stands behind docker.io, unless the configuration says otherwise.
    let upstreams: [StubRegistry]
    let mirror: Mirror
    /// The mirror's configuration file.
    let file: String

    var upstream: StubRegistry { upstreams[0] }

    static let repository = "library/cargo"

    /// Starts a mirror of the upstreams.
    ///
    /// - Parameter script: what the shell does that becomes the mirror: `"$0" "$@"` is its command.
    static func start(
        on bench: Bench, _ upstreams: [StubRegistry], _ configuration: String, data: String? = nil,
        script: String = #"exec "$0" "$@""#, surroundings: Surroundings = .plain
    ) async throws -> OperationScene {
        let port = try freePort()
        let data = try data ?? bench.makeFolder("data-\(port)")
        let file = try bench.write(configuration, to: "wharf-\(port).yaml")
        let command = [try Mirror.program(), "serve", "--listen", "127.0.0.1:\(port)", "--data", data]
        let child = try bench.start(
            "wharf", "/bin/bash", ["-c", script] + command + ["--config", file], surroundings: surroundings)
        try await answers(on: port, by: child)
        return OperationScene(
            bench: bench, upstreams: upstreams, mirror: Mirror(port: port, data: data, child: child), file: file)
    }

    /// The same mirror again, on the same data, once it has ended.
    func again(script: String = #"exec "$0" "$@""#) async throws -> OperationScene {
        let configuration = try String(contentsOfFile: file, encoding: .utf8)
        return try await Self.start(on: bench, upstreams, configuration, data: mirror.data, script: script)
    }

    // MARK: Its configuration

    func configure(_ configuration: String) throws {
        try configuration.write(toFile: file, atomically: true, encoding: .utf8)
    }

    /// Runs `wharf` with the mirror's data directory named.
    func command(_ arguments: String...) async throws -> (status: Int32, output: String) {
        try await bench.run(
            try Mirror.program(), arguments + ["--data", mirror.data], within: .seconds(60))
    }

    /// Has the mirror read another configuration.
    ///
    /// - Throws: if it does not take it.
    func reload(_ configuration: String) async throws {
        try configure(configuration)
        let (status, output) = try await command("reload")
        guard status == 0 else { throw HarnessError("not reloaded: \(output)") }
    }

    /// Waits until the log says it, so many times.
    func logs(_ words: String, times count: Int = 1) async throws {
        try await eventually(within: .seconds(20), "the log says \(words)") {
            self.mirror.child.outputText().components(separatedBy: words).count > count
        }
    }

    // MARK: What it serves

    /// Gives a blob of so many bytes to some upstream.
    func cargo(_ size: Int, seed: UInt64 = 1, of upstream: Int = 0) -> TestBlob {
        let blob = Cargo.blob(size, seed: seed)
        upstreams[upstream].add(blob: blob, to: Self.repository)
        return blob
    }

    func path(_ blob: TestBlob) -> String { "/v2/\(Self.repository)/blobs/\(blob.digest)" }

    func pull(_ blob: TestBlob) async throws -> Pulled {
        let (path, port) = (path(blob), mirror.port)
        return try await blocking { try Pull().run(path, of: blob, port: port) }
    }

    /// Pulls a blob whose body stands at `offset` while `meanwhile` runs, and then goes on.
    func pull(_ blob: TestBlob, heldAt offset: Int, _ meanwhile: () async throws -> Void) async throws -> Pulled {
        let gate = StubGate()
        upstream.inject(.holdBody(at: offset, gate), into: "\(blob.digest)", method: "GET", times: 1)
        async let pulling = pull(blob)
        do {
            try await eventually(within: .seconds(20), "a body is held") { self.upstream.log.held == 1 }
            try await meanwhile()
        } catch {
            gate.open()
            throw error
        }
        gate.open()
        return try await pulling
    }

    func stored(_ count: Int) async throws {
        try await eventually(within: .seconds(20), "\(count) blobs are stored") {
            try await self.mirror.statistics()["storage"]["blobs"].number == Double(count)
        }
    }

    /// Where the store keeps it.
    func storedFile(_ digest: Digest) -> String {
        "\(mirror.data)/blobs/sha256/\(digest.hex.prefix(2))/\(digest.hex)"
    }

    /// Turns one byte of what is stored into another.
    func damage(_ digest: Digest, at place: Int = 0) throws {
        guard let handle = FileHandle(forUpdatingAtPath: storedFile(digest)) else {
            throw HarnessError("\(digest) is not stored")
        }
        try handle.seek(toOffset: UInt64(place))
        let byte = try handle.read(upToCount: 1)?.first ?? 0
        try handle.seek(toOffset: UInt64(place))
        try handle.write(contentsOf: [byte ^ 0xFF])
        try handle.close()
    }
}

/// Sets a scene for `body` and clears it away.
///
/// - Parameter configuration: made of the upstreams; `nil`: they are docker.io's endpoints, and that is all.
func withOperation(
    _ options: StubOptions = StubOptions(), upstreams count: Int = 1,
    script: String = #"exec "$0" "$@""#, surroundings: Surroundings = .plain,
    _ configuration: ([StubRegistry]) -> String = { Mirror.dockerHub(on: $0.map { $0.port() }) },
    _ body: (OperationScene) async throws -> Void
) async throws {
    var upstreams: [StubRegistry] = []
    for _ in 0..<count { upstreams.append(try await StubRegistry.start(options)) }
    let text = configuration(upstreams)
    let outcome: Result<Void, any Error>
    do {
        try await withBench { bench in
            try await body(
                try await OperationScene.start(
                    on: bench, upstreams, text, script: script, surroundings: surroundings))
        }
        outcome = .success(())
    } catch { outcome = .failure(error) }
    for upstream in upstreams { await upstream.stop() }
    try outcome.get()
}
