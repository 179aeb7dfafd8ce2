// What is played with unfinished blobs: one blob that is filled in parts, others that are kept, and a kill.

import Foundation
import OCI
import Testing

@testable import Store

/// The blob of these plays.
enum Unfinished {
    static let bytes = patterned(6_000_000)
    static let digest = Digest.of(bytes)
    static let size = Int64(bytes.count)
}

extension StoreScene {
    /// Begins the blob or goes on with it, and writes these ranges.
    func fill(_ ranges: Range<Int>..., in store: ContentStore) async throws -> IngestWriter {
        let writer = try await store.ingest(Unfinished.digest, size: Unfinished.size)
        for range in ranges { try writer.write(range, of: Unfinished.bytes) }
        return writer
    }

    /// Writes what is missing, and commits.
    func finish(_ writer: IngestWriter, in store: ContentStore) async throws {
        for gap in writer.landing.extents.gaps(in: 0..<Unfinished.size) {
            try writer.write(Int(gap.lowerBound)..<Int(gap.upperBound), of: Unfinished.bytes)
        }
        let size = try await writer.verify()
        writer.complete(size: size)
        try await store.commit(writer, size: size, linkedTo: [])
        #expect(try await store.bytes(of: Unfinished.digest) == Unfinished.bytes)
        try await expectLaws(store)
    }

    /// Keeps `count` bytes of another blob, a second later than the one before.
    func keep(
        _ seed: UInt64, _ count: Int, of size: Int64 = 50 << 20, in store: ContentStore
    ) async throws -> Digest {
        clock.turn(by: .seconds(1))
        let digest = Digest.of("\(seed)".utf8)
        let writer = try await store.ingest(digest, size: size)
        try writer.write(0..<count, of: Unfinished.bytes)
        await store.keep(writer)
        return digest
    }

    /// What a kill now would leave.
    func killed() throws -> StoreScene {
        let copy = try StoreScene()
        copy.clock.turn(by: .milliseconds(clock.now - copy.clock.now))
        try FileManager.default.copyItem(atPath: root, toPath: copy.root)
        return copy
    }
}
