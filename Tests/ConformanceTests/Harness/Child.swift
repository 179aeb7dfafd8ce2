// One process that a test started: how it is begun, awaited and ended.

import Foundation
import Synchronization

/// What went wrong with the scenery, as opposed to the mirror.
struct HarnessError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Where a program stands: what it sees besides a bare environment.
struct Surroundings: Sendable {
    /// Added to PATH, HOME, TMPDIR and LANG; nothing else is inherited, no proxy and no credential of the caller's.
    var variables: [String: String] = [:]
    /// A file that is `/etc/hosts` to the program, in a mount namespace of its own.
    var hosts: String?
    /// The same for `/etc/resolv.conf`.
    var resolver: String?
    /// The file of a network namespace in which it stands; `nil`: in the tests' own.
    var network: String?

    static let plain = Surroundings()
}

/// A running program. Its output goes to a file and never through a pipe, so a full pipe can block nothing.
final class Child: Sendable {
    let name: String
    let identifier: Int32
    /// The file with its standard output and standard error.
    let output: String
    private let status: ExitStatus

    init(
        _ name: String, _ program: String, _ arguments: [String], in folder: String, output: String,
        surroundings: Surroundings = .plain
    ) throws {
        self.name = name
        self.output = output
        var command = [try Programs.path(of: program)] + arguments
        let files = [("/etc/hosts", surroundings.hosts), ("/etc/resolv.conf", surroundings.resolver)]
        let mounts = files.compactMap { place, file in file.map { "mount --bind '\($0)' \(place)" } }
        if !mounts.isEmpty {
            // `unshare` and `bash` both exec, so the process keeps the pid that is ended later.
            let script = (mounts + [#"exec "$0" "$@""#]).joined(separator: " && ")
            command =
                [try Programs.path(of: "unshare"), "-m", "--propagation", "private", "/bin/bash", "-c", script]
                + command
        }
        if let network = surroundings.network {
            command = [try Programs.path(of: "nsenter"), "--net=\(network)"] + command
        }

        let base = ["PATH": Programs.searchPath, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"]
        let undertaker = try Undertaker.shared.get()
        let identifier = try spawn(
            command, environment: base.merging(surroundings.variables) { $1 }, in: folder, output: output)
        undertaker.watch(process: identifier)
        self.identifier = identifier
        let status = ExitStatus()
        self.status = status
        Thread.detachNewThread {
            let code = awaitEnd(of: identifier)
            undertaker.forget(process: identifier)
            status.value.withLock { $0 = code }
        }
    }

    /// The exit status if the process has ended; 128 + N after signal N.
    var exitStatus: Int32? { status.value.withLock { $0 } }

    func signal(_ number: Int32) {
        if exitStatus == nil { kill(identifier, number) }
    }

    /// Waits for the end of the process.
    /// - Throws: if it has not come within `limit`; the process goes on.
    func exit(within limit: Duration) async throws -> Int32 {
        var status: Int32?
        try await eventually(within: limit, "\(name) ends") {
            status = self.exitStatus
            return status != nil
        }
        return status ?? -1
    }

    /// Ends the process: TERM, and KILL where that is not enough within ten seconds.
    func end() async {
        signal(SIGTERM)
        signal(SIGCONT)  // one that was stopped takes no TERM until it goes on
        if (try? await exit(within: .seconds(10))) != nil { return }
        // Its helpers are of its session, and so of its process group.
        signal(SIGKILL)
        kill(-identifier, SIGKILL)
        // Nothing more can be done about a process that a KILL does not end; the undertaker keeps its pid.
        _ = try? await exit(within: .seconds(10))
    }

    func outputText() -> String {
        // A file that cannot be read has nothing to tell.
        (try? String(contentsOfFile: output, encoding: .utf8)) ?? ""
    }
}

/// Written once by the thread that waits for the process, read by whoever wants to know.
private final class ExitStatus: Sendable {
    let value = Mutex<Int32?>(nil)
}

/// Where the programs are that the tests use.
enum Programs {
    static let searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    /// - Throws: naming the program that is missing and who installs it; a test never skips for want of one.
    static func path(of program: String) throws -> String {
        if program.hasPrefix("/") { return program }
        for folder in searchPath.split(separator: ":") {
            let path = "\(folder)/\(program)"
            if FileManager.default.isExecutableFile(atPath: path) { return path }
        }
        throw HarnessError("\(program) is not installed; `deploy/test` installs what these tests need")
    }
}

/// Asks `condition` every 20 ms until it holds.
/// - Throws: naming `what` if it does not hold within `limit`.
func eventually(within limit: Duration, _ what: String, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else { throw HarnessError("not within \(limit): \(what)") }
        try await Task.sleep(for: .milliseconds(20))
    }
}

/// Runs what blocks on a thread of its own, so that the test runner's few threads stay free.
func blocking<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try work() }) }
    }
}
