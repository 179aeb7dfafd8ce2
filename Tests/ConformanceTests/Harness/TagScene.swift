// What the tests of freshness do with a stub: move a tag, ask for it as an impatient client, and see who was asked.

import Foundation
import OCI
import TestSupport

extension StubScene {
    /// Less than the mirror's `first-byte-timeout` by far, and more than it may take where something is stored: a
    /// client that has waited for the upstream fails by it.
    static let patience = Duration.seconds(10)

    static func manifest(_ reference: Any) -> String { "/v2/\(repository)/manifests/\(reference)" }

    /// Gives the upstreams another image under this tag, which moves if it is there.
    @discardableResult
    func ship(_ seed: UInt64, as tag: String = "latest") -> TestImage {
        var builder = ImageBuilder(seed: seed)
        let image = builder.image()
        for upstream in upstreams { upstream.add(image, to: Self.repository, tag: tag) }
        return image
    }

    /// Ships an image and has the mirror fetch its manifest.
    @discardableResult
    func warm(_ seed: UInt64, as tag: String = "latest") async throws -> TestImage {
        let image = ship(seed, as: tag)
        try await mirror.warm(Self.manifest(tag))
        return image
    }

    func ask(_ tag: String = "latest", _ fields: [String: String] = [:], by method: String = "GET") async throws
        -> Answer
    {
        try await ConformanceTests.ask(
            method, Self.manifest(tag), port: mirror.port, fields, within: Self.patience)
    }

    /// Asks `count` times, by HEAD and by GET as clients do, over a few connections that stay.
    /// - Returns: what was answered, in no order: status and digest of each.
    func pull(_ tag: String = "latest", times count: Int, connections: Int = 8) async throws -> [TagAnswer: Int] {
        let port = mirror.port
        return try await withThrowingTaskGroup(of: [TagAnswer].self) { group in
            for number in 0..<connections {
                let share = count / connections + (number < count % connections ? 1 : 0)
                group.addTask {
                    try await blocking {
                        let connection = try Connection(port: port, within: Self.patience)
                        return try (0..<share).flatMap { _ in
                            try ["HEAD", "GET"].map { method in
                                try connection.send(method, Self.manifest(tag))
                                let head = try connection.readHead()
                                if method == "GET" { _ = try connection.readBody(after: head) }
                                return TagAnswer(status: head.status, digest: head.fields["Docker-Content-Digest"])
                            }
                        }
                    }
                }
            }
            return try await group.reduce(into: [:]) { counts, answers in
                for answer in answers { counts[answer, default: 0] += 1 }
            }
        }
    }

    /// What the upstream was asked about manifests since the log was cleared: `HEAD latest`, `GET sha256:…`.
    var questions: [String] {
        upstream.log.requests("/manifests/").map { request in
            "\(request.method) \(request.path.split(separator: "/").last ?? "")"
        }
    }

    /// How many requests the mirror has put in this class.
    func count(_ requestClass: String) async throws -> Int {
        Int(try await mirror.statistics()["requests"][requestClass].number ?? -1)
    }

    /// Waits until so many manifests are stored: what was asked for in the background has come.
    func storedManifests(_ count: Int) async throws {
        try await eventually(within: .seconds(20), "\(count) manifests are stored") {
            try await self.mirror.statistics()["storage"]["manifests"].number == Double(count)
        }
    }

    /// The lines of the mirror's log with these words.
    func logged(_ words: String) -> [Substring] {
        mirror.child.outputText().split(separator: "\n").filter { $0.contains(words) }
    }
}

struct TagAnswer: Hashable, Sendable {
    let status: Int
    let digest: String?

    init(status: Int, digest: String?) {
        self.status = status
        self.digest = digest
    }

    /// The right answer.
    init(_ image: TestImage) { self.init(status: 200, digest: "\(image.manifest.digest)") }
}

extension Answer {
    /// Whether it is this manifest, byte for byte and by every field that names it.
    func isManifest(_ manifest: TestBlob) -> Bool {
        status == 200 && ending == .complete && body == manifest.bytes
            && fields["Docker-Content-Digest"] == "\(manifest.digest)" && fields["ETag"] == "\"\(manifest.digest)\""
            && fields["Content-Type"] == "\(manifest.mediaType)"
    }

    /// What is missing of the marks of a stale answer: contract 3, RFC 9211, RFC 9111 §5.1.
    var missingMarksOfStaleness: [String] {
        var missing: [String] = []
        let warning = fields["Warning"] ?? ""
        if !(warning.hasPrefix("299 - \"") && warning.hasSuffix("\"")) { missing.append("Warning: \(warning)") }
        if fields["Age"].flatMap({ Int($0) }) == nil { missing.append("Age") }
        let isStale = cacheStatus.hasPrefix("wharf; fwd=stale") && cacheStatus.contains("detail=stale-if-error")
        if !isStale { missing.append("Cache-Status: \(cacheStatus)") }
        return missing
    }
}
