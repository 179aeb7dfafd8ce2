// Which images an operator means: names with `*` for any run without `/` and `**` for any run.

package struct ImagePattern: Hashable, Sendable, CustomStringConvertible {
    package let description: String
    private let registry: [UInt8]
    private let name: [UInt8]
    /// nil: every tag.
    private let tag: [UInt8]?

    /// Parses `host/name:tag`. Without a host it means docker.io, with Docker's short form for one-part names; without a tag, all of
    /// them.
    package init?(_ text: some StringProtocol) {
        description = String(text)
        var rest = description[...]
        let afterSlash = rest.lastIndex(of: "/").map { rest.index(after: $0) } ?? rest.startIndex
        if let colon = rest[afterSlash...].lastIndex(of: ":") {
            tag = Array(rest[rest.index(after: colon)...].utf8)
            rest = rest[..<colon]
        } else {
            tag = nil
        }
        var host = ImageReference.dockerHub[...]
        if let slash = rest.firstIndex(of: "/"),
            rest[..<slash].contains(where: { ".:".contains($0) }) || rest[..<slash] == "localhost"
        {
            host = rest[..<slash]
            rest = rest[rest.index(after: slash)...]
        }
        guard !rest.isEmpty, tag?.isEmpty != true else { return nil }
        let isOfficial = host == ImageReference.dockerHub && !rest.contains("/") && !rest.contains("**")
        registry = Array(host.utf8)
        name = Array((isOfficial ? "library/" + rest : String(rest)).utf8)
    }

    package func matches(_ repository: Repository, tag: String) -> Bool {
        Self.matches(registry[...], Array(repository.upstream.utf8)[...])
            && Self.matches(name[...], Array(repository.name.description.utf8)[...])
            && (self.tag.map { Self.matches($0[...], Array(tag.utf8)[...]) } ?? true)
    }

    /// Each `*` tries the shortest run first; texts are at most 255 bytes.
    private static func matches(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        let star = UInt8(ascii: "*")
        let slash = UInt8(ascii: "/")
        guard let first = pattern.first else { return text.isEmpty }
        guard first == star else {
            return text.first == first && matches(pattern.dropFirst(), text.dropFirst())
        }
        let crossesSlashes = pattern.dropFirst().first == star
        let after = pattern.drop { $0 == star }
        var rest = text
        while true {
            if matches(after, rest) { return true }
            guard let next = rest.popFirst(), crossesSlashes || next != slash else { return false }
        }
    }
}
