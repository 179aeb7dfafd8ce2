// Blobs for which there is no room: they pass through, and the folder never grows much beyond what it may hold.

import Foundation
import OCI
import Synchronization
import TestSupport
import Testing

extension Conformance {
    @Suite("a blob larger than the cache") struct PassingTests {
        /// What database and journal may have besides.
        private static let besides = 6_000_000

        @Test(arguments: [1, 30]) func `passes through whole, and the disk keeps nothing of it`(
            megabytes: Int
        ) async throws {
            try await withStub(others: ["cache: {max-size: \(megabytes)MB}"]) { scene in
                let blob = scene.cargo(100_000_000)
                let (pulled, most) = try await peak(of: scene.mirror.data) { try await scene.pull(blob) }
                #expect(pulled.isWhole, "\(pulled)")
                // RFC 9211 §2.5
                #expect(!pulled.cacheStatus.contains("stored"), "\(pulled.cacheStatus)")
                #expect(most <= megabytes * 1_000_000 + Self.besides, "\(most)")
                #expect(try await scene.leftovers() == .none)
                #expect(Gauge.bytes(in: scene.mirror.data) <= Self.besides)
                // Once is enough for one client that reads along.
                #expect(try await scene.bytesFromUpstream() <= blob.bytes.count * 102 / 100)
            }
        }

        @Test func `two clients at once both get it whole`() async throws {
            try await withStub(others: ["cache: {max-size: 30MB}"]) { scene in
                let blob = scene.cargo(100_000_000)
                let (pulls, most) = try await peak(of: scene.mirror.data) {
                    async let first = scene.pull(blob)
                    async let second = scene.pull(blob)
                    return [try await first, try await second]
                }
                for pulled in pulls { #expect(pulled.isWhole, "\(pulled)") }
                #expect(most <= 30_000_000 + Self.besides, "\(most)")
                #expect(try await scene.leftovers() == .none)
            }
        }

        @Test func `a slow client holds the upstream back and gets it whole`() async throws {
            try await withStub(others: ["cache: {max-size: 30MB}"]) { scene in
                let blob = scene.cargo(60_000_000)
                let (pulled, most) = try await peak(of: scene.mirror.data) {
                    try await scene.pull(blob, Pull(rate: 40_000_000))
                }
                #expect(pulled.isWhole, "\(pulled)")
                #expect(most <= 30_000_000 + Self.besides, "\(most)")
                #expect(try await scene.bytesFromUpstream() <= blob.bytes.count * 102 / 100)
            }
        }

        @Test func `a range of it is a true 206`() async throws {
            try await withStub(others: ["cache: {max-size: 30MB}"]) { scene in
                let blob = scene.cargo(100_000_000)
                let (_, most) = try await peak(of: scene.mirror.data) {
                    for range in [0..<1, 50_000_000..<50_100_000, 99_999_000..<100_000_000] {
                        let pulled = try await scene.pull(
                            blob, range: "bytes=\(range.lowerBound)-\(range.upperBound - 1)")
                        #expect(pulled.isPart(range), "\(pulled)")
                    }
                    let open = try await scene.pull(
                        blob, Pull(fields: ["Range": "bytes=90000000-"], patience: .seconds(10)))
                    #expect(open.isPart(90_000_000..<100_000_000), "\(open)")
                }
                #expect(most <= 30_000_000 + Self.besides, "\(most)")
            }
        }

        @Test func `a client that leaves ends the transfer, and nothing stays`() async throws {
            try await withStub(others: ["cache: {max-size: 30MB}"]) { scene in
                let blob = scene.cargo(100_000_000)
                let left = try await scene.pull(blob, Pull(leavesAfter: 1_000_000))
                #expect(left.status == 200 && left.isRight, "\(left)")
                try await scene.upstreamSees("its end") { $0.serving == 0 }
                #expect(try await scene.leftovers() == .none)
                let pulled = try await scene.pull(blob)
                #expect(pulled.isWhole, "\(pulled)")
            }
        }

        @Test func `a break is repaired for it too`() async throws {
            try await withStub(others: ["cache: {max-size: 30MB}"]) { scene in
                let blob = scene.cargo(100_000_000)
                scene.spoil(blob, .cuts(at: [1, 40_000_000, 70_000], reset: true))
                let pulled = try await scene.pull(blob)
                #expect(pulled.isWhole, "\(pulled)")
            }
        }

        @Test func `corrupted it never comes whole`() async throws {
            try await withStub(keys: ["give-up-after: 1s"], others: ["cache: {max-size: 30MB}"]) { scene in
                let blob = scene.cargo(100_000_000)
                scene.spoil(blob, .corrupt(at: 50_000_000), times: 1)
                let pulled = try await scene.pull(blob)
                #expect(pulled.ending == .reset, "\(pulled)")
                let next = try await scene.pull(blob)
                #expect(next.isWhole, "\(next)")
            }
        }
    }
}

/// Runs `body`, and tells the most that a folder held on the disk meanwhile, read again and again.
private func peak<Value>(
    of folder: String, while body: () async throws -> Value
) async throws -> (value: Value, most: Int) {
    let gauge = Gauge(folder)
    defer { gauge.stop() }
    return (try await body(), gauge.most)
}

private final class Gauge: Sendable {
    private struct State {
        var most = 0
        var isStopping = false
    }

    private let state = Mutex(State())

    init(_ folder: String) {
        Thread.detachNewThread { [self] in
            while !state.withLock({ $0.isStopping }) {
                let now = Gauge.bytes(in: folder)
                state.withLock { $0.most = max($0.most, now) }
                usleep(5000)
            }
        }
    }

    var most: Int { state.withLock { $0.most } }

    func stop() { state.withLock { $0.isStopping = true } }

    /// Bytes of blocks, as `du` counts them.
    static func bytes(in folder: String) -> Int {
        // A file that has gone meanwhile holds nothing.
        let paths = (try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? []
        return paths.reduce(0) { sum, path in
            var status = stat()
            guard lstat("\(folder)/\(path)", &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return sum }
            return sum + Int(status.st_blocks) * 512
        }
    }
}
