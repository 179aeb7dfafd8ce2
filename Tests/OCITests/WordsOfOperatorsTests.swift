// What operators write besides images: platforms and sizes, and patterns in full.

import OCI
import Testing

@Suite("Platforms, sizes and full patterns") struct WordsOfOperatorsTests {
    @Test(arguments: [
        ("linux/amd64", "linux", "amd64", nil, true), ("Linux/x86_64", "linux", "amd64", nil, true),
        ("linux/arm64", "linux", "arm64", "v8", true), ("linux/arm64/v8", "linux", "arm64", nil, true),
        ("linux/aarch64", "linux", "arm64", nil, true), ("linux/arm", "linux", "arm", "v7", true),
        ("linux/arm/v7", "linux", "arm", "v6", false), ("linux/arm/v7", "linux", "arm", nil, false),
        ("linux/amd64", "windows", "amd64", nil, false), ("linux/amd64", "linux", "arm64", nil, false),
    ])
    func `a platform means the children that are for it`(
        text: String, os: String, architecture: String, variant: String?, isMeant: Bool
    ) throws {
        let platform = Descriptor.Platform(architecture: architecture, os: os, variant: variant)
        let choice = try #require(PlatformChoice(text))
        #expect(choice.means(platform) == isMeant)
    }

    @Test(arguments: ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd 64", "linux/\u{1B}"])
    func `what is no platform is none`(text: String) { #expect(PlatformChoice(text) == nil) }

    @Test(arguments: [
        ("0B", 0), ("10GB", 10_000_000_000), ("1.5KiB", 1536), ("2TiB", 2 << 40), ("1kB", 1000),
    ])
    func `a size is a number and a unit`(text: String, bytes: Int64) { #expect(ByteSize.parse(text) == bytes) }

    @Test(arguments: ["", "10", "GB", "-1B", "1 GB", "1gb", ".5GB", "1.5.5GB", "1e3B", "99999999999TiB", "٣GB"])
    func `what is no size is none`(text: String) { #expect(ByteSize.parse(text) == nil) }

    @Test(arguments: [
        ("debian", "docker.io/library/debian"), ("debian:12", "docker.io/library/debian:12"),
        ("registry-1.docker.io/library/debian", "docker.io/library/debian"),
        ("index.docker.io/debian", "docker.io/library/debian"), ("GHCR.io/acme/**", "ghcr.io/acme/**"),
        ("acme/*:v*", "docker.io/acme/*:v*"), ("ghcr.io/acme/**", "ghcr.io/acme/**"), ("**", "docker.io/**"),
    ])
    func `a pattern in full means the same`(text: String, full: String) throws {
        let pattern = try #require(ImagePattern(text))
        #expect(pattern.fullText == full)
        let again = try #require(ImagePattern(full))
        #expect(again.fullText == full)
        #expect((pattern.image == nil) == (text != "debian:12"))
    }
}
