// The bytes a second of one upstream: the bucket, and streams that wait for it.
import HTTPSemantics
import HTTPTypes
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("Bandwidth") struct BandwidthTests {
    private let clock = ManualClock()
    private static let kibi = 1024

    @Test func `after a rest a burst of 100 ms passes, then the rate`() {
        let bandwidth = Bandwidth(bytesPerSecond: 10_000_000, clock: clock)
        #expect(bandwidth.take(1_000_000) == nil)
        #expect(bandwidth.take(10_000) == .milliseconds(1))
        clock.advance(by: .milliseconds(11))
        #expect(bandwidth.take(100_000) == nil)
        clock.advance(by: .seconds(60))
        #expect(bandwidth.take(1_000_000) == nil)
        #expect(bandwidth.take(1) != nil)
    }

    @Test func `the burst is 64 KiB at least`() {
        let bandwidth = Bandwidth(bytesPerSecond: 1000, clock: clock)
        #expect(bandwidth.take(64 * Self.kibi) == nil)
        #expect(bandwidth.take(500) == .milliseconds(500))
    }

    @Test func `who comes later waits for those before it`() {
        let bandwidth = Bandwidth(bytesPerSecond: 1000, clock: clock)
        _ = bandwidth.take(64 * Self.kibi)
        #expect((1...3).map { _ in bandwidth.take(1000) } == [.seconds(1), .seconds(2), .seconds(3)])
        clock.advance(by: .seconds(1))
        #expect(bandwidth.take(1000) == .seconds(3))
    }

    @Test func `a piece larger than the burst passes in its time`() {
        let bandwidth = Bandwidth(bytesPerSecond: 64 * 1024, clock: clock)
        #expect(bandwidth.take(128 * Self.kibi) == .seconds(1))
        clock.advance(by: .seconds(2))
        #expect(bandwidth.take(64 * Self.kibi) == nil)
    }

    @Test func `a transfer draws once for bytes that are offered again, and for more only the rest`() {
        let bandwidth = Bandwidth(bytesPerSecond: 1000, clock: clock)
        _ = bandwidth.take(64 * Self.kibi)
        var share = BandwidthShare()
        #expect(share.offered(100, from: bandwidth) == .hold(.milliseconds(100)))
        #expect(share.offered(100, from: bandwidth) == .stay)
        clock.advance(by: .milliseconds(100))
        share.ripened()
        #expect(share.offered(100, from: bandwidth) == .pass)
        #expect(share.offered(100, from: bandwidth) == .pass)  // whom it is for has said pause
        #expect(share.offered(150, from: bandwidth) == .hold(.milliseconds(50)))
        clock.advance(by: .milliseconds(50))
        share.ripened()
        #expect(share.offered(150, from: bandwidth) == .pass)
        share.passed(150)
        #expect(share.offered(10, from: bandwidth) == .hold(.milliseconds(10)))
    }
}

@Suite("Bandwidth of an upstream") struct BandwidthOfUpstreamTests {
    private let name = Laboratory.name

    /// One transfer without a network: what it is told is written down.
    private final class Script: Transport, Transfer {
        let resumes = Watched(0)

        func begin(_ request: TransferRequest, _ receiver: any TransferReceiver) -> any Transfer { self }
        func resume() { resumes.change { $0 += 1 } }
        func cancel() {}
    }

    private struct Streaming {
        let clock = ManualClock()
        let script = Script()
        let exchange: Exchange
        let bandwidth: Bandwidth

        /// 1000 bytes a second, and the burst used up.
        init(into sink: RecordingSink) async throws {
            let bandwidth = Bandwidth(bytesPerSecond: 1000, clock: clock)
            _ = bandwidth.take(64 * 1024)
            self.bandwidth = bandwidth
            exchange = Exchange(hasBody: true, bandwidth: bandwidth) { head, exchange in
                let head = BlobHead(
                    size: head.length, range: nil, entityTag: nil, host: "h", remoteAddress: nil, endpoint: "http://h",
                    transfer: exchange)
                return .stream(head, sink)
            }
            let request = TransferRequest(
                method: .get, url: try #require(UpstreamURL("http://h/")), fields: [:], version: .http1,
                connectTimeout: .seconds(5), stallTimeout: .seconds(20))
            async let answer = exchange.answer(to: request, over: script)
            await untilAttached()
            #expect(exchange.head(ResponseHead(status: 200, fields: [:], length: nil)) == .took)
            _ = try await answer
        }

        private func untilAttached() async {
            exchange.resume()  // kept until the transfer is there
            await script.resumes.wait { $0 == 1 }
        }

        func offer(_ count: Int) -> Verdict {
            [UInt8](repeating: 1, count: count).withUnsafeBytes { exchange.bytes($0) }
        }
    }

    @Test func `a stream is paused until its time, whoever resumes it earlier`() async throws {
        let sink = RecordingSink()
        let streaming = try await Streaming(into: sink)
        #expect(streaming.offer(500) == .pause)
        await streaming.clock.sleepers(1)
        #expect(streaming.offer(500) == .pause)
        #expect(streaming.clock.sleeperCount == 1)
        #expect(sink.now.bytes.isEmpty)
        streaming.clock.advance(by: .milliseconds(500))
        await streaming.script.resumes.wait { $0 == 2 }
        #expect(streaming.offer(500) == .took)
        #expect(sink.now.bytes.count == 500)
        #expect(streaming.offer(1) == .pause)
        streaming.exchange.finished(.cancelled)
    }

    @Test func `a sink's own pause costs no bandwidth twice`() async throws {
        let sink = RecordingSink(pauseAt: 0)
        let streaming = try await Streaming(into: sink)
        streaming.clock.advance(by: .seconds(1))
        for _ in 1...3 { #expect(streaming.offer(1000) == .pause) }
        #expect(sink.now.isPaused)
        #expect(streaming.clock.sleeperCount == 0)
        sink.unpause()
        #expect(streaming.offer(1000) == .took)
        #expect(streaming.bandwidth.take(1000) == .seconds(1))
        streaming.exchange.finished(.complete)
    }

    @Test func `an end while it waits ends the waiting`() async throws {
        let sink = RecordingSink()
        let streaming = try await Streaming(into: sink)
        #expect(streaming.offer(500) == .pause)
        await streaming.clock.sleepers(1)
        streaming.exchange.finished(.cancelled)
        #expect(streaming.clock.sleeperCount == 0)
        #expect(await sink.end()?.error == .cancelled)
    }

    @Test func `a blob comes at the rate, over libcurl too`() async throws {
        try await Laboratory.run { laboratory in
            var builder = ImageBuilder()
            let blob = laboratory.stub.add(blob: builder.blob(100_000), to: "\(name)")
            let sink = RecordingSink()
            _ = try await laboratory.upstream(maxBandwidth: 1000).blob(name, blob.digest, into: sink)
            await laboratory.clock.sleepers(1)
            #expect((1...65536).contains(sink.now.bytes.count))
            laboratory.clock.advance(by: .seconds(300))
            #expect(await sink.end()?.error == nil)
            #expect(sink.now.bytes == blob.bytes)
        }
    }

    @Test func `manifests count and do not wait`() async throws {
        try await Laboratory.run { laboratory in
            var builder = ImageBuilder()
            let manifest = TestBlob([UInt8](repeating: 32, count: 100_000), .ociManifest)
            laboratory.stub.add(manifest: manifest, to: "\(name)")
            let blob = laboratory.stub.add(blob: builder.blob(10), to: "\(name)")
            let upstream = laboratory.upstream(maxBandwidth: 1000)
            let fetched = try await upstream.manifest(name, .digest(manifest.digest))
            #expect(fetched.bytes == manifest.bytes)
            let sink = RecordingSink()
            _ = try await upstream.blob(name, blob.digest, into: sink)
            await laboratory.clock.sleepers(1)
            #expect(sink.now.bytes.isEmpty)
            laboratory.clock.advance(by: .seconds(35))
            #expect(await sink.end()?.error == nil)
        }
    }
}
