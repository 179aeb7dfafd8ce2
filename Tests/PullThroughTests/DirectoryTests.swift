// Which upstream a request means.

import Logging
import OCI
import TestSupport
import Testing
import Upstream

@testable import PullThrough

@Suite("UpstreamDirectory") struct DirectoryTests {
    private let transport = CurlTransport()

    private var directory: UpstreamDirectory {
        let entries = ["docker.io", "ghcr.io", "localhost:5000"].map { name in
            let registry = UpstreamRegistry(
                UpstreamConfiguration(name: name, endpoints: []), transport: transport, clock: ManualClock(),
                now: { 0 }, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, instance: "test")
            let policy = FreshnessPolicy(freshFor: .zero, staleIfError: .zero, negativeFor: .zero)
            let entry = UpstreamDirectory.Entry(
                registry: registry, policy: policy, allows: { !$0.description.contains("forbidden") })
            return (name: name, entry: entry)
        }
        return UpstreamDirectory(entries, defaultName: "docker.io") { $0.description.hasPrefix("own/") }
    }

    @Test(
        arguments: [
            ("debian", nil, "docker.io/library/debian"),
            ("acme/app", nil, "docker.io/acme/app"),
            ("library/debian", nil, "docker.io/library/debian"),
            ("docker.io/debian", nil, "docker.io/library/debian"),
            ("ghcr.io/acme/app", nil, "ghcr.io/acme/app"),
            ("ghcr.io/app", nil, "ghcr.io/app"),
            ("quay.io/acme/app", nil, "docker.io/quay.io/acme/app"),
            ("acme/app", "ghcr.io", "ghcr.io/acme/app"),
            ("debian", "docker.io", "docker.io/library/debian"),
            ("library/debian", "registry-1.docker.io", "docker.io/library/debian"),
            ("library/debian", "index.docker.io", "docker.io/library/debian"),
            ("acme/app", "mirror:5000", "docker.io/acme/app"),
            ("own/app", "ghcr.io", "ghcr.io/own/app"), ("acme/app", "localhost:5000", "localhost:5000/acme/app"),
        ] as [(String, String?, String)])
    func `first match wins`(name: String, namespace: String?, expected: String) throws {
        let route = try directory.route(
            #require(RepositoryName(name)), namespace: namespace,
            ownHost: namespace == "localhost:5000" ? "localhost:5000" : "mirror:5000")
        guard case .upstream(let repository) = route else { return #expect(Bool(false), "\(route)") }
        #expect(repository.description == expected)
    }

    @Test func `a hosted name is nobody else's`() throws {
        let name = try #require(RepositoryName("own/app"))
        #expect(try directory.route(name, namespace: nil, ownHost: nil) == .hosted(name))
    }

    @Test(
        arguments: [
            ("forbidden", nil, "docker.io/library/forbidden"), ("ghcr.io/a/forbidden", nil, "ghcr.io/a/forbidden"),
            ("a/forbidden", "ghcr.io", "ghcr.io/a/forbidden"),
        ] as [(String, String?, String)])
    func `what is not allowed is refused whichever way it is asked`(
        name: String, namespace: String?, expected: String
    ) throws {
        let name = try #require(RepositoryName(name))
        #expect(throws: PullThroughError.notAllowed(expected)) {
            try directory.route(name, namespace: namespace, ownHost: nil)
        }
    }

    @Test func `an unknown namespace is refused`() throws {
        let name = try #require(RepositoryName("a/b"))
        #expect(throws: PullThroughError.noSuchUpstream("evil.example")) {
            try directory.route(name, namespace: "evil.example", ownHost: "mirror:5000")
        }
    }
}
