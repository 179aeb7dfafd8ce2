// Props of the configuration's tests: a file on the disk, loaded.

import Foundation
import Testing

@testable import wharf

/// A directory that lives as long as this does.
final class ConfigurationFolder {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "wharf-\(UUID().uuidString)")

    init() throws { try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(at: directory) }  // what is left behind harms nobody

    /// Writes a file and returns its path.
    func file(_ name: String, _ text: String) throws -> String {
        let url = directory.appending(path: name)
        try Data(text.utf8).write(to: url)
        return url.path
    }

    func path(_ name: String) -> String { directory.appending(path: name).path }

    func load(
        _ yaml: String, _ environment: [String: String] = [:], _ flag: (inout Configuration.Flags) -> Void = { _ in }
    ) throws -> (Configuration, warnings: [String]) {
        var flags = Configuration.Flags()
        flag(&flags)
        return try Configuration.load(file: try file("wharf.yaml", yaml), flags: flags, environment: environment)
    }

    /// The mistakes, each as `line: message`; `-` where there is no line.
    func mistakes(
        _ yaml: String, _ environment: [String: String] = [:], _ flag: (inout Configuration.Flags) -> Void = { _ in }
    ) throws -> [String] {
        let error = try #require(throws: ConfigurationMistakes.self) { try load(yaml, environment, flag) }
        return error.mistakes.map { mistake in
            if case .file(_, let line) = mistake.origin { return "\(line): \(mistake.message)" }
            return "\(mistake.origin?.description ?? "-"): \(mistake.message)"
        }
    }
}
