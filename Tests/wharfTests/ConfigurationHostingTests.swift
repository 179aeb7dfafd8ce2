// `hosted`, `hosting` and `access` of the file: who may push what.

import Hosting
import OCI
import TestSupport
import Testing
import Upstream

@testable import wharf

@Suite("Hosting and access in the configuration") struct ConfigurationHostingTests {
    private let folder: ConfigurationFolder
    private static let hash = "$2y$05$g6wXK3sFFvb/TaMdK4c3..1XCBEqbPkaVI4CNtoMLVtiY5qKYs2Vu"

    init() throws { folder = try ConfigurationFolder() }

    @Test func `all of it is read`() throws {
        let users = try folder.file("users", "dev:\(Self.hash)\n")
        let (configuration, warnings) = try folder.load(
            """
            hosted: ["acme/**", cc-hello-world]
            hosting:
              read-only: ["acme/old/*"]
              immutable-tags: ["acme/**:v*", acme/frozen]
              quotas: [{names: ["acme/**"], size: 10GB}]
              abandoned-after: 2h
              untagged-after: 30d
            access:
              htpasswd: \(users)
              catalog: true
              login-listen: 0.0.0.0:5001
              push:
                - "acme/**"
                - {names: [cc-hello-world], users: [dev], networks: [10.0.0.0/8, 192.168.1.7, "fd00::/8"]}
                - {names: [acme/open], networks: [127.0.0.0/8]}
            """)
        #expect(warnings.isEmpty)
        let hosting = configuration.hosting
        #expect(hosting.names.map(\.description) == ["acme/**", "cc-hello-world"])
        #expect(hosting.readOnly.map(\.description) == ["acme/old/*"])
        #expect(hosting.immutableTags.count == 2 && hosting.abandonedAfter == .seconds(7200))
        #expect(hosting.untaggedAfter == .seconds(30 * 86_400))
        #expect(hosting.quotas.map(\.bytes) == [10_000_000_000])
        #expect(configuration.users?.file == users && configuration.showsCatalog)
        #expect(configuration.loginListen == Configuration.ListenAddress(host: "0.0.0.0", port: 5001))
        #expect(configuration.push.map { $0.users } == [nil, ["dev"], []])
        let networks = configuration.push[1].networks
        for (address, isNear) in [
            ("10.255.0.1", true), ("11.0.0.1", false), ("192.168.1.7", true), ("192.168.1.8", false), ("fd12::1", true),
            ("fe80::1", false),
        ] {
            let address = try #require(IPAddress(address))
            #expect(networks.contains { $0.contains(address) } == isNear)
        }
    }

    @Test(arguments: [
        ("hosted: [\"a b\"]", "hosted: "), ("hosting: {quotas: [{names: [a]}]}", "hosting.quotas[0].size: "),
        ("hosting: {quotas: [{size: 1GB}]}", "hosting.quotas[0].names: "),
        ("hosting: {immutable-tags: [\":\"]}", "hosting.immutable-tags: "),
        ("hosting: {imutable-tags: []}", "unknown key hosting.imutable-tags"),
        ("hosting: {abandoned-after: 0s}", "hosting.abandoned-after: "),
        ("access: {push: [{users: [dev]}]}", "access.push[0].names: "),
        ("access: {push: [{names: [a], networks: [10.0.0.0/33]}]}", "access.push[0].networks: "),
        ("access: {push: [{names: [a], user: [b]}]}", "unknown key access.push[0].user"),
        ("access: {push: [\"a b\"]}", "access.push: "), ("access: {htpasswd: /nowhere/users}", "access.htpasswd: "),
        ("access: {login-listen: 0.0.0.0:5001}", "access.login-listen: nobody could log in there"),
        ("access: {catalog: maybe}", "access.catalog: "),
    ])
    func `what is wrong is told with its place`(yaml: String, message: String) throws {
        let mistakes = try folder.mistakes(yaml)
        #expect(mistakes.contains { $0.hasPrefix("1: \(message)") }, "\(mistakes)")
    }

    @Test func `a file of users that is none is a mistake that repeats nothing of it`() throws {
        let users = try folder.file("users", "dev:\(Self.hash)\nops:plain-secret\n")
        let mistakes = try folder.mistakes("access: {htpasswd: \(users)}")
        #expect(mistakes.count == 1 && mistakes[0].contains("line 2") && !mistakes[0].contains("plain-secret"))
    }

    @Test func `a rule for users without any is warned of`() throws {
        #expect(try folder.load("access: {push: [\"acme/**\"]}").1.count == 1)
        #expect(try folder.load("access: {push: [{names: [a], networks: [10.0.0.1]}]}").1.isEmpty)
    }
}
