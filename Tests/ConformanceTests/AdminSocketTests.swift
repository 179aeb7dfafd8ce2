// The admin socket: who may open it, what it opens, and that it comes and goes with the mirror.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("the admin socket") struct AdminSocketTests {
        private func mode(_ path: String) -> Int? {
            // What is not there has no mode.
            (try? FileManager.default.attributesOfItem(atPath: path))?[.posixPermissions] as? Int
        }

        @Test func `is its owner's alone, whatever the umask, and goes with the mirror`() async throws {
            try await withOperation(script: #"umask 0; exec "$0" "$@""#) { (scene: OperationScene) async throws in
                let path = scene.mirror.data + "/admin.sock"
                #expect(mode(path) == 0o600)
                #expect(try await scene.command("reload").status == 0)
                #expect(try await scene.mirror.stop() == 0)
                #expect(mode(path) == nil)
                let (status, output) = try await scene.command("reload")
                #expect(status == 1)
                #expect(output.split(separator: "\n").count == 1)
                #expect(output.contains("no mirror runs on \(scene.mirror.data)"), "\(output)")
            }
        }

        @Test func `is closed to other users`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                try await scene.bench.succeed("chmod", ["755", scene.bench.folder, scene.mirror.data])
                let script = """
                    import socket, sys
                    try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])
                    except PermissionError: sys.exit(77)
                    """
                func connect(_ before: [String]) async throws -> Int32 {
                    let command = before + ["/usr/bin/python3", "-c", script, scene.mirror.data + "/admin.sock"]
                    return try await scene.bench.run(command[0], Array(command.dropFirst())).status
                }
                #expect(try await connect([]) == 0)
                #expect(try await connect(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]) == 77)
            }
        }

        @Test func `takes the place of one that a kill has left`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                scene.mirror.child.signal(SIGKILL)
                _ = try await scene.mirror.child.exit(within: .seconds(5))
                #expect(mode(scene.mirror.data + "/admin.sock") == 0o600)
                #expect(try await scene.command("reload").status == 1)
                let next = try await scene.again()
                #expect(try await next.command("reload").status == 0)
            }
        }

        @Test func `lies in a directory with any name`() async throws {
            try await withBench { bench in
                let data = try bench.makeFolder(String(repeating: "a-long-name/", count: 20) + "data")
                let scene = try await OperationScene.start(on: bench, [], "offline: true\n", data: data)
                #expect(try await scene.command("reload").status == 0)
            }
        }

        @Test func `is found through the file and the environment, in one line where it is not`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let file = try scene.bench.write("data: \(scene.mirror.data)\n", to: "client.yaml")
                let program = try Mirror.program()
                #expect(try await scene.bench.run(program, ["reload", "--config", file]).status == 0)
                for variables in [["WHARF_CONFIG": file], ["WHARF_DATA": scene.mirror.data]] {
                    let found = try await scene.bench.run(
                        program, ["reload"], surroundings: Surroundings(variables: variables))
                    #expect(found.status == 0, "\(found.output)")
                }
                #expect(try await scene.bench.run(program, ["reload", "--server", "http://127.0.0.1:1"]).status == 64)
            }
        }

        @Test func `is not needed by who has the token`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let token = try scene.bench.write("a-token\n", to: "token")
                let wrong = try scene.bench.write("another\n", to: "wrong")
                try await scene.reload(
                    "access: {admin-token-file: \(token)}\n" + Mirror.dockerHub(on: scene.upstream.port()))
                func reload(_ file: String) async throws -> (status: Int32, output: String) {
                    try await scene.bench.run(
                        try Mirror.program(),
                        ["reload", "--server", "http://127.0.0.1:\(scene.mirror.port)", "--token-file", file])
                }
                #expect(try await reload(token).status == 0)
                let refused = try await reload(wrong)
                #expect(refused.status == 1)
                #expect(refused.output == "wharf: this takes the admin token\n")
                for path in ["reload", "scrub"] {
                    #expect(try await ask("POST", "/api/v1/\(path)", port: scene.mirror.port).status == 401)
                }
            }
        }
    }
}
