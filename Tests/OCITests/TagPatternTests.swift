// Tag patterns as operators write them, and the matcher of all patterns: right for any text, and never slow.

import OCI
import Testing

@Suite("Tag patterns") struct TagPatternTests {
    private func pattern(_ text: String, _ upstream: String = "docker.io") throws -> TagPattern {
        try #require(TagPattern(text, upstream: upstream), "\(text)")
    }

    private func name(_ text: String) throws -> RepositoryName { try #require(RepositoryName(text)) }

    @Test(arguments: [
        ("v*", "docker.io", "library/debian", "v1"),
        ("v*", "ghcr.io", "acme/app", "v1.2.3"),
        ("*-nightly", "docker.io", "a/b/c", "12-nightly"),
        ("latest", "quay.io", "a", "latest"),
        ("*", "quay.io", "a/b", "anything"),
        ("**", "quay.io", "a/b", "anything"),
        ("1.*", "quay.io", "a/b", "1.2"),
        ("acme/app:*-nightly", "docker.io", "acme/app", "x-nightly"),
        ("acme/app:*-nightly", "ghcr.io", "acme/app", "x-nightly"),
        ("acme/app", "docker.io", "acme/app", "x"),
        ("acme/**", "docker.io", "acme/a/b", "x"),
        ("acme/**:v*", "docker.io", "acme/a/b", "v"),
        ("**:v*", "docker.io", "acme/a/b", "v"),
        ("debian:*", "docker.io", "library/debian", "12"),
        ("debian:12", "ghcr.io", "debian", "12"),
        ("docker.io/library/debian:*", "docker.io", "library/debian", "12"),
        ("docker.io/debian:*", "docker.io", "library/debian", "12"),
        ("*/debian:*", "docker.io", "library/debian", "12"),
        ("*.io/acme/**", "docker.io", "acme/app", "x"),
        ("registry.acme.org:5000/app:v*", "registry.acme.org:5000", "app", "v1"),
        ("app:v*", "registry.acme.org:5000", "app", "v1"),
        ("[::1]:5000/app:v*", "[::1]:5000", "app", "v1"),
    ])
    func `a pattern means its tags`(text: String, upstream: String, repository: String, tag: String) throws {
        let pattern = try pattern(text, upstream)
        #expect(pattern.matches(tag, of: try name(repository)))
        #expect("\(pattern)" == text)
    }

    @Test(arguments: [
        ("v*", "docker.io", "library/debian", "12-v"),
        ("V*", "docker.io", "library/debian", "v1"),
        ("latest", "docker.io", "latest", "12"),
        ("debian", "docker.io", "library/debian", "12"),
        ("acme/app:*-nightly", "docker.io", "acme/app", "x-nightly-2"),
        ("acme/app:*-nightly", "docker.io", "acme/app2", "x-nightly"),
        ("acme/app:*-nightly", "docker.io", "x/acme/app", "x-nightly"),
        ("acme/*", "docker.io", "acme/a/b", "x"),
        ("acme/**", "docker.io", "acme", "x"),
        ("debian:*", "docker.io", "acme/debian", "12"),
        ("debian:*", "docker.io", "debian", "12"),
        ("debian:*", "ghcr.io", "library/debian", "12"),
        ("*:*", "docker.io", "acme/debian", "12"),
    ])
    func `a pattern means no others`(text: String, upstream: String, repository: String, tag: String) throws {
        #expect(try !pattern(text, upstream).matches(tag, of: try name(repository)))
    }

    @Test(arguments: [
        "", ":", "/:", "debian:", ":v*", "docker.io/", "docker.io/:v*", "ghcr.io/acme/app:v*", "ghcr.io/**",
        "docker.io:443/acme/app", "localhost/app", "v1.2/app:x", "*.org/acme/**", "debian@sha256:abc", "v1@x",
    ])
    func `what means no tag of this upstream is no pattern`(text: String) {
        #expect(TagPattern(text, upstream: "docker.io") == nil)
    }
}

@Suite("Name patterns") struct NamePatternTests {
    @Test(arguments: [
        ("a", "a", true), ("a", "b", false), ("a", "", false), ("a", "aa", false), ("*", "", true),
        ("*", "a/b", false), ("**", "a/b", true), ("*/*", "a/b", true), ("*/*", "a/b/c", false),
        ("**/c", "a/b/c", true), ("a*", "a/", false), ("***", "a/b", true), ("*a/**b*c", "xa/y/bzc", true),
        ("*a/**b*c", "xa/y/b/c", false),
    ])
    func `one star stays between slashes, two do not`(pattern: String, text: String, isMatch: Bool) throws {
        #expect(try #require(NamePattern(pattern)).matches(text) == isMatch)
    }

    /// What the matcher must be equal to, said as plainly as can be: every star tries every run, however long it takes.
    private func plainly(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        let star = UInt8(ascii: "*")
        guard let first = pattern.first else { return text.isEmpty }
        guard first == star else { return text.first == first && plainly(pattern.dropFirst(), text.dropFirst()) }
        let crossesSlashes = pattern.dropFirst().first == star
        let after = pattern.drop { $0 == star }
        var rest = text
        while true {
            if plainly(after, rest) { return true }
            guard let next = rest.popFirst(), crossesSlashes || next != UInt8(ascii: "/") else { return false }
        }
    }

    @Test func `it says of any pattern and text what trying everything says`() throws {
        var seed: UInt64 = 1
        func random(_ bound: Int) -> Int {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(seed >> 33) % bound
        }
        func random(of letters: String, _ count: Int) -> String {
            let letters = Array(letters)
            return String((0..<count).map { _ in letters[random(letters.count)] })
        }
        var matches = 0
        for _ in 0..<5_000 {
            let pattern = random(of: "ab/***", 1 + random(7))
            let text = random(of: "ab/", random(9))
            let isMatch = try #require(NamePattern(pattern)).matches(text)
            #expect(isMatch == plainly(Array(pattern.utf8)[...], Array(text.utf8)[...]), "\(pattern) \(text)")
            if isMatch { matches += 1 }
        }
        #expect((500..<4_500).contains(matches), "neither side is seldom tried")
    }

    /// Trying everything would take longer than anybody lives.
    @Test(.timeLimit(.minutes(1)), arguments: ["*a", "**a", "*a**a"])
    func `many stars are no more work than their number`(part: String) throws {
        let pattern = try #require(NamePattern(String(repeating: part, count: 60) + "b"))
        for length in [128, 255] { #expect(!pattern.matches(String(repeating: "a", count: length))) }
        #expect(pattern.matches(String(repeating: "a", count: 254) + "b"))
    }
}
