// What is pushed here: for good when it is answered, and nothing of it when it was killed before.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("What is pushed") struct HostingTests {
        @Test func `it outlives the database`() async throws {
            try await withHosting { scene in
                try await scene.pushImage([1, 2, 3], to: "acme/team/app", tag: "v1")
                #expect(try await scene.mirror.stop() == 0)
                for suffix in ["", "-wal", "-shm"] { unlink("\(scene.mirror.data)/metadata.sqlite\(suffix)") }
                let again = try await scene.again()
                try await eventually(within: .seconds(20), "it is read in") {
                    try await again.mirror.get("/v2/acme/team/app/manifests/v1").status == 200
                }
                let blob = try await again.mirror.get("/v2/acme/team/app/blobs/\(Digest.of([1, 2, 3]))")
                #expect(blob.status == 200 && blob.body == [1, 2, 3])
                #expect(try await again.mirror.get("/v2/acme/team/app/tags/list").text.contains("\"v1\""))
            }
        }

        @Test func `a push that is killed at any moment leaves what was answered, and nothing half`() async throws {
            try await withBench { bench in
                var scene = try await HostedScene.start(on: bench)
                var generator = SplitMix(state: 11)
                var (answered, cut, round) = (0, 0, 0)
                // Until some were answered and some were not.
                while round < 8 || (answered == 0 || cut == 0) && round < 60 {
                    round += 1
                    let bytes = (0..<200_000).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
                    let pushing = Task { [scene, round] in
                        try await scene.pushImage(bytes, to: "acme/team/app", tag: "v\(round)")
                    }
                    try await Task.sleep(for: .milliseconds(Int.random(in: 0...120, using: &generator)))
                    scene.mirror.child.signal(SIGKILL)
                    _ = try await scene.mirror.child.exit(within: .seconds(10))
                    let isAnswered = (try? await pushing.value) != nil
                    if isAnswered { answered += 1 } else { cut += 1 }
                    scene = try await scene.again()
                    try await eventually(within: .seconds(20), "files and rows agree") {
                        try await scene.mirror.get("/readyz").status == 200
                    }
                    let manifest = try await scene.mirror.get("/v2/acme/team/app/manifests/v\(round)")
                    #expect(manifest.status == 200 || !isAnswered, "round \(round)")
                    guard manifest.status == 200 else { continue }
                    let blob = try await scene.mirror.get("/v2/acme/team/app/blobs/\(Digest.of(bytes))")
                    #expect(blob.status == 200 && blob.body == bytes, "round \(round)")
                }
                #expect(answered > 0 && cut > 0, "\(answered) answered, \(cut) cut")
                let litter = try FileManager.default.contentsOfDirectory(atPath: "\(scene.mirror.data)/uploads")
                #expect(litter.isEmpty, "after \(answered) that were answered")
            }
        }

        @Test func `a client that is killed in the middle leaves nothing that can be seen`() async throws {
            try await withHosting { scene in
                let bytes = [UInt8](repeating: 5, count: 400_000)
                let digest = Digest.of(bytes)
                let upload = "/v2/acme/open/app/blobs/uploads/?digest=\(digest)"
                let manifest = "/v2/acme/open/app/manifests/v1"
                for (method, path) in [("POST", upload), ("PUT", manifest)] {
                    try await blocking {
                        let connection = try Connection(port: scene.mirror.port)
                        try connection.send(method, path, ["Content-Length": "\(bytes.count)"])
                        try connection.send(bytes: Array(bytes.prefix(300_000)))
                    }
                }
                try await eventually(within: .seconds(10), "nothing of it is left") {
                    try FileManager.default.contentsOfDirectory(atPath: "\(scene.mirror.data)/uploads").isEmpty
                }
                #expect(try await scene.mirror.get("/v2/acme/open/app/blobs/\(digest)").status == 404)
                #expect(try await scene.mirror.get(manifest).status == 404)
                #expect(try await scene.mirror.get("/v2/acme/open/app/tags/list").status == 404)
                #expect(try await push("POST", upload, port: scene.mirror.port, body: bytes).status == 201)
            }
        }

        @Test func `fifty pushes at once stay within their memory`() async throws {
            try await withHosting { scene in
                // One buffer for all: this process shall not be the one that needs the memory.
                var builder = ImageBuilder(seed: 7)
                let bytes = builder.bytes(24 << 20)
                let digest = Digest.of(bytes)
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for number in 0..<50 {
                        group.addTask {
                            let uploads = "/v2/acme/team/app\(number)/blobs/uploads/"
                            guard number.isMultiple(of: 2) else {
                                return try await scene.send("POST", uploads + "?digest=\(digest)", body: bytes).status
                            }
                            let begun = try await scene.send("POST", uploads)
                            let location = try #require(begun.fields["Location"])
                            let sent = try await scene.send("PATCH", location, body: bytes)
                            guard sent.status == 202 else { return sent.status }
                            return try await scene.send("PUT", location + "?digest=\(digest)").status
                        }
                    }
                    for try await status in group { #expect(status == 201) }
                }
                let note = String(repeating: "n", count: 3_900_000)
                let manifest = Array(#"{"schemaVersion":2,"layers":[],"annotations":{"note":"\#(note)"}}"#.utf8)
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for number in 0..<50 {
                        group.addTask {
                            try await scene.send(
                                "PUT", "/v2/acme/team/app\(number)/manifests/large",
                                ["Content-Type": "\(MediaType.ociManifest)"], body: manifest
                            ).status
                        }
                    }
                    for try await status in group { #expect(status == 201) }
                }
                let process = scene.mirror.child.identifier
                let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
                let peak = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
                let kilobytes = try #require(peak?.split { !$0.isNumber }.first.flatMap { Int($0) })
                #expect(kilobytes < 150_000, "\(kilobytes) kB")
            }
        }

        @Test func `what is not allowed is refused before its bytes`() async throws {
            try await withHosting { scene in
                let upload = "/v2/acme/team/app/blobs/uploads/"
                let (open, login) = (scene.mirror.port, scene.login)
                let denied = try await push("POST", upload, port: open)
                #expect(denied.status == 403 && denied.errorCode == "DENIED")
                let asked = try await push("POST", upload, port: login)
                #expect(asked.status == 401 && asked.fields["WWW-Authenticate"] == "Basic realm=\"wharf\"")
                #expect(try await push("POST", "/v2/acme/open/app/blobs/uploads/", port: open).status == 202)
                let evil = try await scene.send("PUT", "/v2/library/evil/manifests/v1", body: Array("{}".utf8))
                #expect(evil.status == 405 && evil.errorCode == "UNSUPPORTED")
                let refused = try await blocking {
                    let connection = try Connection(port: open)
                    try connection.send(
                        "POST", upload + "?digest=\(Digest.of([1]))",
                        ["Content-Length": "900000000", "Expect": "100-continue"])
                    return try connection.readHead().status
                }
                #expect(refused == 403)
            }
        }

        @Test func `no length that is said ends the mirror`() async throws {
            try await withHosting { scene in
                let uploads = "/v2/acme/open/app/blobs/uploads/"
                let begun = try await push("POST", uploads, port: scene.mirror.port)
                let location = try #require(begun.fields["Location"])
                let most = "9223372036854775807"
                for (method, path, fields) in [
                    ("POST", uploads + "?digest=\(Digest.of([1]))", ["Content-Length": most]),
                    ("PUT", "/v2/acme/open/app/manifests/v1", ["Content-Length": most]),
                    (
                        "PATCH", location,
                        ["Content-Range": "0-9223372036854775806", "Transfer-Encoding": "chunked"]
                    ),
                ] {
                    let status = try await blocking {
                        let connection = try Connection(port: scene.mirror.port)
                        try connection.send(method, path, fields)
                        return try connection.readHead().status
                    }
                    #expect([400, 413].contains(status), "\(method)")
                    #expect(try await scene.mirror.get("/livez").status == 200)
                }
            }
        }

        @Test func `what does not fit is refused with its reason`() async throws {
            try await withBench { bench in
                let scene = try await HostedScene.start(
                    on: bench,
                    """
                    cache: {max-size: 64MiB}
                    hosting: {quotas: [{names: ["acme/team/small"], size: 1kB}]}
                    """)
                func begin(_ name: String, _ length: Int) async throws -> (Int, String) {
                    let credentials = Data("\(HostedScene.user):\(HostedScene.password)".utf8).base64EncodedString()
                    return try await blocking {
                        let connection = try Connection(port: scene.login)
                        try connection.send(
                            "POST", "/v2/\(name)/blobs/uploads/?digest=\(Digest.of([1]))",
                            [
                                "Content-Length": "\(length)", "Expect": "100-continue",
                                "Authorization": "Basic \(credentials)",
                            ])
                        let head = try connection.readHead()
                        guard head.status >= 200 else { return (head.status, "") }
                        return (head.status, String(decoding: try connection.readBody(after: head).0, as: UTF8.self))
                    }
                }
                let (full, reason) = try await begin("acme/team/app", 100 << 20)
                #expect(full == 507 && reason.contains("no room"))
                let (over, quota) = try await begin("acme/team/small", 2000)
                #expect(over == 403 && quota.contains("acme/team/small"))
                #expect(try await begin("acme/team/small", 500).0 == 100)
            }
        }

        @Test func `gc is a command`() async throws {
            try await withBench { bench in
                let scene = try await HostedScene.start(on: bench, "hosting: {abandoned-after: 1ms}\n")
                try await scene.pushImage([1], to: "acme/team/app", tag: "v1")
                #expect(try await scene.send("DELETE", "/v2/acme/team/app/manifests/v1").status == 202)
                let manifest = Digest.of(HostedScene.manifest(of: [Digest.of([1])]))
                #expect(try await scene.send("DELETE", "/v2/acme/team/app/manifests/\(manifest)").status == 202)
                let output = try await scene.bench.succeed(
                    try Mirror.program(), ["gc", "--data", scene.mirror.data])
                #expect(output == "collected 0 manifests, 1 blobs and 0 abandoned uploads\n")
                #expect(try await scene.mirror.head("/v2/acme/team/app/blobs/\(Digest.of([1]))").status == 404)
                #expect(
                    try await scene.mirror.statistics()["storage"]["hosted_bytes"].number == 0)
            }
        }
    }
}
