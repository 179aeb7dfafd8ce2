// Files that others write: what tells one state of them from another, and when a new one is whole.

import Glibc
import ServiceLifecycle

/// What changes with a file. A file that is replaced has another inode, one that is written another time.
struct FileStamp: Hashable, Sendable {
    private let place: [UInt64]
    private let size: Int64
    private let changed: [Int]

    /// `nil` for what is not there.
    static func of(_ paths: [String]) -> [FileStamp?] {
        paths.map { path in
            var status = stat()
            return stat(path, &status) == 0 ? FileStamp(status) : nil
        }
    }

    private init(_ status: stat) {
        place = [UInt64(status.st_dev), UInt64(status.st_ino)]
        size = Int64(status.st_size)
        changed = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    }
}

/// Tells once of each change, when two looks have seen the same: certificate and key are two files, and who replaces
/// them writes one after the other.
struct FileWatch {
    private var taken: [FileStamp?]
    private var seen: [FileStamp?]

    /// - Parameter taken: the state that is known already.
    init(_ taken: [FileStamp?]) { (self.taken, seen) = (taken, taken) }

    mutating func hasSettled(_ now: [FileStamp?]) -> Bool {
        defer { seen = now }
        guard now != taken, now == seen else { return false }
        taken = now
        return true
    }
}

/// Has the certificate taken up that somebody has written, a few seconds later.
struct CertificateWatch: Service {
    let reloader: Reloader
    let clock: any Clock<Duration>

    func run() async throws {
        await cancelWhenGracefulShutdown {
            // The sleep fails only when it is cancelled, which is the end.
            while (try? await clock.sleep(for: .seconds(2))) != nil { await reloader.lookAtCertificates() }
        }
    }
}
