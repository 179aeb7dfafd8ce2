// What a reload says has changed: keys, never values, and nothing that has not.

import Foundation
import Testing

@testable import wharf

@Suite("What has changed in a configuration") struct ConfigurationChangesTests {
    private let folder: ConfigurationFolder

    init() throws { folder = try ConfigurationFolder() }

    private func changes(_ before: String, _ after: String) throws -> [String] {
        let (old, new) = (try folder.load(before).0, try folder.load(after).0)
        return old.changes(to: new)
    }

    @Test(arguments: [
        ("listen: 127.0.0.1:1", "listen"), ("data: /elsewhere", "data"), ("cache: {max-size: 1GB}", "cache.max-size"),
        ("cache: {min-free: 1GB}", "cache.min-free"), ("cache: {low-watermark: 50%}", "cache.low-watermark"),
        ("cache: {lease: 1s}", "cache.lease"), ("cache: {verify-rate: 0%}", "cache.verify-rate"),
        ("cache: {pin: [debian]}", "cache.pin"),
        ("default-upstream: ghcr.io", "default-upstream"), ("limits: {connections: 1}", "limits.connections"),
        ("limits: {connections-per-address: 1}", "limits.connections-per-address"),
        ("limits: {header-timeout: 1s}", "limits.header-timeout"),
        ("limits: {idle-timeout: 1s}", "limits.idle-timeout"),
        ("limits: {client-stall-timeout: 1s}", "limits.client-stall-timeout"), ("drain: 1s", "drain"),
        ("log: {level: debug}", "log.level"), ("log: {levels: {store: debug}}", "log.levels"),
        ("log: {format: json}", "log.format"), ("offline: true", "offline"),
        ("upstreams: {ghcr.io: {fresh-for: 1s}}", "upstreams.ghcr.io.fresh-for"),
        ("upstreams: {ghcr.io: {tags: {v1: {immutable: true}}}}", "upstreams.ghcr.io.tags"),
        ("upstreams: {ghcr.io: {max-bandwidth: 1MB/s}}", "upstreams.ghcr.io.max-bandwidth"),
        ("upstreams: {ghcr.io: {deny: [a]}}", "upstreams.ghcr.io.deny"),
        ("upstreams: {example.com: {}}", "upstreams.example.com"),
    ])
    func `each key by its name`(yaml: String, key: String) throws {
        #expect(try changes("", yaml).filter { $0 != "upstreams" } == [key])
        #expect(try changes(yaml, yaml).isEmpty)
    }

    @Test func `a file of the same name with something else in it`() throws {
        func load(_ password: String, _ authority: String) throws -> Configuration {
            let (secret, file) = (try folder.file("password", password), try folder.file("ca.pem", authority))
            let keys = "username: me, password-file: \(secret), ca-file: \(file)"
            return try folder.load("upstreams: {ghcr.io: {\(keys)}}").0
        }
        let before = try load("one", "A")
        #expect(before.changes(to: try load("one", "A")).isEmpty)
        #expect(before.changes(to: try load("two", "A")) == ["upstreams.ghcr.io.password-file"])
        #expect(before.changes(to: try load("one", "B")) == ["upstreams.ghcr.io.ca-file"])
    }

    @Test func `the data directory is found in a file that is wrong elsewhere`() throws {
        var flags = Configuration.Flags()
        flags.config = try folder.file("wrong.yaml", "data: /some/where\nlisen: 1\ndrain: never\n")
        #expect(try Configuration.dataDirectory(ConfigurationSource(flags: flags, environment: [:])) == "/some/where")
        let environment = ["WHARF_DATA": "/other"]
        #expect(try Configuration.dataDirectory(ConfigurationSource(flags: flags, environment: environment)) == "/other")
    }
}
