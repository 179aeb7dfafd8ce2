// The laws that a single file can break: its length, its first line, its width, and the words that need an excuse.

/// What is wrong with a file, as `path:line: why`.
enum TextLaws {
    static let mostLines = 450
    static let mostColumns = 120

    static func length(_ file: SourceFile) -> [String] {
        file.lines.count > mostLines ? ["\(file.path): \(file.lines.count) lines"] : []
    }

    static func firstLine(_ file: SourceFile) -> [String] {
        file.lines.first?.hasPrefix("// ") == true ? [] : ["\(file.path): the first line does not say what lives here"]
    }

    static func width(_ file: SourceFile) -> [String] {
        broken(file) { line, _ in line.count > mostColumns ? "\(line.count) columns" : nil }
    }

    /// Never, in no file.
    static func forbidden(_ file: SourceFile) -> [String] {
        let inCode = ["@_exported", "public"]
        return brokenCode(file) { code, _ in inCode.first { has($0, in: code) } }
            + broken(file) { line, _ in ["TODO", "FIXME"].first { line.contains($0) } }
    }

    /// `try!` wants a proof beside it; so do the two ways round the compiler, which belong to the door of libcurl alone.
    static func excused(_ file: SourceFile) -> [String] {
        brokenCode(file) { code, number in
            if has("try!", in: code), !file.isExplained(number) { return "try! without a proof" }
            for word in ["@unchecked", "nonisolated(unsafe)"] where has(word, in: code) {
                if !file.path.hasPrefix("Sources/Upstream/Transport/Curl") {
                    return "\(word) outside the door to libcurl"
                }
                if !file.isExplained(number) { return "\(word) without a proof" }
            }
            return nil
        }
    }

    /// Time comes in from outside, so that tests can turn it: only the switchboard and the server's timeouts have clocks.
    static func clocks(_ file: SourceFile) -> [String] {
        if ["wharf", "HTTPServer"].contains(file.room) { return [] }
        let words = [
            "Task.sleep", "Date()", "Date.now", "ContinuousClock.now", "ContinuousClock()", "SuspendingClock",
            "time(nil)",
            "clock_gettime", "gettimeofday", "DispatchTime.now",
        ]
        return brokenCode(file) { code, _ in words.first { has($0, in: code) } }
    }

    /// Whether the word stands there and is no part of a longer one.
    private static func has(_ word: String, in code: String) -> Bool {
        var rest = code[...]
        while let place = rest.firstRange(of: word) {
            let before = code[..<place.lowerBound].last
            let after = code[place.upperBound...].first
            let isWhole = { (neighbour: Character?) in
                neighbour.map { !$0.isLetter && !$0.isNumber && $0 != "_" } ?? true
            }
            let endsOpen = word.last.map { $0.isLetter } ?? false
            if isWhole(before), !endsOpen || isWhole(after) { return true }
            rest = rest[place.upperBound...]
        }
        return false
    }

    private static func broken(_ file: SourceFile, _ why: (Substring, Int) -> String?) -> [String] {
        file.lines.enumerated().compactMap { index, line in
            why(line, index + 1).map { "\(file.path):\(index + 1): \($0)" }
        }
    }

    private static func brokenCode(_ file: SourceFile, _ why: (String, Int) -> String?) -> [String] {
        file.code.enumerated().compactMap { index, code in
            why(code, index + 1).map { "\(file.path):\(index + 1): \($0)" }
        }
    }
}
