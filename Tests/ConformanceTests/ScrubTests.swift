// `wharf scrub`: what the disk has changed or lost is found, told, and fetched again, with a mirror running or without.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("scrub") struct ScrubTests {
        private struct Hold: Sendable {
            let whole, damaged, missing: TestBlob
            let image: TestImage
        }

        /// Has the mirror store an image's manifest and layer, and three blobs, of which then one is damaged and one is
        /// lost; the manifest is damaged too.
        private func fill(_ scene: OperationScene) async throws -> Hold {
            var builder = ImageBuilder(seed: 7)
            let image = scene.upstream.add(
                builder.image(layers: [50_000]), to: OperationScene.repository, tag: "latest")
            let blobs = (1...3).map { scene.cargo(200_000, seed: $0) }
            try await scene.mirror.warm("/v2/\(OperationScene.repository)/manifests/latest")
            for blob in image.layers + blobs { #expect(try await scene.pull(blob).isWhole) }
            try await scene.stored(4 + image.layers.count - 1)
            try scene.damage(blobs[1].digest, at: 100_000)
            try FileManager.default.removeItem(atPath: scene.storedFile(blobs[2].digest))
            try scene.damage(image.manifest.digest)
            return Hold(whole: blobs[0], damaged: blobs[1], missing: blobs[2], image: image)
        }

        @Test(arguments: [true, false])
        func `finds what is damaged or missing, and what was found is not served again`(isRunning: Bool) async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let hold = try await fill(scene)
                if !isRunning { #expect(try await scene.mirror.stop() == 0) }
                let (status, output) = try await scene.command("scrub")
                #expect(status == 0, "\(output)")
                let lines = output.split(separator: "\n")
                #expect(lines.count == 4, "\(output)")
                #expect(lines.contains("\(hold.damaged.digest) damaged (200000 bytes)"), "\(output)")
                #expect(lines.contains("\(hold.missing.digest) missing (200000 bytes)"), "\(output)")
                #expect(lines.contains { $0.hasPrefix("\(hold.image.manifest.digest) damaged") }, "\(output)")
                #expect(lines.last?.contains(": 2 damaged, 1 missing, 0 unreadable, 0 fetched again, 0 not") == true)
                let next = isRunning ? scene : try await scene.again()
                #expect(try await next.command("scrub").output.contains(": 0 damaged, 0 missing"))
                for blob in [hold.whole, hold.damaged, hold.missing] {
                    #expect(try await next.pull(blob).isWhole)
                }
            }
        }

        @Test(arguments: [true, false])
        func `fetches again what was lost, blob and manifest`(isRunning: Bool) async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let hold = try await fill(scene)
                if !isRunning { #expect(try await scene.mirror.stop() == 0) }
                let arguments = isRunning ? [] : ["--config", scene.file]
                let (status, output) = try await scene.bench.run(
                    try Mirror.program(), ["scrub", "--repair", "--data", scene.mirror.data] + arguments)
                #expect(status == 0, "\(output)")
                for digest in [hold.damaged.digest, hold.missing.digest, hold.image.manifest.digest] {
                    let line = "\(digest) fetched again from docker.io/\(OperationScene.repository)\n"
                    #expect(output.contains(line), "\(output)")
                }
                let next = isRunning ? scene : try await scene.again()
                await scene.upstream.stop()
                #expect(try await next.command("scrub").output.contains(": 0 damaged, 0 missing"))
                for blob in [hold.whole, hold.damaged, hold.missing] {
                    #expect(try await next.pull(blob).isWhole)
                }
                try await next.mirror.warm("/v2/\(OperationScene.repository)/manifests/latest")
            }
        }

        @Test func `says what could not be fetched again, and exits 1`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                let hold = try await fill(scene)
                await scene.upstream.stop()
                let (status, output) = try await scene.command("scrub", "--repair", "--json")
                #expect(status == 1)
                let answer = try JSONDecoder().decode(JSONValue.self, from: Data(output.utf8))
                #expect(answer["damaged"].number == 2)
                #expect(answer["missing"].number == 1)
                #expect(answer["unrepaired"].number == 3)
                #expect(answer["repaired"].number == 0)
                let finding = answer["findings"].elements.first { $0["digest"].text == "\(hold.damaged.digest)" }
                #expect(finding?["kind"].text == "damaged")
                #expect(finding?["size"].number == 200_000)
                #expect(finding?["repaired"] == .bool(false))
                #expect(finding?["error"].text?.isEmpty == false)
            }
        }

        @Test func `goes nowhere near the data of a mirror that does not answer`() async throws {
            try await withOperation { (scene: OperationScene) async throws in
                try FileManager.default.removeItem(atPath: scene.mirror.data + "/admin.sock")
                let (status, output) = try await scene.command("scrub")
                #expect(status == 1)
                #expect(output.split(separator: "\n").count == 1, "\(output)")
                #expect(output.contains("held by another wharf"), "\(output)")
            }
        }

        @Test func `makes no data directory where there is none`() async throws {
            try await withBench { bench in
                let (status, output) = try await bench.run(
                    try Mirror.program(), ["scrub", "--data", bench.path("nowhere")])
                #expect(status == 1)
                #expect(output.contains("nothing is stored"), "\(output)")
                #expect(!FileManager.default.fileExists(atPath: bench.path("nowhere")))
            }
        }
    }
}
