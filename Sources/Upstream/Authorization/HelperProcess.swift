// One run of another program: a little in, a little out, and killed when nobody waits any more.
import Glibc
import Synchronization

/// Runs a program once, on a thread of its own since it waits for it; it needs no shell and gets no descriptor but
/// its standard three, of which errors lead nowhere.
final class HelperProcess: Sendable {
    enum End: Equatable, Sendable {
        case exited(Int32, output: [UInt8])
        /// It printed more than it may, and was killed.
        case overflowed
        /// The task that awaited it was cancelled, and it was killed.
        case stopped
        /// It could not be started.
        case failed(String)
    }

    private let path: String
    private let arguments: [String]
    private let environment: [String: String]
    private let input: [UInt8]
    private let outputLimit: Int
    /// A byte in it wakes the thread.
    private let alarm = Pipe()
    private let awaiting = Mutex<CheckedContinuation<End, Never>?>(nil)

    /// - Parameters:
    ///   - input: at most 4 KiB, which a pipe takes whole before anybody reads.
    ///   - outputLimit: bytes.
    init(path: String, argument: String, environment: [String: String], input: [UInt8], outputLimit: Int) {
        self.path = path
        arguments = [path, argument]
        self.environment = environment
        self.input = Array(input.prefix(4096))
        self.outputLimit = outputLimit
    }

    /// The program in the first of the directories that has it. Relative ones are passed over.
    static func find(_ program: String, on searchPath: String) -> String? {
        searchPath.split(separator: ":").filter { $0.hasPrefix("/") }.map { "\($0)/\(program)" }
            .first { access($0, X_OK) == 0 }
    }

    /// Cancelling the task kills the program and its process group. May be called once.
    func run() async -> End {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                awaiting.withLock { $0 = continuation }
                startThread()
            }
        } onCancel: {
            alarm?.ring()
        }
    }

    private func startThread() {
        var thread = pthread_t()
        let me = Unmanaged.passRetained(self)
        let failure = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                let process = Unmanaged<HelperProcess>.fromOpaque(raw).takeRetainedValue()
                process.ended(process.work())
                return nil
            }, me.toOpaque())
        guard failure == 0 else {
            me.release()
            return ended(.failed(Self.words(failure)))
        }
        pthread_detach(thread)
    }

    private func ended(_ end: End) {
        awaiting.withLock { $0.take() }?.resume(returning: end)
    }

    // MARK: On the thread

    private func work() -> End {
        guard let alarm, let stdin = Pipe(), let stdout = Pipe() else { return .failed(Self.words(errno)) }
        // Before it is started: nobody can have closed the other end, so there is no SIGPIPE.
        guard write(stdin.writing.raw, input, input.count) == input.count else { return .failed(Self.words(errno)) }
        stdin.writing.close()
        var child = pid_t()
        let failure = spawn(&child, stdin: stdin.reading.raw, stdout: stdout.writing.raw)
        guard failure == 0 else { return .failed(Self.words(failure)) }
        stdin.reading.close()
        stdout.writing.close()

        let (output, reason) = read(from: stdout.reading, until: alarm)
        var status: Int32 = 0
        var reaped = reason == nil ? waitpid(child, &status, WNOHANG) : 0
        var isStopped = false
        while reaped == 0, reason == nil, !isStopped {  // its output has ended, it may not have
            isStopped = alarm.isRung(within: 10)
            reaped = waitpid(child, &status, WNOHANG)
        }
        if reaped == 0 {
            kill(-child, SIGKILL)
            repeat { reaped = waitpid(child, &status, 0) } while reaped < 0 && errno == EINTR
            return reason ?? .stopped
        }
        guard reaped == child else { return .failed(Self.words(errno)) }
        let isSignalled = status & 0x7F != 0
        return .exited(isSignalled ? 128 + (status & 0x7F) : (status >> 8) & 0xFF, output: output)
    }

    /// The whole output, and why it is not whole if it is not.
    private func read(from descriptor: Descriptor, until alarm: Pipe) -> ([UInt8], End?) {
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            var waiting = [
                pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0),
                pollfd(fd: alarm.reading.raw, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&waiting, 2, -1) > 0 else { continue }  // EINTR
            if waiting[1].revents != 0 { return (output, .stopped) }
            let count = Glibc.read(descriptor.raw, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return (output, nil) }
            output += buffer.prefix(count)
            if output.count > outputLimit { return (output, .overflowed) }
        }
    }

    /// In a process group of its own, with all signals as they were born.
    private func spawn(_ child: inout pid_t, stdin: Int32, stdout: Int32) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, stdin, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, stdout, STDOUT_FILENO)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        // Whoever opened them, and how: all there are, and as many as other threads may open just now.
        for descriptor in (STDERR_FILENO + 1)...(Self.highestDescriptor() + 1024) {
            guard posix_spawn_file_actions_addclose(&actions, descriptor) == 0 else { break }  // beyond the limit
        }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

        let words = arguments.map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + variables { free(text) } }
        return posix_spawn(&child, path, &actions, &attributes, words, variables)
    }

    private static func highestDescriptor() -> Int32 {
        var highest = STDERR_FILENO
        guard let directory = opendir("/proc/self/fd") else { return highest }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let descriptor = Int32(name) { highest = max(highest, descriptor) }
        }
        return highest
    }

    private static func words(_ error: Int32) -> String { String(cString: strerror(error)) }
}

/// A file descriptor that is closed once.
private final class Descriptor: Sendable {
    private let value: Mutex<Int32>

    init(_ raw: Int32) { value = Mutex(raw) }

    deinit { close() }

    /// -1 once it is closed.
    var raw: Int32 { value.withLock { $0 } }

    func close() {
        let raw = value.withLock { raw in
            defer { raw = -1 }
            return raw
        }
        if raw >= 0 { Glibc.close(raw) }
    }
}

/// Two ends of a pipe; neither outlives an exec.
private struct Pipe: Sendable {
    let reading, writing: Descriptor

    /// Nil where no descriptor is left; `errno` says it.
    init?() {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        reading = Descriptor(ends[0])
        writing = Descriptor(ends[1])
    }

    func ring() {
        var byte: UInt8 = 1
        _ = write(writing.raw, &byte, 1)
    }

    /// - Parameter milliseconds: how long to wait for it.
    func isRung(within milliseconds: Int32) -> Bool {
        var waiting = pollfd(fd: reading.raw, events: Int16(POLLIN), revents: 0)
        return poll(&waiting, 1, milliseconds) > 0
    }
}
