// What is typed to find names by: a part of them, or a pattern; as the database looks for it, and as it is meant.

import OCI

/// A text with a `*` is a pattern, of a whole name with or without its tag, or of images as operators write them
/// (`debian:*` is `docker.io/library/debian:*`); any other is a part of the name. Case does not count in a part.
struct NameSearch: Sendable {
    /// For `LIKE … ESCAPE '\'`. Of a pattern: what is sought has its literals in this order.
    let like: String
    /// Whether what is sought may lie in a name and in its tag: else each can be looked at by itself, which takes half
    /// the time.
    let mayCrossColon: Bool
    private let name: NamePattern?
    private let image: ImagePattern?

    /// - Returns: nil if the text is empty: everything is found then.
    init?(_ text: String) {
        guard !text.isEmpty else { return nil }
        let isPattern = text.contains("*")
        // A name has no NUL, and SQLite would read no further than that.
        let parts = text.split(separator: "*").map { part in
            part.reduce(into: "") { escaped, character in
                if "%_\\".contains(character) { escaped.append("\\") }
                escaped.append(character == "\0" ? "\u{1}" : character)
            }
        }
        like = "%\(parts.joined(separator: "%"))%"
        mayCrossColon = isPattern || text.contains(":")
        name = isPattern ? NamePattern(text) : nil
        image = isPattern ? ImagePattern(text) : nil
    }

    /// Whether it finds a name that the database has found.
    ///
    /// - Parameter tag: nil: the repository itself.
    func finds(_ repository: Repository, tag: String?) -> Bool {
        guard let name else { return true }
        if name.matches("\(repository)") { return true }
        guard let tag else { return image?.covers(repository) ?? false }
        return name.matches("\(repository):\(tag)") || image?.matches(repository, tag: tag) ?? false
    }
}
