// One dockerd for all the Docker tests, and for each test a mirror of its own behind the address that dockerd knows.

import Foundation

/// What is expensive to begin and holds nothing a test depends on: dockerd with the fake Docker Hub beside it.
struct DockerHost: Sendable {
    let daemon: DockerDaemon
    let hub: FakeHub
    /// The port dockerd takes for its mirror; each test puts its own recorder there.
    let mirrorPort: Int

    static func shared() async throws -> DockerHost { try await making.value }

    private static let making = Task {
        let bench = try Bench()  // for the whole run; the undertaker ends what is on it
        do {
            let hub = try await FakeHub.start(on: bench)
            let port = try freePort()
            let daemon = try await DockerDaemon.start(on: bench, mirror: port, hub: hub)
            return DockerHost(daemon: daemon, hub: hub, mirrorPort: port)
        } catch {
            print(bench.lastWords())
            throw error
        }
    }
}

struct DockerScene: Sendable {
    let bench: Bench
    let seed: Seed
    let daemon: DockerDaemon
    let hub: FakeHub
    /// Between dockerd and the mirror.
    let front: Recorder
    let mirror: Mirror
    /// Between the mirror and docker-registry, with the manners of Docker Hub.
    let upstream: Recorder

    /// Pulls, and returns what dockerd asked of the mirror and the mirror of its upstream.
    /// - Throws: if dockerd turned to Docker Hub for content, even where the pull came to a good end.
    func pull(_ image: String) async throws -> (front: [Recorded], upstream: [Recorded]) {
        let before = try hub.requestsForContent().count
        var front: [Recorded] = []
        let upstream = try await upstream.during {
            front = try await self.front.during { try await daemon.pull(image) }
            // A recorder that was stopped is not asked for its log, and neither is a mirror in mid-fill.
            try await eventually(within: .seconds(20), "nothing is in flight") {
                try await mirror.statistics()["in_flight"].elements.isEmpty
            }
        }
        let fallen = try hub.requestsForContent().dropFirst(before)
        guard fallen.isEmpty else { throw HarnessError("dockerd fell back to Docker Hub: \(fallen)") }
        return (front, upstream)
    }
}

/// Sets the scene, with no image in dockerd and nothing in the mirror.
func withDocker(keys: [String] = [], _ body: (DockerScene) async throws -> Void) async throws {
    let host = try await DockerHost.shared()
    let seed = try await Seed.shared()
    try await host.daemon.forgetImages()
    try await withBench { bench in
        let registry = try await DebianRegistry.start(on: bench, storage: seed.storage)
        let manners = RecorderManners(asksForToken: true, redirectsBlobs: true, tellsLimits: true)
        let upstream = try await Recorder.start(on: bench, to: registry.port, manners)
        let mirror = try await Mirror.start(on: bench, configuration: Mirror.dockerHub(on: upstream.port, keys))
        let front = try await Recorder.start(on: bench, to: mirror.port, port: host.mirrorPort)
        try await body(
            DockerScene(
                bench: bench, seed: seed, daemon: host.daemon, hub: host.hub, front: front, mirror: mirror,
                upstream: upstream))
    }
}
