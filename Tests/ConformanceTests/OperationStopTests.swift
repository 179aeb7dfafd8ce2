// How it ends, and who may begin: signals in the middle of a transfer, and two processes that want the same.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("a stop in the middle of a transfer") struct OperationStopTests {
        @Test(arguments: [SIGTERM, SIGINT])
        func `lets all who follow have the whole, if it comes in time`(signal: Int32) async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let blob = scene.cargo(6 << 20)
                let gate = StubGate()
                scene.upstream.inject(.holdBody(at: 2 << 20, gate), into: "\(blob.digest)", method: "GET", times: 1)
                async let first = scene.pull(blob)
                async let second = scene.pull(blob)
                try await eventually(within: .seconds(20), "two follow") {
                    try await scene.mirror.statistics()["in_flight"][0]["followers"].number == 2
                }
                scene.mirror.child.signal(signal)
                try await scene.logs("stopping")
                gate.open()
                let pulled = try await [first, second]
                for pull in pulled { #expect(pull.isWhole, "\(pull)") }
                #expect(try await scene.mirror.child.exit(within: .seconds(20)) == 0)
                let next = try await scene.again()
                let asked = scene.upstream.log.requests.count
                #expect(try await next.pull(blob).isWhole)
                #expect(scene.upstream.log.requests.count == asked)
            }
        }

        @Test(arguments: [SIGTERM, SIGINT])
        func `a second signal ends it at once, and what had come is kept`(second: Int32) async throws {
            func patient(_ upstreams: [StubRegistry]) -> String {
                "drain: 10m\n" + Mirror.dockerHub(on: upstreams[0].port(), ["ranges: 1"])
            }
            try await withOperation(upstreams: 1, patient) { (scene: OperationScene) async throws in
                let blob = scene.cargo(8 << 20)
                let stand = StubFault.holdBody(at: 6 << 20, StubGate())
                scene.upstream.inject(stand, into: "\(blob.digest)", method: "GET", times: 1)
                async let pulling = scene.pull(blob)
                try await eventually(within: .seconds(20), "6 MiB have come") {
                    try await scene.mirror.statistics()["in_flight"][0]["received"].number ?? 0 >= Double(6 << 20)
                }
                scene.mirror.child.signal(SIGTERM)
                try await scene.logs("stopping")
                scene.mirror.child.signal(second)
                #expect(try await scene.mirror.child.exit(within: .seconds(20)) == 0)
                let pulled = try await pulling
                #expect(!pulled.looksWhole && pulled.ending == .reset, "\(pulled)")

                scene.upstream.heal()
                let before = scene.upstream.log.bytesSent
                let next = try await scene.again()
                #expect(try await next.pull(blob).isWhole)
                // What was in the stage may be lost.
                #expect(scene.upstream.log.bytesSent - before <= 3 << 20)
            }
        }

        @Test func `idle it ends by INT as by TERM`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                scene.mirror.child.signal(SIGINT)
                #expect(try await scene.mirror.child.exit(within: .seconds(10)) == 0)
            }
        }

        @Test func `HUP while it starts or stops ends nothing`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let blob = scene.cargo(2 << 20)
                let pulled = try await scene.pull(blob, heldAt: 1 << 20) {
                    scene.mirror.child.signal(SIGTERM)
                    try await scene.logs("stopping")
                    scene.mirror.child.signal(SIGHUP)
                    try await scene.logs("reloaded")
                }
                #expect(pulled.isWhole, "\(pulled)")
                #expect(try await scene.mirror.child.exit(within: .seconds(20)) == 0)
                // As early as a signal can come.
                let next = try await scene.again(script: #"trap "" HUP; (sleep 0.05; kill -HUP $$) & exec "$0" "$@""#)
                #expect(try await next.pull(blob).isWhole)
            }
        }
    }

    @Suite("two that want the same") struct OperationRivalTests {
        private func serve(_ bench: Bench, port: Int, data: String) throws -> Child {
            try bench.start(
                "wharf", try Mirror.program(),
                ["serve", "--offline", "--listen", "127.0.0.1:\(port)", "--data", data])
        }

        @Test func `a second process on the same data is refused in one line, and harms nothing`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let blob = scene.cargo(300_000)
                #expect(try await scene.pull(blob).isWhole)
                try await scene.stored(1)
                let second = try serve(scene.bench, port: try freePort(), data: scene.mirror.data)
                #expect(try await second.exit(within: .seconds(20)) == 1)
                let lines = second.outputText().split(separator: "\n").filter { !$0.contains(" info ") }
                #expect(lines.count == 1, "\(lines)")
                #expect(lines.first?.contains("is held by another wharf") == true, "\(lines)")
                // The socket is still the first one's.
                #expect(try await scene.command("reload").status == 0)
                #expect(try await scene.pull(blob).isWhole)
            }
        }

        @Test func `of two that start at the same instant one serves`() async throws {
            try await withBench { bench in
                for round in 0..<12 {
                    let data = bench.path("data-\(round)")
                    let ports = [try freePort(), try freePort()]
                    let children = try ports.map { try serve(bench, port: $0, data: data) }
                    try await eventually(within: .seconds(20), "one gives way") {
                        children.contains { $0.exitStatus != nil }
                    }
                    let loser = children[0].exitStatus != nil ? 0 : 1
                    #expect(children[loser].exitStatus == 1)
                    #expect(children[loser].outputText().contains("is held by another wharf"))
                    try await answers(on: ports[1 - loser], by: children[1 - loser])
                    let (status, output) = try await bench.run(try Mirror.program(), ["reload", "--data", data])
                    #expect(status == 0, "\(output)")
                    await children[1 - loser].end()
                    #expect(children[1 - loser].exitStatus == 0)
                }
            }
        }

        @Test func `a port that another mirror has is told in one line`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let second = try serve(scene.bench, port: scene.mirror.port, data: scene.bench.path("other"))
                #expect(try await second.exit(within: .seconds(20)) == 1)
                let lines = second.outputText().split(separator: "\n").filter { !$0.contains(" info ") }
                #expect(lines.count == 1, "\(lines)")
                #expect(lines.first?.contains("cannot listen on 127.0.0.1:\(scene.mirror.port)") == true, "\(lines)")
            }
        }
    }
}
