// `wharf serve`: load, compose, run until a signal.

import ArgumentParser
import FoundationEssentials
import Glibc
import Logging

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve the mirror.",
        discussion: "Flags override the environment (WHARF_LISTEN, WHARF_DATA, …), which overrides the file.")

    @Option(help: ArgumentHelp("The configuration file (YAML).", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("Where to listen; repeatable.", valueName: "host:port"))
    var listen: [String] = []

    @Option(help: ArgumentHelp("Where blobs and metadata live.", valueName: "dir"))
    var data: String?

    @Option(help: ArgumentHelp("How much may be stored: 200GB, or 80% of the file system.", valueName: "size"))
    var maxSize: String?

    @Option(
        help: ArgumentHelp("An upstream registry; without NAME it is docker.io's. Repeatable.", valueName: "[name=]url")
    )
    var upstream: [String] = []

    @Option(help: ArgumentHelp("trace, debug, info, notice, warning, error or critical.", valueName: "level"))
    var logLevel: String?

    @Option(help: ArgumentHelp("text or json.", valueName: "format"))
    var logFormat: String?

    @Flag(help: "Ask no upstream at all.")
    var offline = false

    func run() async throws {
        let source = source()
        let (configuration, warnings) = try Configuration.loadOrComplain(source)
        // Until there is a mirror there is nothing to reload, and that is no reason to end.
        signal(SIGHUP, SIG_IGN)
        let log = Log.begin(configuration.log)
        defer { log.writer.flush() }
        for warning in warnings { log.logger.warning("\(warning)") }
        raiseDescriptorLimit(for: configuration.limits.connections, log.logger)
        do {
            let composition = try Composition(configuration, from: source, log: log)
            try await composition.run()
        } catch {
            log.writer.flush()
            StandardStreams.complain("\(error)")
            throw ExitCode.failure
        }
    }

    private func source() -> ConfigurationSource {
        var flags = Configuration.Flags()
        flags.config = config
        flags.listen = listen
        flags.data = data
        flags.maxSize = maxSize
        flags.upstreams = upstream
        flags.logLevel = logLevel
        flags.logFormat = logFormat
        flags.offline = offline
        return ConfigurationSource(flags: flags, environment: ProcessInfo.processInfo.environment)
    }
}

/// The program's log, on stderr.
struct Log {
    let logger: Logger
    let settings: LogSettings
    let writer: LogWriter

    /// Once in a process.
    static func begin(_ log: Configuration.Log) -> Log {
        let (settings, writer) = (LogSettings(log), LogWriter(to: STDERR_FILENO))
        LoggingSystem.bootstrap { LineLogHandler(label: $0, settings: settings, writer: writer) }
        return Log(logger: Logger(label: "wharf"), settings: settings, writer: writer)
    }

    var access: LineAccessLog { LineAccessLog(settings: settings, writer: writer) }
}

extension Configuration {
    /// Every mistake is a line on stderr.
    static func loadOrComplain(_ source: ConfigurationSource) throws -> (Configuration, warnings: [String]) {
        do throws(ConfigurationMistakes) {
            return try source.load()
        } catch {
            for mistake in error.mistakes { StandardStreams.complain("\(mistake)") }
            throw error.isUsage ? ExitCode.validationFailure : ExitCode.failure
        }
    }
}

extension ConfigurationMistakes {
    /// Whether the command line itself is wrong (sysexits' 64), and not a file or the environment.
    fileprivate var isUsage: Bool {
        mistakes.allSatisfy { if case .flag = $0.origin { true } else { false } }
    }
}

/// Takes all the descriptors the system grants: a follower needs two, a socket and the file it reads.
private func raiseDescriptorLimit(for connections: Int, _ logger: Logger) {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
    guard limit.rlim_cur < UInt(2 * connections) else { return }
    logger.info(
        "fewer descriptors than limits.connections may need: raise the limit on open files (ulimit -n, LimitNOFILE)",
        metadata: ["descriptors": "\(limit.rlim_cur)", "connections": "\(connections)"])
}
