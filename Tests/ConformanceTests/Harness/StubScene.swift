// The scene of the tests that break things: a mirror of StubRegistries, which lie, cut, stall and count as ordered.

import Foundation
import OCI
import TestSupport

struct StubScene: Sendable {
    let bench: Bench
    /// The endpoints of docker.io, in the order in which the mirror asks them.
    let upstreams: [StubRegistry]
    let mirror: Mirror
    /// The door at which blobs come out.
    let door: StubDoor
    private let configuration: String

    /// Where every blob lies unless a test says otherwise.
    static let repository = "library/cargo"

    var upstream: StubRegistry { upstreams[0] }

    fileprivate static func start(
        on bench: Bench, _ upstreams: [StubRegistry], _ door: StubDoor, _ configuration: String
    ) async throws -> StubScene {
        let mirror = try await Mirror.start(on: bench, configuration: configuration)
        return StubScene(bench: bench, upstreams: upstreams, mirror: mirror, door: door, configuration: configuration)
    }

    /// The same mirror again: ended by `signal`, then started on the same data.
    /// - Parameters:
    ///   - others: further lines of the configuration, outside `upstreams`.
    ///   - flags: further ones of `wharf serve`.
    func restarted(
        after signal: Int32, others: [String] = [], flags: [String] = [], surroundings: Surroundings = .plain
    ) async throws -> StubScene {
        mirror.child.signal(signal)
        _ = try await mirror.child.exit(within: .seconds(40))
        let configuration = others.map { "\($0)\n" }.joined() + configuration
        let mirror = try await Mirror.start(
            on: bench, configuration: configuration, data: mirror.data, flags: flags, surroundings: surroundings)
        return StubScene(bench: bench, upstreams: upstreams, mirror: mirror, door: door, configuration: configuration)
    }

    // MARK: Blobs

    /// Gives a blob of so many bytes to every upstream.
    func cargo(_ size: Int, seed: UInt64 = 1) -> TestBlob {
        let blob = Cargo.blob(size, seed: seed)
        for upstream in upstreams { upstream.add(blob: blob, to: Self.repository) }
        return blob
    }

    func path(_ blob: TestBlob) -> String { "/v2/\(Self.repository)/blobs/\(blob.digest)" }

    /// Asks for a blob and compares what comes with what it has to be.
    func pull(_ blob: TestBlob, _ manner: Pull = Pull()) async throws -> Pulled {
        let path = path(blob)
        return try await blocking { try manner.run(path, of: blob, port: mirror.port) }
    }

    func pull(_ blob: TestBlob, range: String) async throws -> Pulled {
        try await pull(blob, Pull(fields: ["Range": range]))
    }

    /// Makes GETs of this blob's bytes go wrong, `times` times or until the upstream is healed.
    func spoil(_ blob: TestBlob, _ faults: StubFault..., of endpoint: Int = 0, times: Int? = nil) {
        for fault in faults {
            upstreams[endpoint].inject(fault, into: "\(blob.digest)", method: "GET", at: door, times: times)
        }
    }

    /// Pulls a blob whose first body comes as far as `offset`, stands there until `meanwhile` is done, and is then cut.
    func pull(_ blob: TestBlob, brokenAt offset: Int, _ meanwhile: () async throws -> Void) async throws -> Pulled {
        let gate = StubGate()
        spoil(blob, .holdBody(at: offset, gate), .cut(at: offset + 1, reset: false), times: 1)
        async let pulling = pull(blob)
        try await upstreamSees("a body held") { $0.held == 1 }
        try await meanwhile()
        gate.open()
        return try await pulling
    }

    // MARK: What can be seen

    /// Waits until nothing is on its way from the upstream any more, so that what was fetched is stored.
    func settle(within limit: Duration = .seconds(20)) async throws {
        try await eventually(within: limit, "nothing is in flight") {
            try await self.mirror.statistics()["in_flight"].elements.isEmpty
        }
    }

    /// Waits until so many blobs are stored.
    func stored(_ count: Int = 1, within limit: Duration = .seconds(20)) async throws {
        try await eventually(within: limit, "\(count) blobs are stored") {
            try await self.mirror.statistics()["storage"]["blobs"].number == Double(count)
        }
    }

    /// Waits until the upstream has seen what the test wants.
    func upstreamSees(_ what: String, _ isThere: (StubLog) -> Bool) async throws {
        try await eventually(within: .seconds(20), "the upstream sees \(what)") { isThere(self.upstream.log) }
    }

    /// GETs of blobs that came to an upstream where the bytes are, redirects left out.
    func contentRequests(_ upstream: StubRegistry? = nil) -> [StubRequest] {
        (upstream ?? self.upstream).log.requests("sha256:", method: "GET", door: door)
            .filter { !$0.path.contains("/manifests/") }
    }

    /// Body bytes that the mirror says it has received.
    func bytesFromUpstream() async throws -> Int {
        Int(try await mirror.statistics()["bytes"]["from_upstream"].number ?? -1)
    }

    /// What unfinished blobs hold on the disk, as the mirror tells it.
    func partialBytes() async throws -> Int {
        Int(try await mirror.statistics()["storage"]["partial_bytes"].number ?? -1)
    }

    /// The mirror's warnings and errors.
    var complaints: [String] {
        mirror.child.outputText().split(separator: "\n").map(String.init)
            .filter { $0.contains(" warning ") || $0.contains(" error ") }
    }

    /// Whether a warning tells this upstream by its host and port.
    func complains(of upstream: StubRegistry) -> Bool {
        let ports = [StubDoor.registry, .blobs].map { ":\(upstream.port($0))" }
        return complaints.contains { line in ports.contains { line.contains($0) } }
    }

    /// What is left of blobs once nothing is in flight: files of unfinished ones, and what `/stats` counts.
    func leftovers() async throws -> Leftovers {
        try await settle()
        let storage = try await mirror.statistics()["storage"]
        let files = try FileManager.default.contentsOfDirectory(atPath: mirror.data + "/ingest")
        return Leftovers(
            blobs: Int(storage["blobs"].number ?? -1), partialBytes: try await partialBytes(),
            ingestFiles: files.count)
    }
}

struct Leftovers: Equatable, Sendable {
    let blobs: Int
    let partialBytes: Int
    let ingestFiles: Int

    static let none = Leftovers(blobs: 0, partialBytes: 0, ingestFiles: 0)
}

/// Sets a scene for `body` and clears it away.
/// - Parameters:
///   - endpoints: how many StubRegistries stand behind docker.io.
///   - keys: of docker.io in the configuration, one a line.
///   - others: lines of the configuration outside `upstreams`.
func withStub(
    _ options: StubOptions = StubOptions(), endpoints: Int = 1, keys: [String] = [], others: [String] = [],
    _ body: (StubScene) async throws -> Void
) async throws {
    var upstreams: [StubRegistry] = []
    for _ in 0..<endpoints { upstreams.append(try await StubRegistry.start(options)) }
    let configuration = others.map { "\($0)\n" }.joined() + Mirror.dockerHub(on: upstreams.map { $0.port() }, keys)
    let outcome: Result<Void, any Error>
    do {
        try await withBench { bench in
            let door = options.redirectsBlobs ? StubDoor.blobs : .registry
            try await body(try await StubScene.start(on: bench, upstreams, door, configuration))
        }
        outcome = .success(())
    } catch { outcome = .failure(error) }
    for upstream in upstreams { await upstream.stop() }
    try outcome.get()
}
