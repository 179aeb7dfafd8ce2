// One line a message on stderr, and one a request.

import HTTPServer
import Logging
import Synchronization

struct LineLogHandler: LogHandler {
    /// The key whose value names who says it.
    static let roomKey = "room"

    var metadata: Logger.Metadata = [:] { didSet { findRoom() } }
    private var room: Configuration.LogRoom?
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
        get { ownLevel ?? settings.level(of: room) }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    private mutating func findRoom() {
        room = metadata[Self.roomKey].flatMap { Configuration.LogRoom(rawValue: "\($0)") }
    }

    func log(event: LogEvent) {
        var line = LogLine(settings.format, level: event.level.rawValue, message: "\(event.message)")
        let pairs = metadata.merging(event.metadata ?? [:]) { $1 }
        for (key, value) in pairs.sorted(by: { $0.key < $1.key }) { line.add(key, "\(value)") }
        line.end()
        writer.write { $0 += line.bytes }
    }
}

/// At info, of the room `requests`. Straight into the log's bytes: it is the only line that is written as often as
/// anything is asked.
final class LineAccessLog: AccessLog {
    private let settings: LogSettings
    private let writer: LogWriter

    init(settings: LogSettings, writer: LogWriter) {
        self.settings = settings
        self.writer = writer
    }

    var isOn: Bool { settings.level(of: .requests) <= .info }

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
        if let given = record.givenID {
            line.add("request_id", given)
        } else {
            line.add("request_id", AccessRecord.run, record.id)
        }
        for (key, value) in record.own { line.add(key, value) }
        if let ended = record.ended { line.add("ended", ended) }
        line.end()
        lines = line.bytes
    }
}

/// What all loggers of the program go by; it may change while they are used. One atomic: it is asked for every line
/// that might be written.
final class LogSettings: Sendable {
    /// The format in the lowest bit, then three bits a level: the one of all, then each room's.
    private let places: Atomic<Int>
    private static let levels = Logger.Level.allCases

    init(_ log: Configuration.Log) { places = Atomic(Self.encoded(log)) }

    func set(_ log: Configuration.Log) { places.store(Self.encoded(log), ordering: .relaxed) }

    /// Of a room, or of who belongs to none.
    func level(of room: Configuration.LogRoom? = nil) -> Logger.Level {
        let place = room.map { 1 + $0.place } ?? 0
        return Self.levels[places.load(ordering: .relaxed) >> (1 + 3 * place) & 7]
    }

    var format: Configuration.LogFormat { places.load(ordering: .relaxed) & 1 == 0 ? .text : .json }

    private static func encoded(_ log: Configuration.Log) -> Int {
        let ofRooms = Configuration.LogRoom.allCases.map { log.levels[$0] ?? log.level }
        let all = ([log.level] + ofRooms).enumerated().reduce(0) { $0 | place($1.element) << (1 + 3 * $1.offset) }
        return all | (log.format == .text ? 0 : 1)
    }

    /// The names are the same, and a test says so.
    private static func place(_ level: Configuration.LogLevel) -> Int {
        levels.firstIndex { $0.rawValue == level.rawValue } ?? 0
    }
}

extension Configuration.LogRoom {
    fileprivate var place: Int {
        switch self {
        case .requests: 0
        case .server: 1
        case .cache: 2
        case .upstream: 3
        case .store: 4
        case .hosting: 5
        }
    }
}

extension Logger {
    /// The logger of a room: its lines say so, and have its level.
    func of(_ room: Configuration.LogRoom) -> Logger {
        var logger = self
        logger[metadataKey: LineLogHandler.roomKey] = "\(room.rawValue)"
        return logger
    }
}
