// The power cut at any moment of a push: what was answered is there, whole, and of the rest nothing half.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("the power cut, and what was pushed") struct HostedPowerCutTests {
        private static let name = "acme/team/app"

        /// What a tag must name once so many changes have been made: a layer's bytes, or nothing.
        private struct Promise {
            let changes: Int
            let tag: String
            let layer: [UInt8]?
        }

        /// Pushes, moves a tag, and deletes one, and notes after each answer how far the disk was.
        private func record(on bench: Bench) async throws -> (journal: DiskJournal, promises: [Promise], HostedScene) {
            let data = try bench.makeFolder("recorded")
            let lab = try DiskLab(on: bench, data: data)
            let scene = try await HostedScene.start(
                on: bench, keepingIn: data, surroundings: try lab.surroundings(records: true))
            var promises: [Promise] = []
            func promise(_ tag: String, _ layer: [UInt8]?) async throws {
                var count = 0
                try await eventually(within: .seconds(10), "no record of the journal is half written") {
                    guard let journal = try? DiskJournal(contentsOf: lab.journal) else { return false }
                    count = journal.records.count
                    return true
                }
                promises.append(Promise(changes: count, tag: tag, layer: layer))
            }
            for (number, tag) in ["v1", "v2", "v1"].enumerated() {
                let layer = Cargo.blob(30_000 + number, seed: UInt64(50 + number)).bytes
                try await scene.pushImage(layer, to: Self.name, tag: tag)
                try await promise(tag, layer)
            }
            let deleted = try await scene.send("DELETE", "/v2/\(Self.name)/manifests/v2")
            #expect(deleted.status == 202)
            try await promise("v2", nil)
            // Deleted by its digest, the tag goes too; then it is pushed once more.
            let manifest = Digest.of(HostedScene.manifest(of: [Digest.of(try #require(promises[2].layer))]))
            let gone = try await scene.send("DELETE", "/v2/\(Self.name)/manifests/\(manifest)")
            #expect(gone.status == 202)
            try await promise("v1", nil)
            let layer = try #require(promises[0].layer)
            try await scene.pushImage(layer, to: Self.name, tag: "v1")
            try await promise("v1", layer)
            scene.mirror.child.signal(SIGKILL)
            _ = try await scene.mirror.child.exit(within: .seconds(10))
            return (try DiskJournal(contentsOf: lab.journal), promises, scene)
        }

        /// What of the promises made before the cut is not kept, and what is there and not whole.
        private func broken(
            by image: CutImage, after changes: Int, _ promises: [Promise], _ scene: HostedScene
        ) async throws -> [String] {
            let data = try scene.bench.makeFolder("cut-\(UInt32.random(in: 0...(.max)))")
            try image.lay(out: data)
            let mirror = try await scene.again(on: data).mirror
            try await eventually(within: .seconds(20), "what was pushed is read in") {
                try await !mirror.get("/readyz").text.contains("pushed")
            }
            var broken: [String] = []
            for tag in ["v1", "v2"] {
                let kept = promises.last { $0.tag == tag && $0.changes <= changes }
                let next = promises.first { $0.tag == tag && $0.changes > changes }
                let answer = try await mirror.get("/v2/\(Self.name)/manifests/\(tag)")
                let may = (kept.map { [$0.layer] } ?? [nil]) + (next.map { [$0.layer] } ?? [])
                let isOne = may.contains { layer in
                    guard let layer else { return answer.status == 404 }
                    return answer.status == 200 && answer.body == HostedScene.manifest(of: [Digest.of(layer)])
                }
                if !isOne { broken.append("\(tag): \(answer.summary)") }
                guard answer.status == 200 else { continue }
                for layer in may.compactMap({ $0 }) where answer.text.contains("\(Digest.of(layer))") {
                    let blob = try await mirror.get("/v2/\(Self.name)/blobs/\(Digest.of(layer))")
                    if blob.body != layer { broken.append("\(tag)'s layer: \(blob.status)") }
                }
            }
            mirror.child.signal(SIGKILL)
            _ = try await mirror.child.exit(within: .seconds(10))
            try FileManager.default.removeItem(atPath: data)
            return broken
        }

        @Test func `what was answered is there after any cut`() async throws {
            try await withBench { bench in
                let (journal, promises, scene) = try await record(on: bench)
                let first = try #require(promises.first).changes
                var dice = Dice(seed: UInt64(CrashScene.seed))
                // Right after each answer the strictest cut, and some between.
                let all = Array(journal.records.indices)
                let others = all.shuffled(using: &dice).prefix(CrashScene.isThorough ? .max : 16)
                let answers = promises.map { $0.changes - 1 }
                var disk = CutDisk()
                for (number, record) in journal.records.enumerated() {
                    try disk.apply(record)
                    let isAnswer = answers.contains(number)
                    guard isAnswer || others.contains(number) else { continue }
                    let isStrict = isAnswer || Bool.random(using: &dice)
                    let seed = UInt64(CrashScene.seed) << 32 | UInt64(number)
                    let image = disk.cut(seed: seed, isStrict: isStrict)
                    let broken = try await broken(by: image, after: number + 1, promises, scene)
                    #expect(broken == [], "seed \(CrashScene.seed), after \(number) of \(first)…: \(record.step)")
                }
            }
        }
    }
}
