// The usual scene of a test that speaks HTTP itself: docker-registry, a recorder before it, and a mirror of both.

import Foundation

struct Scene: Sendable {
    let bench: Bench
    let seed: Seed
    let registry: DebianRegistry
    /// What stands between mirror and registry; its log is what the upstream was asked.
    let upstream: Recorder
    let mirror: Mirror

    /// Waits until nothing is on its way from the upstream any more, so that what was fetched is stored.
    func settle() async throws {
        try await eventually(within: .seconds(20), "nothing is in flight") {
            try await self.mirror.statistics()["in_flight"].elements.isEmpty
        }
    }
}

/// Sets a scene for `body` and clears it away.
/// - Parameters:
///   - keys: of docker.io in the configuration, one a line; none: the mirror runs by flags alone.
///   - ownStorage: whether the registry gets a copy of the seed that the test may change.
func withScene(
    _ manners: RecorderManners = RecorderManners(), keys: [String] = [], ownStorage: Bool = false,
    _ body: (Scene) async throws -> Void
) async throws {
    let seed = try await Seed.shared()
    try await withBench { bench in
        var storage = seed.storage
        if ownStorage {
            storage = bench.path("storage")
            try await bench.succeed("cp", ["-a", seed.storage, storage])
        }
        let registry = try await DebianRegistry.start(on: bench, storage: storage)
        let upstream = try await Recorder.start(on: bench, to: registry.port, manners)
        let mirror =
            keys.isEmpty
            ? try await Mirror.start(on: bench, upstream: upstream.port)
            : try await Mirror.start(
                on: bench, configuration: Mirror.dockerHub(on: upstream.port, keys))
        try await body(Scene(bench: bench, seed: seed, registry: registry, upstream: upstream, mirror: mirror))
    }
}

extension Answer {
    /// The code of the first error in the OCI form, `{"errors": [{"code", "message"}]}`; `nil` where it is another.
    /// - Source: distribution-spec v1.1 "Error Codes".
    var errorCode: String? {
        guard let value = try? JSONDecoder().decode(JSONValue.self, from: Data(body)),  // no JSON: no such form
            value["errors"][0]["message"].text != nil
        else { return nil }
        return value["errors"][0]["code"].text
    }

    var cacheStatus: String { fields["Cache-Status"] ?? "none" }
}
