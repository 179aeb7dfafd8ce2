// A fill against a real registry's faults and a real disk: repaired, resumed, passing, ranged, and never taken in.

import HTTPSemantics
import OCI
import Store
import TestSupport
import Testing

@testable import PullThrough

/// `first-last`, both included, as a client writes it.
private func part(_ range: ClosedRange<Int64>) -> PullThroughCache.RangeReading {
    { .parse(range: "bytes=\(range.lowerBound)-\(range.upperBound)", ifRange: nil, entityTag: "\"\"", size: $0) }
}

@Suite("Fills: breaks are repaired in the same answer") struct RepairedFillTests {
    @Test(arguments: [Int64.max, Int64.max - 4094, Int64(1 << 53) + 1] as [Int64])
    func `a length beyond all bounds is no length, and ends nothing but the answer`(length: Int64) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(1000), to: "library/alpine")
            scene.stub.inject(.fields([("Content-Length", "\(length)")]), into: "\(blob.digest)", times: 1)
            _ = await refusal { () throws(Refusal) in try await scene.cache.blobFacts(blob.digest, in: Scene.alpine) }
            scene.stub.inject(.fields([("Content-Length", "\(length)")]), into: "\(blob.digest)", times: 10)
            let time = scene.turning()
            let refused = await refusal { () throws(Refusal) in
                try await scene.cache.blob(blob.digest, in: Scene.alpine)
            }
            await time.end()
            #expect(refused != nil)
        }
    }

    @Test(
        arguments: [[1], [70_000], [999_999], [500_000, 1], [1, 1, 1, 1, 1], [10, 20_000, 300_000, 5, 100_000]],
        [true, false])
    func `cut off, it goes on from there`(cuts: [Int], reset: Bool) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(1_000_000), to: "library/alpine")
            scene.stub.inject(.cuts(at: cuts, reset: reset), into: "\(blob.digest)")
            // Only the first try after progress comes at once.
            let time = scene.turning()
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
            await time.end()
            await scene.cache.settle()
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).status == .hit)
            let asked = scene.stub.log.requests("\(blob.digest)", method: "GET")
            #expect(asked.count == cuts.count + 1)
            #expect(asked.first?.range == nil)
            #expect(asked.dropFirst().allSatisfy { $0.range != nil })
            #expect(await scene.figures().totals.fromUpstream == 1_000_000)
        }
    }

    @Test(arguments: [429, 500, 502, 503, 403, 404]) func `a status in the middle is no end`(status: Int) async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(1_000_000), to: "library/alpine")
            let gate = StubGate()
            scene.stub.inject(.holdBody(at: 400_000, gate), into: "\(blob.digest)", times: 1)
            scene.stub.inject(.cut(at: 400_001, reset: true), into: "\(blob.digest)", times: 1)
            let reader = try await scene.blob(blob.digest, in: Scene.alpine).reader
            scene.stub.inject(.status(status), into: "\(blob.digest)", times: 1)
            gate.open()
            let time = scene.turning()
            #expect(try await reader.bytes() == blob.bytes)
            await time.end()
        }
    }

    @Test func `the next endpoint goes on where the first one broke off, whatever its entity tag`() async throws {
        try await Scene.run(hasSpare: true) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(1_000_000), to: "library/alpine")
            scene.spare?.add(blob: blob, to: "library/alpine")
            scene.stub.inject(.entityTag("\"one\""), into: "\(blob.digest)")
            scene.spare?.inject(.entityTag("\"other\""), into: "\(blob.digest)")
            let gate = StubGate()
            scene.stub.inject(.holdBody(at: 100_000, gate), into: "\(blob.digest)", times: 1)
            scene.stub.inject(.cut(at: 300_000, reset: false), into: "\(blob.digest)", times: 1)
            let reader = try await scene.blob(blob.digest, in: Scene.alpine).reader
            gate.open()
            let time = scene.turning()
            #expect(try await reader.bytes() == blob.bytes)
            await time.end()
            #expect(scene.spare?.log.requests("\(blob.digest)", method: "GET").first?.range == "bytes=300000-")
            #expect(scene.spare?.log.requests("\(blob.digest)", method: "GET").first?["If-Range"] == nil)
        }
    }

    @Test func `a blob whose size nobody said goes on where it broke off`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(1_000_000), to: "library/alpine")
            scene.stub.inject(.chunked, into: "\(blob.digest)", times: 1)
            scene.stub.inject(.cut(at: 400_000, reset: false), into: "\(blob.digest)", times: 1)
            let reader = try await scene.blob(blob.digest, in: Scene.alpine).reader
            #expect(reader.size == nil)
            #expect(try await reader.bytes() == blob.bytes)
        }
    }

    @Test func `who follows through another repository lends it: it is asked when the first fails`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(1_000_000), to: "library/alpine")
            scene.stub.add(blob: blob, to: "acme/app")
            _ = try await scene.blobFacts(blob.digest, in: Scene.other)
            let gate = StubGate()
            let first = "library/alpine/blobs/\(blob.digest)"
            scene.stub.inject(.holdBody(at: 100_000, gate), into: first, times: 1)
            scene.stub.inject(.cut(at: 300_000, reset: false), into: first, times: 1)
            let reader = try await scene.blob(blob.digest, in: Scene.alpine).reader
            let second = try await scene.blob(blob.digest, in: Scene.other)
            #expect(second.status.isCollapsed)
            scene.stub.inject(.status(404), into: first)
            gate.open()
            let time = scene.turning()
            #expect(try await reader.bytes() == blob.bytes)
            #expect(try await second.reader.bytes() == blob.bytes)
            await time.end()
            #expect(scene.stub.log.requests("acme/app/blobs/\(blob.digest)", method: "GET").count == 1)
        }
    }

    @Test func `an upstream that ignores Range is passed over to where it broke off`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(1_000_000), to: "library/alpine")
            scene.stub.inject(.cut(at: 600_000, reset: false), into: "\(blob.digest)", times: 1)
            scene.stub.inject(.ignoreRange, into: "\(blob.digest)")
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
        }
    }

    @Test func `without progress for too long the answer is broken off, and the next goes on from there`()
        async throws
    {
        var policy = FillPolicy.prompt
        policy.giveUpAfter = .seconds(1)
        try await Scene.run(fills: policy) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(3_000_000), to: "library/alpine")
            let gate = StubGate()
            scene.stub.inject(.holdBody(at: 1_000_000, gate), into: "\(blob.digest)", times: 1)
            scene.stub.inject(.cut(at: 2_000_000, reset: false), into: "\(blob.digest)", times: 1)
            let reader = try await scene.blob(blob.digest, in: Scene.alpine).reader
            scene.stub.inject(.status(503), into: "\(blob.digest)")
            gate.open()
            let time = scene.turning()
            await #expect(throws: BlobReader.Broken.self) { _ = try await reader.bytes() }
            await time.end()
            await scene.cache.settle()
            #expect(await scene.figures().storage.partial >= 2_000_000)
            scene.stub.heal()
            scene.stub.clearLog()
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
            #expect(scene.stub.log.requests("\(blob.digest)", method: "GET").map(\.range) == ["bytes=2000000-"])
            await scene.cache.settle()
            #expect(await scene.figures().storage.partial == 0)
        }
    }
}

@Suite("Fills: who contradicts is not believed") struct LyingUpstreamTests {
    /// Breaks off once and lies in the continuation.
    private func lie(_ fault: StubFault, hasSpare: Bool, _ body: (Scene, TestBlob) async throws -> Void) async throws {
        try await Scene.run(hasSpare: hasSpare) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(2_000_000), to: "library/alpine")
            scene.spare?.add(blob: blob, to: "library/alpine")
            if case .changingEntityTag = fault { scene.stub.inject(fault, into: "\(blob.digest)") }
            scene.stub.inject(.cut(at: 1_500_000, reset: true), into: "\(blob.digest)", times: 1)
            scene.stub.inject(fault, into: "\(blob.digest)")
            try await body(scene, blob)
        }
    }

    @Test(arguments: [StubFault.rangeTotal("1999999"), .rangeTotal("3000000"), .changingEntityTag])
    func `a lie breaks the answer off, nothing of it is kept, and the next request heals`(fault: StubFault) async throws
    {
        try await lie(fault, hasSpare: false) { (scene: Scene, blob: TestBlob) async throws in
            await #expect(throws: BlobReader.Broken.self) {
                _ = try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes()
            }
            await scene.cache.settle()
            let storage = await scene.figures().storage
            #expect(storage.blobs == 0 && storage.partial == 0)
            scene.stub.heal()
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
        }
    }

    @Test(arguments: [StubFault.rangeTotal("1999999"), .changingEntityTag])
    func `another endpoint is asked instead`(fault: StubFault) async throws {
        try await lie(fault, hasSpare: true) { (scene: Scene, blob: TestBlob) async throws in
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
        }
    }

    @Test func `wrong bytes of two endpoints: the next fill asks one only`() async throws {
        try await Scene.run(hasSpare: true) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(1_000_000), to: "library/alpine")
            scene.spare?.add(blob: blob, to: "library/alpine")
            let gate = StubGate()
            scene.stub.inject(.holdBody(at: 100_000, gate), into: "\(blob.digest)", times: 1)
            scene.stub.inject(.cut(at: 300_000, reset: false), into: "\(blob.digest)", times: 1)
            scene.spare?.inject(.corrupt(at: 500_000), into: "\(blob.digest)", times: 1)
            let reader = try await scene.blob(blob.digest, in: Scene.alpine).reader
            gate.open()
            let time = scene.turning()
            await #expect(throws: BlobReader.Broken.self) { _ = try await reader.bytes() }
            await time.end()
            await scene.cache.settle()
            #expect(scene.cache.isSuspect(blob.digest))
            scene.stub.clearLog()
            scene.spare?.clearLog()
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
            await scene.cache.settle()
            #expect(!scene.cache.isSuspect(blob.digest))
            let asked = [scene.stub, scene.spare].compactMap { $0?.log.requests("\(blob.digest)", method: "GET").count }
            #expect(asked.sorted() == [0, 1])
        }
    }
}

@Suite("Fills: ranges of what is not here") struct RangedFillTests {
    @Test func `a range costs its blocks only, and the rest comes when nobody asks for a while`() async throws {
        var policy = FillPolicy.prompt
        policy.rangeIdle = .seconds(1)
        try await Scene.run(fills: policy) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(5_000_000), to: "library/alpine")
            let range: ClosedRange<Int64> = 3_000_000...3_000_999
            let answer = try await scene.blob(blob.digest, in: Scene.alpine, range: part(range))
            guard case .bytes(let reader, .part(let given, _)) = answer.content else {
                return #expect(Bool(false), "\(answer.content)")
            }
            #expect(given == 3_000_000..<3_001_000)
            let bytes = try await reader.bytes(from: 3_000_000, to: 3_001_000, isPiece: true)
            #expect(bytes == Array(blob.bytes[3_000_000..<3_001_000]))
            #expect(scene.stub.log.requests("\(blob.digest)", method: "GET").map(\.range) == ["bytes=2949120-3014655"])
            let time = scene.turning()
            await scene.cache.settle()
            await time.end()
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).status == .hit)
            #expect(await scene.figures().totals.fromUpstream == 5_000_000)
        }
    }

    @Test func `the end, what lies beyond it and several at once are known by a HEAD`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(20_000_000), to: "library/alpine")
            func ask(_ field: String) async throws -> BlobAnswer.Content {
                try await scene.blob(blob.digest, in: Scene.alpine) {
                    .parse(range: field, ifRange: nil, entityTag: "\"\"", size: $0)
                }.content
            }
            guard case .unsatisfiable(size: 20_000_000) = try await ask("bytes=20000000-") else {
                return #expect(Bool(false), "beyond the end")
            }
            guard case .scattered = try await ask("bytes=0-1,19000000-19000001") else {
                return #expect(Bool(false), "far apart")
            }
            #expect(scene.stub.log.requests("\(blob.digest)", method: "GET").isEmpty)
            guard case .bytes(let reader, .part(let cover, _)) = try await ask("bytes=5-9,100-199") else {
                return #expect(Bool(false), "near to each other")
            }
            #expect(cover == 5..<200)
            #expect(try await reader.bytes(from: 5, to: 200, isPiece: true) == Array(blob.bytes[5..<200]))
        }
    }

    @Test func `a small blob is had whole for a range of it, since it is shown only when verified`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(50_000), to: "library/alpine")
            let reader = try await scene.blob(blob.digest, in: Scene.alpine, range: part(40_000...40_001)).reader
            #expect(
                try await reader.bytes(from: 40_000, to: 40_002, isPiece: true) == Array(blob.bytes[40_000..<40_002]))
            await scene.cache.settle()
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).status == .hit)
        }
    }

    @Test func `with background-fill: stop what nobody waits for is not had, and gone on with later`() async throws {
        var policy = FillPolicy.prompt
        policy.finishes = false
        try await Scene.run(fills: policy) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let blob = scene.stub.add(blob: builder.blob(5_000_000), to: "library/alpine")
            let gate = StubGate()
            scene.stub.inject(.holdBody(at: 2_000_000, gate), into: "\(blob.digest)", times: 1)
            do {
                let reader = try await scene.blob(blob.digest, in: Scene.alpine).reader
                _ = await reader.look(atLeast: 1_900_000)
            }
            await scene.cache.settle()
            gate.open()
            #expect(await scene.figures().storage.blobs == 0)
            #expect(try await scene.blob(blob.digest, in: Scene.alpine).reader.bytes() == blob.bytes)
            let ranges = scene.stub.log.requests("\(blob.digest)", method: "GET").map(\.range)
            #expect(ranges.count == 2 && ranges.last??.hasPrefix("bytes=") == true, "\(ranges)")
        }
    }
}

@Suite("Fills: without room") struct PassingFillTests {
    @Test func `what is larger than the cache passes through, and nothing is evicted for it`() async throws {
        try await Scene.run(maxSize: 2_000_000) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let small = scene.stub.add(blob: builder.blob(100_000), to: "library/alpine")
            let large = scene.stub.add(blob: builder.blob(20_000_000), to: "library/alpine")
            _ = try await scene.blob(small.digest, in: Scene.alpine).reader.bytes()
            await scene.cache.settle()
            for _ in 0..<2 {
                #expect(try await scene.blob(large.digest, in: Scene.alpine).reader.bytes() == large.bytes)
                await scene.cache.settle()
            }
            #expect(await scene.figures().storage.blobs == 1)
            #expect(scene.asked("\(large.digest)", "GET") == 2)
            #expect(try await scene.blob(small.digest, in: Scene.alpine).status == .hit)
        }
    }

    @Test func `several who ask for it at once get it side by side`() async throws {
        try await Scene.run(maxSize: 2_000_000) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let large = scene.stub.add(blob: builder.blob(12_000_000), to: "library/alpine")
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "\(large.digest)", times: 1)
            let all = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        try await scene.blob(large.digest, in: Scene.alpine).reader.bytes() == large.bytes
                    }
                }
                while scene.cache.inFlight.first?.progress.followers != 4 { await Task.yield() }
                // The three others begin their own at once, and none of them waits for another.
                scene.stub.inject(.holdBody(at: 6_000_000, gate), into: "\(large.digest)")
                gate.open()
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(all == [true, true, true, true])
            #expect(scene.stub.log.requests("\(large.digest)", method: "GET").count == 4)
        }
    }

    @Test func `a range of it is had alone`() async throws {
        try await Scene.run(maxSize: 2_000_000) { (scene: Scene) async throws in
            var builder = ImageBuilder()
            let large = scene.stub.add(blob: builder.blob(20_000_000), to: "library/alpine")
            do {
                let reader = try await scene.blob(
                    large.digest, in: Scene.alpine, range: part(15_000_000...15_100_000)
                ).reader
                let bytes = try await reader.bytes(from: 15_000_000, to: 15_100_001, isPiece: true)
                #expect(bytes == Array(large.bytes[15_000_000...15_100_000]))
            }
            await scene.cache.settle()
            #expect(await scene.figures().totals.fromUpstream < 300_000)
        }
    }
}
