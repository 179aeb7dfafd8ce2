// The props of this room's tests: a store on the real disk, a clock turned by hand, and bodies made of pieces.

import Hosting
import Logging
import OCI
import Synchronization
import TestSupport
import Testing

@testable import Store

struct HostingScene: Sendable {
    let directory: TemporaryDirectory
    let clock = ManualClock()
    let wall: WallClock
    let store: ContentStore
    let hosted: HostedRepositories
    let acme: RepositoryName

    /// - Parameter maxSize: bytes.
    static func run(
        maxSize: Int64 = 1 << 30, _ change: (inout HostingPolicy) throws -> Void = { _ in },
        _ body: (HostingScene) async throws -> Void
    ) async throws {
        var policy = HostingPolicy()
        try change(&policy)
        let scene = try HostingScene(policy, maxSize)
        defer { scene.store.close() }
        try await body(scene)
    }

    private init(_ policy: HostingPolicy, _ maxSize: Int64) throws {
        directory = try TemporaryDirectory()
        wall = WallClock(with: clock)
        var configuration = StoreConfiguration(root: directory.path("data"))
        configuration.maxSize = .bytes(maxSize)
        configuration.minFree = .bytes(0)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        store = try ContentStore(configuration, now: { [wall] in wall.now }, logger: logger)
        hosted = HostedRepositories(
            store: store, policy: policy, clock: clock, now: { [wall] in wall.now }, logger: logger)
        acme = try #require(RepositoryName("acme/app"))
    }

    @discardableResult
    func push(_ bytes: [UInt8], to name: RepositoryName? = nil) async throws -> Digest {
        try await hosted.push(UploadBody([bytes]), as: Digest.of(bytes), to: name ?? acme)
        return Digest.of(bytes)
    }

    @discardableResult
    func push(_ manifest: String, as reference: String? = nil, type: MediaType? = nil) async throws -> Digest {
        let bytes = Array(manifest.utf8)
        let digest = Digest.of(bytes)
        let reference = try #require(Reference(reference ?? "\(digest)"))
        return try await hosted.push(UploadBody([bytes]), as: reference, type: type, to: acme).digest
    }
}

extension UploadBody {
    init(_ pieces: [[UInt8]], length: Int64? = nil, breaks: Bool = false) {
        let left = Mutex(pieces[...])
        self.init(length: length) { () throws(Broken) in
            if let piece = left.withLock({ $0.popFirst() }) { return piece }
            if breaks { throw Broken("broken") }
            return nil
        }
    }
}

/// A manifest's text: what it names, by digest and type.
func manifest(_ layers: [(Digest, MediaType)], key: String = "layers", more: String = "") -> String {
    let list = layers.map { "{\"mediaType\":\"\($0.1)\",\"digest\":\"\($0.0)\",\"size\":1}" }.joined(separator: ",")
    return "{\"schemaVersion\":2,\"\(key)\":[\(list)]\(more)}"
}

func pattern(_ text: String) throws -> NamePattern {
    let pattern = NamePattern(text)
    return try #require(pattern)
}
