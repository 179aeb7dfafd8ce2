// The power cut at any moment: what was not synced is lost as the dice will, and the law holds for what is left.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("the power cut, and started again") struct PowerCutTests {
        /// What the disk of a mirror was told while it began, pulled an image, was ended in the middle of a blob, went
        /// on with that, and evicted what it had to make room.
        /// - Parameter rules: of the disk lab.
        private func record(in scene: CrashScene, _ rules: String...) async throws -> DiskJournal {
            let data = try scene.bench.makeFolder("recorded-\(UInt32.random(in: 0...(.max)))")
            let lab = try DiskLab(on: scene.bench, data: data)
            for rule in rules { try lab.order(rule) }
            let surroundings = try lab.surroundings(records: true)
            let first = try await scene.start(on: data, surroundings)
            #expect(await scene.pull(from: first) == [])
            let blob = Cargo.blob(3 << 20, seed: 41)
            scene.upstream.add(blob: blob, to: CrashScene.repository)
            scene.upstream.inject(
                .holdBody(at: 2 << 20, StubGate()), into: "\(blob.digest)", method: "GET", times: 1)
            async let half = scene.pull(blob, from: first)
            try await eventually(within: .seconds(20), "a body is held and what came has landed") {
                try await first.statistics()["in_flight"][0]["received"].number ?? 0 >= Double(2 << 20)
            }
            try await scene.kill(first, by: SIGTERM)
            #expect(await half.wrong == [])
            scene.upstream.heal()

            let second = try await scene.start(on: data, surroundings)
            for blob in [blob, Cargo.blob(4 << 20, seed: 42), Cargo.blob(70_000, seed: 43)] {
                scene.upstream.add(blob: blob, to: CrashScene.repository)
                let (pulled, _) = await scene.pull(blob, from: second)
                #expect(pulled?.isWhole == true, "\(String(describing: pulled))")
            }
            try await scene.settle(second)
            try await scene.kill(second)
            let journal = try DiskJournal(contentsOf: lab.journal)
            let steps = Set(journal.records.map(\.step))
            #expect(
                steps.isSuperset(of: ["rename a file in ingest to a blob", "rename a blob to a file in trash"]),
                "\(steps.sorted())")
            return journal
        }

        private static let cache = ["max-size: 9MB", "lease: 0s"]

        /// Cuts after every change, each several times, and looks for stored files that lie.
        /// - Returns: the first such cut with what was found.
        private func firstLie(
            _ journal: DiskJournal, seeds: Int = 4, where isMeant: (String) -> Bool = { _ in true }
        ) throws -> (image: CutImage, told: String)? {
            var disk = CutDisk()
            var known: Set<Int> = []
            for (number, record) in journal.records.enumerated() {
                try disk.apply(record)
                for seed in 0..<seeds {
                    let image = disk.cut(seed: Self.seed(number, seed), isStrict: false)
                    guard let lie = image.lies(&known).first(where: isMeant) else { continue }
                    return (image, "cut after \(number) (\(record.step)): \(lie)")
                }
            }
            return nil
        }

        private static func seed(_ number: Int, _ variant: Int) -> UInt64 {
            UInt64(CrashScene.seed) << 32 | UInt64(number) << 8 | UInt64(variant)
        }

        /// Has a mirror start on an image, and holds it to the law.
        private func broken(
            by image: CutImage, in scene: CrashScene, agreeingWithin limit: Duration = .seconds(10)
        ) async throws -> [String] {
            let data = try scene.bench.makeFolder("cut-\(UInt32.random(in: 0...(.max)))")
            try image.lay(out: data)
            let (broken, mirror) = try await scene.law(on: data, agreeingWithin: limit)
            try await scene.kill(mirror)
            try FileManager.default.removeItem(atPath: data)
            return broken
        }

        @Test func `cut off after any change it keeps the law`() async throws {
            try await withCrashScene(cache: Self.cache) { scene in
                let journal = try await record(in: scene)
                let lie = try firstLie(journal)
                #expect(lie == nil, "\(lie?.told ?? "")")
                #expect(try lostAfterCommit(journal) == [])

                var dice = Dice(seed: UInt64(CrashScene.seed))
                let numbers = Array(journal.records.indices)
                let renames = numbers.filter { journal.records[$0].operation == .rename }
                let some = renames + numbers.shuffled(using: &dice).prefix(max(0, 40 - renames.count))
                let chosen = Set(CrashScene.isThorough ? numbers : some)
                var disk = CutDisk()
                for (number, record) in journal.records.enumerated() {
                    try disk.apply(record)
                    guard chosen.contains(number) else { continue }
                    let isStrict = Bool.random(using: &dice)
                    let image = disk.cut(seed: Self.seed(number, 0), isStrict: isStrict)
                    let broken = try await broken(by: image, in: scene)
                    #expect(
                        broken == [], "seed \(CrashScene.seed), after \(number): \(record.step), strict: \(isStrict)")
                    CrashTally.shared.cut()
                }
                CrashTally.shared.tell()
            }
        }

        /// What a commit has promised: with the shard's folder synced the blob is there, whatever else is lost.
        /// - Returns: the blobs that the strictest cut takes all the same.
        private func lostAfterCommit(_ journal: DiskJournal) throws -> [String] {
            var disk = CutDisk()
            var committed: String?
            var lost: [String] = []
            for record in journal.records {
                try disk.apply(record)
                if record.operation == .rename { committed = record.goal.hasPrefix("blobs/") ? record.goal : nil }
                guard let path = committed, record.operation == .write, record.path.hasSuffix("-wal") else { continue }
                // The row is being written: by now the file has to be durable, name and all.
                if !disk.cut(seed: 1, isStrict: true).paths.contains(path) { lost.append(path) }
                committed = nil
            }
            return lost
        }

        /// Without the sync of the folders above it a committed blob may be gone, and its row not. That costs a fetch
        /// and is no lie: the row goes at the next start.
        @Test(arguments: ["syncdir blobs ignore", "syncdir blobs/ ignore"])
        func `without the sync of a folder what was committed is lost, and nothing lies`(rule: String) async throws {
            try await withCrashScene(cache: Self.cache) { scene in
                let journal = try await record(in: scene, rule)
                #expect(try !lostAfterCommit(journal).isEmpty)
                let lie = try firstLie(journal)
                #expect(lie == nil, "\(lie?.told ?? "")")
                // All is kept but the names.
                var disk = CutDisk()
                for record in journal.records { try disk.apply(record) }
                let image = disk.cut(seed: Self.seed(0, 0), isStrict: true)
                #expect(!image.paths.contains { $0.hasPrefix("blobs/") })
                #expect(try await broken(by: image, in: scene) == [])
            }
        }

        // The model can see: with a sync taken away, or made too late, it finds stored bytes that are wrong.
        @Test(arguments: ["fsync ingest/ ignore", "fsync ingest/ late"])
        func `without the sync before the rename the law is found broken`(rule: String) async throws {
            try await withCrashScene(cache: Self.cache) { scene in
                let journal = try await record(in: scene, rule)
                let lie = try #require(try firstLie(journal, seeds: 32) { $0.hasSuffix("has other bytes") })
                let broken = try await broken(by: lie.image, in: scene, agreeingWithin: .seconds(1))
                #expect(broken.contains { $0.hasSuffix("has other bytes") }, "\(lie.told): \(broken)")
            }
        }
    }
}
