// Uploads: in pieces and in order, gone on with, given up, and never half a blob.

import Hosting
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("Uploads") struct UploadTests {
    @Test func `pieces are put together in their order, and only in that`() async throws {
        try await HostingScene.run { scene in
            let hosted = scene.hosted
            let id = try hosted.beginUpload(in: scene.acme).id
            func put(_ bytes: [UInt8], _ range: ClosedRange<Int64>) async throws -> Int64 {
                try await hosted.append(
                    UploadBody([bytes], length: Int64(bytes.count)), at: .range(range), toUpload: id, in: scene.acme
                ).received
            }
            await #expect(throws: HostingError.chunkOutOfOrder(received: 0)) { try await put([3, 4], 2...3) }
            #expect(try await put([1, 2], 0...1) == 2)
            await #expect(throws: HostingError.chunkOutOfOrder(received: 2)) { try await put([1, 2], 0...1) }
            #expect(try hosted.status(ofUpload: id, in: scene.acme).received == 2)
            await #expect(throws: HostingError.chunkOutOfOrder(received: 2)) {
                _ = try await hosted.append(UploadBody([[1]]), at: .malformed, toUpload: id, in: scene.acme)
            }
            #expect(try await put([3, 4], 2...3) == 4)
            let digest = Digest.of([1, 2, 3, 4, 5])
            try await hosted.finishUpload(
                id, as: digest, with: UploadBody([[5]], length: 1), at: .range(4...4), in: scene.acme)
            #expect(try await hosted.blob(digest, in: scene.acme, isProbe: false).size == 5)
            #expect(throws: HostingError.uploadUnknown) { try hosted.status(ofUpload: id, in: scene.acme) }
        }
    }

    @Test func `what came before a body broke is gone on with, and what does not add up is not kept`() async throws {
        try await HostingScene.run { scene in
            let hosted = scene.hosted
            let id = try hosted.beginUpload(in: scene.acme, algorithm: .sha512).id
            await #expect(throws: HostingError.bodyBroken("broken")) {
                try await hosted.append(
                    UploadBody([[1, 2], [3]], breaks: true), at: .next, toUpload: id, in: scene.acme)
            }
            #expect(try hosted.status(ofUpload: id, in: scene.acme).received == 3)
            // The room for what did not come is given back.
            await #expect(throws: HostingError.bodyBroken("broken")) {
                try await hosted.append(
                    UploadBody([], length: 1 << 25, breaks: true), at: .next, toUpload: id, in: scene.acme)
            }
            #expect(scene.store.capacity.snapshot.reserved == 4096)
            await #expect {
                _ = try await hosted.append(
                    UploadBody([[4, 5], [6]]), at: .range(3...4), toUpload: id, in: scene.acme)
            } throws: { if case .sizeInvalid? = $0 as? HostingError { true } else { false } }
            #expect(try hosted.status(ofUpload: id, in: scene.acme).received == 3)
            await #expect {
                _ = try await hosted.append(
                    UploadBody([[4, 5]], length: 2), at: .range(3...9), toUpload: id, in: scene.acme)
            } throws: { if case .sizeInvalid? = $0 as? HostingError { true } else { false } }
            // The hash began by another algorithm, and bytes were taken back: it begins again.
            let digest = Digest.of([1, 2, 3, 4])
            try await hosted.finishUpload(id, as: digest, with: UploadBody([[4]]), at: .next, in: scene.acme)
            #expect(try await hosted.blob(digest, in: scene.acme, isProbe: false).size == 4)
        }
    }

    @Test func `what is not what it is said to be leaves nothing, its upload neither`() async throws {
        try await HostingScene.run { scene in
            let hosted = scene.hosted
            let id = try hosted.beginUpload(in: scene.acme).id
            let wrong = Digest.of([9])
            await #expect(throws: HostingError.digestMismatch(expected: wrong, actual: Digest.of([1]))) {
                try await hosted.finishUpload(id, as: wrong, with: UploadBody([[1]]), at: .next, in: scene.acme)
            }
            #expect(throws: HostingError.uploadUnknown) { try hosted.status(ofUpload: id, in: scene.acme) }
            for digest in [wrong, Digest.of([1])] {
                await #expect(throws: HostingError.blobUnknown(digest)) {
                    try await hosted.blob(digest, in: scene.acme, isProbe: false)
                }
            }
            #expect(scene.store.capacity.snapshot.reserved == 0)
        }
    }

    @Test func `an upload belongs to its repository, and to one request at a time`() async throws {
        try await HostingScene.run { scene in
            let hosted = scene.hosted
            let other = try #require(RepositoryName("acme/other"))
            let id = try hosted.beginUpload(in: scene.acme).id
            #expect(throws: HostingError.uploadUnknown) { try hosted.status(ofUpload: id, in: other) }
            #expect(throws: HostingError.uploadUnknown) { try hosted.cancelUpload(id, in: other) }
            let (stream, continuation) = AsyncStream.makeStream(of: [UInt8].self)
            let (begun, begin) = AsyncStream.makeStream(of: Void.self)
            let slow = UploadBody(length: nil) { () async throws(UploadBody.Broken) in
                begin.yield()
                return await stream.first { _ in true }
            }
            let first = Task { try await hosted.append(slow, at: .next, toUpload: id, in: scene.acme) }
            _ = await begun.first { _ in true }
            await #expect(throws: HostingError.uploadBusy) {
                try await hosted.append(UploadBody([[1]]), at: .next, toUpload: id, in: scene.acme)
            }
            // Cancelled all the same, and its writer is told.
            try hosted.cancelUpload(id, in: scene.acme)
            continuation.yield([1])
            await #expect(throws: HostingError.uploadUnknown) { try await first.value }
            #expect(scene.store.capacity.snapshot.reserved == 0)
            #expect(throws: HostingError.uploadUnknown) { try hosted.status(ofUpload: id, in: scene.acme) }
        }
    }

    @Test func `an upload that nobody goes on with ends, and gives its room back`() async throws {
        try await HostingScene.run({ $0.abandonedAfter = .seconds(100) }) { scene in
            let hosted = scene.hosted
            let (old, used) = (try hosted.beginUpload(in: scene.acme).id, try hosted.beginUpload(in: scene.acme).id)
            for id in [old, used] {
                _ = try await hosted.append(UploadBody([[1]]), at: .next, toUpload: id, in: scene.acme)
            }
            scene.wall.advance(by: .seconds(60))
            _ = try await hosted.append(UploadBody([[2]]), at: .next, toUpload: used, in: scene.acme)
            scene.wall.advance(by: .seconds(60))
            #expect(try await hosted.collect() == Collected(blobs: 0, uploads: 1))
            #expect(throws: HostingError.uploadUnknown) { try hosted.status(ofUpload: old, in: scene.acme) }
            #expect(try hosted.status(ofUpload: used, in: scene.acme).received == 2)
            try hosted.cancelUpload(used, in: scene.acme)
            #expect(scene.store.capacity.snapshot.reserved == 0)
        }
    }

    @Test func `no length that anybody says is too much for a sum`() async throws {
        try await HostingScene.run { scene in
            let hosted = scene.hosted
            let unread = UploadBody(length: .max) { () throws(UploadBody.Broken) in
                Issue.record("it was asked for its bytes")
                return nil
            }
            let limit = HostingError.sizeInvalid("a blob has at most \(Int64(1) << 53) bytes")
            await #expect(throws: limit) { try await hosted.push(unread, as: Digest.of([1]), to: scene.acme) }
            for before in [[], [1]] as [[UInt8]] {
                let id = try hosted.beginUpload(in: scene.acme).id
                _ = try await hosted.append(
                    UploadBody(before.map { [$0] }), at: .next, toUpload: id, in: scene.acme)
                let range = Int64(before.count)...Int64.max - 1
                await #expect(throws: limit) {
                    try await hosted.append(UploadBody([[1]]), at: .range(range), toUpload: id, in: scene.acme)
                }
            }
            let large = UploadBody(length: 1 << 53) { () throws(UploadBody.Broken) in nil }
            await #expect {
                try await hosted.push(large, as: Digest.of([1]), to: scene.acme)
            } throws: { if case .noRoom? = $0 as? HostingError { true } else { false } }
        }
    }

    @Test func `where many are begun and left, the one that was left first ends`() async throws {
        try await HostingScene.run { scene in
            let hosted = scene.hosted
            let used = try hosted.beginUpload(in: scene.acme).id
            _ = try await hosted.append(UploadBody([[1]]), at: .next, toUpload: used, in: scene.acme)
            scene.wall.advance(by: .seconds(1))
            let first = try hosted.beginUpload(in: scene.acme).id
            scene.wall.advance(by: .seconds(1))
            for _ in 0..<10_000 - 1 { _ = try hosted.beginUpload(in: scene.acme) }
            #expect(throws: HostingError.uploadUnknown) { try hosted.status(ofUpload: first, in: scene.acme) }
            #expect(try hosted.status(ofUpload: used, in: scene.acme).received == 1)
        }
    }

    @Test func `what does not fit is refused before a byte of it is asked for`() async throws {
        try await HostingScene.run(maxSize: 1 << 20, {
            $0.quotas = [HostingPolicy.Quota(names: [try pattern("acme/**")], bytes: 1000)]
        }) { scene in
            let unread = UploadBody(length: 2000) { () throws(UploadBody.Broken) in
                Issue.record("it was asked for its bytes")
                return nil
            }
            await #expect {
                try await scene.hosted.push(unread, as: Digest.of([1]), to: scene.acme)
            } throws: { if case .overQuota? = $0 as? HostingError { true } else { false } }
            let huge = UploadBody(length: 2 << 20) { () throws(UploadBody.Broken) in
                Issue.record("it was asked for its bytes")
                return nil
            }
            let elsewhere = try #require(RepositoryName("else/where"))
            await #expect {
                try await scene.hosted.push(huge, as: Digest.of([1]), to: elsewhere)
            } throws: { if case .noRoom? = $0 as? HostingError { true } else { false } }
            // Where nobody says how much will come, it ends where it does not fit.
            let pieces = Array(repeating: [UInt8](repeating: 1, count: 1 << 18), count: 6)
            await #expect {
                try await scene.hosted.push(UploadBody(pieces), as: Digest.of([1]), to: elsewhere)
            } throws: { if case .noRoom? = $0 as? HostingError { true } else { false } }
            #expect(scene.store.capacity.snapshot.reserved == 0)
        }
    }
}
