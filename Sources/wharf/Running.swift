// What the running program tells of itself: its server, its log, and what the kernel says of its process.

import Frontend
import Glibc
import HTTPServer
import Synchronization

/// The face is made before the server that it answers for.
final class Running: Sendable {
    private let startedAt: Int64
    private let log: Log
    private let server = Mutex<HTTPServer?>(nil)

    /// - Parameter start: Unix milliseconds.
    init(since start: Int64, log: Log) {
        startedAt = start
        self.log = log
    }

    func serves(_ server: HTTPServer) { self.server.withLock { $0 = server } }

    var vitals: Vitals {
        Vitals(
            startedAt: startedAt,
            loginListen: { [self] in server.withLock { $0 }?.loginAddresses.first.map { "\($0)" } },
            process: { Self.process() }, log: { [log] in log.writer.figures },
            server: { [self] in server.withLock { $0 }?.figures ?? ServerFigures() })
    }

    // MARK: proc(5)

    static func process() -> Vitals.Process? {
        guard let memory = text(of: "/proc/self/statm")?.split(separator: " "), memory.count > 1,
            let virtual = Int64(memory[0]), let resident = Int64(memory[1])
        else { return nil }
        let page = Int64(sysconf(CInt(_SC_PAGESIZE)))
        var usage = rusage()
        var most = rlimit()
        guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0,
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &most) == 0
        else { return nil }
        return Vitals.Process(
            residentBytes: resident * page, virtualBytes: virtual * page, openDescriptors: openDescriptors(),
            mostDescriptors: Int64(clamping: most.rlim_cur),
            cpuSeconds: seconds(usage.ru_utime) + seconds(usage.ru_stime))
    }

    private static func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }

    /// Those of this look itself among them.
    private static func openDescriptors() -> Int64 {
        guard let folder = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(folder) }
        // Beside `.` and `..`.
        var count: Int64 = -2
        while readdir(folder) != nil { count += 1 }
        return max(0, count)
    }

    private static func text(of path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(descriptor, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
    }
}
