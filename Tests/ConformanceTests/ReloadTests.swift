// The configuration read again, by HUP and by `wharf reload`: all of it or nothing, and nobody is disturbed.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("reload") struct ReloadTests {
        private static func hub(_ upstream: StubRegistry, _ keys: String...) -> String {
            Mirror.dockerHub(on: upstream.port(), keys)
        }

        @Test func `another endpoint is asked at once, and what has begun ends whole on the old one`() async throws {
            try await withOperation(upstreams: 2, { Self.hub($0[0]) }) { (scene: OperationScene) async throws in
                let (old, new) = (scene.cargo(4 << 20, seed: 1), scene.cargo(1 << 20, seed: 2, of: 1))
                let first = try await scene.pull(old, heldAt: 1 << 20) {
                    try scene.configure(Self.hub(scene.upstreams[1]))
                    let (status, output) = try await scene.command("reload")
                    #expect(status == 0)
                    #expect(output == "reloaded: upstreams.docker.io.endpoints\n")
                    let asked = scene.upstreams[0].log.requests.count
                    let second = try await scene.pull(new)
                    #expect(second.isWhole, "\(second)")
                    #expect(scene.upstreams[0].log.requests.count == asked)
                }
                #expect(first.isWhole, "\(first)")
                try await scene.stored(2)
            }
        }

        @Test func `a mistake anywhere changes nothing, and every one is told with its line`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let right = try String(contentsOfFile: scene.file, encoding: .utf8)
                try scene.configure("offline: true\ndrain: ten seconds\nlisen: 127.0.0.1:0\n" + right)
                let (status, output) = try await scene.command("reload")
                #expect(status == 1)
                for place in ["\(scene.file):2: ", "\(scene.file):3: "] {
                    #expect(output.components(separatedBy: place).count == 2, "\(output)")
                    try await scene.logs(place)
                }
                scene.mirror.child.signal(SIGHUP)
                try await scene.logs("not reloaded", times: 2)
                #expect(try await scene.mirror.get("/readyz").text.contains("offline") == false)
                let pulled = try await scene.pull(scene.cargo(100_000))
                #expect(pulled.isWhole, "\(pulled)")
            }
        }

        @Test func `a file that is gone or no YAML changes nothing either`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                try FileManager.default.removeItem(atPath: scene.file)
                #expect(try await scene.command("reload").status == 1)
                try scene.configure("{[")
                #expect(try await scene.command("reload").status == 1)
                let pulled = try await scene.pull(scene.cargo(100_000))
                #expect(pulled.isWhole, "\(pulled)")
            }
        }

        @Test func `an upstream that stays the same keeps its tokens, another asks for new ones`() async throws {
            let asking = StubOptions(authentication: .bearer())
            try await withOperation(asking) { (scene: OperationScene) async throws in
                let blobs = (1...3).map { scene.cargo(100_000, seed: $0) }
                #expect(try await scene.pull(blobs[0]).isWhole)
                try await scene.reload("drain: 5s\n" + Self.hub(scene.upstream))
                #expect(try await scene.pull(blobs[1]).isWhole)
                #expect(scene.upstream.log.tokensIssued == 1)
                try await scene.reload(Self.hub(scene.upstream, "max-transfers: 3"))
                #expect(try await scene.pull(blobs[2]).isWhole)
                #expect(scene.upstream.log.tokensIssued == 2)
            }
        }

        @Test func `a connection that a client keeps is kept`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let connection = try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    try connection.send("GET", "/v2/")
                    let head = try connection.readHead()
                    _ = try connection.readBody(after: head)
                    return connection
                }
                try await scene.reload("limits: {connections: 5, idle-timeout: 10s}\n" + Self.hub(scene.upstream))
                let status = try await blocking {
                    try connection.send("GET", "/v2/")
                    return try connection.readHead().status
                }
                #expect(status == 200)
            }
        }

        @Test func `limits on connections hold from then on`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                try await scene.reload("limits: {connections-per-address: 1}\n" + Self.hub(scene.upstream))
                let connection = try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    try connection.send("GET", "/v2/")
                    _ = try connection.readHead()
                    return connection
                }
                #expect(try await scene.mirror.get("/v2/").status == 503)
                // Its owner gets through all the same.
                try await scene.reload("limits: {connections-per-address: 100}\n" + Self.hub(scene.upstream))
                #expect(try await scene.mirror.get("/v2/").status == 200)
                withExtendedLifetime(connection) {}
            }
        }

        @Test func `the admin token is another at once`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                func status(_ token: String) async throws -> Int {
                    try await ask(
                        "POST", "/api/v1/reload", port: scene.mirror.port, ["Authorization": "Bearer \(token)"]
                    ).status
                }
                let file = try scene.bench.write("first\n", to: "token")
                let configuration = "access: {admin-token-file: \(file)}\n" + Self.hub(scene.upstream)
                #expect(try await status("first") == 401)
                try await scene.reload(configuration)
                #expect(try await status("first") == 200)
                try scene.bench.write("second\n", to: "token")
                #expect(try await status("first") == 200)  // this one reads it
                #expect(try await status("first") == 401)
                #expect(try await status("second") == 200)
                #expect(!scene.mirror.child.outputText().contains("second"))
                #expect(scene.mirror.child.outputText().contains("changed=access.admin-token-file"))
            }
        }

        @Test func `less room is kept to soon after`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                for seed in 1...3 { #expect(try await scene.pull(scene.cargo(3 << 20, seed: UInt64(seed))).isWhole) }
                try await scene.stored(3)
                try await scene.reload("cache: {max-size: 5MB, lease: 0s}\n" + Self.hub(scene.upstream))
                try await eventually(within: .seconds(30), "what is too much has gone") {
                    let storage = try await scene.mirror.statistics()["storage"]
                    return storage["max_bytes"].number == 5_000_000 && storage["bytes"].number ?? .infinity <= 5_000_000
                }
            }
        }

        @Test func `the log's form and level, offline and denied repositories change by HUP`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                #expect(try await scene.pull(scene.cargo(100_000)).isWhole)
                let other = scene.cargo(100_000, seed: 2)
                try scene.configure(
                    "offline: true\nlog: {format: json, level: debug}\n" + Self.hub(scene.upstream))
                scene.mirror.child.signal(SIGHUP)
                try await scene.logs(#""message":"reloaded","changed":"log.level, log.format, offline""#)
                let asked = scene.upstream.log.requests.count
                #expect(try await scene.pull(other).status == 404)
                #expect(scene.upstream.log.requests.count == asked)
                try scene.configure(Self.hub(scene.upstream, "deny: [\"\(OperationScene.repository)\"]"))
                scene.mirror.child.signal(SIGHUP)
                try await scene.logs("reloaded", times: 2)
                #expect(try await scene.pull(other).status == 403)
                try scene.configure(Self.hub(scene.upstream))
                scene.mirror.child.signal(SIGHUP)
                try await scene.logs("reloaded", times: 3)
                #expect(try await scene.pull(other).isWhole)
            }
        }

        @Test func `what takes a restart is named, and stays`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                // The flags of the start count before the file, so it takes a mirror without them.
                let port = try freePort()
                let data = try scene.bench.makeFolder("other")
                func text(_ port: Int, _ data: String) -> String {
                    "listen: 127.0.0.1:\(port)\ndata: \(data)\n" + Self.hub(scene.upstream)
                }
                let file = try scene.bench.write(text(port, data), to: "other.yaml")
                let child = try scene.bench.start("wharf", try Mirror.program(), ["serve", "--config", file])
                try await answers(on: port, by: child)
                try scene.bench.write(text(try freePort(), "/elsewhere"), to: "other.yaml")
                let (status, output) = try await scene.bench.run(try Mirror.program(), ["reload", "--data", data])
                #expect(status == 0)
                #expect(output.contains("only a restart changes: listen, data\n"), "\(output)")
                #expect(try await ask("GET", "/v2/", port: port).status == 200)
                #expect(child.outputText().contains("takes a restart"))
            }
        }

        @Test func `a limit that was spent is tried again`() async throws {
            let spent = StubOptions(rateLimit: (limit: 100, remaining: 0))
            func eager(_ upstreams: [StubRegistry]) -> String { Self.hub(upstreams[0], "fresh-for: 0s") }
            try await withOperation(spent, eager) { (scene: OperationScene) async throws in
                var builder = ImageBuilder(seed: 1)
                scene.upstream.add(builder.image(layers: [10_000]), to: OperationScene.repository, tag: "latest")
                let path = "/v2/\(OperationScene.repository)/manifests/latest"
                func heads() -> Int { scene.upstream.log.requests("latest", method: "HEAD").count }
                for _ in 0..<4 { try await scene.mirror.warm(path) }
                let before = heads()
                try await scene.mirror.warm(path)
                #expect(heads() == before)
                #expect(try await scene.mirror.statistics()["upstreams"][0]["spent"] == .bool(true))
                try await scene.reload(Self.hub(scene.upstream, "fresh-for: 0s"))
                #expect(try await scene.mirror.statistics()["upstreams"][0]["spent"] == .bool(false))
                try await scene.mirror.warm(path)
                #expect(heads() == before + 1)
            }
        }

        @Test func `reloads at the same time follow one another, and pulls go on`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let blobs = (1...6).map { scene.cargo(1 << 20, seed: $0) }
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    for blob in blobs {
                        group.addTask { try await scene.pull(blob).isWhole }
                        group.addTask { try await scene.command("reload").status == 0 }
                        scene.mirror.child.signal(SIGHUP)
                    }
                    for try await isRight in group { #expect(isRight) }
                }
                #expect(scene.mirror.complaints.isEmpty, "\(scene.mirror.complaints)")
            }
        }
    }
}
