// The mirror killed by SIGKILL at every step it takes on the disk, and at random while clients keep it busy.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("killed, and started again") struct CrashTests {
        /// Starts a mirror on an empty folder, pulls an image, and has it killed in the place of change `number`.
        /// - Returns: the step it did not take any more; nil if it came through before.
        private func killed(
            at number: Int, in scene: CrashScene, _ data: String
        ) async throws -> (step: String?, wrong: [String]) {
            let lab = try DiskLab(on: scene.bench, data: data)
            // Killed on its way up it never answers.
            let mirror = try? await scene.start(on: data, try lab.surroundings(records: true, killedAt: number))
            var wrong: [String] = []
            if let mirror {
                wrong = await scene.pull(from: mirror)
                // What comes after the last byte, the rows, comes soon.
                let isOver = { () async throws -> Bool in
                    if mirror.child.exitStatus != nil { return true }
                    // Killed between the two questions: over as well.
                    return (try? await mirror.statistics()["in_flight"].elements.isEmpty) ?? true
                }
                try await eventually(within: .seconds(20), "it is killed or at rest", isOver)
                if mirror.child.exitStatus == nil { try await scene.kill(mirror) }
            }
            let journal = try DiskJournal(contentsOf: lab.journal)
            try? FileManager.default.removeItem(atPath: lab.journal)  // it only takes room
            return (journal.killedAt, wrong)
        }

        @Test func `killed in the place of any step of a pull it keeps the law`() async throws {
            try await withCrashScene { scene in
                var dice = Dice(seed: UInt64(CrashScene.seed))
                let all = try await steps(of: scene)
                let wanted = ["rename a file in ingest to a blob", "fsync a file in ingest", "syncdir blobs/<shard>"]
                var numbers = Array(1...all.count + 8)
                // Another run may take its steps in another order: what matters most is tried until it is hit.
                let again = numbers.prefix(all.count).filter { wanted.contains(all[$0 - 1]) }
                    .flatMap { [$0, $0 + 1, $0 - 1, $0 + 2] }.shuffled(using: &dice)
                if !CrashScene.isThorough {
                    // One of each kind of step, and some more.
                    var seen: Set<String> = []
                    let kinds = numbers.prefix(all.count).shuffled(using: &dice).filter {
                        seen.insert(all[$0 - 1]).inserted
                    }
                    numbers = kinds.sorted()
                }
                var hit: Set<String> = []
                for (round, number) in (numbers + again).enumerated() {
                    if round >= numbers.count, hit.isSuperset(of: wanted) { break }
                    let data = try scene.bench.makeFolder("kill-\(round)")
                    let (step, wrong) = try await killed(at: number, in: scene, data)
                    #expect(wrong == [], "before kill \(number)")
                    guard let step else { continue }
                    hit.insert(step)
                    CrashTally.shared.killed(at: step)
                    let (broken, mirror) = try await scene.law(on: data)
                    #expect(broken == [], "killed at change \(number), \(step)")
                    try await scene.kill(mirror)
                    try FileManager.default.removeItem(atPath: data)
                }
                #expect(hit.isSuperset(of: wanted), "\(hit.sorted())")
                CrashTally.shared.tell()
            }
        }

        /// The kinds of the changes that a start and a pull make, in order; another run may order a few differently.
        private func steps(of scene: CrashScene) async throws -> [String] {
            let data = try scene.bench.makeFolder("steps")
            let lab = try DiskLab(on: scene.bench, data: data)
            let mirror = try await scene.start(on: data, try lab.surroundings(records: true))
            #expect(await scene.pull(from: mirror) == [])
            try await scene.settle(mirror)
            try await scene.kill(mirror)
            return try DiskJournal(contentsOf: lab.journal).records.map(\.step)
        }

        // MARK: Random

        static let rounds = Array(0..<(CrashScene.kills + 24) / 25)

        @Test(arguments: rounds) func `killed at random under load it keeps the law`(round: Int) async throws {
            let seed = UInt64(CrashScene.seed * 1000 + round)
            try await withCrashScene(cache: ["max-size: 140MB", "lease: 0s"]) { scene in
                let load = CrashLoad(in: scene)
                var dice = Dice(seed: seed &* 0x9E37_79B9)
                let data = try scene.bench.makeFolder("data")
                var mirror = try await scene.start(on: data)
                for kill in 0..<min(25, CrashScene.kills - round * 25) {
                    // Now and then it is told to end, so that the next has something to go on with.
                    let signal = Int.random(in: 0..<5, using: &dice) == 0 ? SIGTERM : SIGKILL
                    let moment = Duration.milliseconds(Int.random(in: 20...900, using: &dice))
                    let wrong = try await load.run(on: mirror, seed: dice.next(), until: moment, signal)
                    #expect(wrong == [], "seed \(seed), kill \(kill)")
                    if signal == SIGKILL { CrashTally.shared.killed() } else { CrashTally.shared.stopped() }
                    let (broken, next) = try await scene.law(on: data)
                    #expect(broken == [], "seed \(seed), kill \(kill) after \(moment)")
                    mirror = next
                }
                CrashTally.shared.tell()
            }
        }
    }
}

/// Clients that want many blobs, some of an upstream that is slow, whole and in parts, and a tag that moves.
struct CrashLoad: Sendable {
    private let scene: CrashScene
    private let blobs: [TestBlob]
    private let tags: [TestImage]

    /// In bytes; together they are more than may be stored.
    private static let sizes =
        [1 << 10, 3000, 60_000, 70_000, 200_000, 500_000] + Array(repeating: 1 << 20, count: 6)
        + [3 << 20, 5 << 20, 8 << 20, 12 << 20, 16 << 20, 24 << 20, 32 << 20, 72 << 20]

    init(in scene: CrashScene) {
        self.scene = scene
        blobs = Self.sizes.enumerated().map { Cargo.blob($1, seed: UInt64(100 + $0)) }
        var builder = ImageBuilder(seed: 99)
        tags = (0..<8).map { _ in builder.image(layers: [2000]) }
        for blob in blobs { scene.upstream.add(blob: blob, to: CrashScene.repository) }
        for blob in blobs where [5 << 20, 16 << 20].contains(blob.bytes.count) {
            scene.upstream.inject(.pace(3 << 20), into: "\(blob.digest)", method: "GET")
        }
    }

    /// Keeps the mirror busy until `moment`, and ends it by `signal`.
    /// - Returns: what was wrong with what came.
    func run(on mirror: Mirror, seed: UInt64, until moment: Duration, _ signal: Int32) async throws -> [String] {
        try await withThrowingTaskGroup(of: [String].self) { group in
            for client in 0..<5 {
                group.addTask { [self] in
                    var dice = Dice(seed: seed &+ UInt64(client) &* 0x9E37_79B9_7F4A_7C15)
                    var wrong: [String] = []
                    while !Task.isCancelled, mirror.child.exitStatus == nil {
                        wrong += await once(on: mirror, &dice)
                    }
                    return wrong
                }
            }
            try await Task.sleep(for: moment)
            mirror.child.signal(signal)
            group.cancelAll()
            _ = try await mirror.child.exit(within: .seconds(40))
            return try await group.reduce(into: []) { $0 += $1 }
        }
    }

    private func once(on mirror: Mirror, _ dice: inout Dice) async -> [String] {
        let blob = blobs[Int.random(in: 0..<blobs.count, using: &dice)]
        switch Int.random(in: 0..<10, using: &dice) {
        case 0:
            let image = tags[Int.random(in: 0..<tags.count, using: &dice)]
            scene.upstream.add(image, to: CrashScene.repository, tag: "moving")
            let path = "/v2/\(CrashScene.repository)/manifests/moving"
            // Killed meanwhile: nothing came, so nothing is wrong.
            guard let answer = try? await mirror.get(path), answer.status == 200, answer.ending == .complete else {
                return []
            }
            return tags.contains { $0.manifest.bytes == answer.body } ? [] : ["moving: \(answer.summary)"]
        case 1, 2:
            let start = Int.random(in: 0..<blob.bytes.count, using: &dice)
            let end = min(blob.bytes.count - 1, start + Int.random(in: 0..<300_000, using: &dice))
            return await scene.pull(blob, from: mirror, Pull(fields: ["Range": "bytes=\(start)-\(end)"])).wrong
        case 3:
            return await scene.pull(blob, from: mirror, Pull(leavesAfter: blob.bytes.count / 3)).wrong
        default:
            return await scene.pull(blob, from: mirror).wrong
        }
    }
}
