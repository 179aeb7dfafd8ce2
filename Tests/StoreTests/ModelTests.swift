// Everything that can happen to one digest, interleaved from a seed, against a model that only knows the right bytes.

import Foundation
import OCI
import Synchronization
import TestSupport
import Testing

@testable import Store

/// Few digests, many hands: each step is one of what clients, the evictor, operators and bad disks do. Whoever reads
/// gets the right bytes or nothing (unless a hand has just damaged them behind the store's back), and at the end files,
/// rows and figures agree.
@Suite("One digest, all that can happen to it", .timeLimit(.minutes(5))) struct ModelTests {
    private enum Step: CaseIterable {
        case fill, fillInPieces, giveUp, keep, open, readSlowly, evict, invalidate, delete, scrub, store, reconcile,
            writeDown, damage, truncate

        /// What leaves every file that is there right.
        static let honest = allCases.filter { $0 != .damage && $0 != .truncate }
    }

    private let contents = [seeded(1, 50_000), patterned(3 << 20), seeded(3, 1), []]
    private let manifest = Array(#"{"one":"of them"}"#.utf8)

    @Test(arguments: 0..<24 as Range<UInt64>) func `interleaved`(_ seed: UInt64) async throws {
        let scene = try StoreScene()
        for life in 0..<3 as Range<UInt64> {
            try await scene.life {
                $0.maxSize = .bytes(24 << 20)
                $0.verifyRate = 0.5
            } _: { store in
                try await withThrowingTaskGroup { group in
                    for hand in 0..<4 as Range<UInt64> {
                        group.addTask {
                            var generator = SeededGenerator(seed: seed << 16 | life << 8 | hand)
                            for _ in 0..<20 {
                                let steps = seed.isMultiple(of: 2) ? Step.honest : Step.allCases
                                let step = steps.randomElement(using: &generator) ?? .open
                                let bytes = contents.randomElement(using: &generator) ?? []
                                do {
                                    try await perform(step, bytes, store, scene, &generator) { read in
                                        if seed.isMultiple(of: 2) { #expect(read == bytes, "seed \(seed)") }
                                    }
                                } catch StoreError.noSpace {
                                    // Somebody is making room for more than there is.
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                while store.spotChecks.withLock({ $0.isRunning }) { await Task.yield() }
                // What hands outside have damaged is found now; then all agree.
                _ = try await store.scrub { _ in }
                try await store.reconcile()
                try await scene.expectLaws(store)
            }
        }
    }

    private func perform(
        _ step: Step, _ bytes: [UInt8], _ store: ContentStore, _ scene: StoreScene, _ generator: inout SeededGenerator,
        check: ([UInt8]) -> Void
    ) async throws {
        let digest = Digest.of(bytes)
        let path = scene.layout.blob(digest)
        let size = Int64(bytes.count)
        switch step {
        case .fill: try await fill(bytes, pieces: 1, store, &generator)
        case .fillInPieces: try await fill(bytes, pieces: 7, store, &generator)
        case .giveUp:
            let writer = try await store.ingest(digest, size: size)
            try write(bytes.prefix(bytes.count / 2), of: bytes, writer)
            await store.discard(writer)
        case .keep:
            let writer = try await store.ingest(digest, size: size)
            try write(bytes.prefix(bytes.count * 2 / 3), of: bytes, writer)
            await store.keep(writer)
        case .open: if let read = try await read(digest, store, pauses: 0) { check(read) }
        case .readSlowly: if let read = try await read(digest, store, pauses: 50) { check(read) }
        case .evict:
            let reservation = try? await store.evictor.reserve(22 << 20)
            await Task.yield()
            _ = reservation
        case .invalidate: try await store.invalidate(digest)
        case .delete: unlink(path)
        case .damage:
            // Beside a commit of the same name the new file is hit, as by a disk that rots at once.
            chmod(path, 0o644)
            guard !bytes.isEmpty, let file = FileHandle(forUpdatingAtPath: path) else { return }
            try file.seek(toOffset: UInt64(bytes.count / 2))
            file.write(Data([bytes[bytes.count / 2] ^ 1]))
            try file.close()
        case .truncate: Glibc.truncate(path, Int.random(in: 0...bytes.count, using: &generator))
        case .scrub: _ = try await store.scrub { _ in }
        case .store:
            let repository = try repository("library/mine")
            try await store.store(
                NewManifest(
                    digest: Digest.of(manifest), mediaType: .ociManifest, bytes: manifest, isIndex: false,
                    linked: [(digest, size)]), in: repository)
        case .reconcile: try await store.reconcile()
        case .writeDown: try await store.writeDown(totals: [:])
        }
    }

    private func fill(
        _ bytes: [UInt8], pieces: Int, _ store: ContentStore, _ generator: inout SeededGenerator
    ) async throws {
        let digest = Digest.of(bytes)
        let writer = try await store.ingest(digest, size: Int64(bytes.count))
        let step = max(1, bytes.count / pieces)
        for start in stride(from: 0, to: bytes.count, by: step).shuffled(using: &generator) {
            try writer.write(start..<min(bytes.count, start + step), of: bytes)
            await Task.yield()
        }
        let size = try await writer.verify()
        writer.complete(size: size)
        try await store.commit(writer, size: size, linkedTo: [])
    }

    private func write(_ part: ArraySlice<UInt8>, of bytes: [UInt8], _ writer: IngestWriter) throws {
        guard !part.isEmpty else { return }
        try part.withUnsafeBytes { try writer.write($0, at: 0) }
    }

    private func read(_ digest: Digest, _ store: ContentStore, pauses: Int) async throws -> [UInt8]? {
        guard let file = try await store.opened(digest) else { return nil }
        for _ in 0..<pauses { await Task.yield() }
        store.noteServed(digest, size: file.size, bytes: file.size)
        return try file.readAll()
    }
}
