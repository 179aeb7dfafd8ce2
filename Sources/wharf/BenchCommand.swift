// `wharf bench metadata`: how fast the metadata database is with so many blobs on this machine and this disk.

import ArgumentParser
import FoundationEssentials
import Glibc
import Logging
import Store
import UnixSignals

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure this machine with the mirror's own code.",
        subcommands: [MetadataBenchCommand.self])
}

struct MetadataBenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metadata",
        abstract: "Fill a metadata database and time what the mirror does with it.",
        discussion: """
            The database is made in a temporary folder, which is removed at the end; no mirror is touched. Of eight \
            blobs one is an index, one a manifest, one a config and five are layers; each manifest also names two \
            layers of the image before it. Each blob has a link to its repository; two images have a tag between \
            them, twenty a repository. Images were used last in random order: every fourth with all its layers, of \
            the others only the manifest was asked for. Filling is plain SQL; everything that is timed is the code \
            that the mirror runs. A million blobs take about 350 MB of disk.
            """)

    @Option(help: ArgumentHelp("How many blobs.", valueName: "count"))
    var blobs: Int

    @Option(help: ArgumentHelp("Where the temporary folder is made; TMPDIR or /var/tmp.", valueName: "dir"))
    var folder: String?

    @Flag(help: "Print one JSON object and nothing else.")
    var json = false

    func validate() throws {
        guard (100...100_000_000).contains(blobs) else {
            throw ValidationError("--blobs is a number from 100 to 100000000")
        }
    }

    func run() async throws {
        let folder = try BenchFolder(in: folder ?? ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp")
        let figures: MetadataBench<ContinuousClock>.Figures?
        do {
            figures = try await measure(folder)
        } catch {
            folder.remove()
            StandardStreams.complain("\(error)")
            throw ExitCode.failure
        }
        folder.remove()
        // As a shell says it of a program that a signal has ended.
        guard let figures else { throw ExitCode(128 + SIGINT) }
        try tell(figures)
    }

    /// - Returns: nil if a signal has ended it.
    private func measure(_ folder: BenchFolder) async throws -> MetadataBench<ContinuousClock>.Figures? {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        let log = Log.begin(Configuration.Log(level: .error, format: .text))
        defer { log.writer.flush() }
        let isQuiet = json
        let bench = MetadataBench(
            blobs: blobs, in: folder.path, clock: ContinuousClock(), now: unixMilliseconds, logger: log.logger)
        let measuring = Task {
            try await bench.run { if !isQuiet { StandardStreams.say("\($0) …") } }
        }
        let obeying = Task { for await _ in signals { measuring.cancel() } }
        defer { obeying.cancel() }
        return try await measuring.value
    }

    /// The keys that `--json` writes: a promise.
    private struct Document: Encodable {
        let blobs: Int
        let openSeconds, lookupP50Us, lookupP99Us: Double
        let evictionsPerSecond, evictionsWithFilesPerSecond, touchesPerSecond: Int
        let bytesPerBlob, peakMb: Double
    }

    private func tell(_ figures: MetadataBench<ContinuousClock>.Figures) throws {
        func rounded(_ value: Double, _ digits: Double) -> Double { (value * digits).rounded() / digits }
        let document = Document(
            blobs: blobs, openSeconds: rounded(figures.openSeconds, 10_000),
            lookupP50Us: rounded(figures.lookupMedian, 10), lookupP99Us: rounded(figures.lookupP99, 10),
            evictionsPerSecond: Int(figures.evictionsPerSecond),
            evictionsWithFilesPerSecond: Int(figures.evictionsWithFilesPerSecond),
            touchesPerSecond: Int(figures.touchesPerSecond), bytesPerBlob: rounded(figures.bytesPerBlob, 10),
            peakMb: rounded(figures.peakMB, 10))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let data = try encoder.encode(document)
        if json { return StandardStreams.say(String(decoding: data, as: UTF8.self)) }
        StandardStreams.say(
            """
            open                  \(document.openSeconds) s until it answers
            look up               \(document.lookupP50Us) µs, p99 \(document.lookupP99Us) µs
            evict                 \(document.evictionsPerSecond) a second
            evict, with files     \(document.evictionsWithFilesPerSecond) a second
            note a use            \(document.touchesPerSecond) a second
            database              \(document.bytesPerBlob) bytes a blob
            memory                \(document.peakMb) MB at most, the program included
            """)
    }
}

/// A folder of a name that nobody else has.
private struct BenchFolder {
    let path: String

    init(in folder: String) throws {
        var template = Array("\(folder)/wharf-bench-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            StandardStreams.complain(
                "no folder can be made in \(folder): \(String(cString: strerror(errno))); name another with --folder")
            throw ExitCode.failure
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func remove() {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            StandardStreams.complain("could not remove \(path): \(error)")
        }
    }
}
