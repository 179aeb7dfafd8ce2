// schemathesis against the running mirror: whatever openapi.json allows is asked, and what it does not.

import Foundation
import Testing

extension Conformance {
    @Suite("/api/v1/openapi.json, by schemathesis") struct DescriptionTests {
        private static let token = "bollard-and-cleat"

        /// Of the methods that are tried where none is described, only those that HTTP servers know: what is no method
        /// is refused before anybody looks at the path. What may stand in `image` there no pattern can say.
        private static let settings = """
            [phases.coverage]
            unexpected-methods = ["get", "put", "post", "delete", "patch", "options"]

            [[operations]]
            include-path-regex = "^/api/v1/(pin|unpin|invalidate)$"
            checks.positive_data_acceptance.enabled = false

            """

        private static let knownImage = """

            [[operations]]
            include-path = "/api/v1/images/{reference}"
            parameters = { "path.reference" = "harbour:latest" }

            """

        private func start(on bench: Bench) async throws -> Mirror {
            let seed = try await Seed.shared()
            let registry = try await DebianRegistry.start(on: bench, storage: seed.storage)
            let token = try bench.write(Self.token + "\n", to: "token")
            try await bench.succeed("chmod", ["600", token])
            let configuration = Mirror.dockerHub(on: registry.port) + "access:\n  admin-token-file: \(token)\n"
            let mirror = try await Mirror.start(on: bench, configuration: configuration)
            try await mirror.warm("/v2/library/harbour/manifests/latest")
            for blob in seed.harbour.blobs { try await mirror.warm("/v2/library/harbour/blobs/\(blob.digest)") }
            return mirror
        }

        /// - Returns: how many questions it has asked.
        private func ask(
            _ mirror: Mirror, on bench: Bench, _ settings: String, _ choice: [String]
        ) async throws -> Int {
            let file = try bench.write(settings, to: "schemathesis-\(choice.joined().utf8.count).toml")
            let address = "http://127.0.0.1:\(mirror.port)"
            let (status, output) = try await bench.run(
                "schemathesis",
                [
                    "--config-file", file, "run", "\(address)/api/v1/openapi.json", "--url", address,
                    "--header", "Authorization: Bearer \(Self.token)", "--seed", "10", "--max-examples", "20",
                    "--generation-database", "none", "--phases", "examples,coverage,fuzzing", "--no-color",
                    "--request-timeout", "10", "--max-time", "30",
                ] + choice, within: .seconds(90))
            #expect(status == 0, "\(output)")
            let count = output.firstMatch(of: #/(\d+) generated/#).flatMap { Int($0.1) }
            return try #require(count, "\(output)")
        }

        @Test func `every answer is what the description says, to what it allows and to what it does not`()
            async throws
        {
            try await withBench { bench in
                let mirror = try await start(on: bench)
                // While it is here: what comes after forgets and evicts.
                let known = ["--include-path", "/api/v1/images/{reference}"]
                #expect(try await ask(mirror, on: bench, Self.settings + Self.knownImage, known) > 5)
                // An event stream has no end to wait for.
                #expect(try await ask(mirror, on: bench, Self.settings, ["--exclude-path", "/api/v1/events"]) > 150)
                #expect(try await mirror.get("/livez").status == 200)
            }
        }
    }
}
