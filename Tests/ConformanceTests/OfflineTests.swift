// Without a network: by configuration, where nobody is asked at all, and in the world, where nobody can be; and what
// real clients get in every kind of outage.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("offline") struct OfflineTests {
        /// The three ways to say so.
        enum Way: String, CaseIterable {
            case flag, file, variable
        }

        private func goOffline(_ scene: StubScene, by way: Way) async throws -> StubScene {
            switch way {
            case .flag: try await scene.restarted(after: SIGTERM, flags: ["--offline"])
            case .file: try await scene.restarted(after: SIGTERM, others: ["offline: true"])
            case .variable:
                try await scene.restarted(
                    after: SIGTERM, surroundings: Surroundings(variables: ["WHARF_OFFLINE": "true"]))
            }
        }

        @Test(arguments: Way.allCases)
        func `nobody is asked, and what is stored is served whatever its age`(way: Way) async throws {
            let keys = [
                "fresh-for: 0s", "stale-if-error: 0s", "negative-for: 0s", "stale-while-revalidate: 1h",
                #"tags: {"swept": {fresh-for: 0s, on-upstream-404: forget}}"#,
            ]
            try await withStub(keys: keys) { scene in
                let image = try await scene.warm(1)
                try await scene.warm(2, as: "swept")
                scene.upstream.remove(tag: "swept", from: StubScene.repository)
                for blob in image.blobs { #expect(try await scene.pull(blob).isWhole) }
                let notStored = scene.ship(3, as: "not-stored")
                let tags = "/v2/\(StubScene.repository)/tags/list"
                let referrers = "/v2/\(StubScene.repository)/referrers/\(image.manifest.digest)"
                for list in [tags, referrers] { try await scene.mirror.warm(list) }
                try await scene.settle()
                let connections = scene.upstream.connectionCount
                let alone = try await goOffline(scene, by: way)

                for (tag, method) in [("latest", "GET"), ("latest", "HEAD"), ("swept", "HEAD")] {
                    let answer = try await alone.ask(tag, by: method)
                    #expect(answer.status == 200, "\(answer.summary)")
                    if method == "GET" { #expect(answer.isManifest(image.manifest)) }
                    #expect(answer.fields["Age"] != nil)
                }
                #expect(try await alone.ask("\(image.manifest.digest)").isManifest(image.manifest))
                for blob in image.blobs {
                    #expect(try await alone.pull(blob).isWhole)
                    #expect(try await alone.mirror.head(alone.path(blob)).status == 200)
                }
                try await expectHonesty(of: alone, about: notStored)

                let search = "/v1/search?q=cargo"
                for path in [tags, referrers, search, "/v2/", "/v1/_ping", "/stats", "/readyz"] {
                    let answer = try await alone.mirror.get(path)
                    #expect(answer.status == 200, "\(path): \(answer.summary)")
                    if path == tags { #expect(answer.text.contains("\"latest\"")) }
                    if path == search { #expect(answer.text.contains("cargo")) }
                }
                #expect(try await alone.mirror.stop() == 0)
                // Nothing waits in the background either: the process has ended.
                #expect(scene.upstream.connectionCount == connections)
            }
        }

        /// What is not here is not said not to be anywhere.
        private func expectHonesty(of scene: StubScene, about image: TestImage) async throws {
            for reference in ["not-stored", "\(image.manifest.digest)", "never"] {
                for method in ["GET", "HEAD"] {
                    let answer = try await scene.ask(reference, by: method)
                    #expect(answer.status == 503, "\(reference): \(answer.summary)")
                    #expect(answer.fields["Proxy-Status"] != nil)
                }
            }
            for method in ["GET", "HEAD"] {
                // A 503 would hold dockerd up for more than a minute, and `Proxy-Status` tells it from absence.
                let blob = try await ConformanceTests.ask(
                    method, scene.path(image.layers[0]), port: scene.mirror.port, within: StubScene.patience)
                #expect(blob.status == 404, "\(blob.summary)")
                #expect(blob.fields["Proxy-Status"] != nil)
            }
            let tags = try await scene.mirror.get("/v2/library/stranger/tags/list")
            #expect(tags.status == 503, "\(tags.summary)")
        }

        @Test func `is over when it is no longer said: what moved meanwhile is seen`() async throws {
            try await withStub(keys: ["fresh-for: 0s"]) { scene in
                let old = try await scene.warm(1)
                let new = scene.ship(2)
                let alone = try await scene.restarted(after: SIGTERM, flags: ["--offline"])
                #expect(try await alone.ask().isManifest(old.manifest))
                #expect(try await alone.ask("other").status == 503)
                scene.ship(3, as: "other")
                let back = try await alone.restarted(after: SIGTERM)
                #expect(try await back.ask().isManifest(new.manifest))
                #expect(try await back.ask("other").status == 200)
            }
        }

        @Test func `dockerd pulls what is stored, and is told at once what is not`() async throws {
            try await withDocker(keys: ["fresh-for: 0s", "stale-if-error: 0s"]) { scene in
                _ = try await scene.pull("fleet")
                try await scene.daemon.forgetImages()
                #expect(try await scene.mirror.stop() == 0)
                let mirror = try await Mirror.start(
                    on: scene.bench,
                    configuration: Mirror.dockerHub(
                        on: scene.upstream.port, ["fresh-for: 0s", "stale-if-error: 0s"]),
                    port: scene.mirror.port, data: scene.mirror.data, flags: ["--offline"])
                let (front, upstream) = try await scene.pull("fleet")
                #expect(front.allSatisfy { $0.status == 200 })
                #expect(upstream.isEmpty)
                let unknown = try await scene.daemon.docker("pull", "harbour")
                #expect(unknown.status != 0)
                #expect(try await mirror.statistics()["requests"]["error"].number ?? 0 > 0)
            }
        }
    }

    @Suite("a start without a network") struct LonelyStartTests {
        /// Whether anyone listens where names are asked for.
        @Test(arguments: [false, true])
        func `takes no longer than another, and what is stored is served`(listens: Bool) async throws {
            try await withStub(keys: ["fresh-for: 0s"]) { scene in
                let image = try await scene.warm(1)
                for blob in image.blobs { #expect(try await scene.pull(blob).isWhole) }
                try await scene.settle()
                #expect(try await scene.mirror.stop() == 0)
                let resolver = try await Scenery.nameServer(on: scene.bench, listens: listens)
                // With the built-in upstreams, whose names lead nowhere either, and names for the way out.
                let mirror = try await Mirror.start(
                    on: scene.bench,
                    configuration: """
                        upstreams:
                          docker.io:
                            endpoints: ["https://registry.wharf.test", "http://mirror.wharf.test:5000"]
                            allow-http: true
                            fresh-for: 0s
                        """, data: scene.mirror.data, surroundings: Surroundings(resolver: resolver))
                for path in ["/livez", "/readyz"] { #expect(try await mirror.get(path).status == 200) }
                let answer = try await ask(
                    "GET", StubScene.manifest("latest"), port: mirror.port, within: StubScene.patience)
                #expect(answer.isManifest(image.manifest), "\(answer.summary)")
                #expect(answer.missingMarksOfStaleness.isEmpty, "\(answer.missingMarksOfStaleness)")
                for blob in image.blobs {
                    #expect(try await mirror.get(scene.path(blob)).body == blob.bytes)
                }
                // A thread that waits for a name holds nobody up at the end.
                #expect(try await mirror.stop(within: .seconds(10)) == 0)
            }
        }

        @Test func `with nothing stored says so, never that there is no such image`() async throws {
            try await withBench { bench in
                let resolver = try await Scenery.nameServer(on: bench, listens: false)
                let mirror = try await Mirror.start(
                    on: bench, configuration: Mirror.dockerHub(at: ["https://registry.wharf.test"]),
                    surroundings: Surroundings(resolver: resolver))
                for method in ["GET", "HEAD"] {
                    let answer = try await ask(method, StubScene.manifest("latest"), port: mirror.port)
                    #expect((502...504).contains(answer.status), "\(answer.summary)")
                    #expect(answer.fields["Proxy-Status"]?.contains("dns_") == true)
                }
            }
        }
    }

    @Suite("real clients in an outage") struct ClientOutageTests {
        /// One of them ends the others' chance to be met: who is limited is not asked about tags for a while.
        private static let outages: [[Outage]] = [
            [
                .unauthorized, .forbidden, .timeout, .broken, .unavailable, .page, .lie, .reset, .silent, .refused,
                .full, .nameless,
            ],
            [.limited],
        ]

        @Test(arguments: outages)
        func `dockerd pulls a multi-platform image again that it has lost`(outages: [Outage]) async throws {
            let keys = ["fresh-for: 0s"]
            try await withDocker(keys: keys) { scene in
                _ = try await scene.pull("fleet")
                let fallen = try scene.hub.requestsForContent().count
                var mirror = scene.mirror
                for outage in outages {
                    try Outage.end(at: scene.upstream)
                    mirror = try await outage.befall(scene.upstream, of: mirror, keys: keys, on: scene.bench)
                    try await scene.daemon.forgetImages()
                    let before = try await mirror.statistics()["requests"]
                    let front = try await scene.front.during { try await scene.daemon.pull("fleet") }
                    #expect(front.allSatisfy { $0.status == 200 }, "\(outage): \(front)")
                    // Tag, index, child; config and two layers.
                    #expect(front.filter(\.isManifest).count == 3, "\(outage): \(front)")
                    #expect(front.filter(\.isBlob).count == 3, "\(outage): \(front)")
                    let after = try await mirror.statistics()["requests"]
                    #expect(after["stale"].number == before["stale"].number.map { $0 + 1 }, "\(outage)")
                    #expect(after["error"].number == before["error"].number, "\(outage)")
                }
                #expect(try scene.hub.requestsForContent().count == fallen)
            }
        }

        @Test func `containerd pulls a multi-platform image again while the upstream says nothing`() async throws {
            try await withScene(keys: ["fresh-for: 0s"]) { scene in
                let hub = try await FakeHub.start(on: scene.bench)
                let front = try await Recorder.start(on: scene.bench, to: scene.mirror.port)
                let containerd = try await ContainerdDaemon.start(on: scene.bench, hub: hub)
                try containerd.useMirror(on: front.port)
                let image = "docker.io/library/fleet:latest"
                try await containerd.pull(image)
                try await scene.settle()
                scene.upstream.freeze()
                try await containerd.forget(image)
                let seen = try await front.during { try await containerd.pull(image) }
                #expect(seen.allSatisfy { $0.status == 200 || $0.status == 206 }, "\(seen)")
                #expect(seen.filter(\.isBlob).count == 3, "\(seen)")
                #expect(try hub.requestsForContent().isEmpty)
            }
        }
    }
}
