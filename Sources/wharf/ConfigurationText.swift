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
        // A break is whatever YAML 1.1 takes for one (§5.4), so that nothing hides in a comment.
        let lines = text.unicodeScalars.split(omittingEmptySubsequences: false) { $0.isYAMLBreak }
        guard let place = lines.firstIndex(where: hasAnchor) else { return nil }
        return 1 + text.unicodeScalars[..<lines[place].startIndex].count { $0 == "\n" }
    }

    private static func hasAnchor(_ line: Substring.UnicodeScalarView) -> Bool {
        var (earlier, before): (Unicode.Scalar, Unicode.Scalar) = (" ", " ")
        var (rest, isQuoted) = (line, false)
        while let scalar = rest.popFirst() {
            // Behind a quote it might be none.
            if scalar == "#", before.properties.isWhitespace, !isQuoted { return false }
            if scalar == "\"" || scalar == "'" { isQuoted = true }
            let mayBegin = before == ":" ? earlier.mayEndKey : before.mayPrecedeAnchor
            if scalar == "&", mayBegin, rest.first?.mayBeInAnchor == true { return true }
            (earlier, before) = (before, scalar)
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
        case "[", "{", ",", "?", "-", "\u{FEFF}": true
        default: properties.isWhitespace
        }
    }

    /// Of a key with whose colon no blank need follow: one in quotes or brackets. Or there was none.
    fileprivate var mayEndKey: Bool {
        switch self {
        case "\"", "'", "]", "}", "[", "{", ",": true
        default: properties.isWhitespace
        }
    }

    fileprivate var isYAMLBreak: Bool {
        switch value {
        case 0x0A, 0x0D, 0x85, 0x2028, 0x2029: true
        default: false
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
