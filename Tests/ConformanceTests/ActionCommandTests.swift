// The commands that show and move what a running mirror keeps, through its admin socket as an operator runs them.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("prefetch, pin, invalidate, evict, stats") struct ActionCommandTests {
        private static let name = OperationScene.repository

        private func image(_ scene: OperationScene, tag: String, seed: UInt64 = 1) -> TestIndex {
            var builder = ImageBuilder(seed: seed)
            return scene.upstream.add(builder.index(layers: [150_000, 300_000]), to: Self.name, tag: tag)
        }

        private func isHere(_ scene: OperationScene, _ digest: Digest) -> Bool {
            FileManager.default.fileExists(atPath: scene.storedFile(digest))
        }

        @Test func `an image is brought, kept, forgotten and evicted`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let (index, other) = (image(scene, tag: "1"), image(scene, tag: "2", seed: 2))
                let amd = index.images[0]
                let list = try scene.bench.write("# wanted\ncargo:1\n docker.io/\(Self.name):2 # too\n", to: "list")
                let (status, output) = try await scene.command(
                    "prefetch", "cargo:1", "--file", list, "--platform", "linux/amd64")
                #expect(status == 0, "\(output)")
                #expect(output.contains("docker.io/library/cargo:1: done, "), "\(output)")
                #expect(output.hasSuffix("2 of 2 images are here\n"), "\(output)")
                for blob in [index.manifest, amd.manifest] + amd.blobs { #expect(isHere(scene, blob.digest)) }
                #expect(!isHere(scene, index.images[1].manifest.digest))
                for blob in amd.layers {
                    #expect(scene.upstream.log.requests("\(blob.digest)", method: "GET").count == 1)
                }

                #expect(
                    try await scene.command("pin", "cargo:1").output.hasPrefix("pinned docker.io/library/cargo:1\n"))
                let evicted = try await scene.command("evict", "--to", "0B")
                #expect(evicted.status == 0 && evicted.output.contains("nothing more may go"), "\(evicted.output)")
                #expect(isHere(scene, amd.layers[0].digest) && !isHere(scene, other.images[0].layers[0].digest))

                // It is kept over a restart, and given back by a pattern.
                #expect(try await scene.mirror.stop() == 0)
                let next = try await scene.again()
                _ = try await next.command("evict", "--to", "0B")
                #expect(isHere(next, amd.layers[0].digest))
                let unpinned = try await next.command("unpin", "cargo:*")
                #expect(unpinned.output.hasPrefix("unpinned docker.io/library/cargo:1\n"), "\(unpinned.output)")

                next.upstream.clearLog()
                try await next.mirror.warm("/v2/\(Self.name)/manifests/1")
                let fresh = next.upstream.log.requests("/manifests/").count
                let forgot = try await next.command("invalidate", "cargo:1", "--json")
                #expect(forgot.output == #"{"blobs":0,"manifests":1,"tags":1}"# + "\n")
                try await next.mirror.warm("/v2/\(Self.name)/manifests/1")
                #expect(next.upstream.log.requests("/manifests/").count == fresh + 1)
                _ = try await next.command("evict", "--to", "0B")
                #expect(!isHere(next, amd.layers[0].digest))
            }
        }

        @Test func `what was pulled is listed, and shown by its name and by its digest alone`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let index = image(scene, tag: "1")
                let amd = index.images[0]
                for digest in ["1", "\(amd.manifest.digest)"] {
                    try await scene.mirror.warm("/v2/\(Self.name)/manifests/\(digest)")
                }
                for blob in amd.blobs { try await scene.mirror.warm("/v2/\(Self.name)/blobs/\(blob.digest)") }
                try await scene.stored(amd.blobs.count)
                let list = try await scene.command("ls")
                #expect(list.status == 0 && list.output.hasPrefix("IMAGE "), "\(list.output)")
                #expect(list.output.contains("docker.io/library/cargo:1 "), "\(list.output)")
                let other = try await scene.command("ls", "nothing-like-it")
                #expect(other.output == "wharf: nothing that is stored matches nothing-like-it\n")

                let named = try await scene.command("inspect", "cargo:1")
                #expect(named.status == 0 && named.output.hasPrefix("docker.io/library/cargo:1\n"), "\(named.output)")
                #expect(named.output.contains("\(amd.layers[0].digest)"), "\(named.output)")
                for digest in [index.manifest.digest, amd.manifest.digest] {
                    let (status, output) = try await scene.command("inspect", "\(digest)")
                    #expect(status == 0, "\(output)")
                    #expect(output.hasPrefix("docker.io/library/cargo@\(digest)\n"), "\(output)")
                }
                let layer = try await scene.command("inspect", "\(amd.layers[0].digest)")
                #expect(layer.status == 1 && layer.output.contains("is stored here as a blob"), "\(layer.output)")
            }
        }

        @Test func `what fails is told in one line, and exits 1`() async throws {
            try await withOperation(upstreams: 1) { upstreams in
                Mirror.dockerHub(on: upstreams[0].port()) + "cache: {pin: [\"library/cargo:9\"]}\n"
            } _: { (scene: OperationScene) async throws in
                let missing = try await scene.command("prefetch", "cargo:none")
                #expect(missing.status == 1)
                #expect(missing.output.hasPrefix("wharf: docker.io/library/cargo:none: docker.io says: "))
                #expect(missing.output.split(separator: "\n").count == 1)
                for (arguments, words) in [
                    (["unpin", "cargo:9"], "the configuration pins cargo:9: take it out of cache.pin and reload"),
                    (["pin", "NO"], "NO is no image"), (["invalidate", "a@b"], "a@b is no image"),
                    (["prefetch", "--file", "/nowhere/list"], "no file that can be read"),
                ] {
                    let (status, output) = try await scene.bench.run(
                        try Mirror.program(), arguments + ["--data", scene.mirror.data])
                    #expect(status == 1 && output.contains(words), "\(output)")
                    #expect(output.split(separator: "\n").count == 1, "\(output)")
                }
                for arguments in [
                    ["evict", "--to", "lots"], ["prefetch"], ["prefetch", "a", "--platform", "x"], ["pin"],
                ] {
                    let run = try await scene.bench.run(
                        try Mirror.program(), arguments + ["--data", scene.mirror.data])
                    #expect(run.status == 64, "\(run.output)")
                }
                #expect(try await scene.mirror.stop() == 0)
                for command in [
                    ["stats"], ["stats", "--watch"], ["ls"], ["prefetch", "cargo:1"], ["evict", "--to", "1B"],
                ] {
                    let run = try await scene.bench.run(try Mirror.program(), command + ["--data", scene.mirror.data])
                    #expect(run.status == 1 && run.output.contains("no mirror runs on"), "\(run.output)")
                }
            }
        }

        @Test func `who has the token may from elsewhere, and who has another may not`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let token = try scene.bench.write("a-token\n", to: "token")
                let wrong = try scene.bench.write("another\n", to: "wrong")
                try await scene.reload(
                    "access: {admin-token-file: \(token)}\n" + Mirror.dockerHub(on: scene.upstream.port()))
                let index = image(scene, tag: "1")
                func run(_ file: String, _ arguments: String...) async throws -> (status: Int32, output: String) {
                    try await scene.bench.run(
                        try Mirror.program(),
                        arguments + ["--server", "http://127.0.0.1:\(scene.mirror.port)", "--token-file", file])
                }
                let refused = try await run(wrong, "prefetch", "cargo:1")
                #expect(refused.status == 1 && refused.output == "wharf: this takes the admin token\n")
                #expect(try await run(token, "prefetch", "cargo:1", "--json").status == 0)
                #expect(isHere(scene, index.images[1].layers[0].digest))
                #expect(try await run(token, "stats").output.contains("docker.io"))
            }
        }

        @Test func `figures are shown once, as JSON, and block by block on a pipe`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let blob = scene.cargo(200_000)
                #expect(try await scene.pull(blob).isWhole)
                let (status, output) = try await scene.command("stats")
                #expect(status == 0 && output.hasPrefix("wharf 0.1.0  ready, up "), "\(output)")
                #expect(output.contains("no transfers in flight"), "\(output)")
                let json = try JSONDecoder().decode(
                    JSONValue.self, from: Data(try await scene.command("stats", "--json").output.utf8))
                #expect(json["requests"]["total"].number == 1)

                // `head` takes two blocks and goes; the command ends with it.
                let script = #""$0" stats --watch --data "$1" | head -n 30"#
                let piped = try await scene.bench.run(
                    "/bin/bash", ["-c", script, try Mirror.program(), scene.mirror.data], within: .seconds(30))
                #expect(piped.output.components(separatedBy: "wharf 0.1.0  ready").count >= 3, "\(piped.output)")
                #expect(!piped.output.contains("\u{1B}"))
            }
        }

        /// A terminal of `columns`, in which the watch runs until it has been drawn three times; then Ctrl-C.
        private static let watching = """
            import os, pty, re, select, struct, sys, termios, fcntl, time
            program, data, columns = sys.argv[1], sys.argv[2], int(sys.argv[3])
            child, terminal = pty.fork()
            if child == 0:
                os.environ["TERM"] = "xterm"
                os.execv(program, [program, "stats", "--watch", "--data", data])
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 20, columns, 0, 0))
            seen, asked, end = b"", False, time.time() + 30
            while time.time() < end:
                if select.select([terminal], [], [], 0.2)[0]:
                    try: piece = os.read(terminal, 65536)
                    except OSError: break
                    if not piece: break
                    seen += piece
                if not asked and len(re.findall(rb"\\x1b\\[[0-9]+A", seen)) >= 2:
                    asked = True
                    os.write(terminal, b"\\x03")
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            sys.stdout.write(repr(seen.decode()) + "\\n" + str(status))
            """

        @Test(arguments: [60, 120])
        func `on a terminal it is drawn again in its place, and Ctrl-C gives the cursor back`(columns: Int) async throws
        {
            try await withOperation { (scene: OperationScene) async throws in
                let blob = scene.cargo(3_000_000)
                _ = try await scene.pull(blob, heldAt: 1_000_000) {
                    let (status, output) = try await scene.bench.run(
                        "/usr/bin/python3",
                        ["-c", Self.watching, try Mirror.program(), scene.mirror.data, "\(columns)"],
                        within: .seconds(60))
                    #expect(status == 0, "\(output)")
                    let lines = output.split(separator: "\n")
                    #expect(lines.last == "0", "\(output)")
                    let text = lines.first.map(String.init) ?? ""
                    #expect(text.contains("\\x1b[?25l") && text.hasSuffix("\\x1b[?25h'"), "\(text)")
                    #expect(text.contains("transfers in flight: 1"), "\(text)")
                    #expect(text.contains("docker.io/library/cargo \(blob.digest.hex.prefix(8))") || columns == 60)
                    // What a line takes of the width is told by what stands between two ends of lines.
                    let drawn = text.components(separatedBy: "\\x1b[K\\r\\n").dropFirst().dropLast()
                    #expect(drawn.allSatisfy { $0.count <= columns + 24 }, "\(drawn)")
                    #expect(text.contains(columns == 120 ? " B/s to clients, 0 B/s from upstreams" : " to clients"))
                }
            }
        }
    }
}
