// Which names an operator means: `*` is any run without `/`, `**` any run.

package struct NamePattern: Hashable, Sendable, CustomStringConvertible {
    package let description: String
    private let pattern: [UInt8]

    /// Nil if the text is empty.
    package init?(_ text: some StringProtocol) {
        guard !text.isEmpty else { return nil }
        description = String(text)
        pattern = Array(text.utf8)
    }

    package func matches(_ text: some StringProtocol) -> Bool {
        Self.matches(pattern[...], Array(text.utf8)[...])
    }

    /// Each star tries the shortest run first; texts are at most 255 bytes.
    private static func matches(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        let star = UInt8(ascii: "*")
        guard let first = pattern.first else { return text.isEmpty }
        guard first == star else { return text.first == first && matches(pattern.dropFirst(), text.dropFirst()) }
        let crossesSlashes = pattern.dropFirst().first == star
        let after = pattern.drop { $0 == star }
        var rest = text
        while true {
            if matches(after, rest) { return true }
            guard let next = rest.popFirst(), crossesSlashes || next != UInt8(ascii: "/") else { return false }
        }
    }
}
