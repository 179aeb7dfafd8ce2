// The clients that never ask for a blob as a whole: containerd's chunks, stargz-snapshotter's probes, lone small ranges.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("clients that read in ranges") struct LazyPullTests {
        /// containerd 2.1 and later with `concurrent_layer_fetch_buffer`: the first chunk without a range, each further
        /// one as `N-`, all at once, and each connection reset when its chunk is there.
        @Test func `containerd's chunks cost the upstream each byte about once`() async throws {
            try await withStub(StubOptions(redirectsBlobs: true)) { scene in
                let blob = scene.cargo(40 << 20)
                let chunk = 8 << 20
                let pulls = try await withThrowingTaskGroup(of: Pulled.self) { group in
                    for start in stride(from: 0, to: blob.bytes.count, by: chunk) {
                        let fields = start == 0 ? [:] : ["Range": "bytes=\(start)-"]
                        group.addTask { try await scene.pull(blob, Pull(fields: fields, leavesAfter: chunk)) }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                for pulled in pulls {
                    #expect(pulled.status == (pulled.fields["Content-Range"] == nil ? 200 : 206))
                    #expect(pulled.received == chunk && pulled.isRight, "\(pulled)")
                }
                // The first one asked for the whole, which is finished without its client.
                try await scene.stored()
                #expect(try await scene.bytesFromUpstream() <= blob.bytes.count * 102 / 100)
                #expect(try await scene.mirror.statistics()["requests"]["error"].number == 0)
                let hit = try await scene.pull(blob)
                #expect(hit.isWhole, "\(hit)")
            }
        }

        /// stargz-snapshotter: is a range understood, how large is it, then several ranges in one field; after a 400
        /// one at a time.
        @Test func `stargz-snapshotter reads a cold blob in ranges, one at a time after a 400`() async throws {
            try await withStub(StubOptions(redirectsBlobs: true)) { scene in
                let blob = scene.cargo(40 << 20)
                let size = blob.bytes.count
                let probe = try await scene.pull(blob, range: "bytes=0-1")
                #expect(probe.isPart(0..<2), "\(probe)")
                let head = try await scene.mirror.head(scene.path(blob))
                #expect(head.status == 200)
                #expect(head.fields["Content-Length"] == "\(size)")

                let chunks = [0..<50_000, 20_000_000..<20_050_000, size - 50_000..<size]
                let field = "bytes=" + chunks.map { "\($0.lowerBound)-\($0.upperBound - 1)" }.joined(separator: ",")
                let several = try await scene.mirror.get(scene.path(blob), ["Range": field])
                #expect(several.status == 400, "\(several.status)")
                for chunk in chunks {
                    let pulled = try await scene.pull(
                        blob, range: "bytes=\(chunk.lowerBound)-\(chunk.upperBound - 1)")
                    #expect(pulled.isPart(chunk), "\(pulled)")
                }
                #expect(try await scene.bytesFromUpstream() <= 1 << 20)
            }
        }

        @Test func `200 lone ranges of a cold blob are right and cheap, and it is completed without them`()
            async throws
        {
            try await withStub(keys: ["range-idle: 1s"]) { scene in
                let blob = scene.cargo(100 << 20)
                let size = blob.bytes.count
                var dice = Dice(seed: 4)
                let starts = (0..<200).map { _ in Int.random(in: 0..<size - 65_536, using: &dice) }
                let wrong = try await withThrowingTaskGroup(of: [String].self) { group in
                    for client in 0..<8 {
                        group.addTask {
                            var wrong: [String] = []
                            for start in stride(from: client, to: starts.count, by: 8).map({ starts[$0] }) {
                                let pulled = try await scene.pull(blob, range: "bytes=\(start)-\(start + 65_535)")
                                if !pulled.isPart(start..<start + 65_536) { wrong.append("\(pulled)") }
                            }
                            return wrong
                        }
                    }
                    return try await group.reduce(into: []) { $0 += $1 }
                }
                #expect(wrong.isEmpty, "\(wrong)")
                let whileTheyRan = try await scene.bytesFromUpstream()
                #expect(whileTheyRan <= 60_000_000)

                try await scene.stored()
                let total = try await scene.bytesFromUpstream()
                #expect((size...size * 101 / 100).contains(total), "\(total) of \(size)")
                let asked = scene.upstream.log.requests.count
                let hit = try await scene.pull(blob)
                #expect(hit.isWhole, "\(hit)")
                #expect(scene.upstream.log.requests.count == asked)
            }
        }

        @Test func `with background-fill stop nothing is fetched for nobody, and the next one goes on from there`()
            async throws
        {
            try await withStub(keys: ["background-fill: stop", "range-idle: 1s"]) { scene in
                let blob = scene.cargo(40 << 20)
                let gate = StubGate()
                scene.spoil(blob, .holdBody(at: 4 << 20, gate))
                let left = try await scene.pull(blob, Pull(leavesAfter: 3 << 20))
                #expect(left.received == 3 << 20 && left.isRight, "\(left)")
                try await scene.upstreamSees("nobody served") { $0.serving == 0 }
                let before = scene.contentRequests().count
                let received = try await scene.bytesFromUpstream()
                #expect(received < 20 << 20)

                scene.upstream.heal()
                gate.open()
                let next = try await scene.pull(blob)
                #expect(next.isWhole, "\(next)")
                let continued = scene.contentRequests().dropFirst(before)
                #expect(!continued.isEmpty && continued.allSatisfy { $0.range != nil }, "\(continued)")
                #expect(try await scene.bytesFromUpstream() <= blob.bytes.count * 102 / 100)
            }
        }

        @Test func `an open-ended range of a cold blob is served to its very end`() async throws {
            try await withStub { scene in
                let blob = scene.cargo(4 << 20)
                let start = 3_000_000
                let pulled = try await scene.pull(
                    blob, Pull(fields: ["Range": "bytes=\(start)-"], patience: .seconds(10)))
                #expect(pulled.isPart(start..<4 << 20), "\(pulled)")
            }
        }

        @Test func `a reader far behind the front of a large blob gets its range while the front stands`() async throws
        {
            try await withStub { scene in
                let blob = scene.cargo(40 << 20)
                let gate = StubGate()
                scene.spoil(blob, .holdBody(at: 1 << 20, gate), times: 1)
                async let whole = scene.pull(blob)
                try await scene.upstreamSees("a body held") { $0.held == 1 }
                let ranges = [
                    0..<1000, 30_000_000..<30_065_536, blob.bytes.count - 1000..<blob.bytes.count,
                ]
                for range in ranges {
                    let field = "bytes=\(range.lowerBound)-\(range.upperBound - 1)"
                    let pulled = try await scene.pull(blob, Pull(fields: ["Range": field], patience: .seconds(10)))
                    #expect(pulled.isPart(range), "\(field): \(pulled)")
                }
                gate.open()
                let pulled = try await whole
                #expect(pulled.isWhole, "\(pulled)")
                try await scene.settle()
                #expect(try await scene.bytesFromUpstream() <= blob.bytes.count * 102 / 100)
            }
        }
    }
}
