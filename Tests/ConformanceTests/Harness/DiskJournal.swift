// What the disk lab has written down: every change to a data folder, in the order in which they happened.

import Foundation

enum DiskOperation: UInt32, Sendable {
    case create = 1
    case write, truncate, allocate, punch, chmod, fsync, fdatasync, rename, unlink, mkdir, syncdir, killed
}

/// One record; which of the members mean something is told in `DiskLab.h`. Paths are below the data folder.
struct DiskRecord: Sendable {
    let operation: DiskOperation
    let path: String
    let file: UInt64
    let offset: Int
    let value: Int
    let data: [UInt8]

    /// Where a rename leads to.
    var goal: String { String(decoding: data, as: UTF8.self) }

    /// The kind of step it is, whatever the digest or number in its paths.
    var step: String {
        switch operation {
        case .rename: "rename \(Self.kind(of: path)) to \(Self.kind(of: goal))"
        case .killed:
            DiskOperation(rawValue: UInt32(value)).map { operation in
                let goal = data.isEmpty ? "" : " to \(Self.kind(of: self.goal))"
                return "\(operation) \(Self.kind(of: path))\(goal)"
            } ?? "?"
        default: "\(operation) \(Self.kind(of: path))"
        }
    }

    private static func kind(of path: String) -> String {
        let parts = path.split(separator: "/")
        switch parts.first {
        case nil: return "the folder itself"
        case "blobs"?: return ["blobs", "blobs/<algorithm>", "blobs/<shard>", "a blob"][min(parts.count, 4) - 1]
        case "ingest"?, "trash"?, "quarantine"?: return parts.count == 1 ? path : "a file in \(parts[0])"
        default: return path.hasPrefix("metadata.sqlite.damaged") ? "a damaged database" : path
        }
    }
}

struct DiskJournal: Sendable {
    let records: [DiskRecord]

    init(contentsOf path: String) throws {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        var records: [DiskRecord] = []
        var place = 0
        try bytes.withUnsafeBytes { bytes in
            while place < bytes.count {
                func number<Number: FixedWidthInteger>(_ offset: Int, _: Number.Type) throws -> Number {
                    guard place + 40 <= bytes.count else { throw HarnessError("the journal ends within a record") }
                    return bytes.loadUnaligned(fromByteOffset: place + offset, as: Number.self)
                }
                guard let operation = DiskOperation(rawValue: try number(0, UInt32.self)) else {
                    throw HarnessError("the journal has an unknown record at \(place)")
                }
                let start = place + 40
                let middle = start + Int(try number(4, UInt32.self))
                let end = middle + Int(try number(8, UInt64.self))
                guard end <= bytes.count else { throw HarnessError("the journal ends within a record") }
                records.append(
                    DiskRecord(
                        operation: operation,
                        path: String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<middle]), as: UTF8.self),
                        file: try number(16, UInt64.self), offset: Int(try number(24, UInt64.self)),
                        value: Int(try number(32, UInt64.self)),
                        data: [UInt8](UnsafeRawBufferPointer(rebasing: bytes[middle..<end]))))
                place = end
            }
        }
        self.records = records
    }

    /// The step in whose place the process was killed, if it was.
    var killedAt: String? { records.last.flatMap { $0.operation == .killed ? $0.step : nil } }
}
