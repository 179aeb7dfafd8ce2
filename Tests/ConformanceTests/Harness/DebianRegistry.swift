// Debian's docker-registry (distribution 2.8) as the upstream.

import Foundation

struct DebianRegistry: Sendable {
    let port: Int
    let child: Child

    /// - Parameters:
    ///   - storage: the root folder of what it holds, or a line of YAML that names another driver with its settings.
    ///   - authentication: a YAML value for `auth`; `nil`: anyone may do anything.
    static func start(
        on bench: Bench, storage: String, authentication: String? = nil
    ) async throws -> DebianRegistry {
        let port = try freePort()
        let configuration = try bench.write(
            """
            version: 0.1
            log: {level: info, accesslog: {disabled: true}}
            storage:
              \(storage.hasPrefix("/") ? "filesystem: {rootdirectory: \"\(storage)\"}" : storage)
              delete: {enabled: true}
            http: {addr: "127.0.0.1:\(port)", secret: tests}
            \(authentication.map { "auth: \($0)" } ?? "")
            """, to: "registry-\(port).yml")
        let child = try bench.start("docker-registry", "docker-registry", ["serve", configuration])
        try await answers(on: port, by: child)
        return DebianRegistry(port: port, child: child)
    }

    /// Pushes an image with skopeo; without `format` its manifests go as they are, an index whole.
    func push(_ source: String, to image: String, as format: String? = nil, with bench: Bench) async throws {
        let form = format.map { ["--format", $0] } ?? ["--all"]
        let arguments = ["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"]
        try await bench.succeed("skopeo", arguments + form + [source, "docker://127.0.0.1:\(port)/\(image)"])
    }
}

/// Waits until whatever `child` is answers HTTP on `port`.
/// - Throws: at once if it has ended instead, with what it said.
func answers(
    on port: Int, by child: Child, path: String = "/v2/", within limit: Duration = .seconds(30),
    in network: OwnNetwork? = nil
) async throws {
    try await eventually(within: limit, "\(child.name) answers on port \(port)") {
        guard child.exitStatus == nil else { throw HarnessError("\(child.name) ended: \(child.outputText())") }
        // Not listening yet, or not speaking yet: asked again.
        return (try? await ask("GET", path, port: port, within: .seconds(5), in: network)) != nil
    }
}
