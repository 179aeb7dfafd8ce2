// Who writes log lines: a thread of its own, so that a stderr nobody reads stops no event loop.

import Dispatch
import Frontend
import Glibc
import Synchronization

/// Lines wait in memory, up to a bound; beyond it they are dropped, and how many is said once there is room again. What
/// has come together is written together.
final class LogWriter: Sendable {
    /// Bytes that may wait on each lane, and a line.
    static let bound = 1 << 20
    /// How long a line may wait for others that came just after it, and how many bytes do not.
    private static let pause = DispatchTimeInterval.milliseconds(20)
    private static let enough = 256 << 10
    /// Bytes of whole lines written at once. A pipe takes so much as a whole (POSIX, PIPE_BUF), so that processes do
    /// not mix their lines; a file takes any.
    private let piece: Int

    private struct Backlog {
        var lines: [UInt8] = []
        /// Of what is being written just now.
        var taken = 0
        var dropped = 0
        var droppedInAll: Int64 = 0
        /// Whether somebody comes for them: at once, or after the pause.
        var isAwaited = false
        var isUrgent = false
    }

    private let descriptor: CInt
    private let thread = DispatchQueue(label: "wharf.log")
    /// One for each event loop that says something: a lock that others want costs more than a line.
    private final class Lane: Sendable { let backlog = Mutex(Backlog()) }
    private let lanes = (0..<16).map { _ in Lane() }

    init(to descriptor: CInt) {
        self.descriptor = descriptor
        var status = stat()
        let isFile = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        piece = isFile ? 64 << 10 : 4096
    }

    /// Takes a line with its end; never waits.
    ///
    /// - Parameters:
    ///   - canWait: a little, for more of its kind; else it is written at once.
    ///   - lane: of the event loop that says it.
    ///   - append: puts it behind the lines that wait. Not called where it is dropped.
    func write(canWait: Bool = false, lane: Int = 0, append: (inout [UInt8]) -> Void) {
        let (comes, isUrgent) = lanes[lane % lanes.count].backlog.withLock { backlog in
            guard backlog.lines.count + backlog.taken < Self.bound else {
                backlog.dropped += 1
                backlog.droppedInAll += 1
                return (false, false)
            }
            append(&backlog.lines)
            let isUrgent = !canWait || backlog.lines.count >= Self.enough
            guard !backlog.isAwaited || isUrgent && !backlog.isUrgent else { return (false, false) }
            backlog.isAwaited = true
            backlog.isUrgent = isUrgent
            return (true, isUrgent)
        }
        guard comes else { return }
        let pause = isUrgent ? .nanoseconds(0) : Self.pause
        thread.asyncAfter(deadline: .now() + pause) { self.pass(lane) }
    }

    var figures: Vitals.Log {
        lanes.reduce(into: Vitals.Log()) { figures, lane in
            lane.backlog.withLock { backlog in
                figures.waitingBytes += Int64(backlog.lines.count + backlog.taken)
                figures.droppedLines += backlog.droppedInAll
            }
        }
    }

    /// Waits until all that was taken is written: before the program ends. Where nobody reads, two seconds are enough:
    /// a full pipe is no reason to stay.
    func flush() {
        let done = DispatchSemaphore(value: 0)
        thread.async {
            for lane in self.lanes.indices { self.pass(lane) }
            done.signal()
        }
        _ = done.wait(timeout: .now() + 2)
    }

    private func pass(_ lane: Int) {
        let lines = lanes[lane % lanes.count].backlog.withLock { backlog in
            (backlog.isAwaited, backlog.isUrgent) = (false, false)
            backlog.taken = backlog.lines.count
            defer { backlog.lines = [] }
            return backlog.lines
        }
        lines.withUnsafeBytes(put)
        let dropped = lanes[lane % lanes.count].backlog.withLock { backlog in
            backlog.taken = 0
            defer { backlog.dropped = 0 }
            return backlog.dropped
        }
        if dropped > 0 {
            Array("wharf: \(dropped) log lines were dropped: nobody read them in time\n".utf8).withUnsafeBytes(put)
        }
    }

    /// In pieces of whole lines. A closed stderr costs the lines and nothing else.
    private func put(_ lines: UnsafeRawBufferPointer) {
        var rest = lines[...]
        while !rest.isEmpty {
            let last = rest.prefix(piece).lastIndex(of: UInt8(ascii: "\n"))
            let end = last ?? rest.firstIndex(of: UInt8(ascii: "\n")) ?? rest.endIndex - 1
            let piece = UnsafeRawBufferPointer(rebasing: rest[...end])
            _ = Glibc.write(descriptor, piece.baseAddress, piece.count)
            rest = rest[(end + 1)...]
        }
    }
}
