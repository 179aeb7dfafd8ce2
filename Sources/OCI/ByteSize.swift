// A size as people write it: a number and a unit.

package enum ByteSize {
    /// Bytes of `64GiB` or `1.5TB`; nil if it is no size, or more than any disk holds.
    package static func parse(_ text: some StringProtocol) -> Int64? {
        let digits = text.utf8.prefix { $0.isDigit || $0 == UInt8(ascii: ".") }
        guard let number = decimal(String(text[..<digits.endIndex])),
            let unit = unit(String(text[digits.endIndex...]))
        else { return nil }
        let product = (number * Double(unit)).rounded()
        return product < 0x1p62 ? Int64(product) : nil
    }

    /// Whether it is written as a size, whatever it comes to.
    package static func isWritten(_ text: some StringProtocol) -> Bool {
        let digits = text.utf8.prefix { $0.isDigit || $0 == UInt8(ascii: ".") }
        return decimal(String(text[..<digits.endIndex])) != nil && unit(String(text[digits.endIndex...])) != nil
    }

    private static func unit(_ text: String) -> Int64? {
        switch text {
        case "B": 1
        case "kB": 1000
        case "MB": 1_000_000
        case "GB": 1_000_000_000
        case "TB": 1_000_000_000_000
        case "KiB": 1 << 10
        case "MiB": 1 << 20
        case "GiB": 1 << 30
        case "TiB": 1 << 40
        default: nil
        }
    }

    /// Digits, perhaps with a point among them; no sign, no exponent.
    private static func decimal(_ text: String) -> Double? {
        guard let first = text.utf8.first, let last = text.utf8.last, text.utf8.count <= 30 else { return nil }
        guard first != UInt8(ascii: "."), last != UInt8(ascii: ".") else { return nil }
        return Double(text)
    }
}
