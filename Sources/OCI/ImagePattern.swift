// Which images an operator means: `host/name:tag`, each part a pattern.

package struct ImagePattern: Hashable, Sendable, CustomStringConvertible {
    package let description: String
    private let registry: NamePattern
    private let name: NamePattern
    /// Nil: every tag.
    private let tag: NamePattern?

    /// Without a host it means `host`, at docker.io with Docker's short form for one-part names; without a tag, all of
    /// them. A digest is nothing that a pattern could mean.
    package init?(_ text: some StringProtocol, without host: String = ImageReference.dockerHub) {
        description = String(text)
        var rest = description[...]
        guard !rest.contains("@") else { return nil }
        let afterSlash = rest.lastIndex(of: "/").map { rest.index(after: $0) } ?? rest.startIndex
        if let colon = rest[afterSlash...].lastIndex(of: ":") {
            guard let tag = NamePattern(rest[rest.index(after: colon)...]) else { return nil }
            self.tag = tag
            rest = rest[..<colon]
        } else {
            tag = nil
        }
        var host = host
        if let slash = rest.firstIndex(of: "/"), Self.isHost(rest[..<slash]) {
            host = ImageReference.canonical(host: rest[..<slash])
            rest = rest[rest.index(after: slash)...]
        }
        let isOfficial = host == ImageReference.dockerHub && !rest.contains("/") && !rest.contains("**")
        guard let registry = NamePattern(host), !rest.isEmpty,
            let name = NamePattern(isOfficial ? "library/" + rest : String(rest))
        else { return nil }
        self.registry = registry
        self.name = name
    }

    /// The same with all that was left out: two texts that mean the same are one.
    package var fullText: String { "\(registry)/\(name)" + (tag.map { ":\($0)" } ?? "") }

    /// The one image that it means, if there are no stars in it.
    package var image: (repository: Repository, tag: Tag)? {
        guard let tag = tag.flatMap({ Tag("\($0)") }), let name = RepositoryName("\(name)"),
            !"\(registry)".contains("*")
        else { return nil }
        return (Repository(upstream: "\(registry)", name: name), tag)
    }

    package func matches(_ repository: Repository, tag: String) -> Bool {
        covers(repository) && (self.tag?.matches(tag) ?? true)
    }

    /// Whether some of the images may be this repository's.
    package func covers(_ repository: Repository) -> Bool {
        names(repository.upstream) && name.matches("\(repository.name)")
    }

    /// Whether some of the images may be this registry's.
    package func names(_ registry: String) -> Bool { self.registry.matches(registry) }

    /// As in an image's name: the first part is a host if it has a `.` or a `:`, or is `localhost`.
    private static func isHost(_ part: Substring) -> Bool {
        part == "localhost" || part.contains { $0 == "." || $0 == ":" }
    }
}
