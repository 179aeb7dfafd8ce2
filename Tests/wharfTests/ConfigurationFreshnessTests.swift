// How long tags hold: an upstream's own values, and what its `tags` say instead for some.

import OCI
import Testing

@testable import wharf

@Suite("Configuration: freshness and tags") struct ConfigurationFreshnessTests {
    let folder: ConfigurationFolder

    init() throws { folder = try ConfigurationFolder() }

    /// What holds for a tag, as the first rule that matches says, or else the upstream.
    private func freshness(
        _ tag: String, of repository: String, at upstream: Configuration.Upstream
    ) throws -> Configuration.Freshness {
        let name = try #require(RepositoryName(repository))
        return upstream.tags.first { $0.pattern.matches(tag, of: name) }?.freshness ?? upstream.freshness
    }

    private func mistakes(_ lines: String...) throws -> [String] {
        let indented = lines.map { "    \($0)" }.joined(separator: "\n")
        return try folder.mistakes("upstreams:\n  docker.io:\n\(indented)\n")
    }

    @Test func `an upstream with nothing said of it has the defaults of the contract, and no rules`() throws {
        let (configuration, _) = try folder.load("upstreams: {docker.io: {tags: {}}, quay.io: {tags: }}")
        for upstream in configuration.upstreams {
            #expect(upstream.tags.isEmpty)
            #expect(upstream.freshness.freshFor == .seconds(60))
            #expect(upstream.freshness.staleWhileRevalidate == .zero)
            #expect(upstream.freshness.staleIfError == .seconds(30 * 86_400))
            #expect(upstream.freshness.negativeFor == .seconds(10))
            #expect(!upstream.freshness.forgetsAbsent && !upstream.freshness.isImmutable)
        }
    }

    @Test func `every key of an upstream and of a rule acts, and says where it was given`() throws {
        let (configuration, warnings) = try folder.load(
            """
            upstreams:
              docker.io:
                fresh-for: 1s
                stale-while-revalidate: 2s
                stale-if-error: 3s
                negative-for: 4s
                on-upstream-404: forget
                tags:
                  "*-nightly":
                    fresh-for: 11s
                    stale-while-revalidate: 12s
                    stale-if-error: 13s
                    negative-for: 14s
                    on-upstream-404: serve
                  v*: {immutable: true}
            """)
        #expect(warnings.isEmpty)
        let hub = configuration.upstreams[0]
        var expected = Configuration.Freshness()
        expected.freshFor = .seconds(1)
        expected.staleWhileRevalidate = .seconds(2)
        expected.staleIfError = .seconds(3)
        expected.negativeFor = .seconds(4)
        expected.forgetsAbsent = true
        #expect(hub.freshness == expected)
        #expect(try freshness("latest", of: "library/debian", at: hub) == expected)
        var immutable = expected
        immutable.isImmutable = true
        #expect(try freshness("v1", of: "library/debian", at: hub) == immutable)
        expected.freshFor = .seconds(11)
        expected.staleWhileRevalidate = .seconds(12)
        expected.staleIfError = .seconds(13)
        expected.negativeFor = .seconds(14)
        expected.forgetsAbsent = false
        #expect(try freshness("x-nightly", of: "acme/app", at: hub) == expected)

        let path = "upstreams.docker.io"
        for (key, line) in [
            ("fresh-for", 3), ("stale-while-revalidate", 4), ("stale-if-error", 5), ("negative-for", 6),
            ("on-upstream-404", 7), ("tags.*-nightly.fresh-for", 10), ("tags.*-nightly.stale-while-revalidate", 11),
            ("tags.*-nightly.stale-if-error", 12), ("tags.*-nightly.negative-for", 13),
            ("tags.*-nightly.on-upstream-404", 14), ("tags.v*.immutable", 15),
        ] {
            let expected = Origin.file(folder.path("wharf.yaml"), line: line)
            #expect(configuration.origin(of: "\(path).\(key)") == expected, "\(key)")
        }
        #expect(configuration.origin(of: "\(path).tags.v*.fresh-for") == .builtIn)
    }

    @Test func `a rule begins with its upstream's values, also those written after it`() throws {
        let (configuration, _) = try folder.load(
            """
            upstreams:
              quay.io:
                tags: {"v*": {negative-for: 1s}, "w*": , "x*": {on-upstream-404: serve}}
                fresh-for: 5s
                on-upstream-404: forget
              docker.io: {}
            """)
        let quay = configuration.upstreams[0]
        var expected = quay.freshness
        #expect(expected.freshFor == .seconds(5) && expected.forgetsAbsent)
        #expect(try freshness("w1", of: "a", at: quay) == expected)
        expected.negativeFor = .seconds(1)
        #expect(try freshness("v1", of: "a", at: quay) == expected)
        #expect(try !freshness("x1", of: "a", at: quay).forgetsAbsent)
        #expect(configuration.upstreams[1].tags.isEmpty, "another upstream's are its own")
    }

    @Test func `the first rule in the file that matches counts, and no other`() throws {
        let (configuration, _) = try folder.load(
            """
            upstreams:
              docker.io:
                tags:
                  "z*": {fresh-for: 1s}
                  debian:*: {fresh-for: 2s}
                  acme/**: {fresh-for: 3s}
                  docker.io/library/alpine:3.*: {fresh-for: 4s}
                  "*": {fresh-for: 5s}
                  "never": {fresh-for: 6s}
            """)
        let hub = configuration.upstreams[0]
        #expect(hub.tags.map(\.pattern.description).prefix(3) == ["z*", "debian:*", "acme/**"])
        for (tag, repository, seconds) in [
            ("z", "library/debian", 1), ("12", "library/debian", 2), ("x", "acme/a/b", 3),
            ("3.20", "library/alpine", 4), ("edge", "library/alpine", 5), ("never", "a/b", 5),
        ] {
            #expect(try freshness(tag, of: repository, at: hub).freshFor == .seconds(seconds), "\(repository):\(tag)")
        }
    }

    @Test func `mistakes in rules are told with their lines, all of them`() throws {
        let found = try mistakes(
            "on-upstream-404: delete", "tags:", "  \"a b\": {fresh-for: soon}", "  \"v*\":", "    fresh: 1s",
            "    immutable: yes", "  \"\": {}", "  ghcr.io/acme/app:v*: {}", "  debian@sha256:abc: {}", "  w*: 5s")
        let beginnings = [
            "3: upstreams.docker.io.on-upstream-404: \"delete\" is none of serve, forget",
            "5: upstreams.docker.io.tags.a b.fresh-for: \"soon\" is no duration",
            "5: upstreams.docker.io.tags: \"a b\" is no pattern",
            "7: unknown key upstreams.docker.io.tags.v*.fresh; the nearest known key is fresh-for",
            "8: upstreams.docker.io.tags.v*.immutable: \"yes\" is neither true nor false",
            "9: upstreams.docker.io.tags: \"\" is no pattern",
            "10: upstreams.docker.io.tags: \"ghcr.io/acme/app:v*\" is a pattern that names another upstream",
            "11: upstreams.docker.io.tags: \"debian@sha256:abc\" is no pattern of tags",
            "12: upstreams.docker.io.tags.w* must have keys",
        ]
        #expect(found.count == beginnings.count)
        for beginning in beginnings { #expect(found.contains { $0.hasPrefix(beginning) }, "\(beginning) \(found)") }
    }

    @Test(arguments: ["v[0-9]*", "acme/", "ACME/App:v*", "acme//app", "acme/app:", "acme/APP", ":v*"])
    func `a pattern that no tag could match is a mistake`(pattern: String) throws {
        let found = try mistakes("tags:", "  \"\(pattern)\": {}")
        #expect(found.count == 1 && found[0].hasPrefix("4: upstreams.docker.io.tags: \"\(pattern)\" is"), "\(found)")
    }

    @Test(arguments: ["V*-RC.1", "v*", "**", "acme/app_2:V*", "docker.io/acme/**", "debian:*"])
    func `one that some tag matches is none`(pattern: String) throws {
        #expect(try mistakes("tags:", "  \"\(pattern)\": {}", "  v9: 5s").count == 1)
    }

    @Test func `what an immutable tag never needs is a mistake beside it`() throws {
        let found = try mistakes(
            "fresh-for: 5s", "tags:", "  v*:", "    fresh-for: 1s", "    immutable: true",
            "    stale-while-revalidate: 1s", "  w*: {immutable: true, stale-if-error: 1d, negative-for: 1s}",
            "  x*: {immutable: false, fresh-for: 1s}", "  y*: {immutable: true, fresh-for: soon}")
        #expect(
            found == [
                "6: upstreams.docker.io.tags.v*.fresh-for: means nothing beside immutable: true",
                "8: upstreams.docker.io.tags.v*.stale-while-revalidate: means nothing beside immutable: true",
                "11: upstreams.docker.io.tags.y*.fresh-for: \"soon\" is no duration; "
                    + "write a whole number and ms, s, m, h or d, such as 15s",
                "11: upstreams.docker.io.tags.y*.fresh-for: means nothing beside immutable: true",
            ], "\(found)")
    }

    @Test func `an upstream is never immutable as a whole`() throws {
        #expect(try mistakes("immutable: true")[0].hasPrefix("3: unknown key upstreams.docker.io.immutable"))
    }

    @Test(arguments: [
        "*-nightly: {fresh-for: 5s}", "*: {fresh-for: 5s}", "**: {}", "*.1: {}", "*/app:v1: {}", "*v1*: {}", "*a : {}",
    ])
    func `a pattern that begins with a star and stands without quotes is explained`(line: String) throws {
        for found in [try mistakes("tags:", "  \(line)"), try mistakes("tags: {\(line)}")] {
            #expect(found.count == 1)
            #expect(found[0].contains("no YAML: "))
            #expect(found[0].contains("must stand in quotes: \"*-nightly\""), "\(found)")
        }
    }

    @Test func `the same pattern twice is a mistake`() throws {
        #expect(try mistakes("tags:", "  v*: {fresh-for: 5s}", "  v*: {}")[0].contains("more than once"))
    }
}
