// Standard output as a terminal, or as what it is instead.

import FoundationEssentials
import Glibc
import UnixSignals

/// Lines that are drawn again in their place. To anything else than a terminal they are written one block after the
/// other.
struct Terminal {
    static let isOne = isatty(STDOUT_FILENO) == 1

    private var drawn = 0
    private var size = (width: 0, height: 0)

    /// Columns and lines; of what is no terminal, what `COLUMNS` says, and no end of lines.
    static var extent: (width: Int, height: Int) {
        let columns = ProcessInfo.processInfo.environment["COLUMNS"].flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
        guard isOne else { return (columns ?? 100, .max) }
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (columns ?? 80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Writes `above` for good, and `lines` below it in place of those that were drawn last.
    ///
    /// - Returns: whether anybody takes it.
    @discardableResult
    mutating func draw(_ lines: [String], above: [String] = []) -> Bool {
        guard Self.isOne else {
            return Self.write((above + lines).map { "\($0)\n" }.joined())
        }
        let extent = Self.extent
        var text = ""
        if drawn > 0 {
            // After a change of size nobody knows where the old lines are.
            text = extent == size ? "\u{1B}[\(drawn)A\r" : "\u{1B}[H\u{1B}[2J"
        }
        text += (above + lines).map { "\($0)\u{1B}[K\n" }.joined() + "\u{1B}[J"
        (drawn, size) = (lines.count, extent)
        return Self.write(text)
    }

    /// Hides the cursor until the program ends, however it is asked to.
    static func hideCursor() async {
        guard isOne else { return }
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        write("\u{1B}[?25l")
        Task {
            for await _ in signals {
                showCursor()
                // What it does until somebody ends it is done.
                exit(EXIT_SUCCESS)
            }
        }
    }

    static func showCursor() { if isOne { write("\u{1B}[?25h") } }

    /// - Returns: whether all of it was taken.
    @discardableResult
    static func write(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            var done = 0
            while done < bytes.count {
                let count = Glibc.write(STDOUT_FILENO, bytes.baseAddress?.advanced(by: done), bytes.count - done)
                if count > 0 { done += count } else if errno != EINTR { return false }
            }
            return true
        }
    }
}
