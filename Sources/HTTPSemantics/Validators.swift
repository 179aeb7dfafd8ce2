// Entity tags, their two comparisons, and `If-None-Match`.

/// `"opaque"` or `W/"opaque"`: RFC 9110 §8.8.3.
package struct EntityTag: Hashable, Sendable {
    package let isWeak: Bool
    /// What stands between the quotes.
    package let opaque: String

    /// A strong tag, as for bytes named by their digest.
    ///
    /// - Parameter opaque: no quotes, controls or blanks; a digest has none.
    package init(strong opaque: String) {
        isWeak = false
        self.opaque = opaque
    }

    /// Parses one tag and nothing else.
    package init?(_ field: some StringProtocol) {
        var rest = Substring(field).utf8.trimmed
        guard let tag = EntityTag(taking: &rest), rest.isEmpty else { return nil }
        self = tag
    }

    /// Takes a tag off the front.
    fileprivate init?(taking rest: inout Substring.UTF8View) {
        let quote = UInt8(ascii: "\"")
        var text = rest
        isWeak = text.starts(with: "W/".utf8)
        if isWeak { text = text.dropFirst(2) }
        guard text.first == quote else { return nil }
        text = text.dropFirst()
        guard let end = text.firstIndex(of: quote) else { return nil }
        // §8.8.3 etagc: no blank, no control, no quote; bytes beyond ASCII may be there.
        guard text[..<end].allSatisfy({ $0 > 0x20 && $0 != 0x7F }), let opaque = String(text[..<end]) else {
            return nil
        }
        self.opaque = opaque
        rest = text[text.index(after: end)...]
    }

    /// §8.8.3.2: neither is weak and both are the same.
    package func matchesStrongly(_ other: EntityTag) -> Bool { !isWeak && !other.isWeak && opaque == other.opaque }

    /// §8.8.3.2: the same, weak or not.
    package func matchesWeakly(_ other: EntityTag) -> Bool { opaque == other.opaque }
}

extension EntityTag: CustomStringConvertible {
    package var description: String { (isWeak ? "W/" : "") + "\"\(opaque)\"" }
}

package enum Validators {
    /// Whether `If-None-Match` names what would be sent, so that GET and HEAD answer 304: RFC 9110 §13.1.2.
    ///
    /// Weak comparison; `*` names whatever exists. What stands after something malformed is not read.
    ///
    /// - Parameter entityTag: the tag of what would be sent, in quotes.
    package static func ifNoneMatch(_ field: String?, entityTag: String) -> Bool {
        guard let field, let current = EntityTag(entityTag) else { return false }
        var rest = Substring(field).utf8.trimmed
        if rest.elementsEqual("*".utf8) { return true }
        while true {
            rest = rest.drop { $0 == 0x20 || $0 == 0x09 || $0 == UInt8(ascii: ",") }
            guard let tag = EntityTag(taking: &rest) else { return false }
            if tag.matchesWeakly(current) { return true }
            rest = rest.trimmed
            guard rest.isEmpty || rest.first == UInt8(ascii: ",") else { return false }
        }
    }
}
