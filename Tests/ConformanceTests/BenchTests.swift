// `wharf bench metadata`: its figures under stable names, and a folder that is gone afterwards however it ends.

import Foundation
import TestSupport
import Testing

extension Conformance {
    @Suite("bench") struct BenchTests {
        private static let keys: Set = [
            "blobs", "bytes_per_blob", "evictions_per_second", "evictions_with_files_per_second", "lookup_p50_us",
            "lookup_p99_us", "open_seconds", "peak_mb", "touches_per_second",
        ]

        private func left(_ folder: String) -> [String] { CrashLaw.names(in: folder) }

        @Test func `prints one object of figures, each above nothing, and leaves nothing behind`() async throws {
            try await withBench { bench in
                let folder = try bench.makeFolder("there")
                let output = try await bench.succeed(
                    try Mirror.program(), ["bench", "metadata", "--blobs", "1000", "--folder", folder, "--json"])
                let figures = try JSONDecoder().decode([String: Double].self, from: Data(output.utf8))
                #expect(Set(figures.keys) == Self.keys)
                for (key, value) in figures { #expect(value > 0, "\(key)") }
                #expect(figures["blobs"] == 1000)
                #expect(left(folder).isEmpty)
            }
        }

        @Test func `without --json it is a table for people, made in TMPDIR`() async throws {
            try await withBench { bench in
                var surroundings = Surroundings.plain
                let folder = try bench.makeFolder("there")
                surroundings.variables["TMPDIR"] = folder
                let (status, output) = try await bench.run(
                    try Mirror.program(), ["bench", "metadata", "--blobs", "500"], surroundings: surroundings)
                #expect(status == 0, "\(output)")
                for word in ["open", "look up", "evict", "note a use", "database", "memory"] {
                    #expect(output.contains("\n\(word)"), "\(output)")
                }
                #expect(left(folder).isEmpty)
            }
        }

        @Test(arguments: [SIGINT, SIGTERM]) func `a signal ends it and the folder goes too`(
            _ signal: Int32
        ) async throws {
            try await withBench { bench in
                let folder = try bench.makeFolder("there")
                let child = try bench.start(
                    "wharf", try Mirror.program(),
                    ["bench", "metadata", "--blobs", "90000000", "--folder", folder])
                try await eventually(within: .seconds(60), "it fills") {
                    child.outputText().contains("filling")
                }
                child.signal(signal)
                #expect(try await child.exit(within: .seconds(120)) == 128 + SIGINT)
                #expect(left(folder).isEmpty)
            }
        }

        @Test(arguments: [["--blobs", "0"], ["--blobs", "many"], []]) func `what is no number is refused`(
            _ arguments: [String]
        ) async throws {
            try await withBench { bench in
                let (status, output) = try await bench.run(try Mirror.program(), ["bench", "metadata"] + arguments)
                #expect(status == 64, "\(output)")
            }
        }

        @Test func `a folder that is not there is told in one line`() async throws {
            try await withBench { bench in
                let (status, output) = try await bench.run(
                    try Mirror.program(), ["bench", "metadata", "--blobs", "100", "--folder", bench.path("none")])
                #expect(status == 1)
                #expect(output.hasPrefix("wharf: no folder can be made in") && output.contains("--folder"), "\(output)")
            }
        }
    }
}
