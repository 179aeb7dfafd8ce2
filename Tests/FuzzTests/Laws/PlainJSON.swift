// RFC 8259 as it is written, a function for each rule: slow, and beyond doubt.

/// What of a text is left behind the values that it begins with.
struct PlainJSON {
    private var rest: Substring.UnicodeScalarView

    /// Whether the bytes are one object, whose values stand no deeper in one another than 512.
    static func isObject(_ bytes: [UInt8]) -> Bool {
        guard let text = String(validating: bytes, as: UTF8.self) else { return false }
        var json = PlainJSON(rest: text[...].unicodeScalars)
        json.blanks()
        guard json.rest.first == "{", json.value(depth: 0) else { return false }
        json.blanks()
        return json.rest.isEmpty
    }

    private mutating func blanks() { rest = rest.drop { " \t\n\r".unicodeScalars.contains($0) } }

    private mutating func take(_ word: String) -> Bool {
        guard rest.starts(with: word.unicodeScalars) else { return false }
        rest = rest.dropFirst(word.unicodeScalars.count)
        return true
    }

    /// §3.
    private mutating func value(depth: Int) -> Bool {
        switch rest.first {
        case "{": list("{", "}", depth) { $0.string() && $0.colon() && $0.value(depth: depth + 1) }
        case "[": list("[", "]", depth) { $0.value(depth: depth + 1) }
        case "\"": string()
        case "t": take("true")
        case "f": take("false")
        case "n": take("null")
        default: number()
        }
    }

    /// §4, §5.
    private mutating func list(
        _ opening: String, _ closing: String, _ depth: Int, _ element: (inout PlainJSON) -> Bool
    ) -> Bool {
        guard take(opening), depth < 512 else { return false }
        blanks()
        if take(closing) { return true }
        while element(&self) {
            blanks()
            if take(closing) { return true }
            guard take(",") else { return false }
            blanks()
        }
        return false
    }

    private mutating func colon() -> Bool {
        blanks()
        guard take(":") else { return false }
        blanks()
        return true
    }

    /// §6.
    private mutating func number() -> Bool {
        _ = take("-")
        if !take("0"), !digits() { return false }
        if take("."), !digits() { return false }
        guard take("e") || take("E") else { return true }
        _ = take("+") || take("-")
        return digits()
    }

    private mutating func digits() -> Bool {
        let digits = rest.prefix { "0"..."9" ~= $0 }
        rest = rest.dropFirst(digits.count)
        return !digits.isEmpty
    }

    /// §7, and §8.2: half of a surrogate pair is no character.
    private mutating func string() -> Bool {
        guard take("\"") else { return false }
        while let scalar = rest.popFirst() {
            if scalar == "\"" { return true }
            if scalar < " " { return false }
            guard scalar == "\\" else { continue }
            guard let kind = rest.popFirst() else { return false }
            if kind != "u" {
                guard "\"\\/bfnrt".unicodeScalars.contains(kind) else { return false }
                continue
            }
            guard let unit = codeUnit(), !(0xDC00...0xDFFF ~= unit) else { return false }
            if 0xD800...0xDBFF ~= unit {
                guard take("\\u"), let low = codeUnit(), 0xDC00...0xDFFF ~= low else { return false }
            }
        }
        return false
    }

    private mutating func codeUnit() -> Int? {
        let digits = rest.prefix(4)
        rest = rest.dropFirst(4)
        guard digits.count == 4, digits.allSatisfy({ $0.properties.isASCIIHexDigit }) else { return nil }
        return Int(String(digits), radix: 16)
    }
}
