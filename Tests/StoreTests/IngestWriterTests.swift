// A blob being written: pieces of any size, the hash behind them, and every way in which it turns out wrong.

import Foundation
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("IngestWriter", .timeLimit(.minutes(5))) struct IngestWriterTests {
    let directory: TemporaryDirectory
    let capacity: Capacity

    init() throws {
        directory = try TemporaryDirectory()
        capacity = Capacity(Ledger(limit: 4 << 30, minFree: 0, lowWatermark: 0.9), root: directory.path) { 0 }
    }

    private func writer(_ digest: Digest, announced: Int64?, name: String = "ingest") throws -> IngestWriter {
        let reservation = try #require(capacity.reserve(announced ?? Reservation.step))
        let ingest = try Ingest.create(directory.path(name), size: announced)
        return try IngestWriter(
            ingest, digest: digest, announced: announced, reservation: reservation, health: .quiet)
    }

    private func feed(_ bytes: some Collection<UInt8>, to stage: Stage) throws -> Stage.Uptake {
        try Array(bytes).withUnsafeBytes { try stage.append($0) {} }
    }

    private func content(_ writer: IngestWriter) throws -> [UInt8] {
        let descriptor = try writer.duplicate()
        defer { close(descriptor) }
        let count = Int(writer.landing.landed)
        return try [UInt8](unsafeUninitializedCapacity: count) { buffer, read in
            read = try readFully(descriptor, UnsafeMutableRawBufferPointer(buffer), at: 0, path: "")
        }
    }

    @Test(
        "bytes arrive right and hash right, whatever their number, their pieces and the algorithm",
        arguments: [0, 1, 4095, 65_536, 262_143, 262_144, 262_145, 1_048_583, 9_000_001], Digest.Algorithm.allCases)
    func pieces(size: Int, algorithm: Digest.Algorithm) async throws {
        var generator = SeededGenerator(seed: UInt64(size))
        let bytes = generator.bytes(size)
        for announced in [Int64(size), nil] {
            // A file of its own: the last job of the hash may hold on to the first for a while.
            let writer = try writer(
                Digest.of(bytes, algorithm), announced: announced, name: announced == nil ? "unknown" : "known")
            let stage = Stage(for: writer, at: 0) { _ in }
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...300_000, using: &generator))
                while try feed(piece, to: stage) == .full { await Task.yield() }
                if Int.random(in: 0..<10, using: &generator) == 0 { try stage.settle() }
                rest = rest.dropFirst(piece.count)
            }
            try stage.settle()
            #expect(writer.landing.landed == Int64(size))
            #expect(try await writer.verify() == Int64(size))
            #expect(try content(writer) == bytes)
        }
        while capacity.snapshot.used != 0 { await Task.yield() }
    }

    @Test func `what was handed over to the hash comes back, also from what is given up`() async throws {
        let bytes = [UInt8](repeating: 7, count: 3_000_000)
        for round in 0..<20 {
            let writer = try writer(Digest.of(bytes), announced: Int64(bytes.count), name: "given up \(round)")
            let stage = Stage(for: writer, at: 0) { _ in }
            _ = try feed(bytes.prefix(round * 150_000), to: stage)
            writer.breakOff()
        }
        // Other tests hand over too, and end.
        while Chunk.areHandedOver { await Task.yield() }
    }

    @Test func `bytes wait in the stage until it is full or settled`() throws {
        let writer = try writer(Digest.of([]), announced: nil)
        let stage = Stage(for: writer, at: 0) { _ in }
        #expect(try feed([UInt8](repeating: 1, count: 1000), to: stage) == .took)
        #expect(writer.landing.landed == 0)
        try stage.settle()
        #expect(writer.landing.landed == 1000)
        #expect(try feed([UInt8](repeating: 1, count: 300_000), to: stage) == .took)
        #expect(writer.landing.landed == 1000 + 262_144)
    }

    @Test func `other bytes than the digest names are found out`() async throws {
        let asked = Digest.of([1, 2, 3])
        let sent: [UInt8] = [1, 2, 4]
        let writer = try writer(asked, announced: 3)
        try sent.withUnsafeBytes { try writer.append($0) }
        await #expect(throws: StoreError.digestMismatch(expected: asked, actual: Digest.of(sent))) {
            try await writer.verify()
        }
    }

    @Test func `more bytes than announced are refused as they come`() throws {
        let writer = try writer(Digest.of([]), announced: 3)
        try [UInt8](repeating: 1, count: 3).withUnsafeBytes { try writer.append($0) }
        #expect(throws: StoreError.sizeMismatch(expected: 3, actual: 4)) {
            try [UInt8(1)].withUnsafeBytes { try writer.append($0) }
        }
        #expect(writer.landing.landed == 3)
    }

    @Test(arguments: [0, 1, 99]) func `fewer bytes than announced are found out`(_ count: Int) async throws {
        let writer = try writer(Digest.of([]), announced: 100)
        try [UInt8](repeating: 1, count: count).withUnsafeBytes { try writer.append($0) }
        await #expect(throws: StoreError.sizeMismatch(expected: 100, actual: Int64(count))) {
            try await writer.verify()
        }
    }

    @Test func `nothing is taken after the end`() async throws {
        let writer = try writer(Digest.of([]), announced: nil)
        _ = try await writer.verify()
        #expect(throws: StoreError.ended) { try [UInt8(1)].withUnsafeBytes { try writer.append($0) } }
        #expect(throws: StoreError.ended) {
            _ = writer.takeIngest()
            try writer.sync()
        }
    }

    @Test func `given up, it leaves no file and no promise`() throws {
        let writer = try writer(Digest.of([]), announced: 100_000)
        try [UInt8](repeating: 1, count: 5000).withUnsafeBytes { try writer.append($0) }
        #expect(FileManager.default.fileExists(atPath: directory.path("ingest")))
        writer.breakOff()
        #expect(writer.landing.ending == .broken)
        #expect(capacity.snapshot.reserved == 0)
        #expect(!FileManager.default.fileExists(atPath: directory.path("ingest")))
    }

    @Test func `its blocks are taken before the first byte`() throws {
        let writer = try writer(Digest.of([]), announced: 1 << 20)
        var status = stat()
        #expect(stat(directory.path("ingest"), &status) == 0)
        #expect(Int64(status.st_blocks) * 512 >= 1 << 20)
        #expect(writer.landing.landed == 0)
    }

    @Test func `an ingest whose file cannot be made gives its promise back`() throws {
        try directory.write([], to: "ingest")
        #expect(throws: StoreError.io(operation: "open", path: directory.path("ingest"), errno: EEXIST)) {
            _ = try writer(Digest.of([]), announced: 5)
        }
        #expect(capacity.snapshot.reserved == 0)
    }

    @Test func `descriptors all go`() throws {
        for _ in 0..<500 {
            let writer = try writer(Digest.of([]), announced: 10)
            close(try writer.duplicate())
        }
        // Other tests have others open.
        let left = names(in: "/proc/self/fd").filter { name in
            let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(name)")
            return path?.hasPrefix(directory.path) == true
        }
        #expect(left.isEmpty)
    }

    @Test func `while the hash lags far behind nothing is taken, and every source is told once when it may go on`()
        async throws
    {
        let piece = 256 << 20
        let writer = try writer(Digest.of([]), announced: nil)
        let far: Int64 = 3 << 30
        let stages = (0..<3).map { number in Stage(for: writer, at: far + Int64(number) << 20) { _ in } }
        let zeros = try #require(mmap(nil, piece, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))
        defer { munmap(zeros, piece) }
        let resumed = Shared([0, 0, 0])
        var landed: Int64 = 0
        var full = 0
        // A hash that keeps up with the page cache would need more than one try.
        while full < stages.count, landed < far {
            try writer.write(UnsafeRawBufferPointer(start: zeros, count: piece), at: landed)
            landed += Int64(piece)
            full = 0
            let before = resumed.value
            for (number, stage) in stages.enumerated() {
                let uptake = try [UInt8(1)].withUnsafeBytes { bytes in
                    try stage.append(bytes) { resumed.change { $0[number] += 1 } }
                }
                if uptake == .full { full += 1 }
            }
            while resumed.value.reduce(0, +) < before.reduce(0, +) + full { await Task.yield() }
        }
        #expect(full == 3)
        let told = resumed.value
        for stage in stages {
            try stage.settle()
            #expect(try feed([UInt8(1)], to: stage) == .took)
            try stage.settle()
        }
        await #expect(throws: StoreError.self) { try await writer.verify() }
        #expect(resumed.value == told)
    }

    @Test func `given up while it is verified, it says so and nobody waits for ever`() async throws {
        let piece = 64 << 20
        let writer = try writer(Digest.of([]), announced: Int64(4 * piece))
        let zeros = try #require(mmap(nil, piece, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))
        defer { munmap(zeros, piece) }
        for number in 0..<4 {
            try writer.write(UnsafeRawBufferPointer(start: zeros, count: piece), at: Int64(number * piece))
        }
        let paused = Shared(0)
        let isLagging = writer.isLagging { paused.change { $0 += 1 } }
        let verifying = Task { try await writer.verify() }
        writer.breakOff()
        await #expect(throws: StoreError.self) { try await verifying.value }
        await writer.hashRests()
        #expect(paused.value == (isLagging ? 1 : 0))
        #expect(!writer.isLagging {}, "nobody would ever be told")
    }
}
