// Faults of the stub that other rooms' tests rely upon.
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("StubRegistry") struct StubFaultTests {
    private let name = Laboratory.name

    @Test func `a body stands at its gates, one after the other`() async throws {
        try await Laboratory.run { laboratory in
            var builder = ImageBuilder()
            let blob = laboratory.stub.add(blob: builder.blob(100_000), to: "\(name)")
            let gates = [StubGate(), StubGate()]
            laboratory.stub.inject(.holdBody(at: 70_000, gates[1]), into: "\(blob.digest)")
            laboratory.stub.inject(.holdBody(at: 10_000, gates[0]), into: "\(blob.digest)")
            let sink = RecordingSink()
            // Real time passes while it is held, on a busy machine a lot of it.
            let upstream = laboratory.upstream(stallTimeout: .seconds(300))
            _ = try await upstream.blob(name, blob.digest, into: sink)
            await sink.wait { $0.bytes.count == 10_000 }
            await laboratory.stub.wait { $0.held == 1 }
            #expect(laboratory.stub.log.serving == 1)
            gates[0].open()
            await sink.wait { $0.bytes.count == 70_000 }
            gates[1].open()
            #expect(await sink.end()?.error == nil)
            #expect(sink.now.bytes == blob.bytes)
            await laboratory.stub.wait { $0.serving == 0 }
            #expect(laboratory.stub.log.peakServing == 1)
        }
    }

    @Test func `bodies under way at the same time are counted`() async throws {
        try await Laboratory.run(StubOptions(redirectsBlobs: true)) { laboratory in
            var builder = ImageBuilder()
            let blob = laboratory.stub.add(blob: builder.blob(100_000), to: "\(name)")
            let gate = StubGate()
            laboratory.stub.inject(.holdBody(at: 0, gate), into: "/store/")
            // Real time passes while they are held, on a busy machine a lot of it.
            let upstream = laboratory.upstream(stallTimeout: .seconds(300))
            let sinks = [RecordingSink(), RecordingSink(), RecordingSink()]
            for sink in sinks { _ = try await upstream.blob(name, blob.digest, into: sink) }
            await laboratory.stub.wait { $0.held == 3 }
            laboratory.stub.clearLog()
            gate.open()
            for sink in sinks { #expect(await sink.end()?.error == nil) }
            await laboratory.stub.wait { $0.serving == 0 }
            #expect(laboratory.stub.log.peakServing == 3)
        }
    }

    @Test func `a redirect may come late`() async throws {
        try await Laboratory.run(StubOptions(redirectsBlobs: true)) { laboratory in
            var builder = ImageBuilder()
            let blob = laboratory.stub.add(blob: builder.blob(10), to: "\(name)")
            let gate = StubGate()
            laboratory.stub.inject(.hold(gate), into: "\(blob.digest)", at: .registry)
            let sink = RecordingSink()
            let upstream = laboratory.upstream()
            async let transfer = upstream.blob(name, blob.digest, into: sink)
            await laboratory.stub.wait { $0.held == 1 }
            #expect(laboratory.stub.log.requests(door: .blobs).isEmpty)
            gate.open()
            _ = try await transfer
            #expect(await sink.end()?.error == nil)
        }
    }
}
