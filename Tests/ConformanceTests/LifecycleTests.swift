// The program from start to stop: its command line, what it refuses, how it ends, and what it remembers.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("the command line") struct CommandLineTests {
        private func wharf(_ arguments: String..., configuration: String? = nil) async throws -> (Int32, [String]) {
            try await withBench { bench in
                var arguments = arguments
                if let configuration { arguments += ["--config", try bench.write(configuration, to: "wharf.yaml")] }
                let (status, output) = try await bench.run(
                    try Mirror.program(), arguments, within: .seconds(20))
                return (status, output.split(separator: "\n").map(String.init))
            }
        }

        @Test func `says its version`() async throws {
            let (status, lines) = try await wharf("--version")
            #expect(status == 0)
            #expect(lines == ["wharf 0.1.0"])
        }

        @Test func `an unknown flag or command is a usage error`() async throws {
            #expect(try await wharf("serve", "--no-such-flag").0 == 64)
            #expect(try await wharf("no-such-command").0 == 64)
        }

        @Test func `every mistake of a file is told at once, one a line, with its place`() async throws {
            let (status, lines) = try await wharf(
                "serve",
                configuration: """
                    lisen: 127.0.0.1:0
                    drain: ten seconds
                    cache:
                      max-size: much
                    upstreams:
                      docker.io:
                        fresh-fro: 60s
                    """)
            #expect(status == 1 || status == 64)
            #expect(lines.count == 4, "\(lines)")
            for (line, words) in [(1, ["lisen", "listen"]), (2, ["drain"]), (4, ["max-size"]), (7, ["fresh-for"])] {
                let told = lines.filter { $0.contains(":\(line):") }
                #expect(told.count == 1, "line \(line) in \(lines)")
                #expect(words.allSatisfy { told.first?.contains($0) == true }, "\(told)")
            }
        }

        @Test(arguments: [
            "tls: {certificate: c.pem, key: k.pem}", "access: {anonymous-pull: false}", "access: {htpasswd: users}",
        ])
        func `what does not act yet and would be dangerous to ignore is refused`(line: String) async throws {
            let (status, lines) = try await wharf("serve", configuration: line)
            #expect(status == 1 || status == 64)
            #expect(lines.contains { $0.contains(line.prefix { $0 != ":" }) }, "\(lines)")
        }

        @Test func `what is known and idle is named in one warning`() async throws {
            try await withBench { bench in
                let mirror = try await Mirror.start(
                    on: bench,
                    configuration: Mirror.dockerHub(on: try freePort())
                        + "prefetch: [{images: [library/harbour]}]\n")
                let warnings = mirror.child.outputText().split(separator: "\n").filter { $0.contains("warning") }
                #expect(warnings.count == 1)
                #expect(warnings.first?.contains("prefetch") == true)
            }
        }

        @Test func `a port that is taken and a data folder that cannot be are told in one line`() async throws {
            try await withScene { scene in
                let taken = try await scene.bench.run(
                    try Mirror.program(),
                    ["serve", "--listen", "127.0.0.1:\(scene.mirror.port)", "--data", scene.bench.path("other")],
                    within: .seconds(20))
                #expect(taken.status == 1)
                #expect(taken.output.contains("\(scene.mirror.port)"))
                let nowhere = try await scene.bench.run(
                    try Mirror.program(),
                    ["serve", "--listen", "127.0.0.1:\(try freePort())", "--data", "/proc/none"], within: .seconds(20))
                #expect(nowhere.status == 1)
                #expect(nowhere.output.contains("/proc/none"))
            }
        }

        @Test func `a log line tells a request, and no secret of it`() async throws {
            try await withScene { scene in
                let path = "/v2/library/harbour/manifests/latest"
                _ = try await scene.mirror.get(path, ["Authorization": "Basic c2VjcmV0OnNlY3JldA=="])
                try await eventually(within: .seconds(5), "the request is logged") {
                    scene.mirror.child.outputText().contains(path)
                }
                #expect(!scene.mirror.child.outputText().contains("c2VjcmV0"))
            }
        }
    }

    @Suite("start and stop") struct LifecycleTests {
        @Test func `SIGTERM lets a body on its way to a client end, then the program exits 0`() async throws {
            try await withScene(RecorderManners(blobRate: 1 << 20)) { scene in
                let blob = scene.seed.largeLayer
                let path = "/v2/library/harbour/blobs/\(blob.digest)"
                let body = try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    try connection.send("GET", path)
                    let head = try connection.readHead()
                    let first = try connection.read(100_000).bytes
                    scene.mirror.child.signal(SIGTERM)
                    let (rest, ending) = try connection.read(blob.size - first.count)
                    #expect(head.status == 200)
                    #expect(ending == nil)
                    return first + rest
                }
                #expect(Digest.of(body).description == blob.digest)
                #expect(try await scene.mirror.child.exit(within: .seconds(20)) == 0)
            }
        }

        @Test func `while it drains a new request is refused`() async throws {
            try await withScene(RecorderManners(blobRate: 1 << 20)) { scene in
                let path = "/v2/library/harbour/blobs/\(scene.seed.largeLayer.digest)"
                let connection = try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    try connection.send("GET", path)
                    _ = try connection.readHead()
                    return connection
                }
                scene.mirror.child.signal(SIGTERM)
                try await eventually(within: .seconds(2), "a new request is refused or told 503") {
                    do { return try await scene.mirror.get("/v2/").status == 503 } catch { return true }
                }
                withExtendedLifetime(connection) {}
            }
        }

        @Test func `a body that outlasts drain is reset and the program ends`() async throws {
            try await withBench { bench in
                let seed = try await Seed.shared()
                let registry = try await DebianRegistry.start(on: bench, storage: seed.storage)
                let upstream = try await Recorder.start(
                    on: bench, to: registry.port, RecorderManners(blobRate: 256 << 10))
                let mirror = try await Mirror.start(
                    on: bench, configuration: "drain: 1s\n" + Mirror.dockerHub(on: upstream.port))
                let blob = seed.largeLayer
                let ending = try await blocking {
                    let connection = try Connection(port: mirror.port)
                    try connection.send("GET", "/v2/library/harbour/blobs/\(blob.digest)")
                    _ = try connection.readHead()
                    _ = try connection.read(10_000)
                    mirror.child.signal(SIGTERM)
                    return try connection.read(blob.size).ending
                }
                #expect(ending == .reset)
                _ = try await mirror.child.exit(within: .seconds(5))
            }
        }

        @Test func `an idle connection does not hold it up`() async throws {
            try await withScene { scene in
                let connection = try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    try connection.send("GET", "/v2/")
                    let head = try connection.readHead()
                    _ = try connection.readBody(after: head)
                    return connection
                }
                #expect(try await scene.mirror.stop(within: .seconds(5)) == 0)
                withExtendedLifetime(connection) {}
            }
        }

        @Test(arguments: [SIGTERM, SIGKILL])
        func `what was stored is served after a restart, upstream or not`(signal: Int32) async throws {
            try await withScene { scene in
                let paths =
                    ["/v2/library/harbour/manifests/latest"]
                    + scene.seed.harbour.blobs.map { "/v2/library/harbour/blobs/\($0.digest)" }
                for path in paths { try await scene.mirror.warm(path) }
                try await scene.settle()
                let before = try await scene.mirror.statistics()
                scene.mirror.child.signal(signal)
                _ = try await scene.mirror.child.exit(within: .seconds(20))
                await scene.upstream.stop()

                let mirror = try await Mirror.start(
                    on: scene.bench, upstream: scene.upstream.port, data: scene.mirror.data)
                for path in paths {
                    let answer = try await mirror.get(path)
                    #expect(answer.status == 200, "\(path)")
                    #expect(answer.ending == .complete, "\(path)")
                }
                let after = try await mirror.statistics()
                #expect(after["storage"]["blobs"] == before["storage"]["blobs"])
                guard signal == SIGTERM else { return }
                let total = try #require(before["requests"]["total"].number)
                #expect(after["requests"]["total"].number == total + Double(paths.count))
                #expect(after["bytes"]["from_upstream"] == before["bytes"]["from_upstream"])
            }
        }

        @Test func `a transfer cut short by a kill leaves nothing that is served as whole`() async throws {
            try await withScene(RecorderManners(blobRate: 1 << 20)) { scene in
                let blob = scene.seed.largeLayer
                let path = "/v2/library/harbour/blobs/\(blob.digest)"
                try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    try connection.send("GET", path)
                    _ = try connection.readHead()
                    _ = try connection.read(500_000)
                    scene.mirror.child.signal(SIGKILL)
                }
                _ = try await scene.mirror.child.exit(within: .seconds(5))
                let mirror = try await Mirror.start(
                    on: scene.bench, upstream: scene.upstream.port, data: scene.mirror.data)
                let answer = try await mirror.get(path)
                #expect(Digest.of(answer.body).description == blob.digest)
                try await eventually(within: .seconds(10), "it is stored") {
                    try await mirror.statistics()["storage"]["blobs"].number == 1
                }
            }
        }

        @Test func `it starts, and is ready, with every upstream down`() async throws {
            try await withBench { bench in
                let mirror = try await Mirror.start(on: bench, upstream: try freePort())
                #expect(try await mirror.get("/livez").status == 200)
                #expect(try await mirror.get("/readyz").status == 200)
                #expect(try await mirror.get("/v2/").status == 200)
            }
        }

        @Test func `offline asks no upstream at all`() async throws {
            try await withScene { scene in
                let path = "/v2/library/harbour/manifests/latest"
                try await scene.mirror.warm(path)
                #expect(try await scene.mirror.stop() == 0)
                let mirror = try await Mirror.start(
                    on: scene.bench,
                    configuration: "offline: true\n" + Mirror.dockerHub(on: scene.upstream.port, ["fresh-for: 0s"]),
                    data: scene.mirror.data)
                let seen = try await scene.upstream.during {
                    #expect(try await mirror.get(path).status == 200)
                    let unknown = try await mirror.get("/v2/library/fleet/manifests/latest")
                    #expect(unknown.status >= 400)
                    #expect(unknown.errorCode != nil)
                }
                #expect(seen.isEmpty)
            }
        }
    }
}
