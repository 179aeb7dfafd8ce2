// A mirror with repositories of its own: one address where nobody logs in, one where everybody does.

import Foundation
import OCI

struct HostedScene: Sendable {
    static let user = "dev"
    static let password = "anchor-chain-7"

    let bench: Bench
    let seed: Seed
    let mirror: Mirror
    /// Where clients are asked to log in.
    let login: Int
    private let configuration: String

    /// - Parameter more: top-level lines of the configuration.
    static func start(
        on bench: Bench, keepingIn data: String? = nil, surroundings: Surroundings = .plain, _ more: String = ""
    ) async throws -> HostedScene {
        let seed = try await Seed.shared()
        let registry = try await DebianRegistry.start(on: bench, storage: seed.storage)
        let line = try await bench.succeed("htpasswd", ["-nbBC", "5", user, password])
        let users = try bench.write(line, to: "users")
        let login = try freePort()
        let configuration =
            Mirror.dockerHub(on: registry.port) + """
                hosted: ["acme/**"]
                access:
                  htpasswd: \(users)
                  catalog: true
                  login-listen: 127.0.0.1:\(login)
                  push:
                    - {names: ["acme/team/**"], users: [dev]}
                    - {names: ["acme/open/**"], networks: [127.0.0.0/8]}

                """ + more
        let mirror = try await Mirror.start(
            on: bench, configuration: configuration, data: data, surroundings: surroundings)
        return HostedScene(bench: bench, seed: seed, mirror: mirror, login: login, configuration: configuration)
    }

    /// The same again on the same ports, and on the same data unless other is named.
    func again(on data: String? = nil) async throws -> HostedScene {
        let mirror = try await Mirror.start(
            on: bench, configuration: configuration, port: mirror.port, data: data ?? mirror.data)
        return HostedScene(bench: bench, seed: seed, mirror: mirror, login: login, configuration: configuration)
    }

    /// As a user at the address for that.
    func send(
        _ method: String, _ path: String, _ fields: [String: String] = [:], body: [UInt8] = []
    ) async throws -> Answer {
        let credentials = Data("\(Self.user):\(Self.password)".utf8).base64EncodedString()
        return try await push(
            method, path, port: login, fields.merging(["Authorization": "Basic \(credentials)"]) { $1 }, body: body)
    }

    /// Pushes a blob and a manifest that names it, under a tag.
    func pushImage(_ bytes: [UInt8], to name: String, tag: String) async throws {
        let digest = Digest.of(bytes)
        let blob = try await send("POST", "/v2/\(name)/blobs/uploads/?digest=\(digest)", body: bytes)
        guard blob.status == 201 else { throw HarnessError("a blob was not taken: \(blob.summary)") }
        let manifest = try await send(
            "PUT", "/v2/\(name)/manifests/\(tag)", ["Content-Type": "\(MediaType.ociManifest)"],
            body: Self.manifest(of: [digest]))
        guard manifest.status == 201 else { throw HarnessError("a manifest was not taken: \(manifest.summary)") }
    }

    static func manifest(of layers: [Digest]) -> [UInt8] {
        let list = layers.map { #"{"mediaType":"\#(MediaType.ociLayer)","digest":"\#($0)","size":1}"# }
        return Array(#"{"schemaVersion":2,"layers":[\#(list.joined(separator: ","))]}"#.utf8)
    }
}

func withHosting(_ body: (HostedScene) async throws -> Void) async throws {
    try await withBench { bench in try await body(try await HostedScene.start(on: bench)) }
}

/// Asks once with a body, over a connection of its own.
func push(
    _ method: String, _ path: String, port: Int, _ fields: [String: String] = [:], body: [UInt8] = []
) async throws -> Answer {
    try await blocking {
        let connection = try Connection(port: port)
        let length = method == "GET" || method == "HEAD" ? [:] : ["Content-Length": "\(body.count)"]
        try connection.send(method, path, fields.merging(["Connection": "close"]) { $1 }.merging(length) { $1 })
        try connection.send(bytes: body)
        let head = try connection.readHead()
        let (answer, ending) = method == "HEAD" ? ([], .complete) : try connection.readBody(after: head)
        return Answer(status: head.status, fields: head.fields, body: answer, ending: ending)
    }
}
