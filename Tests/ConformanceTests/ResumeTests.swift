// A blob half here when the mirror ends: it goes on from what is on disk, and never from what is damaged.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("a fill across a restart") struct ResumeTests {
        /// Has a client follow a blob as far as `offset`, where the upstream stands, and ends the mirror by `signal`.
        private func interrupt(
            _ blob: TestBlob, at offset: Int, by signal: Int32, in scene: StubScene
        ) async throws -> StubScene {
            scene.spoil(blob, .holdBody(at: offset, StubGate()), times: 1)
            async let follower = scene.pull(blob)
            try await eventually(within: .seconds(20), "\(offset) bytes have landed") {
                try await scene.mirror.statistics()["in_flight"][0]["received"].number ?? 0 >= Double(offset)
            }
            let next = try await scene.restarted(after: signal)
            let pulled = try await follower
            #expect(pulled.isRight && !pulled.looksWhole, "\(pulled)")
            scene.upstream.heal()
            scene.upstream.clearLog()
            return next
        }

        private func firstByteAsked(_ scene: StubScene) -> Int? {
            scene.contentRequests().compactMap { request in
                request.range.flatMap { Int($0.dropFirst(6).prefix { $0.isNumber }) } ?? 0
            }.min()
        }

        @Test func `ended by TERM it goes on from what it had`() async throws {
            try await withStub(keys: ["ranges: 1"], others: ["drain: 1s"]) { scene in
                let blob = scene.cargo(8 << 20)
                let next = try await interrupt(blob, at: 5 << 20, by: SIGTERM, in: scene)
                #expect(try await next.partialBytes() >= 4 << 20)
                let before = try await next.bytesFromUpstream()
                let pulled = try await next.pull(blob)
                #expect(pulled.isWhole, "\(pulled)")
                try await next.stored()
                // What was in the stage may be lost.
                let first = try #require(firstByteAsked(next))
                #expect((4 << 20...5 << 20).contains(first), "\(first)")
                #expect(try await next.bytesFromUpstream() - before <= 4 << 20)
                let asked = next.upstream.log.requests.count
                let hit = try await next.pull(blob)
                #expect(hit.isWhole, "\(hit)")
                #expect(next.upstream.log.requests.count == asked)
                #expect(try await next.leftovers() == Leftovers(blobs: 1, partialBytes: 0, ingestFiles: 0))
            }
        }

        @Test func `killed it goes on from what was synced`() async throws {
            try await withStub(keys: ["ranges: 1"], others: ["drain: 1s"]) { scene in
                let blob = scene.cargo(120 << 20)
                let next = try await interrupt(blob, at: 100 << 20, by: SIGKILL, in: scene)
                let pulled = try await next.pull(blob)
                #expect(pulled.isWhole, "\(pulled)")
                let first = try #require(firstByteAsked(next))
                #expect((60 << 20...100 << 20).contains(first), "\(first)")
                try await next.stored()
            }
        }

        @Test func `what only ranges had fetched is kept as well`() async throws {
            try await withStub { scene in
                let blob = scene.cargo(40 << 20)
                let ranges = [0..<2 << 20, 20 << 20..<22 << 20, 38 << 20..<40 << 20]
                for range in ranges {
                    let pulled = try await scene.pull(
                        blob, range: "bytes=\(range.lowerBound)-\(range.upperBound - 1)")
                    #expect(pulled.isPart(range), "\(pulled)")
                }
                let before = try await scene.bytesFromUpstream()
                let next = try await scene.restarted(after: SIGTERM)
                for range in ranges {
                    let pulled = try await next.pull(
                        blob, range: "bytes=\(range.lowerBound)-\(range.upperBound - 1)")
                    #expect(pulled.isPart(range), "\(pulled)")
                }
                // Hardly anything: an answer's status line wants the upstream's word.
                #expect(try await next.bytesFromUpstream() - before <= 256 << 10)
                let pulled = try await next.pull(blob)
                #expect(pulled.isWhole, "\(pulled)")
                try await next.stored()
            }
        }

        @Test(arguments: [0, 3_000_000]) func `damage to the file of an unfinished blob never comes out as whole`(
            place: Int
        ) async throws {
            try await withStub(keys: ["ranges: 1"], others: ["drain: 1s"]) { scene in
                let blob = scene.cargo(8 << 20)
                scene.spoil(blob, .holdBody(at: 5 << 20, StubGate()), times: 1)
                async let follower = scene.pull(blob)
                try await eventually(within: .seconds(20), "5 MiB have landed") {
                    try await scene.mirror.statistics()["in_flight"][0]["received"].number ?? 0 >= Double(5 << 20)
                }
                #expect(try await scene.mirror.stop() == 0)
                _ = try await follower
                scene.upstream.heal()

                let folder = scene.mirror.data + "/ingest"
                let file = try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first)
                let handle = try #require(FileHandle(forUpdatingAtPath: "\(folder)/\(file)"))
                try handle.seek(toOffset: UInt64(place))
                try handle.write(contentsOf: [blob.bytes[place] ^ 0xFF])
                try handle.close()

                let next = try await scene.restarted(after: SIGTERM)
                let pulled = try await next.pull(blob)
                #expect(!pulled.looksWhole, "\(pulled)")
                #expect(try await next.leftovers() == .none)
                let healed = try await next.pull(blob)
                #expect(healed.isWhole, "\(healed)")
                try await next.stored()
                // A mismatch of a resumed file marks nobody.
                let upstream = try await next.mirror.statistics()["upstreams"][0]
                #expect(upstream["healthy"] == .bool(true), "\(upstream)")
            }
        }

        @Test func `a file in ingest that no row names goes at the start`() async throws {
            try await withStub { scene in
                try Data(count: 100_000).write(to: URL(fileURLWithPath: scene.mirror.data + "/ingest/stranger"))
                let next = try await scene.restarted(after: SIGKILL)
                #expect(try await next.leftovers() == .none)
            }
        }
    }
}
