// The law that holds for a data folder whatever befell its mirror: started again, no lie and no litter.

import Foundation
import OCI
import TestSupport

enum CrashLaw {
    /// What the database says.
    private struct Rows: Decodable {
        /// The digest's hex, and bytes.
        let blobs: [String: Int]
        /// Files in `ingest/`.
        let partials: [String]
        let integrity: String
    }

    /// Read beside the mirror, which has it open.
    private static let script = """
        import json, sqlite3, sys
        base = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True, timeout=5)
        print(json.dumps({
            "blobs": {bytes(d)[1:].hex(): s for d, s in base.execute(
                "SELECT bytes, size FROM blob JOIN digest ON digest.id = blob.digest")},
            "partials": [f for f, in base.execute("SELECT file FROM partial")],
            "integrity": base.execute("PRAGMA integrity_check").fetchone()[0]}))
        """

    private static func rows(of data: String, on bench: Bench) async throws -> Rows {
        let text = try await bench.succeed("/usr/bin/python3", ["-c", script, "\(data)/metadata.sqlite"])
        return try JSONDecoder().decode(Rows.self, from: Data(text.utf8))
    }

    /// Waits until files and rows agree, since adopting what no row knows takes its time, and says where they do not.
    static func disagreements(of data: String, on bench: Bench, within limit: Duration) async throws -> [String] {
        var found: [String] = []
        do {
            try await eventually(within: limit, "files and rows agree") {
                found = differences(try await rows(of: data, on: bench), data)
                return found.isEmpty
            }
        } catch is HarnessError where !found.isEmpty {}
        return found
    }

    private static func differences(_ rows: Rows, _ data: String) -> [String] {
        let sizes = Dictionary(
            files(below: "\(data)/blobs").map { ($0.split(separator: "/").last.map(String.init) ?? "", size(of: $0)) },
            uniquingKeysWith: { first, _ in first })
        let missing = rows.blobs.filter { sizes[$0.key] != $0.value }.map {
            "a row tells of \($0.key.prefix(12)) with \($0.value) bytes, the disk of \(sizes[$0.key] ?? -1)"
        }
        let unknown = sizes.keys.filter { rows.blobs[$0] == nil }.map { "no row knows the file \($0.prefix(12))" }
        let stray = names(in: "\(data)/ingest").filter { !rows.partials.contains($0) }.map { "ingest/\($0) has no row" }
        let trash = names(in: "\(data)/trash").map { "trash/\($0) is there" }
        let damage = rows.integrity == "ok" ? [] : ["the database: \(rows.integrity)"]
        return (missing + unknown + stray + trash + damage).sorted()
    }

    /// Stored files that are not what their name says, and how many there are.
    static func lies(in data: String) throws -> (lies: [String], blobs: Int, bytes: Int) {
        var lies: [String] = []
        var (blobs, bytes) = (0, 0)
        for path in files(below: "\(data)/blobs") {
            let parts = path.split(separator: "/").suffix(3)
            let name = "\(parts.first ?? ""):\(parts.last ?? "")"
            // Evicted since the listing: nobody lies.
            guard let content = try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped) else {
                continue
            }
            blobs += 1
            bytes += content.count
            if let digest = Digest(name) {
                let isRight = Digest.of([UInt8](content), digest.algorithm) == digest
                if !isRight { lies.append("\(name) has other bytes") }
            } else {
                lies.append("\(path) has no name of a blob")
            }
            var status = stat()
            if stat(path, &status) == 0, status.st_mode & 0o222 != 0 { lies.append("\(name) may be written") }
        }
        return (lies, blobs, bytes)
    }

    /// Waits until `/stats` tells what files and folders take, within 2 % and 64 KiB; nil, or what it tells instead.
    static func miscount(of mirror: Mirror, within limit: Duration = .seconds(10)) async throws -> String? {
        var told: String?
        do {
            try await eventually(within: limit, "/stats agrees with the disk") {
                let bytes = try await mirror.statistics()["storage"]["bytes"].number ?? -1
                let all = files(below: mirror.data) + folders(below: mirror.data)
                let there = Double(all.reduce(0) { $0 + blocks(of: $1) })
                let isRight = abs(bytes - there) <= there * 0.02 + 65_536
                told = isRight ? nil : "/stats tells \(Int(bytes)) bytes, files and folders take \(Int(there))"
                return isRight
            }
        } catch is HarnessError where told != nil {}
        return told
    }

    // MARK: Files

    static func names(in folder: String) -> [String] {
        // A folder that is not there has none.
        (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    }

    private static func files(below folder: String) -> [String] {
        names(in: folder).flatMap { name -> [String] in
            let path = "\(folder)/\(name)"
            var status = stat()
            guard stat(path, &status) == 0 else { return [] }
            return status.st_mode & S_IFMT == S_IFDIR ? files(below: path) : [path]
        }
    }

    /// The folder itself and all in it.
    private static func folders(below folder: String) -> [String] {
        let inner = names(in: folder).map { "\(folder)/\($0)" }.filter { path in
            var status = stat()
            return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
        }
        return [folder] + inner.flatMap(folders(below:))
    }

    private static func size(of path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : -1
    }

    private static func blocks(of path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_blocks) * 512 : 0
    }
}
