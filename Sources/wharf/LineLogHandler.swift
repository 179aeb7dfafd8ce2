// One line a message on stderr: text for people, JSON for machines.

import Glibc
import HTTPServer
import Logging
import Synchronization

struct LineLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    private let label: String
    private let settings: LogSettings
    private let writer: LogWriter
    /// Of this logger alone, if somebody has set one.
    private var ownLevel: Logger.Level?

    init(label: String, settings: LogSettings, writer: LogWriter) {
        self.label = label
        self.settings = settings
        self.writer = writer
    }

    var logLevel: Logger.Level {
        get { ownLevel ?? settings.level }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let pairs = Self.ordered(metadata.merging(event.metadata ?? [:]) { $1 })
        var line = ""
        line.reserveCapacity(256)
        switch settings.format {
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

/// What all loggers of the program go by; it may change while they are used. Atomics: it is asked for every line that
/// might be written.
final class LogSettings: Sendable {
    private let places: Atomic<Int>
    private static let levels = Logger.Level.allCases

    init(_ log: Configuration.Log) { places = Atomic(Self.encoded(log)) }

    func set(_ log: Configuration.Log) { places.store(Self.encoded(log), ordering: .relaxed) }

    var level: Logger.Level { Self.levels[places.load(ordering: .relaxed) >> 1] }
    var format: Configuration.LogFormat { places.load(ordering: .relaxed) & 1 == 0 ? .text : .json }

    /// The names are the same, and a test says so.
    private static func encoded(_ log: Configuration.Log) -> Int {
        let level = levels.firstIndex { $0.rawValue == log.level.rawValue } ?? 0
        return level << 1 | (log.format == .text ? 0 : 1)
    }
}
