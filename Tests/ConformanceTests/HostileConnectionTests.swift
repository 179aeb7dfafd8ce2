// Connections made to hurt: thousands that idle, that are cut at any moment, that read nothing. What they cost is seen
// from outside: the process's memory and descriptors, and whether others are served.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("connections made to hurt") struct HostileConnectionTests {
        @Test func `two thousand idle connections cost little, and nobody's service`() async throws {
            try await withStub { scene in
                for _ in 0..<200 { _ = try await scene.mirror.get("/v2/") }
                let (before, files) = (try scene.mirror.anonymousBytes(), try scene.mirror.descriptors())
                let count = 2_000
                let held = try await blocking {
                    try (0..<count).map { _ in
                        let connection = try Connection(port: scene.mirror.port)
                        try connection.expectVersion()
                        return connection
                    }
                }
                let cost = try scene.mirror.anonymousBytes() - before
                #expect(cost / count < 20_000, "bytes a connection")
                // Beside them all is as it was, a pull that is a miss too.
                let blob = scene.cargo(1 << 20)
                #expect(try await scene.pull(blob).isWhole)
                // And each of them is still served.
                try await blocking { for connection in held { try connection.expectVersion() } }
                #expect(try scene.mirror.descriptors() >= files + count)
            }
        }

        @Test func `beyond the limits a client is told 503, and those inside are served`() async throws {
            try await withStub(others: ["limits: {connections: 60, connections-per-address: 40}"]) { scene in
                let held = try await blocking {
                    try (0..<40).map { _ in
                        let connection = try Connection(port: scene.mirror.port)
                        try connection.expectVersion()
                        return connection
                    }
                }
                let answer = try await scene.mirror.get("/v2/")
                #expect(answer.status == 503 && answer.fields["Retry-After"] == "1", "\(answer.summary)")
                try await blocking { for connection in held { try connection.expectVersion() } }
            }
        }

        @Test func `thousands of resets leave no descriptor, and a fill goes on through them`() async throws {
            try await withStub { scene in
                let blob = scene.cargo(8 << 20)
                let path = scene.path(blob)
                _ = try await scene.mirror.get("/v2/")
                let files = try scene.mirror.descriptors()
                let gate = StubGate()
                scene.spoil(blob, .holdBody(at: 4 << 20, gate), times: 1)
                async let whole = scene.pull(blob)
                try await scene.upstreamSees("a body held") { $0.held == 1 }

                let request = "GET \(path) HTTP/1.1\r\nHost: m\r\n\r\n"
                var dice = Dice(seed: 7)
                let moments = (0..<3_000).map { _ in
                    (
                        sent: Int.random(in: 0...request.utf8.count * 2, using: &dice),
                        read: Int.random(in: 0...3 << 20, using: &dice)
                    )
                }
                try await blocking {
                    for (number, moment) in moments.enumerated() {
                        let connection = try Connection(port: scene.mirror.port, receiveBuffer: 64 << 10)
                        try connection.send(raw: String((request + request).prefix(moment.sent)))
                        // Every tenth takes some of the blob before it goes; it is on its way there.
                        if number % 10 == 0, moment.sent >= request.utf8.count {
                            _ = try connection.read(moment.read)
                        }
                        connection.resetWhenClosed()
                    }
                }
                gate.open()
                #expect(try await whole.isWhole)
                try await scene.stored()
                #expect(scene.contentRequests().count == 1)
                // A response that is over may take its file along a moment later; what stands must go.
                try await eventually(within: .seconds(20), "descriptors are back") {
                    try scene.mirror.descriptors() <= files + 12
                }
                #expect(scene.mirror.child.exitStatus == nil)
            }
        }

        @Test func `who reads nothing costs a socket and no memory, and is reset in the end`() async throws {
            try await withStub(others: ["limits: {client-stall-timeout: 3s}"]) { scene in
                let blob = scene.cargo(32 << 20)
                try await scene.mirror.warm(scene.path(blob))
                try await scene.stored()
                // Asked for again, its file stays open.
                #expect(try await scene.pull(blob).isWhole)
                let (before, files) = (try scene.mirror.anonymousBytes(), try scene.mirror.descriptors())
                let count = 200
                let readers = try await blocking {
                    try (0..<count).map { _ in
                        let connection = try Connection(port: scene.mirror.port, receiveBuffer: 16 << 10)
                        try connection.send("GET", scene.path(blob))
                        _ = try connection.readHead()
                        return connection
                    }
                }
                let cost = try scene.mirror.anonymousBytes() - before
                #expect(cost / count < 40_000, "bytes a reader")
                #expect(try await scene.pull(blob).isWhole)
                try await eventually(within: .seconds(20), "descriptors are back") {
                    try scene.mirror.descriptors() <= files
                }
                let endings = try await blocking { try readers.map { try $0.read(.max).ending } }
                #expect(endings.allSatisfy { $0 == .reset })
            }
        }
    }
}

extension Connection {
    /// One request that memory answers.
    fileprivate func expectVersion() throws {
        try send("GET", "/v2/")
        let head = try readHead()
        _ = try readBody(after: head)
        guard head.status == 200 else { throw HarnessError("/v2/ says \(head.status)") }
    }
}

extension Mirror {
    /// What the process itself holds in memory (RssAnon), in bytes.
    func anonymousBytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(child.identifier)/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
        guard let kibibytes = line?.split(separator: " ").compactMap({ Int($0) }).first else {
            throw HarnessError("no RssAnon in \(status)")
        }
        return kibibytes << 10
    }

    /// How many descriptors the process has open.
    func descriptors() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/\(child.identifier)/fd").count
    }
}
