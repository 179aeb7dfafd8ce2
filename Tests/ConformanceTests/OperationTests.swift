// What surrounds it and is not as it should be: streams that are closed, limits that are low, clocks that jump.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("an environment that is not as it should be") struct OperationTests {
        /// Has a mirror work, restart and work again, and looks whether all that it stored is right.
        private func works(_ scene: OperationScene, script: String) async throws {
            let blobs = (1...3).map { scene.cargo(700_000, seed: $0) }
            for blob in blobs { #expect(try await scene.pull(blob).isWhole) }
            try await scene.stored(3)
            #expect(try await scene.mirror.stop() == 0)
            let next = try await scene.again(script: script)
            for blob in blobs { #expect(try await next.pull(blob).isWhole) }
            let (status, output) = try await next.command("scrub")
            #expect(status == 0)
            #expect(output.contains("checked 3 blobs, 2100000 bytes: 0 damaged, 0 missing"), "\(output)")
        }

        // MARK: Streams

        @Test(arguments: [">&- 2>&-", "<&- >&- 2>&-", "2>&-", "<&- 2>&-"])
        func `streams that are closed at the start`(redirects: String) async throws {
            let script = #"exec "$0" "$@" "# + redirects
            try await withOperation(script: script) { (scene: OperationScene) async throws in
                for descriptor in 0...2 {
                    let link = "/proc/\(scene.mirror.child.identifier)/fd/\(descriptor)"
                    let target = try FileManager.default.destinationOfSymbolicLink(atPath: link)
                    #expect(target == "/dev/null" || target == scene.mirror.child.output, "\(descriptor): \(target)")
                }
                try await works(scene, script: script)
            }
        }

        @Test func `a reader of the log that goes away`() async throws {
            let script = #"exec "$0" "$@" 2> >(head -n 1 >/dev/null)"#
            try await withOperation(script: script) { try await works($0, script: script) }
        }

        @Test func `a reader of the log that stops reading`() async throws {
            let script = #"exec "$0" "$@" 2> >(exec sleep 600)"#
            try await withOperation(script: script) { (scene: OperationScene) async throws in
                // More than a pipe holds, and more than may wait.
                let name = String(repeating: "x", count: 200)
                try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    for _ in 0..<6000 {
                        try connection.send("HEAD", "/v2/?ns=\(name)")
                        #expect(try connection.readHead().status == 200)
                    }
                }
                try await works(scene, script: script)
            }
        }

        // MARK: Limits

        @Test func `who is in is served, however many more want to come in than there are descriptors`() async throws {
            try await withOperation(script: #"ulimit -n 256; exec "$0" "$@""#) { (scene: OperationScene) async throws in
                let (stored, other) = (scene.cargo(200_000), scene.cargo(200_000, seed: 2))
                #expect(try await scene.pull(stored).isWhole)
                let port = scene.mirror.port
                let paths = [stored, other].map(scene.path)
                let flood = try await blocking {
                    let mine = try Connection(port: port)
                    try mine.send("HEAD", "/v2/")
                    #expect(try mine.readHead().status == 200)
                    let flood = try (0..<400).map { _ in try Connection(port: port) }
                    for (path, blob) in zip(paths, [stored, other]) {
                        try mine.send("GET", path)
                        let head = try mine.readHead()
                        #expect(head.status == 200)
                        #expect(try mine.readBody(after: head).0 == blob.bytes)
                    }
                    return flood
                }
                #expect(try await scene.command("reload").status == 0)
                withExtendedLifetime(flood) {}
            }
        }

        @Test func `fewer descriptors than connections`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let blob = scene.cargo(200_000)
                #expect(try await scene.pull(blob).isWhole)
                // Fewer than it has counted on.
                try await scene.bench.succeed("prlimit", ["--pid", "\(scene.mirror.child.identifier)", "--nofile=60:"])
                var connections: [Connection] = []
                for _ in 0..<150 { connections.append(try Connection(port: scene.mirror.port)) }
                let before = try processorTime(of: scene.mirror.child)
                try await Task.sleep(for: .seconds(3))
                // It must not spin: of two loops, a tenth of one core's time.
                #expect(try processorTime(of: scene.mirror.child) - before < 0.3)
                #expect(scene.mirror.child.exitStatus == nil)
                try await scene.logs("connections wait")
                connections = []
                try await eventually(within: .seconds(20), "it serves again") {
                    (try? await ask("GET", "/v2/", port: scene.mirror.port, within: .seconds(2)))?.status == 200
                }
                #expect(try await scene.pull(blob).isWhole)
                let other = scene.cargo(200_000, seed: 2)
                #expect(try await scene.pull(other).isWhole)
            }
        }

        /// Seconds of processor time that a process has taken.
        private func processorTime(of child: Child) throws -> Double {
            let text = try String(contentsOfFile: "/proc/\(child.identifier)/stat", encoding: .utf8)
            let fields = text.drop { $0 != ")" }.split(separator: " ")
            guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13]) else {
                throw HarnessError("/proc/\(child.identifier)/stat: \(text)")
            }
            return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
        }

        @Test(arguments: [true, false])
        func `no process or thread can be made`(isWarm: Bool) async throws {
            try await withStubLogin { (scene: OperationScene) async throws in
                let (blob, other) = (scene.cargo(200_000), scene.cargo(200_000, seed: 2))
                if isWarm { #expect(try await scene.pull(blob).isWhole) }
                // The soft limit, which its user may raise again.
                func limit(_ count: String) async throws {
                    let limit = ["prlimit", "--pid", "\(scene.mirror.child.identifier)", "--nproc=\(count):"]
                    try await scene.bench.succeed(
                        "setpriv", ["--reuid=61234", "--regid=61234", "--clear-groups"] + limit)
                }
                try await limit("1")
                if isWarm { scene.upstream.revokeTokens() }
                let pulled = try await scene.pull(other)
                #expect(!pulled.looksWhole || pulled.isWhole, "\(pulled)")
                #expect(try await scene.mirror.get("/v2/").status == 200)
                #expect(scene.mirror.child.exitStatus == nil)
                try await limit("1000")
                try await eventually(within: .seconds(30), "it pulls again") {
                    let pulled = try await scene.pull(other)
                    return pulled.isWhole
                }
            }
        }

        /// A mirror of another user's, who alone is bound by a limit on processes, with a credential helper.
        private func withStubLogin(_ body: (OperationScene) async throws -> Void) async throws {
            let upstream = try await StubRegistry.start(StubOptions(authentication: .bearer()))
            let outcome: Result<Void, any Error>
            do {
                try await withBench { bench in
                    let helper = try bench.write(
                        "#!/bin/sh\necho '{\"Username\":\"u\",\"Secret\":\"s\"}'\n", to: "docker-credential-tests")
                    try await bench.succeed("chmod", ["755", helper, bench.folder])
                    let config = try bench.write(#"{"credsStore": "tests"}"#, to: "config.json")
                    let data = try bench.makeFolder("data")
                    try await bench.succeed("chown", ["61234:61234", data])
                    let scene = try await OperationScene.start(
                        on: bench, [upstream], Mirror.dockerHub(on: upstream.port(), ["docker-config: \(config)"]),
                        data: data, script: Self.asAnother,
                        surroundings: Surroundings(variables: ["PATH": "\(bench.folder):\(Programs.searchPath)"]))
                    try await body(scene)
                }
                outcome = .success(())
            } catch { outcome = .failure(error) }
            await upstream.stop()
            try outcome.get()
        }

        /// A user that nobody else is.
        private static let asAnother = #"exec setpriv --reuid=61234 --regid=61234 --clear-groups "$0" "$@""#

        // MARK: Places

        @Test func `no HOME, a working directory that cannot be written, and no room in tmp`() async throws {
            // The bench lies in /tmp: it is mounted back into the one that is full.
            let script = #"""
                set -e
                bench=$HOME
                unset HOME TMPDIR
                if [ -z "$WHARF_TEST_INSIDE" ]; then
                    export WHARF_TEST_INSIDE=1 HOME=$bench
                    exec unshare -m --propagation private /bin/bash -c "$script" "$0" "$@"
                fi
                mkdir -p /mnt; mount --bind "$bench" /mnt
                mount -t tmpfs -o size=4k none /tmp; mkdir "$bench"; mount --bind /mnt "$bench"
                mount -o remount,ro,size=4k /tmp; cd /proc
                exec "$0" "$@"
                """#
            let whole = "export script='" + script.replacingOccurrences(of: "'", with: #"'\''"#) + "'\n" + script
            try await withOperation(script: whole) { (scene: OperationScene) async throws in
                let pid = scene.mirror.child.identifier
                let environment = try String(contentsOfFile: "/proc/\(pid)/environ", encoding: .utf8)
                #expect(!environment.split(separator: "\0").contains { $0.hasPrefix("HOME=") })
                #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd") == "/proc")
                try await works(scene, script: whole)
            }
        }

        @Test func `a user who is not root`() async throws {
            try await withBench { bench in
                let upstream = try await StubRegistry.start()
                let data = try bench.makeFolder("data")
                try await bench.succeed("chmod", ["755", bench.folder])
                try await bench.succeed("chown", ["61234:61234", data])
                let scene = try await OperationScene.start(
                    on: bench, [upstream], Mirror.dockerHub(on: upstream.port()), data: data, script: Self.asAnother)
                try await works(scene, script: Self.asAnother)
                await upstream.stop()
            }
        }

        // MARK: Clocks

        @Test(arguments: ["+1d", "-1d"])
        func `the wall clock is set by a day while it runs`(step: String) async throws {
            let library = try FileManager.default.contentsOfDirectory(atPath: "/usr/lib")
                .map { "/usr/lib/\($0)/faketime/libfaketimeMT.so.1" }
                .first { FileManager.default.fileExists(atPath: $0) }
            try await withBench { bench in
                let upstream = try await StubRegistry.start()
                let clock = try bench.write("+0\n", to: "clock")
                let scene = try await OperationScene.start(
                    on: bench, [upstream], Mirror.dockerHub(on: upstream.port(), ["fresh-for: 1h"]),
                    surroundings: Surroundings(variables: [
                        "LD_PRELOAD": try #require(library, "`deploy/test` installs faketime"),
                        "FAKETIME_TIMESTAMP_FILE": clock, "FAKETIME_NO_CACHE": "1",
                        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                    ]))
                var builder = ImageBuilder(seed: 1)
                upstream.add(builder.image(layers: [10_000]), to: OperationScene.repository, tag: "latest")
                let path = "/v2/\(OperationScene.repository)/manifests/latest"
                try await scene.mirror.warm(path)
                let asked = upstream.log.requests.count
                try bench.write(step + "\n", to: "clock")
                let answer = try await scene.mirror.get(path)
                #expect(answer.status == 200 && answer.cacheStatus.contains("hit"), "\(answer.summary)")
                let date = try #require(answer.fields["Date"])
                let today = try await scene.bench.succeed("date", ["-u", "+%d %b %Y"]).dropLast()
                #expect(!date.contains(today), "the clock was not set: \(date)")
                #expect(upstream.log.requests.count == asked)
                let blob = scene.cargo(3 << 20)
                #expect(try await scene.pull(blob).isWhole)
                try await scene.stored(1)
                #expect(scene.mirror.complaints.isEmpty, "\(scene.mirror.complaints)")
                #expect(try await scene.mirror.stop() == 0)
                await upstream.stop()
            }
        }
    }
}
