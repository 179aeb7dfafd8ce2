// The library between a mirror and its disk (`Tests/DiskLab`): how a mirror gets it, and what is ordered of it.

import Foundation

/// What stands between one mirror and its data folder.
struct DiskLab: Sendable {
    /// The data folder; it has to be there when the mirror starts.
    let data: String
    /// Where the rules lie that `order` writes.
    private let rules: String
    /// Where every change is written down, by all mirrors begun with this lab.
    let journal: String

    init(on bench: Bench, data: String) throws {
        self.data = data
        let name = "lab-\(UInt32.random(in: 0...(.max)))"
        rules = bench.path("\(name).rules")
        journal = bench.path("\(name).journal")
        try order()
    }

    /// The library that was built beside these tests.
    static func library() throws -> String {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let path = URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("libDiskLab.so").path
        guard FileManager.default.fileExists(atPath: path) else {
            throw HarnessError("\(path) is missing: `swift build --build-tests` builds it")
        }
        return path
    }

    /// - Parameters:
    ///   - records: whether changes are written down.
    ///   - killedAt: the change, counted from 1 in each process, in whose place the process is killed.
    func surroundings(records: Bool = false, killedAt: Int? = nil) throws -> Surroundings {
        var variables = ["LD_PRELOAD": try Self.library(), "DISKLAB_ROOT": data, "DISKLAB_RULES": rules]
        if records { variables["DISKLAB_JOURNAL"] = journal }
        if let killedAt { variables["DISKLAB_KILL"] = "\(killedAt)" }
        return Surroundings(variables: variables)
    }

    /// From now on these rules hold and no others; `DiskLab.h` says how they are written. None: nothing goes wrong.
    func order(_ lines: String...) throws {
        // Written beside and renamed, so that none is read half.
        try lines.map { "\($0)\n" }.joined().write(toFile: rules, atomically: true, encoding: .utf8)
    }
}
