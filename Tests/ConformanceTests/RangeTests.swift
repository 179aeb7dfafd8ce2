// A true 206 whatever the state of the blob: not here at all, on its way, stored (RFC 9110 §14, filling.md 7).

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("a range of a blob") struct RangeTests {
        private static let size = 4 << 20

        /// A field and what it has to get of `size` bytes; `nil`: the whole, with 200.
        private static let cases: [(field: String, range: Range<Int>?)] = [
            ("bytes=0-0", 0..<1),
            ("bytes=0-", 0..<size),
            ("bytes=700000-", 700_000..<size),
            ("bytes=1000-1999", 1000..<2000),
            ("bytes=262100-262200", 262_100..<262_201),
            ("bytes=-5", size - 5..<size),
            ("bytes=-9999999", 0..<size),
            ("bytes=4194300-9999999", 4_194_300..<size),
            ("bytes=\(size - 1)-", size - 1..<size),
            ("lines=0-1", nil),
            ("bytes=9-1", nil),
            ("bytes=x", nil),
            ("bytes=-", nil),
            ("bytes", nil),
        ]

        private func expect(
            _ pulled: Pulled, _ range: Range<Int>?, of blob: TestBlob, _ comment: Comment
        ) {
            if let range {
                #expect(pulled.isPart(range), comment)
            } else {
                #expect(pulled.isWhole, comment)
            }
            #expect(pulled.fields["Accept-Ranges"] == "bytes", comment)
            #expect(pulled.fields["ETag"] == "\"\(blob.digest)\"", comment)
            #expect(pulled.fields["Docker-Content-Digest"] == "\(blob.digest)", comment)
        }

        @Test func `that is not here is a 206 of those bytes`() async throws {
            try await withStub { scene in
                for (index, (field, range)) in Self.cases.enumerated() {
                    // Another blob each time: none has been heard of.
                    let blob = scene.cargo(Self.size, seed: UInt64(index))
                    let pulled = try await scene.pull(blob, range: field)
                    expect(pulled, range, of: blob, "\(field): \(pulled)")
                }
            }
        }

        @Test func `that is on its way is a 206 of those bytes`() async throws {
            try await withStub { scene in
                let blob = scene.cargo(Self.size)
                let gate = StubGate()
                scene.spoil(blob, .holdBody(at: 500_000, gate), times: 1)
                async let whole = scene.pull(blob)
                try await scene.upstreamSees("a body held") { $0.held == 1 }
                // What lies clear of where the fill stands is served while it stands, whether it has come yet or not.
                for (field, range) in Self.cases {
                    guard let range, !field.hasSuffix("-"), !range.contains(500_000) else { continue }
                    let pulled = try await scene.pull(blob, range: field)
                    expect(pulled, range, of: blob, "\(field): \(pulled)")
                }
                async let rest = withThrowingTaskGroup(of: (String, Range<Int>?, Pulled).self) { group in
                    for (field, range) in Self.cases {
                        group.addTask { (field, range, try await scene.pull(blob, range: field)) }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                try await eventually(within: .seconds(20), "all have come") {
                    let followers = try await scene.mirror.statistics()["in_flight"][0]["followers"].number
                    return followers ?? 0 >= 5
                }
                gate.open()
                for (field, range, pulled) in try await rest {
                    expect(pulled, range, of: blob, "\(field): \(pulled)")
                }
                let pulled = try await whole
                #expect(pulled.isWhole, "\(pulled)")
                try await scene.settle()
                #expect(try await scene.bytesFromUpstream() <= Self.size * 102 / 100)
            }
        }

        @Test func `that is stored is a 206 of those bytes and asks nobody`() async throws {
            try await withStub { scene in
                let blob = scene.cargo(Self.size)
                try await scene.mirror.warm(scene.path(blob))
                try await scene.stored()
                scene.upstream.clearLog()
                for (field, range) in Self.cases {
                    let pulled = try await scene.pull(blob, range: field)
                    expect(pulled, range, of: blob, "\(field): \(pulled)")
                    #expect(pulled.cacheStatus.hasPrefix("wharf; hit"), "\(field): \(pulled.cacheStatus)")
                }
                #expect(scene.upstream.log.requests.isEmpty)
            }
        }

        @Test func `beyond the end is 416 that tells the size, cold, on its way and stored`() async throws {
            try await withStub { scene in
                let cold = scene.cargo(Self.size, seed: 1)
                let moving = scene.cargo(Self.size, seed: 2)
                let stored = scene.cargo(Self.size, seed: 3)
                try await scene.mirror.warm(scene.path(stored))
                try await scene.stored()
                let gate = StubGate()
                scene.spoil(moving, .holdBody(at: 1000, gate), times: 1)
                async let pulling = scene.pull(moving)
                try await scene.upstreamSees("a body held") { $0.held == 1 }
                for blob in [cold, moving, stored] {
                    for field in ["bytes=\(Self.size)-", "bytes=5000000-5000009", "bytes=-0"] {
                        let answer = try await scene.mirror.get(scene.path(blob), ["Range": field])
                        #expect(answer.status == 416, "\(field): \(answer.summary)")
                        #expect(answer.fields["Content-Range"] == "bytes */\(Self.size)", "\(field)")
                    }
                }
                gate.open()
                let pulled = try await pulling
                #expect(pulled.isWhole, "\(pulled)")
            }
        }

        @Test func `If-Range with the digest keeps it a range, with another tag or a date it is the whole`()
            async throws
        {
            try await withStub { scene in
                for (seed, isStored) in [(1, false), (2, true)] as [(UInt64, Bool)] {
                    for (index, condition) in ["match", "\"another\"", "Wed, 21 Oct 2015 07:28:00 GMT"].enumerated() {
                        let blob = scene.cargo(Self.size, seed: seed * 10 + UInt64(index))
                        if isStored {
                            try await scene.mirror.warm(scene.path(blob))
                            try await scene.stored(3 + index)
                        }
                        let tag = condition == "match" ? "\"\(blob.digest)\"" : condition
                        let pulled = try await scene.pull(
                            blob, Pull(fields: ["Range": "bytes=1000-1999", "If-Range": tag]))
                        expect(pulled, condition == "match" ? 1000..<2000 : nil, of: blob, "\(condition): \(pulled)")
                    }
                }
            }
        }

        @Test func `a lone range of a cold blob costs the upstream little, and is kept`() async throws {
            try await withStub(StubOptions(redirectsBlobs: true)) { scene in
                let blob = scene.cargo(40 << 20)
                let field = "bytes=30000000-30000999"
                let first = try await scene.pull(blob, range: field)
                #expect(first.isPart(30_000_000..<30_001_000), "\(first)")
                let bytes = try await scene.bytesFromUpstream()
                #expect((1000...256 << 10).contains(bytes), "\(bytes)")

                let asked = scene.contentRequests().count
                let again = try await scene.pull(blob, range: field)
                #expect(again.isPart(30_000_000..<30_001_000), "\(again)")
                #expect(scene.contentRequests().count == asked)
            }
        }

        @Test func `several ranges of a stored blob are 200 or a 206 of several parts`() async throws {
            try await withStub { scene in
                let blob = scene.cargo(Self.size)
                try await scene.mirror.warm(scene.path(blob))
                try await scene.stored()
                let ranges = [0..<10, 500_000..<500_100, Self.size - 5..<Self.size]
                let answer = try await scene.mirror.get(
                    scene.path(blob), ["Range": "bytes=0-9,500000-500099,-5"])
                if answer.status == 200 {
                    let isSame = answer.body == blob.bytes
                    #expect(isSame)
                } else {
                    #expect(answer.status == 206, "\(answer.status)")
                    #expect(answer.fields["Content-Type"]?.hasPrefix("multipart/byteranges") == true)
                    for range in ranges {
                        let told = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(Self.size)\r\n\r\n"
                        let head = answer.body.firstRange(of: Array(told.utf8))
                        let start = try #require(head?.upperBound, "no part \(told)")
                        let isSame = answer.body[start..<start + range.count].elementsEqual(blob.bytes[range])
                        #expect(isSame, "\(range)")
                    }
                }
            }
        }

        @Test func `several ranges of a cold blob are a 206 of what covers them, or 400 over 8 MiB`() async throws {
            try await withStub { scene in
                let blob = scene.cargo(40 << 20)
                let near = try await scene.pull(blob, range: "bytes=20000000-20000009,20500000-20500009")
                #expect(near.isPart(20_000_000..<20_500_010), "\(near)")
                let far = try await scene.mirror.get(
                    scene.path(blob), ["Range": "bytes=0-9,20000000-20000009"])
                #expect(far.status == 400, "\(far.status)")
                #expect(far.errorCode != nil)
                #expect(try await scene.bytesFromUpstream() < 2 << 20)
            }
        }

        @Test(arguments: [false, true]) func `HEAD of a cold blob never starts a transfer`(redirects: Bool) async throws
        {
            try await withStub(StubOptions(redirectsBlobs: redirects)) { scene in
                let blob = scene.cargo(40 << 20)
                for fields in [[:], ["Range": "bytes=0-9"]] {
                    let answer = try await scene.mirror.head(scene.path(blob), fields)
                    #expect(answer.status == 200, "\(fields)")
                    #expect(answer.fields["Content-Length"] == "\(blob.bytes.count)")
                    #expect(answer.fields["Docker-Content-Digest"] == "\(blob.digest)")
                }
                #expect(scene.upstream.log.requests("\(blob.digest)", method: "GET").isEmpty)
                #expect(try await scene.bytesFromUpstream() == 0)
                #expect(try await scene.leftovers() == .none)
            }
        }
    }
}
