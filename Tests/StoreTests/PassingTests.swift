// A blob for which there is no room: a small file with holes behind every reader, the bytes right all the same.

import Foundation
import OCI
import Synchronization
import TestSupport
import Testing

@testable import Store

private let mebi: Int64 = 1 << 20
/// What is given back at a time.
private let block = 2 * mebi
/// What the file system may take to know where the rest lies.
private let own: Int64 = 64 << 10

@Suite("Passing", .timeLimit(.minutes(3))) struct PassingTests {
    let scene: StoreScene

    init() throws { scene = try StoreScene() }

    private func open(_ size: Int64) throws -> ContentStore { try scene.open { $0.maxSize = .bytes(size) } }

    /// Bytes that the writer's file takes.
    private func taken(_ descriptor: CInt) throws -> Int64 { try allocatedSize(descriptor, path: "") }

    private func name(_ descriptor: CInt) throws -> String {
        try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(descriptor)")
    }

    /// (room in the store, window, promised, what it lies in)
    @Test(
        "as much as can be had stands ahead of the slowest, and at the worst a little memory",
        arguments: [
            (100 * mebi, 64 * mebi, 64 * mebi, "data/ingest"), (40 * mebi, 8 * mebi, 8 * mebi, "data/ingest"),
            (4 * mebi, 8 * mebi, 0, "memfd:"),
        ] as [(Int64, Int64, Int64, String)])
    func window(room: Int64, window: Int64, promised: Int64, place: String) async throws {
        let store = try open(room)
        do {
            let writer = try await store.passing(Digest.of([1]), size: 200 * mebi)
            #expect(writer.window == window)
            #expect(store.capacity.snapshot.reserved == promised)
            let descriptor = try writer.duplicate()
            defer { close(descriptor) }
            #expect(try taken(descriptor) <= 4096, "no more than shows that the disk takes anything")
            #expect(try name(descriptor).contains(place))
            #expect(names(in: scene.layout.ingest).isEmpty, "a kill leaves nothing of it")
        }
        try await scene.expectLaws(store)
    }

    @Test func `what is smaller than a window has no more promised than it needs`() async throws {
        let store = try open(100 * mebi)
        let writer = try await store.passing(Digest.of([1]), size: mebi)
        #expect(store.capacity.snapshot.reserved == mebi)
        writer.breakOff()
        try await scene.expectLaws(store)
    }

    @Test func `room for a window is made like any other`() async throws {
        let store = try open(12 * mebi)
        let old = try await store.put(seeded(1, 6 << 20))
        let writer = try await store.passing(Digest.of([1]), size: 200 * mebi)
        #expect(writer.window == 8 * mebi)
        #expect(try await !store.isStored(old))
        writer.breakOff()
    }

    /// Returns once all whole blocks before `offset` were given back; those that the hash held back go in its wake.
    private func hasGone(upTo offset: Int64, of writer: IngestWriter) async {
        while writer.state.withLock({ $0.released }) < offset / block * block { await Task.yield() }
    }

    /// Reads it slowly through its own descriptor, giving back behind itself.
    private func pass(_ bytes: [UInt8], through writer: IngestWriter, window: Int64) async throws {
        let descriptor = try writer.duplicate()
        defer { close(descriptor) }
        var generator = SeededGenerator(seed: 5)
        let size = Int64(bytes.count)
        var (written, read) = (Int64(0), Int64(0))
        while read < size {
            while written < size, written + 256 << 10 <= read + window {
                let end = min(size, written + 256 << 10)
                try writer.write(Int(written)..<Int(end), of: bytes)
                written = end
            }
            let hops = LandingTests.Hops()
            let view = writer.landing.view(offset: read, atLeast: 0, as: .piece, wake: hops.group) {}
            let end = min(view.available, read + Int64.random(in: 1...700_000, using: &generator))
            try #require(end > read)
            #expect(try StoreTests.read(read..<end, of: descriptor) == Array(bytes[Int(read)..<Int(end)]))
            read = end
            writer.release(upTo: read)
            if Int.random(in: 0..<4, using: &generator) == 0 {
                await hasGone(upTo: read, of: writer)
                #expect(try taken(descriptor) <= written - read / block * block + own)
            }
        }
        await hasGone(upTo: size, of: writer)
        #expect(try taken(descriptor) <= size % block + own)
    }

    @Test(arguments: [12 * mebi, 4 * mebi], [40 << 20, 40 << 20 + 5, nil] as [Int?])
    func `a slow reader gets every byte right out of a small file, and the hash is of the whole`(
        _ room: Int64, _ announced: Int?
    ) async throws {
        let bytes = patterned(announced ?? 30_000_001)
        let store = try open(room)
        do {
            let writer = try await store.passing(Digest.of(bytes), size: announced.map(Int64.init))
            let window = try #require(writer.window)
            #expect(window == 8 * mebi)
            try await pass(bytes, through: writer, window: window)
            let size = try await writer.verify()
            #expect(size == Int64(bytes.count))
            writer.complete(size: size)
            await #expect(throws: StoreError.ended) { try await store.commit(writer, size: size, linkedTo: []) }
            writer.breakOff()
            #expect(writer.landing.ending == .complete(size: size))
        }
        try await scene.expectLaws(store)
        #expect(try await !store.isStored(Digest.of(bytes)))
    }

    @Test func `nothing goes that is still to be hashed, however fast it was read`() async throws {
        let bytes = patterned(24 << 20)
        let store = try open(12 * mebi)
        let writer = try await store.passing(Digest.of(bytes), size: Int64(bytes.count))
        for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
            try writer.write(start..<start + 1 << 20, of: bytes)
            // In the same instant: the hash cannot have come so far.
            writer.release(upTo: writer.landing.landed)
        }
        #expect(try await writer.verify() == Int64(bytes.count))
        await hasGone(upTo: Int64(bytes.count), of: writer)
        let descriptor = try writer.duplicate()
        defer { close(descriptor) }
        #expect(try taken(descriptor) <= own, "what was released early has gone without another word")
    }

    @Test func `what begins in the middle is read, given back, and never called whole`() async throws {
        let bytes = patterned(20 << 20)
        let store = try open(12 * mebi)
        let writer = try await store.passing(Digest.of(bytes), size: Int64(bytes.count))
        let descriptor = try writer.duplicate()
        defer { close(descriptor) }
        let start = 7_000_001
        try writer.write(start..<12 << 20, of: bytes)
        #expect(try read(Int64(start)..<12 << 20, of: descriptor) == Array(bytes[start..<12 << 20]))
        writer.release(upTo: 12 << 20)
        writer.release(upTo: 12 << 20)
        writer.release(upTo: 1)
        writer.release(upTo: .max)
        #expect(try taken(descriptor) <= own)
        try writer.write(12 << 20..<20 << 20, of: bytes)
        #expect(try read(12 << 20..<20 << 20, of: descriptor) == Array(bytes[12 << 20..<20 << 20]))
        await #expect(throws: StoreError.sizeMismatch(expected: 20 << 20, actual: Int64(bytes.count - start))) {
            try await writer.verify()
        }
    }

    @Test func `what lies behind every reader is not written any more`() async throws {
        let bytes = patterned(4 << 20)
        let store = try open(12 * mebi)
        let writer = try await store.passing(Digest.of(bytes), size: Int64(bytes.count))
        let descriptor = try writer.duplicate()
        defer { close(descriptor) }
        try writer.write(2 << 20..<4 << 20, of: bytes)
        writer.release(upTo: 3 << 20)
        try writer.write(0..<2 << 20, of: bytes)
        #expect(try taken(descriptor) <= block + own)
        #expect(writer.landing.extents == Extents([2 << 20..<4 << 20]))
    }

    // MARK: On the way

    @Test func `a fill that finds the disk full passes on what it has, and goes on`() async throws {
        let bytes = patterned(40 << 20)
        let store = try open(100 * mebi)
        do {
            let writer = try await store.ingest(Digest.of(bytes), size: Int64(bytes.count))
            #expect(writer.window == nil)
            writer.release(upTo: .max)
            try writer.write(0..<20 << 20, of: bytes)
            try await store.checkpoint(writer)
            #expect(try store.database.partials().count == 1)

            writer.becomePassing(window: 8 * mebi)
            writer.becomePassing(window: mebi)
            #expect(writer.window == 8 * mebi)
            let descriptor = try writer.duplicate()
            defer { close(descriptor) }
            #expect(names(in: scene.layout.ingest).isEmpty, "with holes to come, a kill must not leave it")
            #expect(store.capacity.snapshot.reserved == 20 * mebi, "what was taken beforehand is given back")
            #expect(try taken(descriptor) <= 20 * mebi + own)

            try await pass(bytes, through: writer, window: 20 * mebi)
            #expect(store.capacity.snapshot.reserved == 8 * mebi)
            #expect(try await writer.verify() == Int64(bytes.count))
            try await store.checkpoint(writer)
            await store.keep(writer)
        }
        #expect(store.partial(of: Digest.of(bytes)) == nil)
        try await scene.expectLaws(store)
    }

    @Test func `it may become passing in the midst of writing, and no byte is lost`() async throws {
        let bytes = patterned(16 << 20)
        let store = try open(100 * mebi)
        for _ in 0..<10 {
            let writer = try await store.ingest(Digest.of(bytes), size: Int64(bytes.count))
            // A thread of its own, like the transport's.
            let written = Task {
                await withCheckedContinuation { continuation in
                    Thread.detachNewThread {
                        continuation.resume(
                            returning: Result {
                                for start in stride(from: 0, to: bytes.count, by: 64 << 10) {
                                    try writer.write(start..<start + 64 << 10, of: bytes)
                                }
                            })
                    }
                }
            }
            await withCheckedContinuation { continuation in
                Thread.detachNewThread {
                    while writer.landing.landed < 2 << 20 {}
                    writer.becomePassing(window: 8 * mebi)
                    continuation.resume()
                }
            }
            try await written.value.get()
            let descriptor = try writer.duplicate()
            defer { close(descriptor) }
            #expect(try read(0..<Int64(bytes.count), of: descriptor) == bytes)
            #expect(try await writer.verify() == Int64(bytes.count))
        }
        try await scene.expectLaws(store)
    }

    @Test func `wrong bytes that only passed are not quarantined`() async throws {
        let store = try open(100 * mebi)
        let writer = try await store.passing(Digest.of([1]), size: 3)
        try writer.write(0..<3, of: [4, 5, 6])
        await #expect(throws: StoreError.self) { try await writer.verify() }
        await store.quarantine(writer)
        #expect(names(in: scene.layout.quarantine).isEmpty)
        try await scene.expectLaws(store)
    }
}
