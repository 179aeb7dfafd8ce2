// Repository names, tags, references, and images as people type them.

import OCI
import Testing

@Suite("RepositoryName: distribution-spec v1.1, <name>") struct RepositoryNameTests {
    @Test(arguments: [
        "a", "0", "debian", "library/debian", "a/b/c/d/e/f", "a.b", "a_b", "a__b", "a-b", "a--b", "a-----b",
        "ghcr.io/acme/app", "a/manifests/b", "manifests", "tags/list", "blobs/uploads", "0.0/0__0",
        String(repeating: "a", count: 255), String(repeating: "a/", count: 127) + "a",
    ])
    func `what the grammar allows comes back as it was`(text: String) throws {
        let name = try #require(RepositoryName(text))
        #expect("\(name)" == text)
        #expect(name.components.joined(separator: "/") == text)
    }

    @Test(arguments: [
        "", "/", "a/", "/a", "a//b", ".", "..", "a/..", "../a", "a/../b", "a..b", ".a", "a.", "_a", "a_", "a___b",
        "-a", "a-", "a-/b", "a/-b", "a._b", "a-_b", "a_.b", "A", "aB", "a:b", "localhost:5000/a", "a b", "a\t", "a\n",
        "a\u{0}", "a%2fb", "a\\b", "ä", "a\u{301}", "а", "a@b", "_catalog", "a/_b", "a?", "a#",
        String(repeating: "a", count: 256), String(repeating: "a/", count: 128), String(repeating: "-", count: 1 << 16),
    ])
    func `everything else is refused`(text: String) {
        #expect(RepositoryName(text) == nil)
    }

    @Test func `a mirror's path gives up its first component`() throws {
        let name = try #require(RepositoryName("ghcr.io/acme/app"))
        #expect(name.firstComponent == "ghcr.io")
        #expect(name.withoutFirstComponent == RepositoryName("acme/app"))
        #expect(name.withoutFirstComponent?.withoutFirstComponent == RepositoryName("app"))
        #expect(RepositoryName("app")?.withoutFirstComponent == nil)
        #expect(RepositoryName("app")?.firstComponent == "app")
    }

    @Test func `Docker Hub's library holds the names of one component`() {
        #expect(RepositoryName("debian")?.inLibrary == RepositoryName("library/debian"))
        #expect(RepositoryName("acme/app")?.inLibrary == RepositoryName("acme/app"))
        #expect(RepositoryName(String(repeating: "a", count: 250))?.inLibrary == nil, "over 255 bytes")
    }
}

@Suite("Reference: distribution-spec v1.1, <reference>") struct ReferenceTests {
    static let digest = "sha256:" + String(repeating: "ab", count: 32)

    @Test(arguments: [
        "latest", "1", "_", "__", "1.2.3-rc.1_x", "V1", "a" + String(repeating: "-", count: 127),
        String(repeating: "f", count: 64),
    ])
    func `a tag is a tag`(text: String) throws {
        let tag = try #require(Tag(text))
        #expect("\(tag)" == text)
        #expect(Reference(text) == .tag(tag))
    }

    @Test(arguments: [
        "", ".", "..", ".a", "-a", "a:b", "a/b", "a b", "a+b", "a\u{0}", "é", "a\n", "a%41", "@",
        String(repeating: "a", count: 129),
    ])
    func `what is neither tag nor digest is refused`(text: String) {
        #expect(Tag(text) == nil)
        #expect(Reference(text) == nil)
    }

    @Test func `a digest is a digest, and never a tag`() throws {
        let digest = try #require(Digest(Self.digest))
        #expect(Reference(Self.digest) == .digest(digest))
        #expect("\(Reference.digest(digest))" == Self.digest)
        #expect(Tag(Self.digest) == nil)
        #expect(Reference("sha256:abc") == nil)
    }
}

@Suite("ImageReference") struct ImageReferenceTests {
    static let digest = "sha256:" + String(repeating: "ab", count: 32)

    @Test(arguments: [
        ("debian", "docker.io/library/debian"),
        ("debian:12", "docker.io/library/debian:12"),
        ("acme/app", "docker.io/acme/app"),
        ("docker.io/debian", "docker.io/library/debian"),
        ("index.docker.io/debian", "docker.io/library/debian"),
        ("registry-1.docker.io/library/debian", "docker.io/library/debian"),
        ("Registry-1.Docker.io/debian:12", "docker.io/library/debian:12"),
        ("docker.io/acme/app:1", "docker.io/acme/app:1"),
        ("ghcr.io/acme/app", "ghcr.io/acme/app"),
        ("ghcr.io/app", "ghcr.io/app"),
        ("localhost/app:1", "localhost/app:1"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b"),
        ("[::1]:5000/app", "[::1]:5000/app"),
        ("[fe80::1]/app", "[fe80::1]/app"),
        ("debian:1/a", "debian:1/a"),
        ("Example.Org/app", "example.org/app"),
        ("a_b/app", "docker.io/a_b/app"),
        ("registry/app", "docker.io/registry/app"),
    ])
    func `short forms become the full one`(typed: String, full: String) throws {
        let reference = try #require(ImageReference(typed))
        #expect("\(reference)" == full)
        #expect(ImageReference(full) == reference)
    }

    @Test func `the digest counts before the tag, and neither means latest`() throws {
        let both = try #require(ImageReference("debian:12@\(Self.digest)"))
        #expect(both.tag == Tag("12"))
        #expect(both.reference == Reference(Self.digest))
        #expect("\(both)" == "docker.io/library/debian:12@\(Self.digest)")
        #expect(ImageReference("debian")?.reference == .tag(.latest))
        #expect(ImageReference("debian@\(Self.digest)")?.tag == nil)
    }

    @Test(arguments: [
        "", ":", "@", "/", ":1", "debian:", "debian@", "debian@sha256:abc", "debian:1:2", "Debian", "GHCR/app",
        "docker.io/", "docker.io/Debian", "https://ghcr.io/a", "a b", "ghcr.io:/a", "ghcr.io:0/a", "ghcr.io:65536/a",
        "ghcr.io:1:2/a", "-a.b/c", "a..b/c", "a.b-/c", "[::1/a", "[x::1]/a", "[]/a", "[::1]x/a", "a_b.c/d/",
        "under_score.io/a", "debian@\(digest)@\(digest)", String(repeating: "ab", count: 32),
        String(repeating: "a", count: 64) + ".io/x", String(repeating: "a", count: 250),
    ])
    func `what cannot be meant is refused`(typed: String) {
        #expect(ImageReference(typed) == nil)
    }
}
