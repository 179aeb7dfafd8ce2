// The few items of RFC 8941 that our answers' fields are made of: tokens, strings, and parameters in a row.

enum StructuredField {
    /// RFC 8941 §3.3.4: what may stand bare.
    static func isToken(_ text: String) -> Bool {
        guard let first = text.utf8.first, isAlpha(first) || first == UInt8(ascii: "*") else { return false }
        return text.utf8.allSatisfy { isTokenCharacter($0) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "/") }
    }

    /// RFC 8941 §3.3.3. Strings are ASCII; every other byte becomes `?`, so that nothing can break out of the field.
    static func string(_ text: String) -> String {
        var output = "\""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): output += "\\\(Character(Unicode.Scalar(byte)))"
            case 0x20...0x7E: output.unicodeScalars.append(Unicode.Scalar(byte))
            default: output += "?"
            }
        }
        return output + "\""
    }

    static func tokenOrString(_ text: String) -> String { isToken(text) ? text : string(text) }

    /// RFC 9110 §5.6.2, the characters of a token.
    static func isTokenCharacter(_ byte: UInt8) -> Bool {
        if isAlpha(byte) || byte &- 0x30 < 10 { return true }
        switch byte {
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"): return true
        case UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."): return true
        case UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"): return true
        default: return false
        }
    }

    private static func isAlpha(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 < 26 }
}
