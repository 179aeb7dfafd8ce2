// Who writes log lines: a thread of its own, so that a stderr nobody reads stops no event loop.

import Dispatch
import Glibc
import Synchronization

/// Lines wait in memory, up to a bound; beyond it they are dropped, and how many is said once there is room again.
final class LogWriter: Sendable {
    /// Bytes that may wait.
    static let bound = 1 << 20

    private struct Backlog {
        var bytes = 0
        var dropped = 0
    }

    private let descriptor: CInt
    private let thread = DispatchQueue(label: "wharf.log")
    private let backlog = Mutex(Backlog())

    init(to descriptor: CInt) { self.descriptor = descriptor }

    /// Takes a line with its end; never waits.
    func write(_ line: String) {
        let size = line.utf8.count
        let isTaken = backlog.withLock { backlog in
            guard backlog.bytes + size <= Self.bound else {
                backlog.dropped += 1
                return false
            }
            backlog.bytes += size
            return true
        }
        if isTaken { thread.async { self.pass(on: line, size) } }
    }

    /// Waits until all that was taken is written: before the program ends. Where nobody reads, two seconds are enough:
    /// a full pipe is no reason to stay.
    func flush() {
        let done = DispatchSemaphore(value: 0)
        thread.async { done.signal() }
        _ = done.wait(timeout: .now() + 2)
    }

    private func pass(on line: String, _ size: Int) {
        put(line)
        let dropped = backlog.withLock { backlog in
            backlog.bytes -= size
            defer { backlog.dropped = 0 }
            return backlog.dropped
        }
        if dropped > 0 { put("wharf: \(dropped) log lines were dropped: nobody read them in time\n") }
    }

    /// A line is one `write`, so that processes do not mix theirs; a closed stderr costs the line and nothing else.
    private func put(_ line: String) {
        var line = line
        line.withUTF8 { bytes in _ = Glibc.write(descriptor, bytes.baseAddress, bytes.count) }
    }
}
