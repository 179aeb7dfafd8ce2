// What must not stand in a configuration's text, before YAML is read: so that no file takes minutes, or all the stack.

/// The text of a configuration file.
enum ConfigurationText {
    /// Bytes.
    static let sizeLimit = 1 << 20

    /// The first line with an anchor, `&name`; nil if there is none.
    ///
    /// A few lines of anchors and aliases can stand for a tree of billions of values, or for one that is deeper than
    /// any stack, and Yams walks through keys as it reads. Without anchors no alias means anything. An `&` counts that
    /// could begin one, as it stands behind a blank or a bracket; in quotes it may count although it is none.
    static func anchorLine(_ text: String) -> Int? {
        let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        return lines.firstIndex { line in
            guard line.first(where: { !$0.properties.isWhitespace }) != "#" else { return false }
            return hasAnchor(line)
        }.map { $0 + 1 }
    }

    private static func hasAnchor(_ line: Substring.UnicodeScalarView) -> Bool {
        var before: Unicode.Scalar = " "
        var rest = line
        while let scalar = rest.popFirst() {
            if scalar == "&", before.mayPrecedeAnchor, rest.first?.mayBeInAnchor == true { return true }
            before = scalar
        }
        return false
    }

    /// The line of the first character that YAML knows not, or the last.
    static func oddLine(_ text: String) -> Int {
        1 + text.unicodeScalars.prefix { $0.mayBeInYAML }.count { $0 == "\n" }
    }
}

extension Unicode.Scalar {
    fileprivate var mayPrecedeAnchor: Bool {
        switch self {
        case "[", "{", ",", ":", "?", "-", "\u{FEFF}": true
        default: properties.isWhitespace
        }
    }

    fileprivate var mayBeInAnchor: Bool {
        "0"..."9" ~= self || "a"..."z" ~= self || "A"..."Z" ~= self || self == "_" || self == "-"
    }

    /// YAML 1.1 §5.1, without the byte order mark.
    fileprivate var mayBeInYAML: Bool {
        switch value {
        case 0x09, 0x0A, 0x0D, 0x20...0x7E, 0x85, 0xA0...0xD7FF, 0xE000...0xFEFE, 0xFF00...0xFFFD, 0x10000...: true
        default: false
        }
    }
}
