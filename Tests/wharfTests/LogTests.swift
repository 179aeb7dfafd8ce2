// Log lines: their form, their order, and what happens when nobody reads them.

import Foundation
import Logging
import Synchronization
import Testing

@testable import wharf

@Suite("Log lines") struct LogTests {
    private func line(_ format: Configuration.LogFormat, _ metadata: Logger.Metadata) -> String {
        let pipe = Pipe()
        let writer = LogWriter(to: pipe.fileHandleForWriting.fileDescriptor)
        let settings = LogSettings(Configuration.Log(level: .info, format: format))
        let logger = Logger(label: "test") { LineLogHandler(label: $0, settings: settings, writer: writer) }
        logger.debug("not shown")
        logger.warning("it \"happened\"", metadata: metadata)
        writer.flush()
        try? pipe.fileHandleForWriting.close()
        return String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    }

    @Test func `text has its keys by name, and quotes what needs it`() {
        let text = line(.text, ["zebra": "a b", "status": "200", "alpha": "x=\"1\"\n"])
        #expect(text.hasSuffix(" warning it \"happened\" alpha=\"x=\\\"1\\\"\\n\" status=200 zebra=\"a b\"\n"))
        #expect(text.split(separator: "\n").count == 1)
    }

    @Test func `numbers are written as they are`() {
        for (format, text) in [
            (.text, " n=0 m=-5 ms=12.007 big=9223372036854775807\n"),
            (.json, ",\"n\":\"0\",\"m\":\"-5\",\"ms\":\"12.007\",\"big\":\"9223372036854775807\"}\n"),
        ] as [(Configuration.LogFormat, String)] {
            var line = LogLine(format, level: "info", message: "m")
            line.add("n", 0)
            line.add("m", -5)
            line.add("ms", thousandths: 12_007)
            line.add("big", Int64.max)
            line.end()
            #expect(String(decoding: line.bytes, as: UTF8.self).hasSuffix(text))
        }
    }

    @Test func `a room may say more than the others, or less, and its lines name it`() {
        let pipe = Pipe()
        let writer = LogWriter(to: pipe.fileHandleForWriting.fileDescriptor)
        var log = Configuration.Log(level: .info, format: .text)
        log.levels = [.store: .debug, .requests: .warning, .upstream: .critical]
        let settings = LogSettings(log)
        let logger = Logger(label: "test") { LineLogHandler(label: $0, settings: settings, writer: writer) }
        logger.debug("not shown")
        logger.of(.store).debug("shown")
        logger.of(.cache).debug("not shown")
        logger.of(.upstream).error("not shown")
        #expect(!LineAccessLog(settings: settings, writer: writer).isOn)
        // As a reload does.
        settings.set(Configuration.Log(level: .debug, format: .text))
        logger.of(.upstream).debug("shown")
        #expect(LineAccessLog(settings: settings, writer: writer).isOn)
        writer.flush()
        try? pipe.fileHandleForWriting.close()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let lines = text.split(separator: "\n").map { $0.split(separator: " ").dropFirst().joined(separator: " ") }
        #expect(lines == ["debug shown room=store", "debug shown room=upstream"])
    }

    @Test func `every room has its own level, whatever that of all is`() {
        for room in Configuration.LogRoom.allCases {
            for level in Configuration.LogLevel.allCases {
                var log = Configuration.Log(level: .notice, format: .json)
                log.levels = [room: level]
                let settings = LogSettings(log)
                #expect(settings.level(of: room).rawValue == level.rawValue)
                #expect(settings.level() == .notice && settings.format == .json)
                for other in Configuration.LogRoom.allCases where other != room {
                    #expect(settings.level(of: other) == .notice)
                }
            }
        }
    }

    @Test func `JSON is one object a line`() throws {
        let text = line(.json, ["status": "200", "note": "\u{1}\u{2028}\""])
        let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: String])
        #expect(object["message"] == "it \"happened\"")
        #expect(object["level"] == "warning")
        #expect(object["note"] == "\u{1}\u{2028}\"")
        #expect(object["time"]?.hasSuffix("Z") == true)
    }

    @Test func `every level of the configuration is one of the logger's`() {
        for level in Configuration.LogLevel.allCases { #expect(Logger.Level(rawValue: level.rawValue) != nil) }
    }

    @Test func `a reader that does not read holds nobody up, and is told what it missed`() {
        let pipe = Pipe()
        let writer = LogWriter(to: pipe.fileHandleForWriting.fileDescriptor)
        let long = Array((String(repeating: "x", count: 9_999) + "\n").utf8)
        for _ in 0..<1000 { writer.write { $0 += long } }  // 10 MB, of which a pipe holds 64 KiB
        let read = Mutex(Data())
        let reader = Thread {
            let data = pipe.fileHandleForReading.readDataToEndOfFile()
            read.withLock { $0 = data }
        }
        reader.start()
        writer.flush()
        try? pipe.fileHandleForWriting.close()
        while !reader.isFinished { sched_yield() }
        let text = String(decoding: read.withLock { $0 }, as: UTF8.self)
        #expect(text.contains("log lines were dropped"))
        #expect(text.utf8.count < 2 * LogWriter.bound)
    }
}
