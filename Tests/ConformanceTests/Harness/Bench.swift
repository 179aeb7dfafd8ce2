// The bench a test works at: a folder of its own, ports of its own, and every process begun on it ended with it.

import Foundation
import Synchronization
import TestSupport

/// Lends a bench to `body` and clears it afterwards, whether `body` returned or threw.
/// `WHARF_TEST_KEEP=1` in the environment leaves the folder, with every program's output, for a look.
func withBench<Value>(_ body: (Bench) async throws -> Value) async throws -> Value {
    let bench = try Bench()
    do {
        let value = try await body(bench)
        await bench.clear()
        return value
    } catch {
        print(bench.lastWords())
        await bench.clear()
        throw error
    }
}

final class Bench: Sendable {
    /// Short, since the sockets of daemons lie in it and a socket's path has at most 107 bytes.
    let folder: String
    private let children = Mutex<[Child]>([])

    init() throws {
        var template = Array("/tmp/wharf-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw HarnessError("no folder in /tmp: \(String(cString: strerror(errno)))")
        }
        folder = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        guard !Bench.keepsFolders else { return }
        try Undertaker.shared.get().watch(folder: folder)
    }

    private static let keepsFolders = ProcessInfo.processInfo.environment["WHARF_TEST_KEEP"] == "1"

    // MARK: Files

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    /// Makes the folder `name` on the bench and returns its path.
    func makeFolder(_ name: String) throws -> String {
        try FileManager.default.createDirectory(atPath: path(name), withIntermediateDirectories: true)
        return path(name)
    }

    /// Writes the file `name` on the bench and returns its path.
    @discardableResult func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: path(name), atomically: true, encoding: .utf8)
        return path(name)
    }

    // MARK: Processes

    /// Begins a program that stays; it is ended with the bench.
    func start(
        _ name: String, _ program: String, _ arguments: [String], surroundings: Surroundings = .plain
    ) throws -> Child {
        let child = try Child(
            name, program, arguments, in: folder, output: path("\(name)-\(nextNumber()).log"),
            surroundings: surroundings)
        children.withLock { $0.append(child) }
        return child
    }

    /// Runs a program to its end and returns its status with what it printed.
    func run(
        _ program: String, _ arguments: [String], surroundings: Surroundings = .plain,
        within limit: Duration = .seconds(120)
    ) async throws -> (status: Int32, output: String) {
        let name = String(program.split(separator: "/").last ?? "program")
        let child = try start(name, program, arguments, surroundings: surroundings)
        do {
            let status = try await child.exit(within: limit)
            return (status, child.outputText())
        } catch {
            await child.end()
            throw HarnessError("\(error); so far it said: \(child.outputText())")
        }
    }

    /// Runs a program that has to succeed and returns what it printed.
    @discardableResult func succeed(
        _ program: String, _ arguments: [String], surroundings: Surroundings = .plain,
        within limit: Duration = .seconds(120)
    ) async throws -> String {
        let (status, output) = try await run(program, arguments, surroundings: surroundings, within: limit)
        guard status == 0 else {
            throw HarnessError("\(program) \(arguments.joined(separator: " ")) exited \(status): \(output)")
        }
        return output
    }

    private let numbers = Mutex(0)

    private func nextNumber() -> Int {
        numbers.withLock { number in
            number += 1
            return number
        }
    }

    // MARK: The end

    /// Ends every process, the youngest first, and removes the folder.
    func clear() async {
        for child in children.withLock({ $0 }).reversed() where child.exitStatus == nil { await child.end() }
        guard !Bench.keepsFolders else { return print("kept: \(folder)") }
        // What cannot be removed now, the undertaker removes.
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// The last lines of every program, for the report of a failure.
    func lastWords() -> String {
        children.withLock { $0 }.map { child in
            let lines = child.outputText().split(separator: "\n").suffix(8).map { $0.prefix(400) }
                .joined(separator: "\n    ")
            return "-- \(child.name) (\(child.exitStatus.map { "exited \($0)" } ?? "running")):\n    \(lines)"
        }.joined(separator: "\n")
    }
}

/// A loopback port that nobody listens on, from below the range that outgoing connections take theirs from: another
/// process cannot be given it by chance before its user has bound it.
func freePort() throws -> Int {
    for _ in 0..<200 {
        let port = Int.random(in: 20_000..<32_000)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        let bound = withLoopback(port) { bind(descriptor, $0, $1) }
        if bound == 0 { return port }
    }
    throw HarnessError("no free port between 20000 and 32000")
}
