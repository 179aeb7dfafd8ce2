// One line a message on stderr: text for people, JSON for machines.

import Glibc
import HTTPServer
import Logging

struct LineLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level
    private let label: String
    private let format: Configuration.LogFormat
    private let writer: LogWriter

    init(label: String, level: Configuration.LogLevel, format: Configuration.LogFormat, writer: LogWriter) {
        self.label = label
        self.format = format
        self.writer = writer
        logLevel = Logger.Level(rawValue: level.rawValue) ?? .info  // the names are the same, and a test says so
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let pairs = Self.ordered(metadata.merging(event.metadata ?? [:]) { $1 })
        var line = ""
        line.reserveCapacity(256)
        switch format {
        case .text:
            line += "\(Self.timestamp()) \(event.level.rawValue) \(event.message)"
            for (key, value) in pairs { line += " \(key)=\(Self.quotedIfNeeded("\(value)"))" }
        case .json:
            line += "{\"time\":\"\(Self.timestamp())\",\"level\":\"\(event.level.rawValue)\""
            line += ",\"message\":\(Self.quoted("\(event.message)"))"
            for (key, value) in pairs { line += ",\(Self.quoted(key)):\(Self.quoted("\(value)"))" }
            line += "}"
        }
        writer.write(line + "\n")
    }

    /// The access line's keys in the order people read them, then all others by name.
    private static func ordered(_ metadata: Logger.Metadata) -> [(key: String, value: Logger.Metadata.Value)] {
        let known = AccessLog.keys.compactMap { key in metadata[key].map { (key: key, value: $0) } }
        return known + metadata.filter { !AccessLog.keys.contains($0.key) }.sorted { $0.key < $1.key }
    }

    /// RFC 3339, UTC, milliseconds.
    private static func timestamp() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var parts = tm()
        gmtime_r(&now.tv_sec, &parts)
        func padded(_ number: some BinaryInteger, _ width: Int) -> String {
            let digits = "\(number)"
            return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
        }
        let date = "\(parts.tm_year + 1900)-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
        let time = "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
        return "\(date)T\(time).\(padded(now.tv_nsec / 1_000_000, 3))Z"
    }

    private static func quotedIfNeeded(_ text: String) -> String {
        let isPlain =
            !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C && $0 != 0x3D }
        return isPlain ? text : quoted(text)
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\u{00}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}":
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
