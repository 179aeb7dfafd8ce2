// Breaks of the upstream that a client never notices: cut, stalled, refused, moved; and what it gets where none helps.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("a break on the way from the upstream") struct RepairTests {
        private static let size = 8 << 20

        /// Whole for the client, stored, and from then on free of cost.
        private func expectRepaired(_ blob: TestBlob, _ pulled: Pulled, in scene: StubScene) async throws {
            #expect(pulled.isWhole, "\(pulled)\n\(scene.upstream.log.requests)")
            try await scene.settle()
            let asked = scene.upstreams.map { $0.log.requests.count }
            let again = try await scene.pull(blob)
            #expect(again.isWhole, "\(again)")
            #expect(again.cacheStatus.hasPrefix("wharf; hit"))
            #expect(scene.upstreams.map { $0.log.requests.count } == asked)
        }

        @Test(arguments: [1, 70_000, 5 << 20, (8 << 20) - 1], [true, false])
        func `one cut is one clean body`(offset: Int, reset: Bool) async throws {
            try await withStub { scene in
                let blob = scene.cargo(Self.size)
                scene.spoil(blob, .cut(at: offset, reset: reset), times: 1)
                let pulled = try await scene.pull(blob)
                try await expectRepaired(blob, pulled, in: scene)

                // What had come is not asked for again; a reset may have lost what was on the wire.
                let continuations = scene.contentRequests().compactMap(\.range)
                #expect(!continuations.isEmpty)
                if !reset { #expect(continuations.first?.hasPrefix("bytes=\(offset)-") == true, "\(continuations)") }
                let received = try await scene.bytesFromUpstream()
                #expect(received == Self.size)
            }
        }

        @Test(arguments: [true, false]) func `five cuts in a row are one clean body`(reset: Bool) async throws {
            try await withStub { scene in
                let blob = scene.cargo(Self.size)
                let cuts = [1, 70_000, 3 << 20, 1, 2 << 20]
                scene.spoil(blob, .cuts(at: cuts, reset: reset))
                let pulled = try await scene.pull(blob)
                try await expectRepaired(blob, pulled, in: scene)
                #expect(try await scene.bytesFromUpstream() == Self.size)
            }
        }

        @Test(arguments: [true, false])
        func `cuts of a blob that comes over several connections`(reset: Bool) async throws {
            try await withStub { scene in
                let blob = scene.cargo(40 << 20)
                let cuts = [6 << 20, 70_000, 1, 100_000, 1 << 20, 2 << 20, 1]
                scene.spoil(blob, .cuts(at: cuts, reset: reset))
                let pulled = try await scene.pull(blob)
                try await expectRepaired(blob, pulled, in: scene)
                #expect(try await scene.bytesFromUpstream() <= blob.bytes.count * 102 / 100)
            }
        }

        @Test func `a stall is asked for again after stall-timeout`() async throws {
            try await withStub(keys: ["stall-timeout: 1s"]) { scene in
                let blob = scene.cargo(Self.size)
                scene.spoil(blob, .stall(at: 1 << 20), times: 1)
                let pulled = try await scene.pull(blob)
                try await expectRepaired(blob, pulled, in: scene)
                #expect(pulled.duration >= .seconds(1))
                #expect(scene.contentRequests().dropFirst().first?.range?.hasPrefix("bytes=\(1 << 20)-") == true)
            }
        }

        @Test(arguments: [503, 429]) func `a continuation that is refused is tried again`(status: Int) async throws {
            try await withStub { scene in
                let blob = scene.cargo(Self.size)
                let pulled = try await scene.pull(blob, brokenAt: 1 << 20) {
                    scene.spoil(blob, .status(status), times: 2)
                }
                try await expectRepaired(blob, pulled, in: scene)
                #expect(try await scene.bytesFromUpstream() == Self.size)
            }
        }

        @Test func `a redirect that has expired is fetched anew from the registry`() async throws {
            try await withStub(StubOptions(redirectsBlobs: true)) { scene in
                let blob = scene.cargo(Self.size)
                let pulled = try await scene.pull(blob, brokenAt: 1 << 20) {
                    scene.spoil(blob, .status(403, body: "Request has expired"), times: 1)
                }
                try await expectRepaired(blob, pulled, in: scene)
                #expect(scene.upstream.log.requests("\(blob.digest)", method: "GET", door: .registry).count >= 2)
                #expect(try await scene.bytesFromUpstream() == Self.size)
            }
        }

        @Test func `the next endpoint goes on where the first died, and its other ETag is no lie`() async throws {
            try await withStub(endpoints: 2) { scene in
                let blob = scene.cargo(Self.size)
                let gate = StubGate()
                scene.spoil(blob, .entityTag("\"one\""), of: 0)
                scene.spoil(blob, .entityTag("\"two\""), of: 1)
                scene.spoil(blob, .holdBody(at: 3 << 20, gate), of: 0, times: 1)
                async let pulling = scene.pull(blob)
                try await scene.upstreamSees("the blob held") { $0.held == 1 }
                await scene.upstreams[0].stop()
                let pulled = try await pulling
                #expect(pulled.isWhole, "\(pulled)")

                let continued = scene.contentRequests(scene.upstreams[1])
                #expect(continued.first?.range != nil, "\(continued)")
                #expect(continued.allSatisfy { $0["If-Range"] == nil }, "a validator is its own host's alone")
                #expect(try await scene.bytesFromUpstream() == Self.size)
                try await scene.settle()
                let storage = try await scene.mirror.statistics()["storage"]
                #expect(storage["blobs"].number == 1)
                #expect(storage["quarantined"].number == 0)
            }
        }

        @Test func `on the same host the continuation carries its ETag`() async throws {
            try await withStub { scene in
                let blob = scene.cargo(Self.size)
                scene.spoil(blob, .entityTag("\"one\""))
                scene.spoil(blob, .cut(at: 1 << 20, reset: false), times: 1)
                let pulled = try await scene.pull(blob)
                #expect(pulled.isWhole, "\(pulled)")
                #expect(scene.contentRequests().last?["If-Range"] == "\"one\"")
            }
        }

        @Test(arguments: [3 << 20, 11 << 20])
        func `an upstream that knows no ranges is used by skipping`(offset: Int) async throws {
            try await withStub { scene in
                let blob = scene.cargo(12 << 20)
                scene.spoil(blob, .ignoreRange)
                scene.spoil(blob, .cut(at: offset, reset: false), times: 1)
                let pulled = try await scene.pull(blob)
                try await expectRepaired(blob, pulled, in: scene)
            }
        }

        @Test func `where nothing helps for give-up-after the client is reset, and the next one is served`()
            async throws
        {
            try await withStub(keys: ["give-up-after: 2s"]) { scene in
                let blob = scene.cargo(Self.size)
                let pulled = try await scene.pull(blob, brokenAt: 1 << 20) { scene.spoil(blob, .status(503)) }
                #expect(pulled.status == 200)
                #expect(pulled.ending == .reset, "\(pulled)")
                #expect(pulled.isRight)
                #expect(pulled.duration >= .milliseconds(1500))

                scene.upstream.heal()
                let next = try await scene.pull(blob)
                #expect(next.isWhole, "\(next)")
            }
        }

        @Test(arguments: [503, 429])
        func `before the status line it is 404 that says why, and is not remembered`(status: Int) async throws {
            try await withStub(keys: ["first-byte-timeout: 1s"]) { scene in
                let blob = scene.cargo(Self.size)
                scene.spoil(blob, .status(status))
                let answer = try await scene.mirror.get(scene.path(blob))
                #expect(answer.status == 404, "\(answer.summary)")
                #expect(answer.errorCode == "BLOB_UNKNOWN")
                #expect(answer.text.contains("\(status)"), "\(answer.summary)")
                #expect(answer.fields["Proxy-Status"]?.hasPrefix("wharf; error=") == true)

                scene.upstream.heal()
                let next = try await scene.pull(blob)
                #expect(next.isWhole, "\(next)")
            }
        }

        @Test func `an answer that does not come within first-byte-timeout is 404`() async throws {
            try await withStub(keys: ["first-byte-timeout: 1s"]) { scene in
                let blob = scene.cargo(Self.size)
                scene.spoil(blob, .hold(StubGate()), times: 1)
                let answer = try await scene.mirror.get(scene.path(blob))
                #expect(answer.status == 404, "\(answer.summary)")
                #expect(answer.errorCode == "BLOB_UNKNOWN")
                let next = try await scene.pull(blob)
                #expect(next.isWhole, "\(next)")
            }
        }

        @Test func `a refusal before the first byte is tried again within first-byte-timeout`() async throws {
            try await withStub { scene in
                let blob = scene.cargo(Self.size)
                scene.spoil(blob, .cut(at: 0, reset: true), times: 2)
                let pulled = try await scene.pull(blob)
                try await expectRepaired(blob, pulled, in: scene)
            }
        }
    }
}
