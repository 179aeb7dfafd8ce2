// Image patterns as operators write them.

import OCI
import Testing

@Suite("Image patterns") struct ImagePatternTests {
    @Test(arguments: [
        ("debian", "docker.io", "library/debian", "12"),
        ("debian:12", "docker.io", "library/debian", "12"),
        ("docker.io/library/debian:1*", "docker.io", "library/debian", "12-slim"),
        ("ghcr.io/acme/**", "ghcr.io", "acme/a/b", "x"),
        ("ghcr.io/acme/*", "ghcr.io", "acme/a", "x"),
        ("**", "docker.io", "library/debian", "12"),
        ("acme/app-*:v*", "docker.io", "acme/app-web", "v1"),
        ("localhost:5000/a", "localhost:5000", "a", "b"),
    ])
    func `a pattern means its images`(pattern: String, host: String, name: String, tag: String) throws {
        let repository = Repository(upstream: host, name: try #require(RepositoryName(name)))
        #expect(try #require(ImagePattern(pattern)).matches(repository, tag: tag))
    }

    @Test(arguments: [
        ("debian:12", "docker.io", "library/debian", "13"),
        ("debian", "docker.io", "acme/debian", "12"),
        ("ghcr.io/acme/*", "ghcr.io", "acme/a/b", "x"),
        ("ghcr.io/acme/**", "docker.io", "acme/a", "x"),
        ("*", "docker.io", "acme/a", "x"),
        ("acme/app-*:v*", "docker.io", "acme/app-web", "latest"),
    ])
    func `a pattern means no others`(pattern: String, host: String, name: String, tag: String) throws {
        let repository = Repository(upstream: host, name: try #require(RepositoryName(name)))
        #expect(try !#require(ImagePattern(pattern)).matches(repository, tag: tag))
    }

    @Test(arguments: ["", ":", "a:", "ghcr.io/", "ghcr.io/:x", "debian@sha256:abc"])
    func `what names nothing is no pattern`(text: String) { #expect(ImagePattern(text) == nil) }
}
