// Who may use the line to an upstream: slots, connections of one blob, bytes a second, and forty clients of one blob.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("the line to an upstream is shared") struct FairnessTests {
        @Test func `with one slot taken manifests come at once, and a second blob starts after about 5 s`() async throws
        {
            try await withStub(keys: ["max-transfers: 1"]) { scene in
                var builder = ImageBuilder(seed: 44)
                let image = scene.upstream.add(builder.image(), to: StubScene.repository, tag: "latest")
                let large = scene.cargo(40 << 20)
                let small = scene.cargo(100_000)
                let gate = StubGate()
                scene.spoil(large, .holdBody(at: 1 << 20, gate), times: 1)
                async let holder = scene.pull(large)
                try await scene.upstreamSees("the slot taken") { $0.held == 1 }

                async let waiting = scene.pull(small)
                let manifest = try await scene.mirror.get("/v2/\(StubScene.repository)/manifests/latest")
                #expect(manifest.status == 200)
                #expect(manifest.body == image.manifest.bytes)
                #expect(scene.contentRequests().count == 1, "\(scene.upstream.log.requests)")

                let pulled = try await waiting
                #expect(pulled.isWhole, "\(pulled)")
                #expect(pulled.duration >= .seconds(4), "\(pulled.duration)")
                #expect(pulled.duration < .seconds(12), "\(pulled.duration)")
                gate.open()
                let held = try await holder
                #expect(held.isWhole, "\(held)")
            }
        }

        @Test func `an abandoned transfer makes way for one that somebody waits for`() async throws {
            try await withStub(keys: ["max-transfers: 1"]) { scene in
                let abandoned = scene.cargo(40 << 20)
                let wanted = scene.cargo(100_000)
                let gate = StubGate()
                scene.spoil(abandoned, .holdBody(at: 4 << 20, gate), times: 1)
                let left = try await scene.pull(abandoned, Pull(leavesAfter: 3 << 20))
                #expect(left.isRight)
                let pulled = try await scene.pull(wanted)
                #expect(pulled.isWhole, "\(pulled)")
                #expect(pulled.duration < .seconds(4), "\(pulled.duration)")
                gate.open()
                // And it is finished afterwards, from where it stood.
                try await scene.stored()
                #expect(try await scene.bytesFromUpstream() <= (40 << 20) * 102 / 100 + 100_000)
            }
        }

        @Test func `ranges 1 never opens a second connection for a blob`() async throws {
            try await withStub(keys: ["ranges: 1"]) { scene in
                let blob = scene.cargo(40 << 20)
                scene.spoil(blob, .pace(32 << 20))
                let pulled = try await scene.pull(blob)
                #expect(pulled.isWhole, "\(pulled)")
                #expect(scene.upstream.log.peakServing == 1)
                #expect(scene.contentRequests().count == 1)
            }
        }

        @Test func `ranges 4 opens at most four`() async throws {
            try await withStub(keys: ["ranges: 4"]) { scene in
                let blob = scene.cargo(100 << 20)
                let gate = StubGate()
                scene.spoil(blob, .holdBody(at: 1 << 20, gate), times: 4)
                async let pulling = scene.pull(blob)
                try await scene.upstreamSees("four connections") { $0.serving == 4 }
                gate.open()
                let pulled = try await pulling
                #expect(pulled.isWhole, "\(pulled)")
                #expect(scene.upstream.log.peakServing == 4)
                try await scene.settle()
                #expect(try await scene.bytesFromUpstream() <= blob.bytes.count * 102 / 100)
            }
        }

        @Test func `max-bandwidth holds`() async throws {
            try await withStub(keys: ["max-bandwidth: 3MB/s"]) { scene in
                let blob = scene.cargo(6_000_000)
                let pulled = try await scene.pull(blob)
                #expect(pulled.isWhole, "\(pulled)")
                // 100 ms worth may come in one burst.
                #expect(pulled.duration >= .milliseconds(1700), "\(pulled.duration)")
            }
        }

        @Test func `forty clients of a cold blob, some slow, some leaving, cost one transfer`() async throws {
            try await withStub(StubOptions(authentication: .bearer(), redirectsBlobs: true)) { scene in
                let blob = scene.cargo(64 << 20)
                let gate = StubGate()
                scene.spoil(blob, .holdBody(at: 2 << 20, gate), times: 1)
                async let crowd = withThrowingTaskGroup(of: (Bool, Pulled).self) { group in
                    for client in 0..<40 {
                        var manner = Pull()
                        if client % 4 == 1 { manner.rate = 30_000_000 }
                        if client % 5 == 2 { manner.leavesAfter = (client + 1) << 20 }
                        let isStaying = manner.leavesAfter == nil
                        group.addTask { [manner] in (isStaying, try await scene.pull(blob, manner)) }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                try await eventually(within: .seconds(20), "all forty are there") {
                    let fills = try await scene.mirror.statistics()["in_flight"]
                    return fills[0]["followers"].number == 40
                }
                gate.open()
                let pulls = try await crowd
                for (isStaying, pulled) in pulls {
                    if isStaying {
                        #expect(pulled.isWhole, "\(pulled)")
                    } else {
                        #expect(pulled.status == 200 && pulled.isRight, "\(pulled)")
                    }
                }
                #expect(pulls.filter { $0.1.cacheStatus.contains("collapsed") }.count == 39)
                try await scene.settle()
                #expect(try await scene.bytesFromUpstream() <= blob.bytes.count * 102 / 100)
                #expect(scene.upstream.log.tokensIssued == 1)
            }
        }
    }
}
