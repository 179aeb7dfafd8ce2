// A disk that is full, fails or turns read-only under a running mirror, and a database that is damaged before a start.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("a disk in trouble") struct DiskTroubleTests {
        // MARK: While it runs

        /// What `/readyz` lists, with the status it has.
        private func amiss(_ mirror: Mirror) async throws -> [String] {
            let answer = try await mirror.get("/readyz")
            #expect(answer.status == 200, "\(answer.summary)")
            let document = try JSONDecoder().decode(JSONValue.self, from: Data(answer.body))
            return document["amiss"].elements.compactMap(\.text)
        }

        private func errors(_ mirror: Mirror) -> [String] {
            mirror.child.outputText().split(separator: "\n").map(String.init)
                .filter { $0.split(separator: " ").dropFirst().first == "error" }
        }

        /// All that may be refused for good, with what `/readyz` says of it. Each costs seconds: some in CI, and all
        /// where everything is asked for.
        static let troubles: [(rule: String, sign: String)] = [
            ("write ingest EIO", "cannot be written"), ("any * EROFS", "cannot be written"),
            ("fsync ingest EIO", "cannot be written"), ("rename blobs EIO", "cannot be written"),
            ("write ingest ENOSPC", "no room"), ("write metadata ENOSPC", "database"),
        ] + (CrashScene.isThorough ? rarer : [])
        private static let rarer: [(rule: String, sign: String)] = [
            ("open ingest EROFS", "cannot be written"), ("syncdir blobs EIO", "cannot be written"),
            ("chmod ingest EROFS", "cannot be written"), ("mkdir blobs EIO", "cannot be written"),
            ("allocate ingest ENOSPC", "no room"), ("write ingest EDQUOT", "no room"),
            ("write metadata EIO", "database"),
        ]

        /// Every client gets his image; nothing half of it stays; it is said once, and listed while it lasts; and what
        /// is pulled after it is over is kept.
        @Test(arguments: troubles) func `pulls go straight through, and it recovers by itself`(
            rule: String, sign: String
        ) async throws {
            try await withCrashScene { scene in
                let data = try scene.bench.makeFolder("data")
                let lab = try DiskLab(on: scene.bench, data: data)
                let mirror = try await scene.start(on: data, try lab.surroundings())
                let before = Cargo.blob(300_000, seed: 5)
                scene.upstream.add(blob: before, to: CrashScene.repository)
                #expect(await scene.pull(before, from: mirror).pulled?.isWhole == true)
                try await scene.settle(mirror)
                #expect(try await amiss(mirror) == [])

                try lab.order(rule)
                for _ in 0..<3 { #expect(try await scene.missing(from: mirror) == []) }
                #expect(await scene.pull(before, from: mirror).pulled?.isWhole == true, "what is stored is served")
                let listed = try await amiss(mirror)
                #expect(listed.contains { $0.contains(sign) }, "\(listed)")
                #expect(errors(mirror).count { $0.contains(sign) } == 1, "\(errors(mirror))")
                try await scene.settle(mirror)
                #expect(try CrashLaw.lies(in: data).lies == [])

                try lab.order()
                try await eventually(within: .seconds(20), "nothing is amiss any more") {
                    try await amiss(mirror) == []
                }
                #expect(try await scene.missing(from: mirror) == [])
                try await scene.settle(mirror)
                // Manifests, configs and layers of one platform, and the blob from before.
                try await eventually(within: .seconds(20), "the image is kept") {
                    let storage = try await mirror.statistics()["storage"]
                    return storage["blobs"].number == 4 && storage["manifests"].number == 2
                }
                #expect(try await CrashLaw.disagreements(of: data, on: scene.bench, within: .seconds(10)) == [])
                try await scene.kill(mirror)
            }
        }

        @Test(arguments: ["write ingest EIO 4", "write ingest ENOSPC 6+", "fsync ingest EIO 2", "read ingest EIO 3"])
        func `what breaks on the way is no lie, and the next pull is whole`(rule: String) async throws {
            try await withCrashScene { scene in
                let data = try scene.bench.makeFolder("data")
                let lab = try DiskLab(on: scene.bench, data: data)
                let mirror = try await scene.start(on: data, try lab.surroundings())
                try lab.order(rule)
                #expect(await scene.pull(from: mirror) == [])
                #expect(try await scene.missing(from: mirror) == [])
                try lab.order()
                try await scene.kill(mirror, by: SIGTERM)
                let (broken, next) = try await scene.law(on: data)
                #expect(broken == [])
                try await scene.kill(next)
            }
        }

        @Test func `a write that is cut short is gone on with`() async throws {
            try await withCrashScene { scene in
                let data = try scene.bench.makeFolder("data")
                let lab = try DiskLab(on: scene.bench, data: data)
                let mirror = try await scene.start(on: data, try lab.surroundings())
                try lab.order("write ingest short")
                #expect(try await scene.missing(from: mirror) == [])
                try lab.order()
                try await scene.settle(mirror)
                #expect(try await amiss(mirror) == [])
                #expect(try await mirror.statistics()["storage"]["blobs"].number == 3)
                #expect(try CrashLaw.lies(in: data).lies == [])
                try await scene.kill(mirror)
            }
        }

        @Test func `a stored blob that cannot be read any more is fetched anew`() async throws {
            try await withCrashScene { scene in
                let data = try scene.bench.makeFolder("data")
                let lab = try DiskLab(on: scene.bench, data: data)
                let mirror = try await scene.start(on: data, try lab.surroundings())
                let blob = Cargo.blob(900_000, seed: 6)
                scene.upstream.add(blob: blob, to: CrashScene.repository)
                #expect(await scene.pull(blob, from: mirror).pulled?.isWhole == true)
                try await scene.settle(mirror)
                try lab.order("read \(blob.digest.hex) EIO")
                let (pulled, wrong) = await scene.pull(blob, from: mirror)
                #expect(wrong == [] && pulled?.isWhole != true)
                try await eventually(within: .seconds(20), "it is put aside") {
                    try await mirror.statistics()["storage"]["quarantined"].number == 1
                }
                // The new file lies elsewhere on the disk.
                try lab.order()
                #expect(await scene.pull(blob, from: mirror).pulled?.isWhole == true)
                try await scene.settle(mirror)
                #expect(try CrashLaw.lies(in: data).lies == [])
                try await scene.kill(mirror)
            }
        }

        @Test func `a disk that fills up lets pulls through, and has room again when others make it`() async throws {
            try await withCrashScene(cache: ["lease: 0s", "min-free: 0B", "max-size: 1GB"]) { scene in
                let data = try scene.bench.makeFolder("small")
                try await scene.bench.succeed("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", data])
                do {
                    let mirror = try await scene.start(on: data)
                    try Data().write(to: URL(fileURLWithPath: "\(data)/filler"))
                    // To the last block: the command fails for that.
                    _ = try await scene.bench.run("dd", ["if=/dev/zero", "of=\(data)/filler", "bs=64k"])
                    for _ in 0..<3 { #expect(try await scene.missing(from: mirror) == []) }
                    #expect(try await !amiss(mirror).isEmpty)
                    try await scene.settle(mirror)
                    // Also a start on a disk that is full.
                    try await scene.kill(mirror)
                    let again = try await Mirror.start(
                        on: scene.bench, configuration: scene.configuration, data: data)
                    #expect(try await scene.missing(from: again) == [])
                    try FileManager.default.removeItem(atPath: "\(data)/filler")
                    try await eventually(within: .seconds(20), "nothing is amiss any more") {
                        try await amiss(again) == []
                    }
                    #expect(try await scene.missing(from: again) == [])
                    try await scene.settle(again)
                    try await eventually(within: .seconds(20), "the image is kept") {
                        try await again.statistics()["storage"]["blobs"].number == 3
                    }
                    try await scene.kill(again)
                } catch {
                    try await scene.bench.succeed("umount", ["-l", data])
                    throw error
                }
                try await scene.bench.succeed("umount", [data])
            }
        }

        // MARK: The bound

        /// An upstream whose bytes are wrong fills the quarantine while right ones fill the rest.
        @Test func `the folder stays within its bound and 2 % whatever the upstream sends`() async throws {
            let limit = 120_000_000
            try await withCrashScene(cache: ["lease: 0s", "max-size: \(limit)B"]) { scene in
                let data = try scene.bench.makeFolder("data")
                let mirror = try await scene.start(on: data)
                let blobs = (0..<60).map { Cargo.blob(1_000_000 + 70_000 * $0, seed: UInt64(200 + $0)) }
                for (number, blob) in blobs.enumerated() {
                    scene.upstream.add(blob: blob, to: CrashScene.repository)
                    if number.isMultiple(of: 3) {
                        scene.upstream.inject(.corrupt(at: 500_000), into: "\(blob.digest)", method: "GET")
                    }
                }
                let most = try await withThrowingTaskGroup(of: Int.self) { group in
                    group.addTask {
                        var most = 0
                        while !Task.isCancelled {
                            // Held meanwhile: a file that is moved while it looks would count twice.
                            mirror.child.signal(SIGSTOP)
                            let looked = try? await scene.bench.run("du", ["-s", "-B1", data])
                            mirror.child.signal(SIGCONT)
                            guard let (_, text) = looked else { break }
                            most = max(most, Int(text.split(separator: "\t").first ?? "") ?? .max)
                            try? await Task.sleep(for: .milliseconds(20))
                        }
                        return most
                    }
                    for client in 0..<4 {
                        for number in Array(client * 15..<client * 15 + 15) + [client * 15, client * 15 + 1] {
                            let pulled = await scene.pull(blobs[number], from: mirror).pulled
                            #expect(pulled?.isWhole == !number.isMultiple(of: 3))
                            #expect(pulled?.looksWhole == pulled?.isWhole, "wrong bytes never look whole")
                        }
                    }
                    group.cancelAll()
                    return try await group.reduce(0, max)
                }
                #expect(most > limit / 2, "it was filled")
                #expect(most <= limit * 102 / 100, "\(most)")
                #expect(try await mirror.statistics()["storage"]["quarantined"].number ?? 0 > 0)
                try await scene.kill(mirror)
            }
        }

        // MARK: The database

        enum Damage: CaseIterable, Sendable {
            case truncated, halved, zeroed, garbage, gone, wrongTables, emptied
        }

        @Test(arguments: Damage.allCases) func `a database that is damaged costs a question each, and no blob`(
            damage: Damage
        ) async throws {
            try await withCrashScene { scene in
                let data = try scene.bench.makeFolder("data")
                let first = try await scene.start(on: data)
                #expect(try await scene.missing(from: first) == [])
                try await scene.settle(first)
                try await scene.kill(first, by: SIGTERM)
                try spoil("\(data)/metadata.sqlite", damage)
                let mirror = try await scene.start(on: data)
                try await eventually(within: .seconds(20), "the files are adopted") {
                    try await mirror.statistics()["storage"]["blobs"].number ?? 0 >= 3
                }
                #expect(try await scene.missing(from: mirror) == [])
                let fetched = Int(try await mirror.statistics()["bytes"]["from_upstream"].number ?? -1)
                let manifests = [scene.image.manifest] + scene.image.images.map(\.manifest)
                let known = manifests.reduce(0) { $0 + $1.bytes.count }
                #expect(fetched <= 2 * known, "no layer is fetched again: \(fetched)")
                try await scene.kill(mirror)
            }
        }

        private func spoil(_ path: String, _ damage: Damage) throws {
            let url = URL(fileURLWithPath: path)
            for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
            let content = try Data(contentsOf: url)
            switch damage {
            case .truncated: try content.prefix(5000).write(to: url)
            case .halved: try content.prefix(content.count / 2).write(to: url)
            case .zeroed: try Data(count: content.count).write(to: url)
            case .garbage: try Data((0..<content.count).map { UInt8(truncatingIfNeeded: $0 &* 31) }).write(to: url)
            case .gone: try FileManager.default.removeItem(at: url)
            case .emptied: try Data().write(to: url)
            case .wrongTables:
                var other = content
                let ours = Data("TABLE blob (".utf8)
                guard let place = other.range(of: ours) else { throw HarnessError("no table is called blob") }
                other.replaceSubrange(place, with: Data("TABLE blub (".utf8))
                try other.write(to: url)
            }
        }

        @Test func `a newer program's database is refused in one line that says what to do`() async throws {
            try await withCrashScene { scene in
                let data = try scene.bench.makeFolder("data")
                let first = try await scene.start(on: data)
                try await scene.kill(first, by: SIGTERM)
                let script = """
                    import sqlite3, sys
                    base = sqlite3.connect(sys.argv[1])
                    base.execute("INSERT INTO grdb_migrations (identifier) VALUES ('99')")
                    base.commit()
                    """
                try await scene.bench.succeed("/usr/bin/python3", ["-c", script, "\(data)/metadata.sqlite"])
                let (status, output) = try await scene.bench.run(
                    try Mirror.program(), ["serve", "--listen", "127.0.0.1:0", "--data", data])
                #expect(status == 1)
                let lines = output.split(separator: "\n").filter { $0.hasPrefix("wharf: ") }
                #expect(lines.count == 1, "\(output)")
                #expect(lines[0].contains("newer wharf") && lines[0].contains("move the file away"), "\(output)")
            }
        }
    }
}
