// One line a message on stderr, and one a request.

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
        var line = LogLine(settings.format, level: event.level.rawValue, message: "\(event.message)")
        let pairs = metadata.merging(event.metadata ?? [:]) { $1 }
        for (key, value) in pairs.sorted(by: { $0.key < $1.key }) { line.add(key, "\(value)") }
        line.end()
        writer.write { $0 += line.bytes }
    }
}

/// At info. Straight into the log's bytes: it is the only line that is written as often as anything is asked.
final class LineAccessLog: AccessLog {
    private let settings: LogSettings
    private let writer: LogWriter

    init(settings: LogSettings, writer: LogWriter) {
        self.settings = settings
        self.writer = writer
    }

    var isOn: Bool { settings.level <= .info }

    func write(_ record: AccessRecord) {
        let format = settings.format
        writer.write(canWait: true, lane: record.lane) { Self.add(record, format, to: &$0) }
    }

    private static func add(_ record: AccessRecord, _ format: Configuration.LogFormat, to lines: inout [UInt8]) {
        var line = LogLine(format, level: "info", message: AccessRecord.message, after: &lines)
        line.add("method", record.method)
        line.add("path", record.path)
        line.add("status", record.status)
        line.add("bytes", record.bytes)
        line.add("ms", thousandths: record.microseconds)
        line.add("client", record.client)
        line.add("agent", record.agent)
        line.add("cache", record.cache)
        line.add("id", record.id)
        for (key, value) in record.own { line.add(key, value) }
        if let ended = record.ended { line.add("ended", ended) }
        line.end()
        lines = line.bytes
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
