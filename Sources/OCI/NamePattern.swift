// Which names an operator means: `*` is any run without `/`, `**` any run.

package struct NamePattern: Hashable, Sendable, CustomStringConvertible {
    /// What may stand in front of a literal byte, or behind the last.
    private enum Gap {
        case none, withoutSlash, any

        func takes(_ byte: UInt8) -> Bool {
            switch self {
            case .none: false
            case .withoutSlash: byte != UInt8(ascii: "/")
            case .any: true
            }
        }
    }

    package let description: String
    private let literals: [UInt8]
    /// One more than there are literals.
    private let gaps: [Gap]

    /// Whether it is made of what names, hosts, tags and stars are made of: of others nothing could match.
    package static func isWritten(_ text: some StringProtocol) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { $0.isAlphanumeric || "*/.:_-@[]".utf8.contains($0) }
    }

    /// Nil if the text is empty. Three stars and more mean no more than two.
    package init?(_ text: some StringProtocol) {
        guard !text.isEmpty else { return nil }
        description = String(text)
        var literals: [UInt8] = []
        var gaps = [Gap.none]
        for byte in text.utf8 {
            if byte == UInt8(ascii: "*") {
                gaps[literals.count] = gaps[literals.count] == .none ? .withoutSlash : .any
            } else {
                literals.append(byte)
                gaps.append(.none)
            }
        }
        (self.literals, self.gaps) = (literals, gaps)
    }

    /// Costs at most the product of both lengths, however many stars there are: all ways to match are followed side by
    /// side, and none is ever taken back.
    package func matches(_ text: some StringProtocol) -> Bool {
        // How many literals the text so far can have used up.
        var reached = [Bool](repeating: false, count: gaps.count)
        reached[0] = true
        for byte in text.utf8 {
            var isAlive = false
            // From behind, since what a byte leads to is one further on.
            for count in reached.indices.reversed() {
                let staysInGap = reached[count] && gaps[count].takes(byte)
                let isNextLiteral = count > 0 && reached[count - 1] && literals[count - 1] == byte
                reached[count] = staysInGap || isNextLiteral
                isAlive = isAlive || reached[count]
            }
            guard isAlive else { return false }
        }
        return reached[literals.count]
    }
}
