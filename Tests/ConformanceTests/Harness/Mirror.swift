// The program under test: the built `wharf`, begun with `wharf serve` and seen from outside only.

import Foundation

struct Mirror: Sendable {
    let port: Int
    let data: String
    let child: Child
    /// Where it stands, if not in the tests' own network.
    var network: OwnNetwork?

    /// `WHARF_BINARY`, or the `wharf` that was built beside these tests.
    static func program() throws -> String {
        if let path = ProcessInfo.processInfo.environment["WHARF_BINARY"] { return path }
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let path = URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("wharf").path
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw HarnessError("\(path) is missing: `swift build` builds it, or WHARF_BINARY names another")
        }
        return path
    }

    /// Starts a mirror of docker.io at the upstream on `upstream`, by flags alone.
    static func start(
        on bench: Bench, upstream: Int, port: Int? = nil, data: String? = nil
    ) async throws -> Mirror {
        try await start(on: bench, port: port, data: data, ["--upstream", "http://127.0.0.1:\(upstream)"])
    }

    /// Starts a mirror with this configuration file, to which listen address and data folder are added as flags.
    static func start(
        on bench: Bench, configuration: String, port: Int? = nil, data: String? = nil, flags: [String] = [],
        surroundings: Surroundings = .plain, in network: OwnNetwork? = nil
    ) async throws -> Mirror {
        let file = try bench.write(configuration, to: "wharf-\(UInt32.random(in: 0...(.max))).yaml")
        return try await start(
            on: bench, port: port, data: data, ["--config", file] + flags,
            surroundings: network?.surroundings ?? surroundings, in: network)
    }

    /// The configuration of docker.io at the upstream on `port`, with further keys of that upstream, one a line.
    static func dockerHub(on port: Int, _ keys: [String] = []) -> String { dockerHub(on: [port], keys) }

    /// The same with several endpoints, in this order.
    static func dockerHub(on ports: [Int], _ keys: [String] = []) -> String {
        dockerHub(at: ports.map { "http://127.0.0.1:\($0)" }, keys)
    }

    /// The same at any addresses.
    static func dockerHub(at endpoints: [String], _ keys: [String] = []) -> String {
        """
        builtin-upstreams: false
        upstreams:
          docker.io:
            endpoints: [\(endpoints.map { "\"\($0)\"" }.joined(separator: ", "))]
            allow-http: true

        """ + keys.map { "    \($0)\n" }.joined()
    }

    private static func start(
        on bench: Bench, port: Int?, data: String?, _ arguments: [String], surroundings: Surroundings = .plain,
        in network: OwnNetwork? = nil
    ) async throws -> Mirror {
        let port = try port ?? freePort()
        let data = try data ?? bench.makeFolder("data-\(port)")
        let child = try bench.start(
            "wharf", try program(), ["serve", "--listen", "127.0.0.1:\(port)", "--data", data] + arguments,
            surroundings: surroundings)
        try await answers(on: port, by: child, in: network)
        return Mirror(port: port, data: data, child: child, network: network)
    }

    /// TERM, and the exit status.
    func stop(within limit: Duration = .seconds(40)) async throws -> Int32 {
        child.signal(SIGTERM)
        return try await child.exit(within: limit)
    }

    func get(_ path: String, _ fields: [String: String] = [:]) async throws -> Answer {
        try await ask("GET", path, port: port, fields, in: network)
    }

    func head(_ path: String, _ fields: [String: String] = [:]) async throws -> Answer {
        try await ask("HEAD", path, port: port, fields, in: network)
    }

    /// Has the mirror fetch what the test needs to be there, whole and right.
    func warm(_ path: String) async throws {
        let answer = try await get(path)
        guard answer.status == 200, answer.ending == .complete else {
            throw HarnessError("\(path) could not be fetched: \(answer.summary)")
        }
    }

    func statistics() async throws -> JSONValue {
        let answer = try await get("/stats")
        guard answer.status == 200 else { throw HarnessError("/stats says \(answer.summary)") }
        return try JSONDecoder().decode(JSONValue.self, from: Data(answer.body))
    }
}
