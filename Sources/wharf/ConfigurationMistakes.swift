// What is wrong with a configuration: all of it at once, each mistake with its place.

package struct ConfigurationMistake: Hashable, Sendable, CustomStringConvertible {
    /// `nil` where it is no value's fault, such as a file that cannot be read.
    package let origin: Origin?
    package let message: String

    package var description: String { origin.map { "\($0): \(message)" } ?? message }
}

/// Thrown by `Configuration.load`; never empty, in the order of the file.
package struct ConfigurationMistakes: Error, Sendable, CustomStringConvertible {
    package let mistakes: [ConfigurationMistake]

    /// One line a mistake.
    package var description: String { mistakes.map(\.description).joined(separator: "\n") }
}

/// Collects, during one load, what its many sections have to say.
final class ConfigurationNotes {
    let file: String
    private(set) var mistakes: [ConfigurationMistake] = []
    private(set) var origins: [String: Origin] = [:]
    /// Keys that were given and that nothing acts on yet.
    private(set) var idle: [String] = []
    /// What is right and yet will not do what is wanted, a line each.
    private(set) var warnings: [String] = []

    init(file: String) { self.file = file }

    func mistake(_ origin: Origin?, _ message: String) {
        mistakes.append(ConfigurationMistake(origin: origin, message: Self.line(message)))
    }

    /// One line that no terminal obeys and that has an end: keys and values are repeated in it, whatever they are.
    private static func line(_ message: String) -> String {
        let scalars = message.unicodeScalars.prefix(500).map { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: "?" as Unicode.Scalar
            default: scalar
            }
        }
        return String(String.UnicodeScalarView(scalars)) + (message.unicodeScalars.count > 500 ? "…" : "")
    }

    func given(_ key: String, _ origin: Origin) { origins[key] = origin }

    func idle(_ key: String) { idle.append(key) }

    func warn(_ message: String) { warnings.append("\(file): \(Self.line(message))") }

    /// What is thrown, if anything is wrong: by line, then what was said on the command line and the environment.
    var thrown: ConfigurationMistakes? {
        guard !mistakes.isEmpty else { return nil }
        func line(_ mistake: ConfigurationMistake) -> Int {
            if case .file(_, let line) = mistake.origin { return line }
            return .max
        }
        let inOrder = mistakes.enumerated().sorted { (line($0.element), $0.offset) < (line($1.element), $1.offset) }
        return ConfigurationMistakes(mistakes: inOrder.map(\.element))
    }
}

/// The nearest of some words: by insertions, deletions, replacements and exchanges of neighbours.
enum NearestWord {
    static func to(_ word: String, among words: [String]) -> String? {
        words.map { (word: $0, distance: distance(word, $0)) }.min { $0.distance < $1.distance }?.word
    }

    /// The optimal string alignment distance; three rows of its table are enough. What is long is judged by its
    /// beginning, so that no file can make this slow.
    static func distance(_ one: String, _ other: String) -> Int {
        let (a, b) = (Array(one.utf8.prefix(64)), Array(other.utf8.prefix(64)))
        var (beforeLast, last) = ([Int](), Array(0...b.count))
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var best = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, beforeLast[j - 1] + 1) }
                row.append(best)
            }
            (beforeLast, last) = (last, row)
        }
        return last[b.count]
    }
}
