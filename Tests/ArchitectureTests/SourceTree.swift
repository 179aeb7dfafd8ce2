// The sources as text: which files there are, what each imports, and where a line of code ends and a comment begins.

import Foundation

/// One file, and the room it belongs to.
struct SourceFile: Sendable {
    /// From the package's root: `Sources/Store/Blobs/Ingest.swift`.
    let path: String
    let lines: [Substring]

    init(path: String, text: String) {
        self.path = path
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        self.lines = lines
    }

    /// The target: `Store`.
    var room: String { String(path.split(separator: "/")[1]) }

    /// The path inside the room: `Blobs/Ingest.swift`.
    var place: String { path.split(separator: "/").dropFirst(2).joined(separator: "/") }

    /// What it imports, with the line's number, whatever stands before the word (`package`, `@testable`) or between it
    /// and the module (`struct`).
    var imports: [(module: String, line: Int)] {
        code.enumerated().compactMap { number, line in
            let words = line.split(separator: " ")
            guard let place = words.firstIndex(of: "import"), words.count > place + 1 else { return nil }
            let before = words[..<place]
            guard before.allSatisfy({ Self.beforeImport.contains(String($0)) || $0.hasPrefix("@") }) else { return nil }
            let kinds = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
            let name = words[(place + 1)...].first { !kinds.contains(String($0)) } ?? ""
            return (String(name.prefix { $0 != "." }), number + 1)
        }
    }

    private static let beforeImport: Set<String> = ["public", "package", "internal", "fileprivate", "private"]

    /// The lines without what is no code: comments and the inside of string literals are blanked, line by line.
    var code: [String] {
        var isInBlock = false
        var isInLongString = false
        return lines.map { Self.code(of: $0, &isInBlock, &isInLongString) }
    }

    private static func code(of line: Substring, _ isInBlock: inout Bool, _ isInLongString: inout Bool) -> String {
        var rest = line[...]
        var code = ""
        var isInString = false
        while let first = rest.first {
            if isInLongString {
                isInLongString = !rest.hasPrefix("\"\"\"")
                rest.removeFirst(isInLongString ? 1 : 3)
            } else if isInBlock {
                isInBlock = !rest.hasPrefix("*/")
                rest.removeFirst(isInBlock ? 1 : 2)
            } else if isInString {
                if rest.hasPrefix("\\") { rest.removeFirst() }
                if first == "\"" { isInString = false }
                if !rest.isEmpty { rest.removeFirst() }
            } else if rest.hasPrefix("\"\"\"") {
                isInLongString = true
                rest.removeFirst(3)
            } else if rest.hasPrefix("//") {
                break
            } else if rest.hasPrefix("/*") {
                isInBlock = true
                rest.removeFirst(2)
            } else {
                if first == "\"" { isInString = true }
                code.append(first)
                rest.removeFirst()
            }
        }
        return code
    }

    /// Whether a comment says why: on the line itself or right above it.
    func isExplained(_ number: Int) -> Bool {
        lines[number - 1].contains("//") || (number > 1 && lines[number - 2].contains("//"))
    }
}

/// The package as it lies on disk.
struct SourceTree: Sendable {
    let files: [SourceFile]
    let manifest: String

    /// The package's root is two folders above this one, wherever it is built from.
    static let root = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static func read(_ folders: [String] = ["Sources"]) throws -> SourceTree {
        var files: [SourceFile] = []
        for folder in folders {
            let top = root.appendingPathComponent(folder)
            // Resolved one by one, since a room under construction may be a symbolic link.
            for room in try FileManager.default.contentsOfDirectory(atPath: top.path).sorted() {
                let place = top.appendingPathComponent(room).resolvingSymlinksInPath().path
                for name in try FileManager.default.subpathsOfDirectory(atPath: place).sorted()
                where name.hasSuffix(".swift") {
                    let text = try String(contentsOfFile: "\(place)/\(name)", encoding: .utf8)
                    files.append(SourceFile(path: "\(folder)/\(room)/\(name)", text: text))
                }
            }
        }
        let manifest = try String(contentsOf: root.appendingPathComponent("Package.swift"), encoding: .utf8)
        return SourceTree(files: files, manifest: manifest)
    }
}
