// Blobs of an upstream: streamed with back-pressure, ranges, redirects, and how they end.
import HTTPSemantics
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("end-2 of an upstream") struct BlobTests {
    private let name = Laboratory.name

    private func run(
        size: Int = 100_000, redirects: Bool = false, _ body: (Laboratory, TestBlob) async throws -> Void
    ) async throws {
        try await Laboratory.run(StubOptions(redirectsBlobs: redirects)) { laboratory in
            var builder = ImageBuilder()
            try await body(laboratory, laboratory.stub.add(blob: builder.blob(size), to: "\(name)"))
        }
    }

    private func refusal(
        _ upstream: UpstreamRegistry, _ blob: TestBlob, _ range: BlobRange? = nil, into sink: RecordingSink? = nil
    ) async -> UpstreamError? {
        await failure { () async throws(UpstreamError) in
            try await upstream.blob(name, blob.digest, BlobRequest(range: range), into: sink ?? RecordingSink())
        }
    }

    @Test func `a blob streams into its sink: head, bytes, one end`() async throws {
        try await run { laboratory, blob in
            let upstream = laboratory.upstream()
            let sink = RecordingSink()
            _ = try await upstream.blob(name, blob.digest, into: sink)
            #expect(await sink.end()?.error == nil)
            let state = sink.now
            #expect(state.bytes == blob.bytes)
            #expect(state.heads == 1 && state.ends.count == 1)
            #expect(state.head?.size == 100_000)
            #expect(state.head?.range == nil)
            #expect(state.head?.entityTag == "\"\(blob.digest)\"")
            #expect(state.head?.endpoint == laboratory.stub.url)
            #expect(upstream.figures.first?.bytes == 100_000)
        }
    }

    @Test func `it returns at the head, while the body is still to come`() async throws {
        try await run { laboratory, blob in
            laboratory.stub.inject(.stall(at: 1000), into: "\(blob.digest)")
            let sink = RecordingSink()
            let transfer = try await laboratory.upstream().blob(name, blob.digest, into: sink)
            await sink.wait { $0.bytes.count == 1000 && $0.settles > 0 }
            #expect(sink.now.ends.isEmpty)
            transfer.cancel()
            #expect(await sink.end()?.error == .cancelled)
        }
    }

    @Test func `a sink's pause stops the upstream, and its resume loses nothing`() async throws {
        try await run(size: 32 << 20) { laboratory, blob in
            let sink = RecordingSink(pauseAt: 1 << 20)
            _ = try await laboratory.upstream().blob(name, blob.digest, into: sink)
            await sink.wait { $0.isPaused }
            #expect(laboratory.stub.log.bytesSent < 32 << 20)
            sink.unpause()
            #expect(await sink.end()?.error == nil)
            #expect(Digest.of(sink.now.bytes) == blob.digest)
        }
    }

    @Test func `after its end nothing holds the sink or its transfer`() async throws {
        try await run { laboratory, blob in
            let left = try await fetch(blob, laboratory)
            await laboratory.transport.stop()  // the thread lets go a moment after its last call
            #expect(left.sink == nil)
            #expect(left.transfer == nil)
        }
    }

    private struct Left {
        weak var sink: RecordingSink?
        weak var transfer: Exchange?
    }

    private func fetch(_ blob: TestBlob, _ laboratory: Laboratory) async throws -> Left {
        let sink = RecordingSink()
        let transfer = try await laboratory.upstream().blob(name, blob.digest, into: sink)
        #expect(await sink.end()?.error == nil)
        return Left(sink: sink, transfer: transfer as? Exchange)
    }

    @Test func `a sink may give up at any byte`() async throws {
        try await run { laboratory, blob in
            let sink = RecordingSink(bytesVerdict: .abort)
            _ = try? await laboratory.upstream().blob(name, blob.digest, into: sink)
            #expect(await sink.end()?.error == .cancelled)
            #expect(sink.now.ends.count == 1)
        }
    }

    @Test(arguments: [(BlobRange.from(99_000), 99_000..<100_000), (.part(10...19), 10..<20)])
    func `a range brings its part and the whole's size`(_ asked: BlobRange, _ range: Range<Int>) async throws {
        for redirects in [false, true] {
            try await run(redirects: redirects) { laboratory, blob in
                let sink = RecordingSink()
                _ = try await laboratory.upstream().blob(name, blob.digest, BlobRequest(range: asked), into: sink)
                #expect(await sink.end()?.error == nil)
                #expect(sink.now.bytes == Array(blob.bytes[range]))
                #expect(sink.now.head?.range == Int64(range.lowerBound)..<Int64(range.upperBound))
                #expect(sink.now.head?.size == 100_000)
            }
        }
    }

    @Test func `a range that is ignored brings the whole, and says so`() async throws {
        try await run { laboratory, blob in
            laboratory.stub.inject(.ignoreRange, into: "\(blob.digest)")
            let sink = RecordingSink()
            _ = try await laboratory.upstream().blob(name, blob.digest, BlobRequest(range: .from(10)), into: sink)
            #expect(await sink.end()?.error == nil)
            #expect(sink.now.head?.range == nil)
            #expect(sink.now.bytes == blob.bytes)
        }
    }

    @Test func `a 206 nobody asked for, and an HTML page, never reach the sink`() async throws {
        try await run { laboratory, blob in
            for fault in [StubFault.partialUnasked, .html, .fields([("Content-Type", "text/html")])] {
                laboratory.stub.heal()
                laboratory.stub.inject(fault, into: "\(blob.digest)")
                let sink = RecordingSink()
                switch await refusal(laboratory.upstream(), blob, into: sink) {
                case .refused, .contradicted: break
                default: Issue.record("taken: \(fault)")
                }
                #expect(sink.now.heads == 0 && sink.now.ends.isEmpty)
            }
        }
    }

    @Test func `a body without a length has no size`() async throws {
        try await run { laboratory, blob in
            laboratory.stub.inject(.chunked, into: "\(blob.digest)")
            let sink = RecordingSink()
            _ = try await laboratory.upstream().blob(name, blob.digest, into: sink)
            #expect(await sink.end()?.error == nil)
            #expect(sink.now.head?.size == nil)
            #expect(sink.now.bytes == blob.bytes)
        }
    }

    @Test(arguments: [StubFault.cut(at: 5000, reset: true), .cut(at: 5000, reset: false)])
    func `a cut body is incomplete and tells from where to go on`(_ fault: StubFault) async throws {
        try await run { laboratory, blob in
            laboratory.stub.inject(fault, into: "\(blob.digest)", times: 1)
            let upstream = laboratory.upstream()
            let sink = RecordingSink()
            _ = try await upstream.blob(name, blob.digest, into: sink)
            let error = await sink.end()?.error
            let received = sink.now.bytes.count
            #expect(error == .incomplete(received: Int64(received), expected: 100_000))
            #expect(error?.isTransient == true)
            #expect(upstream.figures.first?.errors == 1)
            let rest = RecordingSink()
            let request = BlobRequest(range: .from(Int64(received)))
            _ = try await upstream.blob(name, blob.digest, request, into: rest)
            #expect(await rest.end()?.error == nil)
            #expect(sink.now.bytes + rest.now.bytes == blob.bytes)
        }
    }

    @Test func `a body shorter than announced is incomplete`() async throws {
        try await run { laboratory, blob in
            laboratory.stub.inject(.overstate(by: 7), into: "\(blob.digest)")
            let sink = RecordingSink()
            _ = try await laboratory.upstream().blob(name, blob.digest, into: sink)
            #expect(await sink.end()?.error == .incomplete(received: 100_000, expected: 100_007))
        }
    }

    @Test func `a size is asked by HEAD, through redirects too`() async throws {
        for redirects in [false, true] {
            try await run(redirects: redirects) { laboratory, blob in
                let size = try await laboratory.upstream().blobSize(name, blob.digest)
                #expect(size == 100_000)
                #expect(laboratory.stub.log.requests.allSatisfy { $0.method == "HEAD" })
            }
        }
    }

    @Test(arguments: [403, 405])
    func `a store that refuses HEAD is asked for the first byte, by a redirect of its own`(_ status: Int) async throws {
        try await run(redirects: true) { laboratory, blob in
            laboratory.stub.inject(.status(status), into: "/store/", method: "HEAD")
            let upstream = laboratory.upstream()
            #expect(try await upstream.blobSize(name, blob.digest) == 100_000)
            let last = try #require(laboratory.stub.log.requests.last)
            #expect(last.method == "GET" && last.range == "bytes=0-0" && last.query?.hasSuffix("for=GET") == true)
            #expect(upstream.figures.first?.errors == 0)
            laboratory.stub.inject(.ignoreRange, into: "/store/")
            #expect(try await upstream.blobSize(name, blob.digest) == 100_000)
        }
    }

    @Test func `the empty blob has no first byte, and a size all the same`() async throws {
        try await run(size: 0, redirects: true) { laboratory, blob in
            laboratory.stub.inject(.status(405), into: "/store/", method: "HEAD")
            let size = try await laboratory.upstream().blobSize(name, blob.digest)
            #expect(size == 0)
        }
    }

    @Test func `the registry's own 403 of a HEAD is a denial, its 404 unknown`() async throws {
        try await run { laboratory, blob in
            let upstream = laboratory.upstream()
            laboratory.stub.inject(.status(403), into: "\(blob.digest)")
            let denied = await failure { () async throws(UpstreamError) in
                try await upstream.blobSize(name, blob.digest)
            }
            guard case .denied(403, _) = denied else {
                Issue.record("\(String(describing: denied))")
                return
            }
            #expect(laboratory.stub.log.requests.count == 1)
            let other = TestBlob([1, 2, 3])
            guard case .unknown = await refusal(upstream, other) else {
                Issue.record("expected unknown")
                return
            }
        }
    }

    @Test func `redirects in a circle end after five`() async throws {
        try await run { laboratory, blob in
            laboratory.stub.inject(
                .redirect(to: "/v2/\(name)/blobs/\(blob.digest)?signature=secret"), into: "\(blob.digest)")
            guard case .refused(let rule) = await refusal(laboratory.upstream(), blob) else {
                Issue.record("expected a refusal")
                return
            }
            #expect(!rule.contains("secret"))
            #expect(laboratory.stub.log.requests.count == 6)
        }
    }
}
