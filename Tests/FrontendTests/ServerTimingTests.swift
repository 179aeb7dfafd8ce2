// `Server-Timing`: told to who asks, with the parts that occurred.

import HTTPSemantics
import PullThrough
import TestSupport
import Testing

@testable import Frontend

@Suite("Server-Timing") struct ServerTimingTests {
    private static let asking = ["Server-Timing": "1"]

    /// Names of the parts, and milliseconds of each.
    private func parts(_ reply: Reply) throws -> [String: Double] {
        let field = try #require(reply["Server-Timing"])
        let parts = try field.split(separator: ", ").map { part -> (String, Double) in
            let words = part.split(separator: ";dur=").map(String.init)
            try #require(words.count == 2)
            return (words[0], try #require(Double(words[1])))
        }
        return Dictionary(uniqueKeysWithValues: parts)
    }

    @Test func `a miss tells how long the upstream took, a hit what the store did, and nobody else is told`()
        async throws
    {
        try await Scene.run { (scene: Scene) async throws in
            let (_, path) = scene.blob(100_000)
            let miss = await scene.get(path, Self.asking)
            _ = try await miss.bytes()
            await scene.cache.settle()
            let parts = try parts(miss)
            #expect(Set(parts.keys) == ["store", "upstream", "total"])
            #expect(parts["total"] ?? 0 >= parts["upstream"] ?? .infinity)
            let hit = await scene.get(path, Self.asking)
            #expect(hit["Cache-Status"] == "wharf; hit")
            #expect(Set(try self.parts(hit).keys) == ["store", "total"])
            #expect(await scene.get(path)["Server-Timing"] == nil)
        }
    }

    @Test func `a tag that has to be asked for tells of it, also who is asked together with another`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            scene.image()
            let gate = StubGate()
            scene.stub.inject(.hold(gate), into: "1.0", times: 1)
            async let first = scene.get(ManifestTests.path, Self.asking)
            async let second = scene.get(ManifestTests.path, Self.asking)
            await scene.stub.wait { $0.held == 1 }
            gate.open()
            for reply in await [first, second] {
                #expect(reply.status == 200)
                #expect(try parts(reply)["upstream"] != nil)
            }
        }
    }

    @Test func `milliseconds have one place behind the point`() {
        let timing = ServerTiming()
        #expect(timing.text(total: .microseconds(12_349)) == "total;dur=12.3")
        #expect(timing.text(total: .zero) == "total;dur=0.0")
    }

    @Test func `where nobody asks, what would be measured runs as it is`() async {
        var looks = 0
        let value = await ServerTiming.measure(
            .store,
            {
                looks += 1
                return .zero
            }
        ) { 5 }
        #expect(value == 5 && looks == 0)
    }
}
