// Which tags of one upstream an operator means: `v*` in every repository, or `acme/app:v*` in some.

/// A key of an upstream's `tags`.
///
///     text                     | at docker.io it means
///     -------------------------+----------------------------------------------------------------
///     v*                       | in every repository, the tags that begin with v
///     acme/app:*-nightly       | in acme/app, those that end with -nightly
///     acme/**                  | in all repositories below acme, every tag
///     debian:*                 | in library/debian, every tag; elsewhere, in debian
///     docker.io/acme/app:v*    | the same as without the host
///     ghcr.io/acme/app:v*      | nothing: another upstream's
package struct TagPattern: Hashable, Sendable, CustomStringConvertible {
    private enum Meaning: Hashable {
        case tags(NamePattern)
        case images(ImagePattern)
    }

    private let upstream: String
    private let meaning: Meaning

    /// A text without `/` and `:` is a pattern of tags, any other of images, in which a host may be left out.
    ///
    /// - Returns: nil if it is neither, or only means images of other upstreams.
    package init?(_ text: some StringProtocol, upstream: String) {
        if text.contains(where: { $0 == "/" || $0 == ":" }) {
            guard let images = ImagePattern(text, without: upstream), images.names(upstream) else { return nil }
            meaning = .images(images)
        } else {
            guard !text.contains("@"), let tags = NamePattern(text) else { return nil }
            meaning = .tags(tags)
        }
        self.upstream = upstream
    }

    package func matches(_ tag: String, of repository: RepositoryName) -> Bool {
        switch meaning {
        case .tags(let tags): tags.matches(tag)
        case .images(let images): images.matches(Repository(upstream: upstream, name: repository), tag: tag)
        }
    }

    /// As it was written.
    package var description: String {
        switch meaning {
        case .tags(let tags): tags.description
        case .images(let images): images.description
        }
    }
}
