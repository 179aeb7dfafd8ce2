// Of whom a blob is asked and on which condition, and what a sink may refuse.
import HTTPSemantics
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("BlobRequest") struct BlobRequestTests {
    private let name = Laboratory.name

    /// Two registries with one blob.
    private func run(
        size: Int = 100_000, redirects: Bool = false, _ body: (Laboratory, StubRegistry, TestBlob) async throws -> Void
    ) async throws {
        try await Laboratory.run(StubOptions(redirectsBlobs: redirects)) { laboratory in
            let second = try await StubRegistry.start()
            var builder = ImageBuilder()
            let blob = laboratory.stub.add(blob: builder.blob(size), to: "\(name)")
            second.add(blob: blob, to: "\(name)")
            try await body(laboratory, second, blob)
            await second.stop()
        }
    }

    private func both(_ laboratory: Laboratory, _ second: StubRegistry) -> UpstreamRegistry {
        laboratory.upstream(endpoints: [laboratory.stub.url, second.url])
    }

    private func refusal(
        _ upstream: UpstreamRegistry, _ blob: TestBlob, _ request: BlobRequest = BlobRequest(),
        into sink: RecordingSink = RecordingSink()
    ) async -> UpstreamError? {
        await failure { () async throws(UpstreamError) in
            try await upstream.blob(name, blob.digest, request, into: sink)
        }
    }

    /// The head of an answer that ended well.
    private func head(
        _ upstream: UpstreamRegistry, _ blob: TestBlob, _ request: BlobRequest
    ) async throws(UpstreamError) -> BlobHead? {
        let sink = RecordingSink()
        _ = try await upstream.blob(name, blob.digest, request, into: sink)
        #expect(await sink.end()?.error == nil)
        return sink.now.head
    }

    // MARK: If-Range

    @Test func `an entity tag is told to the host that gave it, and to no other`() async throws {
        try await run(redirects: true) { laboratory, _, blob in
            let upstream = laboratory.upstream()
            let first = try #require(try await head(upstream, blob, BlobRequest(range: .part(0...9))))
            let tag = try #require(first.entityTag)
            let tags = [first.host: tag, "elsewhere.example": "\"other\""]
            let rest = try await head(upstream, blob, BlobRequest(range: .from(10), entityTags: tags))
            #expect(rest?.range == 10..<100_000)
            #expect(laboratory.stub.log.requests(door: .registry).allSatisfy { $0["If-Range"] == nil })
            #expect(laboratory.stub.log.requests(door: .blobs).map { $0["If-Range"] } == [nil, tag])
        }
    }

    @Test func `a host whose tag has changed sends the whole, and the sink sees it`() async throws {
        try await run { laboratory, _, blob in
            laboratory.stub.inject(.changingEntityTag, into: "\(blob.digest)")
            let upstream = laboratory.upstream()
            let first = try #require(try await head(upstream, blob, BlobRequest(range: .part(0...9))))
            #expect(first.entityTag == "\"1\"")
            let request = BlobRequest(range: .from(10), entityTags: [first.host: "\"1\""])
            let second = try await head(upstream, blob, request)
            #expect(second?.size == 100_000 && second?.range == nil)
            laboratory.stub.inject(.ignoreIfRange, into: "\(blob.digest)")
            #expect(try await head(upstream, blob, request)?.range == 10..<100_000)
        }
    }

    @Test(arguments: ["W/\"a\"", "a", "\"a", ""])
    func `what is no strong tag is never sent`(_ tag: String) async throws {
        try await run { laboratory, _, blob in
            let tags = ["127.0.0.1:\(laboratory.stub.port())": tag]
            _ = try await head(laboratory.upstream(), blob, BlobRequest(range: .from(10), entityTags: tags))
            #expect(laboratory.stub.log.requests.map { $0["If-Range"] } == [nil])
        }
    }

    @Test func `without a range there is no If-Range`() {
        #expect(BlobRequest(entityTags: ["h": "\"a\""]).condition(for: "h") == nil)
        #expect(BlobRequest(range: .from(1), entityTags: ["h": "\"a\""]).condition(for: "h") == "\"a\"")
    }

    // MARK: Endpoints

    @Test func `one endpoint only, also when it fails`() async throws {
        try await run { laboratory, second, blob in
            let upstream = both(laboratory, second)
            let request = BlobRequest(endpoint: second.url)
            let only = try await head(upstream, blob, request)
            #expect(only?.endpoint == second.url)
            second.inject(.status(503), into: "/blobs/")
            guard case .failed(503, _) = await refusal(upstream, blob, request) else {
                Issue.record("expected the 503")
                return
            }
            #expect(laboratory.stub.log.requests.isEmpty)
            let stranger = BlobRequest(endpoint: "https://registry.example")
            #expect(try await head(upstream, blob, stranger)?.endpoint == laboratory.stub.url)
        }
    }

    @Test func `an avoided endpoint is asked after the others, those that failed of late included`() async throws {
        try await run { laboratory, second, blob in
            let upstream = both(laboratory, second)
            let request = BlobRequest(avoiding: [laboratory.stub.url])
            let only = try await head(upstream, blob, request)
            #expect(only?.endpoint == second.url)
            second.inject(.status(503), into: "/blobs/", times: 1)
            #expect(try await head(upstream, blob, request)?.endpoint == laboratory.stub.url)
            laboratory.stub.clearLog()
            #expect(try await head(upstream, blob, request)?.endpoint == second.url)
            #expect(laboratory.stub.log.requests.isEmpty)
            let neither = BlobRequest(avoiding: [laboratory.stub.url, second.url])
            #expect(try await head(upstream, blob, neither)?.endpoint == laboratory.stub.url)
        }
    }

    @Test func `a distrusted endpoint goes last for half a minute, however well it answers`() async throws {
        try await run { laboratory, second, blob in
            let upstream = both(laboratory, second)
            upstream.distrust(laboratory.stub.url, .refused("the bytes are not those of the digest"))
            upstream.distrust("https://registry.example", .refused("nobody"))
            #expect(upstream.figures.map(\.errors) == [1, 0])
            #expect(upstream.figures[0].lastError == "refused: the bytes are not those of the digest")
            _ = try await head(upstream, blob, BlobRequest(endpoint: laboratory.stub.url))
            #expect(try await head(upstream, blob, BlobRequest())?.endpoint == second.url)
            laboratory.clock.advance(by: .seconds(30))
            #expect(try await head(upstream, blob, BlobRequest())?.endpoint == laboratory.stub.url)
        }
    }

    // MARK: Refusals

    @Test func `a head the sink refuses is the next endpoint's turn, and brings no end`() async throws {
        try await run(size: 32 << 20) { laboratory, second, blob in
            let upstream = both(laboratory, second)
            let sink = RecordingSink { [url = second.url] head in
                head.endpoint == url ? .took : .refuse(.refused("too much"))
            }
            _ = try await upstream.blob(name, blob.digest, into: sink)
            await laboratory.stub.wait { $0.abandoned == 1 }
            #expect(await sink.end()?.error == nil)
            #expect(sink.now.heads == 2 && sink.now.ends.count == 1)
            #expect(sink.now.head?.endpoint == second.url)
            #expect(Digest.of(sink.now.bytes) == blob.digest)
            #expect(upstream.figures.map(\.errors) == [1, 0])
        }
    }

    @Test func `where every head is refused, the last reason is thrown`() async throws {
        try await run { laboratory, second, blob in
            let sink = RecordingSink { .refuse(.refused("not \($0.endpoint)")) }
            let error = await refusal(both(laboratory, second), blob, into: sink)
            #expect(error == .refused("not \(second.url)"))
            #expect(sink.now.heads == 2 && sink.now.ends.isEmpty && sink.now.bytes.isEmpty)
        }
    }

    @Test func `a refusal after which nobody may do better is final`() async throws {
        try await run { laboratory, second, blob in
            let upstream = both(laboratory, second)
            let sink = RecordingSink { _ in .refuse(.cancelled) }
            #expect(await refusal(upstream, blob, into: sink) == .cancelled)
            #expect(second.log.requests.isEmpty)
            #expect(upstream.figures.map(\.errors) == [0, 0])
        }
    }

    @Test func `a head may be taken and its body held back`() async throws {
        try await run { laboratory, _, blob in
            let sink = RecordingSink { _ in .pause }
            let transfer = try await laboratory.upstream().blob(name, blob.digest, into: sink)
            #expect(sink.now.bytes.isEmpty)
            transfer.resume()
            #expect(await sink.end()?.error == nil)
            #expect(sink.now.bytes == blob.bytes)
        }
    }

    // MARK: Ranges that are not to be had

    @Test func `a range beyond the end is unsatisfiable, and tells the size`() async throws {
        for redirects in [false, true] {
            try await run(redirects: redirects) { laboratory, second, blob in
                let request = BlobRequest(range: .from(100_000))
                let alone = laboratory.upstream()
                #expect(await refusal(alone, blob, request) == .unsatisfiable(size: 100_000))
                #expect(alone.figures.first?.errors == 1)
                #expect(alone.figures.first?.isHealthy == true)
                laboratory.stub.inject(.status(416), into: "\(blob.digest)")
                #expect(await refusal(alone, blob, request) == .unsatisfiable(size: nil))
                let better = try await head(both(laboratory, second), blob, BlobRequest(range: .from(10)))
                #expect(better?.endpoint == second.url)
            }
        }
    }

    @Test func `several ranges in one body are refused`() async throws {
        try await run { laboratory, _, blob in
            laboratory.stub.inject(
                .fields([("Content-Type", "multipart/byteranges; boundary=x")]), into: "\(blob.digest)")
            guard case .refused = await refusal(laboratory.upstream(), blob, BlobRequest(range: .from(10))) else {
                Issue.record("taken")
                return
            }
        }
    }

    @Test func `a total that cannot be is refused, one that lies or is unknown is the sink's to judge`() async throws {
        try await run { laboratory, _, blob in
            let upstream = laboratory.upstream()
            let request = BlobRequest(range: .part(10...19))
            for (total, size) in [("77777", Int64(77_777)), ("*", nil)] {
                laboratory.stub.heal()
                laboratory.stub.inject(.rangeTotal(total), into: "\(blob.digest)")
                let told = try await head(upstream, blob, request)
                #expect(told?.size == size)
            }
            laboratory.stub.heal()
            laboratory.stub.inject(.rangeTotal("15"), into: "\(blob.digest)")
            guard case .contradicted = await refusal(upstream, blob, request) else {
                Issue.record("taken")
                return
            }
        }
    }

    @Test func `a body cut again and again comes whole, piece by piece`() async throws {
        try await run { laboratory, _, blob in
            laboratory.stub.inject(.cuts(at: [30_000, 0, 1, 20_000], reset: false), into: "\(blob.digest)")
            let upstream = laboratory.upstream()
            var bytes: [UInt8] = []
            var asked = 0
            while bytes.count < blob.bytes.count, asked < 10 {
                asked += 1
                let sink = RecordingSink()
                let range = BlobRange.from(Int64(bytes.count))
                _ = try await upstream.blob(name, blob.digest, BlobRequest(range: range), into: sink)
                _ = await sink.end()
                bytes += sink.now.bytes
            }
            #expect(bytes == blob.bytes)
            #expect(asked == 5)
        }
    }

    @Test func `a registry's bounds are its configuration's`() {
        let configuration = UpstreamConfiguration(name: "x", endpoints: [])
        #expect(configuration.maxTransfers == 16)
        #expect(configuration.maxBandwidth == nil)
    }
}
