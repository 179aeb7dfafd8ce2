// The ways out: tinyproxy for HTTP, microsocks for SOCKS 5, each where it may know more names than the mirror.

import Foundation

struct Tinyproxy: Sendable {
    let port: Int
    let child: Child
    private let log: String

    static let user = "courier"
    static let password = "proxy-secret-7"

    /// Its URL with the credentials that it asks for.
    var url: String { "http://\(Self.user):\(Self.password)@127.0.0.1:\(port)" }

    /// - Parameter connectPorts: to which it lets CONNECT through; none: to none.
    static func start(
        on bench: Bench, connectPorts: [Int] = [], surroundings: Surroundings = .plain
    ) async throws -> Tinyproxy {
        let port = try freePort()
        let log = bench.path("tinyproxy-\(port)-requests")
        let configuration = try bench.write(
            """
            Port \(port)
            Listen 127.0.0.1
            Timeout 60
            LogFile "\(log)"
            LogLevel Connect
            MaxClients 100
            BasicAuth \(user) \(password)
            \(connectPorts.isEmpty ? "ConnectPort 0" : connectPorts.map { "ConnectPort \($0)" }.joined(separator: "\n"))
            """, to: "tinyproxy-\(port).conf")
        let child = try bench.start(
            "tinyproxy", "tinyproxy", ["-d", "-c", configuration], surroundings: surroundings)
        try await listens(child, on: port)
        return Tinyproxy(port: port, child: child, log: log)
    }

    /// The request lines that came: `GET http://host/path HTTP/1.1`, `CONNECT host:443 HTTP/1.1`.
    func requests() throws -> [String] {
        try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
            .filter { $0.contains("Request (file descriptor") }
            .compactMap { line in line.range(of: "): ").map { String(line[$0.upperBound...]) } }
    }
}

/// SOCKS 5 that asks for a user and password.
struct SocksServer: Sendable {
    let port: Int
    let child: Child

    static let user = "sailor"
    static let password = "socks-secret-5"

    /// Names are resolved by the proxy: the `h`.
    var url: String { "socks5h://\(Self.user):\(Self.password)@127.0.0.1:\(port)" }

    static func start(on bench: Bench, surroundings: Surroundings = .plain) async throws -> SocksServer {
        let port = try freePort()
        let child = try bench.start(
            "microsocks", "microsocks", ["-i", "127.0.0.1", "-p", "\(port)", "-u", user, "-P", password],
            surroundings: surroundings)
        try await listens(child, on: port)
        return SocksServer(port: port, child: child)
    }

    /// Whom it connected to, as it tells them: `host:port`.
    func targets() -> [String] {
        child.outputText().split(separator: "\n").compactMap { line in
            line.range(of: "connected to ").map { String(line[$0.upperBound...]) }
        }
    }
}

private func listens(_ child: Child, on port: Int) async throws {
    try await eventually(within: .seconds(10), "\(child.name) listens on port \(port)") {
        guard child.exitStatus == nil else { throw HarnessError("\(child.name) ended: \(child.outputText())") }
        // Refused: not listening yet.
        return (try? Connection(port: port)) != nil
    }
}
