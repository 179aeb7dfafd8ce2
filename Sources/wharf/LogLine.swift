// One line of the log in bytes: text for people, JSON for machines.

import Glibc
import HTTPServer

struct LogLine {
    private(set) var bytes: [UInt8]
    private let format: Configuration.LogFormat

    init(_ format: Configuration.LogFormat, level: String, message: String) {
        var before: [UInt8] = []
        self.init(format, level: level, message: message, after: &before)
    }

    /// - Parameter lines: those before it, which are in `bytes` with it from now on.
    init(_ format: Configuration.LogFormat, level: String, message: String, after lines: inout [UInt8]) {
        self.format = format
        bytes = []
        swap(&bytes, &lines)
        switch format {
        case .text:
            putTime()
            put(.space)
            put(level)
            put(.space)
            put(message)
        case .json:
            put("{\"time\":\"")
            putTime()
            put("\",\"level\":\"")
            put(level)
            put("\",\"message\":")
            putQuoted(message)
        }
    }

    mutating func add(_ key: String, _ value: String) {
        begin(key)
        if format == .json || !Self.isPlain(value) { putQuoted(value) } else { put(value) }
    }

    mutating func add(_ key: String, _ number: some BinaryInteger) {
        begin(key)
        if format == .json { put(.quote) }
        putDigits(Int64(number), width: 1)
        if format == .json { put(.quote) }
    }

    /// `<before>-<number>`.
    mutating func add(_ key: String, _ before: String, _ number: UInt64) {
        begin(key)
        if format == .json { put(.quote) }
        put(before)
        put(UInt8(ascii: "-"))
        putDigits(Int64(clamping: number), width: 1)
        if format == .json { put(.quote) }
    }

    /// With three places behind the point.
    mutating func add(_ key: String, thousandths: Int64) {
        begin(key)
        if format == .json { put(.quote) }
        putDigits(thousandths / 1000, width: 1)
        put(UInt8(ascii: "."))
        putDigits(thousandths % 1000, width: 3)
        if format == .json { put(.quote) }
    }

    mutating func end() {
        if format == .json { put(UInt8(ascii: "}")) }
        put(UInt8(ascii: "\n"))
    }

    // MARK: Bytes

    private mutating func begin(_ key: String) {
        switch format {
        case .text:
            put(.space)
            put(key)
            put(UInt8(ascii: "="))
        case .json:
            put(UInt8(ascii: ","))
            putQuoted(key)
            put(UInt8(ascii: ":"))
        }
    }

    private mutating func put(_ byte: UInt8) { bytes.append(byte) }
    private mutating func put(_ text: String) {
        var text = text
        text.withUTF8 { bytes.append(contentsOf: $0) }
    }

    private mutating func putDigits(_ number: Int64, width: Int) {
        guard number >= 0 else { return put("\(number)") }
        var (divisor, places) = (Int64(1), 1)
        while number / divisor >= 10 || places < width {
            divisor *= 10
            places += 1
        }
        while divisor > 0 {
            bytes.append(0x30 + UInt8(number / divisor % 10))
            divisor /= 10
        }
    }

    /// RFC 3339, UTC, milliseconds. By arithmetic: the C library's functions take a lock.
    private mutating func putTime() {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let date = CivilDate(daysSince1970: now.tv_sec / 86_400)
        let second = now.tv_sec % 86_400
        putDigits(Int64(date.year), width: 4)
        putTwo(UInt8(ascii: "-"), date.month)
        putTwo(UInt8(ascii: "-"), date.day)
        putTwo(UInt8(ascii: "T"), second / 3600)
        putTwo(UInt8(ascii: ":"), second / 60 % 60)
        putTwo(UInt8(ascii: ":"), second % 60)
        put(UInt8(ascii: "."))
        putDigits(Int64(now.tv_nsec / 1_000_000), width: 3)
        put(UInt8(ascii: "Z"))
    }

    private mutating func putTwo(_ sign: UInt8, _ number: Int) {
        put(sign)
        put(0x30 + UInt8(number / 10))
        put(0x30 + UInt8(number % 10))
    }

    private static func isPlain(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C && $0 != 0x3D }
    }

    private mutating func putQuoted(_ text: String) {
        put(.quote)
        if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C }) {
            put(text)
        } else {
            for scalar in text.unicodeScalars { putEscaped(scalar) }
        }
        put(.quote)
    }

    private mutating func putEscaped(_ scalar: Unicode.Scalar) {
        switch scalar {
        case "\"": put("\\\"")
        case "\\": put("\\\\")
        case "\n": put("\\n")
        case "\u{00}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}":
            let hex = String(scalar.value, radix: 16)
            put("\\u" + String(repeating: "0", count: 4 - hex.count) + hex)
        default: bytes.append(contentsOf: String(scalar).utf8)
        }
    }
}

extension UInt8 {
    fileprivate static let space = UInt8(ascii: " ")
    fileprivate static let quote = UInt8(ascii: "\"")
}
