// The file of the contract, its flags and its environment, read into the effective configuration.

import FoundationEssentials
import Yams

extension Configuration {
    /// What the command line said; what it did not say is empty.
    package struct Flags: Sendable {
        package var config: String?
        package var listen: [String] = []
        package var data: String?
        package var maxSize: String?
        /// `[NAME=]URL`; without a name it is docker.io's.
        package var upstreams: [String] = []
        package var logLevel: String?
        package var logFormat: String?
        package var offline = false

        package init() {}
    }

    /// Reads the configuration: flags count before environment, that before the file, that before the defaults.
    ///
    /// - Parameters:
    ///   - file: the file's path; `nil`: that of `flags.config`, else of `WHARF_CONFIG`, else there is none.
    ///   - environment: variables that are not ours are ignored, also those beginning with `WHARF_`: Kubernetes sets
    ///     `WHARF_PORT` and the like where a service has this program's name.
    /// - Throws: every mistake at once, each with its place.
    package static func load(
        file: String?, flags: Flags, environment: [String: String]
    ) throws(ConfigurationMistakes) -> (Configuration, warnings: [String]) {
        let path = file ?? Self.file(flags, environment)
        let notes = ConfigurationNotes(file: path ?? "")
        let node = path.flatMap { document($0, notes) }
        if let thrown = notes.thrown { throw thrown }

        var root = ConfigurationSection(node, path: "", origin: .file(notes.file, line: 1), notes: notes)
        let overrides = ConfigurationOverrides(flags: flags, environment: environment)
        var configuration = Configuration()
        configuration.readServer(&root, overrides)
        configuration.readCache(&root, overrides)
        configuration.readAccess(&root, notes)
        configuration.readHosting(&root)
        configuration.readTLS(&root, notes)
        configuration.readUpstreams(&root, overrides, notes)
        Self.readIdle(&root)
        root.finish()
        if let thrown = notes.thrown { throw thrown }
        configuration.origins = notes.origins
        guard !notes.idle.isEmpty else { return (configuration, notes.warnings) }
        let idle = "\(notes.file): known but not acting yet: " + notes.idle.joined(separator: ", ")
        return (configuration, notes.warnings + [idle])
    }

    /// Where the data lies, whatever else the file may say that is wrong.
    ///
    /// - Throws: what keeps it from being known.
    static func dataDirectory(_ source: ConfigurationSource) throws(ConfigurationMistakes) -> String {
        let overrides = ConfigurationOverrides(flags: source.flags, environment: source.environment)
        if let data = overrides.data?.texts.last { return data }
        let path = file(source.flags, source.environment)
        let notes = ConfigurationNotes(file: path ?? "")
        var root = ConfigurationSection(
            path.flatMap { document($0, notes) }, path: "", origin: .file(notes.file, line: 1), notes: notes)
        let data = root.value("data", or: Configuration().data, ConfigurationValues.text)
        if let thrown = notes.thrown { throw thrown }
        return data
    }

    private static func file(_ flags: Flags, _ environment: [String: String]) -> String? {
        flags.config ?? environment["WHARF_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
    }

    private mutating func readServer(_ root: inout ConfigurationSection, _ overrides: ConfigurationOverrides) {
        typealias Values = ConfigurationValues
        listen = root.list("listen", overriddenBy: overrides.listen, Values.listenAddress) ?? listen
        if listen.isEmpty { root.mistake("listen", "name at least one address") }
        data = root.value("data", or: data, overriddenBy: overrides.data, Values.text)
        drain = root.value("drain", or: drain, Values.duration)
        offline = root.value("offline", or: offline, overriddenBy: overrides.offline, Values.bool)

        var section = root.section("log")
        log.level = section.value("level", or: log.level, overriddenBy: overrides.logLevel, Values.choice)
        log.format = section.value("format", or: log.format, overriddenBy: overrides.logFormat, Values.choice)
        var levels = section.section("levels")
        for room in LogRoom.allCases { log.levels[room] = levels.optional(room.rawValue, Values.choice) }
        levels.finish()
        section.finish()

        section = root.section("limits")
        limits.connections = section.value("connections", or: limits.connections, Values.count)
        limits.connectionsPerAddress =
            section.value("connections-per-address", or: limits.connectionsPerAddress, Values.count)
        limits.headerTimeout = section.value("header-timeout", or: limits.headerTimeout, Values.timeout)
        limits.idleTimeout = section.value("idle-timeout", or: limits.idleTimeout, Values.timeout)
        limits.clientStallTimeout =
            section.value("client-stall-timeout", or: limits.clientStallTimeout, Values.timeout)
        section.finish()
    }

    private mutating func readCache(_ root: inout ConfigurationSection, _ overrides: ConfigurationOverrides) {
        typealias Values = ConfigurationValues
        var section = root.section("cache")
        cache.maxSize =
            section.value("max-size", or: cache.maxSize, overriddenBy: overrides.maxSize, Values.positiveCapacity)
        cache.minFree = section.value("min-free", or: cache.minFree, Values.capacity)
        cache.lowWatermark = section.value("low-watermark", or: cache.lowWatermark, Values.positiveShare)
        cache.lease = section.value("lease", or: cache.lease, Values.duration)
        cache.verifyRate = section.value("verify-rate", or: cache.verifyRate, Values.share)
        cache.pins = section.list("pin", Values.imagePattern) ?? cache.pins
        section.finish()
    }

    /// What later versions will make act, and what harms nobody until then.
    private static func readIdle(_ root: inout ConfigurationSection) {
        typealias Values = ConfigurationValues
        for var section in root.sections("prefetch") {
            section.idleList("images", Values.pattern)
            section.idleList("platforms", Values.text)
            section.idle("every", Values.duration)
            section.finish()
        }
        root.idle("storage", Values.text)
        root.idle("metadata", Values.text)
    }

    /// The file as a tree whose nodes know their lines; `nil` if it is empty, or wrong and noted.
    private static func document(_ path: String, _ notes: ConfigurationNotes) -> Node? {
        guard let bytes = FileManager.default.contents(atPath: path) else {
            notes.mistake(nil, "\(path) cannot be read: it must exist, be a file, and be readable for this user")
            return nil
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            notes.mistake(nil, "\(path) is not text in UTF-8")
            return nil
        }
        guard bytes.count <= ConfigurationText.sizeLimit else {
            notes.mistake(.file(path, line: 1), "the file is over 1 MiB, which no configuration is")
            return nil
        }
        if let line = ConfigurationText.anchorLine(text) {
            notes.mistake(
                .file(path, line: line), "an anchor (& before a name) is not taken here: write out what it stands for")
            return nil
        }
        do {
            return try Yams.compose(yaml: text)
        } catch let error as YamlError {
            let (line, problem) = error.lineAndProblem
            notes.mistake(line.map { .file(path, line: $0) }, line == nil ? "\(path): \(problem)" : problem)
        } catch {
            notes.mistake(nil, "\(path): \(error)")
        }
        return nil
    }
}

extension YamlError {
    fileprivate var lineAndProblem: (line: Int?, problem: String) {
        switch self {
        case .scanner(let context, let problem, let mark, let yaml),
            .parser(let context, let problem, let mark, let yaml),
            .composer(let context, let problem, let mark, let yaml):
            let lines = yaml.split(separator: "\n", maxSplits: mark.line, omittingEmptySubsequences: false)
            let text = mark.line <= lines.count ? lines[mark.line - 1] : ""
            var hint = ""
            if "\(problem) \(context?.text ?? "")".contains("alias") {
                hint = "; a pattern that begins with * must stand in quotes: \"*-nightly\""
            } else if text.contains("["), text.contains(":") {
                hint = "; an address in brackets must stand in quotes: \"[::]:5000\""
            }
            return (mark.line, "no YAML: \(problem)\(hint)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            return (context.mark.line, "more than once, first here: " + duplicates.joined(separator: ", "))
        case .reader(let problem, _, _, let yaml):
            // Where in the text, Yams cannot say of what is inside a character.
            return (ConfigurationText.oddLine(yaml), "no YAML: \(problem)")
        case .no, .memory, .writer, .emitter, .representer, .dataCouldNotBeDecoded: return (nil, "no YAML: \(self)")
        @unknown default: return (nil, "no YAML: \(self)")
        }
    }
}
