// Figures as people read them: sizes, rates, times, shares, and bars.

enum FigureText {
    /// `1.23 GB`: three digits, in the units that disks and `docker` go by.
    static func size(_ bytes: Int64) -> String {
        var (value, unit) = (Double(max(0, bytes)), 0)
        let units = ["B", "kB", "MB", "GB", "TB", "PB"]
        // What would be rounded up to the next unit is written in it.
        while value >= (unit == 0 ? 1000 : 999.5), unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        let places = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
        return "\(decimal(value, places)) \(units[unit])"
    }

    static func rate(_ bytesPerSecond: Double) -> String {
        // Of a moment any speed may be computed.
        size(Int64(min(1e18, max(0, bytesPerSecond)))) + "/s"
    }

    /// `1,234,567`.
    static func count(_ number: Int64) -> String {
        var digits = "\(number.magnitude)"
        var groups: [String] = []
        while digits.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits = String(digits.dropLast(3))
        }
        return (number < 0 ? "-" : "") + ([digits] + groups).joined(separator: ",")
    }

    /// `98.2 %`; never a hundred of what is not all, never nothing of what is some.
    static func share(_ share: Double) -> String {
        let percent = min(100, max(0, share * 100))
        if percent > 99.9, percent < 100 { return "99.9 %" }
        if percent > 0, percent < 0.1 { return "0.1 %" }
        return percent == percent.rounded() ? "\(Int(percent)) %" : "\(decimal(percent, 1)) %"
    }

    /// The two largest units: `3 d 4 h`, `12 min 5 s`.
    static func duration(_ seconds: Double) -> String {
        let all = Int64(min(1e15, max(0, seconds)).rounded(.down))
        let parts = [(all / 86_400, "d"), (all / 3600 % 24, "h"), (all / 60 % 60, "min"), (all % 60, "s")]
        guard let first = parts.firstIndex(where: { $0.0 > 0 }) else { return "0 s" }
        return parts[first...].prefix(2).filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: " ")
    }

    /// `[=====>    ]` with `width` columns between the brackets, of a share.
    static func bar(_ share: Double, width: Int) -> String {
        let done = Int((Double(width) * min(1, max(0, share))).rounded(.down))
        let isWhole = done >= width
        let filled = String(repeating: "=", count: isWhole ? width : max(0, done - 1))
        let head = isWhole || done == 0 ? "" : ">"
        return "[" + filled + head + String(repeating: " ", count: max(0, width - filled.count - head.count)) + "]"
    }

    /// `docker.io/library/…bian`: what is cut away is in the middle, since both ends tell something.
    static func shortened(_ text: String, to width: Int) -> String {
        guard text.count > width else { return text }
        guard width > 3 else { return String(text.prefix(max(0, width))) }
        let tail = (width - 2) / 2
        return "\(text.prefix(width - 2 - tail))..\(text.suffix(tail))"
    }

    /// What comes from outside and goes to a terminal: nothing in it may move the cursor, and a character is a column.
    static func printable(_ text: String) -> String {
        let bytes = text.unicodeScalars.map { (0x20...0x7E).contains($0.value) ? UInt8($0.value) : UInt8(ascii: "?") }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    static func paddedLeft(_ text: String, to width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    private static func decimal(_ value: Double, _ places: Int) -> String {
        let scale = places == 0 ? 1.0 : places == 1 ? 10.0 : 100.0
        let whole = Int64((value * scale).rounded())
        guard places > 0 else { return "\(whole)" }
        let fraction = "\(whole % Int64(scale))"
        return "\(whole / Int64(scale)).\(String(repeating: "0", count: places - fraction.count))\(fraction)"
    }
}
