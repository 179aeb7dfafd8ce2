// Upstreams that contradict themselves or the digest: never served as whole, named in the log, nothing of it kept.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("an upstream that lies") struct LieTests {
        /// How an upstream goes on after its first 3 MiB of a blob were honest and its connection was cut.
        enum Lie: String, CaseIterable, CustomTestStringConvertible {
            case largerTotal = "tells a larger total"
            case smallerTotal = "tells a smaller total"
            case anotherStart = "sends another range than asked"
            case anotherTag = "changes its ETag from range to range"
            case anotherContent = "switches the content"

            var testDescription: String { rawValue }

            func faults(size: Int) -> [StubFault] {
                switch self {
                case .largerTotal: [.rangeTotal("\(size + 1)")]
                case .smallerTotal: [.rangeTotal("\(size - 1)")]
                case .anotherStart: [.ignoreRange, .partialUnasked]
                case .anotherTag: [.changingEntityTag, .ignoreIfRange]
                case .anotherContent: [.corrupt(at: 100)]
                }
            }
        }

        @Test(arguments: Lie.allCases) func `in its continuation is caught, and the next request is served`(
            lie: Lie
        ) async throws {
            try await withStub(keys: ["give-up-after: 1s"]) { scene in
                let blob = scene.cargo(8 << 20)
                let pulled = try await scene.pull(blob, brokenAt: 3 << 20) {
                    for fault in lie.faults(size: blob.bytes.count) { scene.spoil(blob, fault) }
                }
                try await expectCaught(blob, pulled, in: scene)
            }
        }

        @Test(arguments: Lie.allCases) func `on further connections is caught, and what comes whole is right`(
            lie: Lie
        ) async throws {
            try await withStub(keys: ["give-up-after: 1s"]) { scene in
                let blob = scene.cargo(40 << 20)
                let head = StubGate()
                let body = StubGate()
                scene.spoil(blob, .hold(head), .holdBody(at: 1 << 20, body), times: 1)
                async let pulling = scene.pull(blob)
                try await scene.upstreamSees("the first request") { $0.held == 1 }
                // It does not befall the first any more, which now stands until there are others.
                for fault in lie.faults(size: blob.bytes.count) { scene.spoil(blob, fault) }
                head.open()
                try await scene.upstreamSees("a second connection") { $0.requests.count > 1 }
                body.open()
                let pulled = try await pulling
                if pulled.looksWhole {
                    // The first connection was honest, and enough.
                    #expect(pulled.isWhole, "\(pulled)")
                    #expect(scene.complains(of: scene.upstream), "\(scene.complaints)")
                } else {
                    try await expectCaught(blob, pulled, in: scene)
                }
            }
        }

        @Test func `that announces more than comes is caught`() async throws {
            try await withStub(keys: ["give-up-after: 1s"]) { scene in
                let blob = scene.cargo(8 << 20)
                scene.spoil(blob, .overstate(by: 1000))
                try await expectCaught(blob, try await scene.pull(blob), in: scene)
            }
        }

        @Test func `that announces more than comes of a small blob is told as 404`() async throws {
            try await withStub(keys: ["first-byte-timeout: 2s", "give-up-after: 1s"]) { scene in
                let blob = scene.cargo(40_000)
                scene.spoil(blob, .overstate(by: 1000))
                let answer = try await scene.mirror.get(scene.path(blob))
                #expect(answer.status == 404, "\(answer.summary)")
                #expect(answer.errorCode == "BLOB_UNKNOWN")
                scene.upstream.heal()
                let next = try await scene.pull(blob)
                #expect(next.isWhole, "\(next)")
            }
        }

        @Test func `about a range of a cold blob is never given a 206`() async throws {
            try await withStub(keys: ["first-byte-timeout: 1s", "give-up-after: 1s"]) { scene in
                let blob = scene.cargo(8 << 20)
                scene.spoil(blob, .ignoreRange, .partialUnasked)
                let range = 5 << 20..<5 << 20 + 1000
                let pulled = try await scene.pull(blob, range: "bytes=\(range.lowerBound)-\(range.upperBound - 1)")
                #expect(pulled.isRight)
                #expect(!pulled.looksWhole, "\(pulled)")
                scene.upstream.heal()
                let next = try await scene.pull(blob, range: "bytes=\(range.lowerBound)-\(range.upperBound - 1)")
                #expect(next.isPart(range), "\(next)")
            }
        }

        /// Never whole, named, not kept; and once the upstream is honest again, whole.
        private func expectCaught(_ blob: TestBlob, _ pulled: Pulled, in scene: StubScene) async throws {
            #expect(pulled.status == 200)
            #expect(pulled.ending == .reset, "\(pulled)\n\(scene.upstream.log.requests)")
            #expect(pulled.received < blob.bytes.count)
            #expect(try await scene.leftovers() == .none)
            #expect(scene.complains(of: scene.upstream), "\(scene.complaints)")

            scene.upstream.heal()
            let next = try await scene.pull(blob)
            #expect(next.isWhole, "\(next)")
            try await scene.settle()
            #expect(try await scene.mirror.statistics()["storage"]["blobs"].number == 1)
        }
    }

    @Suite("a corrupted byte") struct CorruptionTests {
        enum Place: String, CaseIterable {
            case first, middle, last

            func offset(in size: Int) -> Int {
                switch self {
                case .first: 0
                case .middle: size / 2
                case .last: size - 1
                }
            }
        }

        @Test(arguments: [1000, 64 << 10, 1_000_000, 40 << 20], Place.allCases)
        func `is never served as whole, never stored, and the next request heals`(
            size: Int, place: Place
        ) async throws {
            // One connection, so that the place is the blob's own.
            try await withStub(keys: ["ranges: 1", "first-byte-timeout: 2s", "give-up-after: 1s"]) { scene in
                let blob = scene.cargo(size)
                scene.spoil(blob, .corrupt(at: place.offset(in: size)))
                let pulled = try await scene.pull(blob)
                if size <= 64 << 10 {
                    // Verified before its status line.
                    #expect(pulled.status == 404, "\(pulled)")
                    #expect(pulled.text.contains("BLOB_UNKNOWN"))
                } else {
                    #expect(pulled.status == 200)
                    #expect(pulled.ending == .reset, "\(pulled)")
                    #expect(pulled.received < size)
                }
                #expect(try await scene.leftovers().blobs == 0)
                #expect(try await scene.leftovers().ingestFiles == 0)

                scene.upstream.heal()
                let next = try await scene.pull(blob)
                #expect(next.isWhole, "\(next)")
                try await scene.settle()
                let asked = scene.upstream.log.requests.count
                let hit = try await scene.pull(blob)
                #expect(hit.isWhole, "\(hit)")
                #expect(scene.upstream.log.requests.count == asked)
            }
        }

        @Test func `on several connections is never served as whole, and one endpoint's does not spoil the other's`()
            async throws
        {
            try await withStub(endpoints: 2) { scene in
                let blob = scene.cargo(40 << 20)
                scene.spoil(blob, .corrupt(at: 1000), of: 0)
                let pulled = try await scene.pull(blob)
                #expect(!pulled.looksWhole, "\(pulled)")
                // A mismatch of one source marks its endpoint, which is asked last from then on.
                try await eventually(within: .seconds(20), "the honest endpoint is asked") {
                    try await scene.settle()
                    return try await scene.pull(blob).isWhole
                }
            }
        }

        @Test func `in a range of a cold blob never becomes part of a whole`() async throws {
            try await withStub { scene in
                let blob = scene.cargo(8 << 20)
                scene.spoil(blob, .corrupt(at: 10), times: 1)
                // Served as it lands: the client checks it, as it would with the upstream itself.
                let part = try await scene.pull(blob, range: "bytes=4194304-4259839")
                #expect(part.status == 206, "\(part)")
                let pulled = try await scene.pull(blob)
                #expect(!pulled.looksWhole, "\(pulled)")
                #expect(try await scene.leftovers() == .none)
                let next = try await scene.pull(blob)
                #expect(next.isWhole, "\(next)")
            }
        }
    }
}
