// Names, digests, references and patterns: exactly their grammar, and the same text back.

import OCI

extension FuzzTarget {
    private static let digest = "sha256:" + String(repeating: "0123456789abcdef", count: 4)

    static let names = FuzzTarget(
        "names",
        seeds: [
            digest, "sha512:" + String(repeating: "0123456789abcdef", count: 8), "library/debian", "a__b/c-d/e.f_g",
            "v1.2-rc",
            "ghcr.io/acme/app:1@\(digest)", "localhost:5000/x", "[::1]:5000/x:y", "/v2/", "/v2/a/b/blobs/\(digest)",
            "/v2/a/manifests/latest", "/v2/a/manifests/\(digest)", "/v2/a/tags/list", "/v2/a/referrers/\(digest)",
            "/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/x-1_Z", "/v2/_catalog", "/v2/a/manifests/sha256%3a",
            "docker.io/library/debian", "Application/JSON; charset=x",
        ],
        words: [
            "/", "//", ".", "..", "_", "__", "___", "-", "--", ":", "@", "%2f", "%2F", "%00", "%3a", "%", "/blobs/",
            "/manifests/",
            "/tags/list", "/referrers/", "/uploads/", "blobs/uploads/", "sha256:", "sha512:", digest, "/v2", "é", "A",
            "library/", "index.docker.io/",
        ]
    ) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        if let digest = Digest(text) {
            try hold("\(digest)" == text, "a digest of another text")
            try hold(Digest(storedBytes: digest.storedBytes) == digest, "a digest stored as another")
            try hold(digest.hex.utf8.count == digest.algorithm.hexLength, "a hash of another length")
            _ = digest.referrersTag
        }
        let isName = PlainNames.isName(text)
        try hold((RepositoryName(text) != nil) == isName, isName ? "a name refused" : "no name, and taken")
        try hold((Tag(text) != nil) == PlainNames.isTag(text), "a tag that is none, or the other way round")
        if let name = RepositoryName(text) {
            try hold(name.description == text, "a name of another text")
            try hold(name.components.joined(separator: "/") == text, "a name of other parts")
            if let rest = name.withoutFirstComponent {
                try hold("\(name.firstComponent)/\(rest)" == text && RepositoryName("\(rest)") == rest, "an odd rest")
            }
            try hold(name.inLibrary.map { RepositoryName("\($0)") == $0 } ?? true, "no name in the library")
        }
        if let reference = Reference(text) { try hold("\(reference)" == text, "a reference to something else") }
        if let image = ImageReference(text) {
            try hold(ImageReference("\(image)") == image, "\(image) reads back otherwise")
        }
        try lawOfEndpoint(text)
        if let type = MediaType(field: text) {
            try hold(MediaType(field: type.rawValue) == type, "\(type) reads otherwise")
        }
    }

    private static func lawOfEndpoint(_ path: String) throws {
        do {
            let endpoint = try Endpoint(path: path)
            try hold((try? Endpoint(path: endpoint.path)) == endpoint, "\(endpoint) is not at \(endpoint.path)")
            let parts = endpoint.path.split(separator: "/")
            try hold(!parts.contains("..") && !parts.contains("."), "a way out in \(endpoint.path)")
        } catch let error as EndpointError {
            // What is told of it is a part of what was asked.
            switch error {
            case .notAnEndpoint: break
            case .nameInvalid(let part), .digestInvalid(let part), .tagInvalid(_, let part):
                try hold(part.utf8.count <= path.utf8.count, "more than was asked")
            }
        }
    }

    /// A pattern, a line's end, and what is to match it.
    static let patterns = FuzzTarget(
        "patterns",
        seeds: [
            "v*\nv1.2", "acme/**\nacme/a/b", "**\n/", "*a*b*\nxaxbx", "docker.io/library/debian:1*\nlibrary/debian",
            "acme/app:*-nightly\nacme/app", "debian:*\nlibrary/debian", "a*/b**/c\na/b/c", "***\nx/y",
            "ghcr.io/a/b:c\na/b",
        ],
        words: [
            "*", "**", "***", "/", ":", "@", "a", "b", "a*", "*a", "\n", "docker.io/", "localhost/", "library/", "é",
        ]
    ) { bytes in
        let parts = bytes.split(separator: 0x0A, maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return }
        let (text, word) = (String(decoding: parts[0], as: UTF8.self), String(decoding: parts[1], as: UTF8.self))
        if let pattern = NamePattern(text) {
            try hold(pattern.description == text, "a pattern of another text")
            try hold(
                NamePattern(word).map { $0.matches(word.replacing("*", with: "")) } ?? true, "stars that take nothing")
            if text.utf8.count * word.utf8.count < 4096 {
                let matches = PlainNames.matches(Array(text.utf8), Array(word.utf8))
                try hold(pattern.matches(word) == matches, matches ? "a match not seen" : "no match, and taken for one")
            }
        }
        let images = ImagePattern(text)
        let tags = TagPattern(text, upstream: "docker.io")
        if let images { try hold(images.description == text, "a pattern of another text") }
        guard let name = RepositoryName(word) else { return }
        let repository = Repository(upstream: "docker.io", name: name)
        if let images, let tags, text.contains("/") || text.contains(":") {
            try hold(
                images.matches(repository, tag: "v1") == tags.matches("v1", of: name), "two answers for one pattern")
        }
    }
}

/// The grammars as they stand in the spec, and patterns as one would say them.
private enum PlainNames {
    /// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`, at most 255 bytes.
    static func isName(_ text: String) -> Bool {
        guard text.utf8.count <= 255 else { return false }
        return text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy { part in
            let isSeparator: (UInt8) -> Bool = { "._-".utf8.contains($0) }
            let words = part.split(omittingEmptySubsequences: false, whereSeparator: isSeparator)
            guard words.first?.isEmpty == false, words.last?.isEmpty == false else { return false }
            guard words.joined().allSatisfy({ 0x61...0x7A ~= $0 || 0x30...0x39 ~= $0 }) else { return false }
            var rest = part
            while !rest.isEmpty {
                rest = rest.drop { !isSeparator($0) }
                let run = Array(rest.prefix(while: isSeparator))
                rest = rest.dropFirst(run.count)
                let isDashes = run.allSatisfy { $0 == UInt8(ascii: "-") }
                if !isDashes, run != Array(".".utf8), run != Array("_".utf8), run != Array("__".utf8) { return false }
            }
            return true
        }
    }

    /// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
    static func isTag(_ text: String) -> Bool {
        let letters = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_".utf8)
        guard let first = text.utf8.first, letters.contains(first), text.utf8.count <= 128 else { return false }
        return text.utf8.allSatisfy { letters.contains($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") }
    }

    /// Whether the first place of the pattern takes the first place of the text, by a table of all pairs of places.
    static func matches(_ pattern: [UInt8], _ text: [UInt8]) -> Bool {
        let star = UInt8(ascii: "*")
        // Runs of stars made one: true where two or more stood.
        var parts: [(byte: UInt8, isAny: Bool)] = []
        for byte in pattern {
            if byte == star, let last = parts.last, last.byte == star {
                parts[parts.count - 1].isAny = true
            } else {
                parts.append((byte, false))
            }
        }
        var fits = [[Bool]](repeating: [Bool](repeating: false, count: text.count + 1), count: parts.count + 1)
        fits[parts.count][text.count] = true
        for place in parts.indices.reversed() {
            for at in (0...text.count).reversed() {
                let part = parts[place]
                if part.byte == star {
                    let takes = at < text.count && (part.isAny || text[at] != UInt8(ascii: "/"))
                    fits[place][at] = fits[place + 1][at] || takes && fits[place][at + 1]
                } else {
                    fits[place][at] = at < text.count && text[at] == part.byte && fits[place + 1][at + 1]
                }
            }
        }
        return fits[0][0]
    }
}
