// JSON read in one pass, without a tree: what an upstream may send by the megabyte costs no more than looking at its
// bytes, whatever it is made of.

/// Walks over one document: the caller says which of its values are read, and the others are only checked.
///
/// Nothing passes that is no JSON: numbers, escapes, lone surrogates and control characters are looked at in what is
/// left out too, since it may be passed on as it was written. What is read twice, as a member that is there twice, is
/// for the caller to settle: the later one counts, as clients have it.
///
/// - Source: RFC 8259.
struct JSONScanner {
    /// No document, or not one of the form that was asked for.
    struct Malformed: Error {}

    /// A string's bytes between its quotes.
    struct Text {
        let range: Range<Int>
        let hasEscapes: Bool
    }

    /// So deep may values stand in one another, as decoders in use have it.
    private static let deepest = 512

    let bytes: [UInt8]
    /// Where the next byte is.
    private(set) var position = 0
    private var depth = 0

    /// Reads a document that is one object, to its end.
    ///
    /// - Parameter member: reads the value of the member of that name, all of it.
    static func read(
        _ bytes: [UInt8], member: (inout JSONScanner, Text) throws(Malformed) -> Void
    ) throws(Malformed) {
        guard isUTF8(bytes) else { throw Malformed() }
        var scanner = JSONScanner(bytes: bytes)
        scanner.skipBlanks()
        try scanner.object(member)
        scanner.skipBlanks()
        guard scanner.position == bytes.count else { throw Malformed() }
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private static func isUTF8(_ bytes: [UInt8]) -> Bool { String(validating: bytes, as: UTF8.self) != nil }

    // MARK: Values

    /// The first byte of the value that comes next tells its kind; 0 at the end.
    var next: UInt8 { position < bytes.count ? bytes[position] : 0 }

    mutating func object(
        _ member: (inout JSONScanner, Text) throws(Malformed) -> Void
    ) throws(Malformed) {
        try list(from: UInt8(ascii: "{"), to: UInt8(ascii: "}")) { (scanner) throws(Malformed) in
            let name = try scanner.string()
            scanner.skipBlanks()
            try scanner.take(UInt8(ascii: ":"))
            scanner.skipBlanks()
            try member(&scanner, name)
        }
    }

    mutating func array(_ element: (inout JSONScanner) throws(Malformed) -> Void) throws(Malformed) {
        try list(from: UInt8(ascii: "["), to: UInt8(ascii: "]"), element)
    }

    mutating func string() throws(Malformed) -> Text {
        try take(UInt8(ascii: "\""))
        let start = position
        var hasEscapes = false
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                position += 1
                return Text(range: start..<position - 1, hasEscapes: hasEscapes)
            case UInt8(ascii: "\\"):
                hasEscapes = true
                _ = try escape()
            case 0..<0x20: throw Malformed()
            default: position += 1
            }
        }
        throw Malformed()
    }

    /// nil if the value is no whole number that fits.
    mutating func integer() throws(Malformed) -> Int64? {
        let start = position
        try skip()
        return Int64(String(decoding: bytes[start..<position], as: UTF8.self))
    }

    mutating func null() throws(Malformed) { try word("null") }

    /// Checks a value and leaves it out.
    mutating func skip() throws(Malformed) {
        switch next {
        case UInt8(ascii: "{"): try object { (scanner, _) throws(Malformed) in try scanner.skip() }
        case UInt8(ascii: "["): try array { (scanner) throws(Malformed) in try scanner.skip() }
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"): try word("true")
        case UInt8(ascii: "f"): try word("false")
        case UInt8(ascii: "n"): try null()
        default: try number()
        }
    }

    // MARK: Texts

    func text(_ text: Text) -> String {
        guard text.hasEscapes else { return String(decoding: bytes[text.range], as: UTF8.self) }
        var scanner = self
        scanner.position = text.range.lowerBound
        var result: [UInt8] = []
        while scanner.position < text.range.upperBound {
            if scanner.next == UInt8(ascii: "\\") {
                // It has been looked at: there is nothing to throw.
                guard let scalar = try? scanner.escape() else { break }
                result.append(contentsOf: scalar.utf8)
            } else {
                result.append(scanner.next)
                scanner.position += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    func isText(_ text: Text, _ other: StaticString) -> Bool {
        if text.hasEscapes {
            // No escape is longer than six bytes.
            return text.range.count <= 6 * other.utf8CodeUnitCount && self.text(text) == "\(other)"
        }
        guard text.range.count == other.utf8CodeUnitCount else { return false }
        return bytes[text.range].elementsEqual(UnsafeBufferPointer(start: other.utf8Start, count: text.range.count))
    }

    // MARK: Parts

    private mutating func list(
        from opening: UInt8, to closing: UInt8, _ element: (inout JSONScanner) throws(Malformed) -> Void
    ) throws(Malformed) {
        try take(opening)
        depth += 1
        guard depth <= Self.deepest else { throw Malformed() }
        skipBlanks()
        if next != closing {
            while true {
                try element(&self)
                skipBlanks()
                if next == closing { break }
                try take(UInt8(ascii: ","))
                skipBlanks()
            }
        }
        position += 1
        depth -= 1
    }

    /// RFC 8259 §6.
    private mutating func number() throws(Malformed) {
        if next == UInt8(ascii: "-") { position += 1 }
        if next == UInt8(ascii: "0") { position += 1 } else { try digits() }
        if next == UInt8(ascii: ".") {
            position += 1
            try digits()
        }
        if next | 0x20 == UInt8(ascii: "e") {
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
    }

    private mutating func digits() throws(Malformed) {
        guard next.isDigit else { throw Malformed() }
        while next.isDigit { position += 1 }
    }

    /// RFC 8259 §7.
    private mutating func escape() throws(Malformed) -> Unicode.Scalar {
        position += 1
        let kind = next
        position += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(kind)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): break
        default: throw Malformed()
        }
        let unit = try codeUnit()
        if let scalar = Unicode.Scalar(unit) { return scalar }
        try take(UInt8(ascii: "\\"))
        try take(UInt8(ascii: "u"))
        let low = try codeUnit()
        guard unit < 0xDC00, 0xDC00...0xDFFF ~= low,
            let scalar = Unicode.Scalar(0x10000 + (UInt32(unit) - 0xD800) << 10 + UInt32(low) - 0xDC00)
        else { throw Malformed() }
        return scalar
    }

    private mutating func codeUnit() throws(Malformed) -> UInt16 {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard let value = next.hexValue else { throw Malformed() }
            unit = unit << 4 | UInt16(value)
            position += 1
        }
        return unit
    }

    private mutating func word(_ word: StaticString) throws(Malformed) {
        for index in 0..<word.utf8CodeUnitCount { try take(word.utf8Start[index]) }
    }

    private mutating func take(_ byte: UInt8) throws(Malformed) {
        guard position < bytes.count, bytes[position] == byte else { throw Malformed() }
        position += 1
    }

    private mutating func skipBlanks() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }
}
