// A blob written out of order: what is there stays, the hash runs over it once, and nothing is lost on the way.

import Foundation
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("IngestWriter, out of order", .timeLimit(.minutes(3))) struct IngestOrderTests {
    let directory: TemporaryDirectory
    let capacity: Capacity

    init() throws {
        directory = try TemporaryDirectory()
        capacity = Capacity(Ledger(limit: 4 << 30, minFree: 0, lowWatermark: 0.9), root: directory.path) { 0 }
    }

    private func writer(_ digest: Digest, announced: Int64?) throws -> IngestWriter {
        let reservation = try #require(capacity.reserve(announced ?? Reservation.step))
        let ingest = try Ingest.create(directory.path("ingest"), size: announced)
        return try IngestWriter(
            ingest, digest: digest, announced: announced, reservation: reservation, health: .quiet)
    }

    private func content(_ writer: IngestWriter) throws -> [UInt8] {
        let descriptor = try writer.duplicate()
        defer { close(descriptor) }
        return try read(0..<writer.landing.extents.end, of: descriptor)
    }

    @Test(arguments: 0..<12 as Range<UInt64>)
    func `pieces in any order, overlapping and repeated, become the blob, and the first to come stays`(
        _ seed: UInt64
    ) async throws {
        var generator = SeededGenerator(seed: seed)
        let size = Int.random(in: 1...700_000, using: &generator)
        let bytes = seeded(seed + 100, size)
        let algorithm: Digest.Algorithm = seed.isMultiple(of: 2) ? .sha256 : .sha512
        let writer = try writer(Digest.of(bytes, algorithm), announced: seed.isMultiple(of: 3) ? nil : Int64(size))
        var missing = Extents(upTo: Int64(size))
        while !missing.isEmpty {
            let hole = try #require(missing.ranges.randomElement(using: &generator))
            let start = max(0, Int(hole.lowerBound) + Int.random(in: -30_000...60_000, using: &generator))
            guard start < size else { continue }
            let range = start..<min(size, start + Int.random(in: 1...90_000, using: &generator))
            // What came first was right, and whatever comes later in its place is not.
            var piece = [UInt8](repeating: 0xEE, count: range.count)
            for gap in Extents([Int64(range.lowerBound)..<Int64(range.upperBound)]).gaps(missing) {
                let place = Int(gap.lowerBound)..<Int(gap.upperBound)
                piece.replaceSubrange(
                    place.lowerBound - range.lowerBound..<place.upperBound - range.lowerBound, with: bytes[place])
            }
            try piece.withUnsafeBytes { try writer.write($0, at: Int64(range.lowerBound)) }
            missing.remove(Int64(range.lowerBound)..<Int64(range.upperBound))
            #expect(writer.landing.landed == Int64(size) - missing.count)
        }
        #expect(writer.landing.extents == Extents(upTo: Int64(size)))
        #expect(try await writer.verify() == Int64(size))
        #expect(try content(writer) == bytes)
    }

    @Test func `the hash waits for the first byte, and then runs over all that goes on from it`() async throws {
        let bytes = seeded(1, 300_000)
        let writer = try writer(Digest.of(bytes), announced: 300_000)
        for start in stride(from: 270_000, to: 0, by: -30_000) {
            try writer.write(start..<start + 30_000, of: bytes)
            await writer.hashRests()
            #expect(writer.hashed == 0)
        }
        try writer.write(0..<30_000, of: bytes)
        await writer.hashRests()
        #expect(writer.hashed == 300_000, "it needs nobody to ask for it")
        #expect(try await writer.verify() == 300_000)
    }

    @Test func `stages that take turns bring their own parts, and say how far each has come`() async throws {
        let bytes = seeded(2, 3 << 20)
        let writer = try writer(Digest.of(bytes), announced: 3 << 20)
        let told = Shared<[[Int64]]>([[], [], []])
        let stages = (0..<3).map { number in
            Stage(for: writer, at: Int64(number) << 20) { end in told.change { $0[number].append(end) } }
        }
        for piece in stride(from: 0, to: 1 << 20, by: 16 << 10) {
            for (number, stage) in stages.enumerated() {
                let start = number << 20 + piece
                #expect(stage.position == Int64(start))
                let uptake = try bytes[start..<start + 16 << 10].withUnsafeBytes { try stage.append($0) {} }
                #expect(uptake == .took)
            }
        }
        for (number, stage) in stages.enumerated() {
            try stage.settle()
            #expect(told.value[number] == (1...4).map { Int64(number) << 20 + Int64($0) << 18 })
            #expect(stage.position == Int64(number + 1) << 20)
        }
        #expect(try await writer.verify() == 3 << 20)
    }

    @Test func `who is told of a write may ask where the stage stands, and finds the bytes landed`() throws {
        let writer = try writer(Digest.of([]), announced: 1 << 20)
        let stage = Shared<Stage?>(nil)
        let seen = Shared<[Int64]>([])
        let made = Stage(for: writer, at: 1000) { end in
            seen.change { $0 += [end, stage.value?.position ?? -1, writer.landing.extents.end(from: 1000)] }
        }
        stage.change { $0 = made }
        let uptake = try [UInt8](repeating: 1, count: 600_000).withUnsafeBytes { try made.append($0) {} }
        #expect(uptake == .took)
        let step: Int64 = 256 << 10
        let ends = [1000 + step, 1000 + 2 * step]
        #expect(seen.value == ends.flatMap { [$0, $0, $0] })
        stage.change { $0 = nil }
    }

    @Test(arguments: [Int64(1000), nil]) func `a hole is a missing size, never a wrong hash`(_ announced: Int64?)
        async throws
    {
        let bytes = seeded(3, 1000)
        let writer = try writer(Digest.of(bytes), announced: announced)
        try writer.write(0..<400, of: bytes)
        try writer.write(401..<1000, of: bytes)
        await #expect(throws: StoreError.sizeMismatch(expected: 1000, actual: 999)) { try await writer.verify() }
    }

    @Test func `beyond what was announced nothing is written, wherever it begins`() throws {
        let writer = try writer(Digest.of([]), announced: 1000)
        #expect(throws: StoreError.sizeMismatch(expected: 1000, actual: 1001)) {
            try [UInt8](repeating: 1, count: 101).withUnsafeBytes { try writer.write($0, at: 900) }
        }
        #expect(writer.landing.landed == 0)
    }

    @Test func `a write that finds no room takes nothing, and goes on where it was once there is some`() async throws {
        let scene = try StoreScene()
        let bytes = patterned(20 << 20)
        let store = try scene.open { $0.maxSize = .bytes(26 << 20) }
        let old = try await store.put(seeded(9, 8 << 20))
        let writer = try await store.ingest(Digest.of(bytes), size: nil)
        let stage = Stage(for: writer, at: 0) { _ in }
        var grown = 0
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(16_000)
            let before = stage.position
            do throws(StoreError) {
                let result = piece.withUnsafeBytes { bytes in
                    Result { () throws(StoreError) in try stage.append(bytes) {} }
                }
                guard try result.get() == .took else {
                    await Task.yield()  // the hash is behind
                    continue
                }
                rest = rest.dropFirst(piece.count)
            } catch {
                guard case .noSpace = error else { throw error }
                #expect(stage.position == before)
                try await store.grow(writer)
                grown += 1
            }
        }
        try stage.settle()
        #expect(grown == 1, "the first step more was free, the second an older blob's")
        #expect(try await !store.isStored(old))
        let size = try await writer.verify()
        try await store.commit(writer, size: size, linkedTo: [])
        #expect(try await store.bytes(of: Digest.of(bytes)) == bytes)
        try await scene.expectLaws(store)
    }
}

extension Extents {
    /// What is in both.
    fileprivate func gaps(_ other: Extents) -> [Range<Int64>] {
        other.ranges.flatMap { range in ranges.map { $0.clamped(to: range) } }.filter { !$0.isEmpty }
    }
}
