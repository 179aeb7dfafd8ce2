// What the tests are played with: a directory, a wall clock turned by hand, seeded bytes, laws that always hold.

import Foundation
import GRDB
import Logging
import OCI
import Synchronization
import TestSupport
import Testing

@testable import Store

/// A wall clock turned by hand. Unix milliseconds.
final class WallClock: Sendable {
    private let instant = Mutex<Int64>(1_700_000_000_000)

    var now: Int64 { instant.withLock { $0 } }

    func turn(by duration: Duration) { instant.withLock { $0 += duration.milliseconds } }
}

/// A value that several tasks of a test change.
final class Shared<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>

    init(_ value: Value) { mutex = Mutex(value) }

    var value: Value { mutex.withLock { $0 } }

    @discardableResult
    func change<Result: Sendable>(_ body: (inout Value) -> Result) -> Result { mutex.withLock { body(&$0) } }
}

/// SplitMix64: the same bytes from the same seed on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, written in
            var rest = UnsafeMutableRawBufferPointer(buffer)
            while !rest.isEmpty {
                withUnsafeBytes(of: next()) {
                    rest.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0.prefix(rest.count)))
                }
                rest = UnsafeMutableRawBufferPointer(rebasing: rest.dropFirst(8))
            }
            written = count
        }
    }
}

func seeded(_ seed: UInt64, _ count: Int) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    return generator.bytes(count)
}

func repository(_ name: String, of upstream: String = "docker.io") throws -> Repository {
    Repository(upstream: upstream, name: try #require(RepositoryName(name)))
}

func tag(_ text: String) throws -> OCI.Tag {
    let tag = OCI.Tag(text)
    return try #require(tag)
}

extension StoreHealth {
    static var quiet: StoreHealth {
        StoreHealth(root: "", logger: Logger(label: "store") { _ in SwiftLogNoOpLogHandler() })
    }
}

/// A data directory that may be opened again and again.
final class StoreScene: Sendable {
    let directory: TemporaryDirectory
    let clock = WallClock()

    init() throws { directory = try TemporaryDirectory() }

    var root: String { directory.path("data") }
    var layout: DiskLayout { DiskLayout(root: root) }

    func open(_ configure: (inout StoreConfiguration) -> Void = { _ in }) throws -> ContentStore {
        var configuration = StoreConfiguration(root: root)
        configuration.maxSize = .bytes(1 << 30)
        configuration.minFree = .bytes(0)
        configure(&configuration)
        var logger = Logger(label: "store") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        return try ContentStore(configuration, now: { [clock] in clock.now }, logger: logger)
    }

    /// A life of the store, from opening to closing.
    func life<Value>(
        _ configure: (inout StoreConfiguration) -> Void = { _ in }, _ body: (ContentStore) async throws -> Value
    ) async throws -> Value {
        let store = try open(configure)
        defer { store.close() }
        return try await body(store)
    }

    /// Every file under `blobs/`, by digest.
    func files() throws -> [Digest: (size: Int64, onDisk: Int64)] {
        var found: [Digest: (size: Int64, onDisk: Int64)] = [:]
        for algorithm in Digest.Algorithm.allCases {
            let top = "\(layout.blobs)/\(algorithm.name)"
            for shard in names(in: top) {
                for name in names(in: "\(top)/\(shard)") {
                    var status = stat()
                    try #require(stat("\(top)/\(shard)/\(name)", &status) == 0)
                    let digest = try #require(Digest("\(algorithm.name):\(name)"))
                    found[digest] = (Int64(status.st_size), Int64(status.st_blocks) * 512)
                }
            }
        }
        return found
    }

    /// Bytes that the files in `ingest/` take.
    var ingestOnDisk: Int64 {
        names(in: layout.ingest).reduce(0) { total, name in
            var status = stat()
            return stat(layout.ingest(name), &status) == 0 ? total + Int64(status.st_blocks) * 512 : total
        }
    }

    /// Every file right, no litter, and files, rows and figures agree.
    func expectLaws(_ store: ContentStore, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let files = try files()
        for digest in files.keys {
            let file = try #require(try BlobFile(opening: layout.blob(digest), digest: digest))
            #expect(try file.hash() == digest, sourceLocation: sourceLocation)
        }
        #expect(
            Set(names(in: layout.ingest)) == store.partials.files, "litter", sourceLocation: sourceLocation)
        #expect(names(in: layout.trash).isEmpty, sourceLocation: sourceLocation)
        let rows = try await store.database.known(Array(files.keys))
        #expect(rows.count == files.count, "a file without a row", sourceLocation: sourceLocation)
        let figures = try await store.database.figures()
        #expect(
            figures.blobs + figures.manifests == files.count, "a row without a file", sourceLocation: sourceLocation)
        #expect(
            try await figures == store.database.walked(), "not what a walk counts", sourceLocation: sourceLocation)
        let ledger = store.capacity.snapshot
        #expect(ledger.reserved == 0, sourceLocation: sourceLocation)
        #expect(ledger.partial == ingestOnDisk, "not what du says of ingest", sourceLocation: sourceLocation)
        #expect(
            try Set(store.database.partials().map(\.file)) == store.partials.files, sourceLocation: sourceLocation)
        #expect(ledger.committed == files.values.reduce(0) { $0 + onDisk($1.size) }, sourceLocation: sourceLocation)
        // A file that came in pieces may have a block more, in which the file system keeps the list of them.
        #expect(
            files.values.allSatisfy { [0, 4096].contains($0.onDisk - onDisk($0.size)) }, "not what du says",
            sourceLocation: sourceLocation)
    }
}

extension MetadataDatabase {
    /// What the triggers count, by a walk over all rows.
    func walked() async throws(StoreError) -> StoredFigures {
        try await read { db in
            func number(_ sql: String) throws -> Int { try Int.fetchOne(db, sql: sql) ?? 0 }
            let manifests = try number("SELECT count(*) FROM manifest WHERE digest IN (SELECT digest FROM blob)")
            return StoredFigures(
                blobs: try number("SELECT count(*) FROM blob") - manifests, manifests: manifests,
                tags: try number("SELECT count(*) FROM tag") + number("SELECT count(*) FROM hostedTag"),
                pinnedBytes: Int64(try number("SELECT ifnull(sum(size), 0) FROM blob WHERE pinned = 1")),
                hostedBytes: Int64(try number("SELECT ifnull(sum(size), 0) FROM blob WHERE hosted = 1")))
        }
    }
}

extension ContentStore {
    @discardableResult
    func put(_ bytes: [UInt8], linkedTo repositories: [Repository] = []) async throws -> Digest {
        let digest = Digest.of(bytes)
        try await put(bytes, as: digest, linkedTo: repositories)
        return digest
    }

    func put(_ bytes: [UInt8], as digest: Digest, linkedTo repositories: [Repository] = []) async throws {
        let writer = try await ingest(digest, size: Int64(bytes.count))
        try bytes.withUnsafeBytes { try writer.append($0) }
        let size = try await writer.verify()
        writer.complete(size: size)
        try await commit(writer, size: size, linkedTo: repositories)
    }

    /// Stores a manifest whose text is made of what it names.
    @discardableResult
    func putManifest(
        naming linked: [Digest], in repository: Repository, tag: OCI.Tag? = nil, isIndex: Bool = false,
        note: String = "", subject: Digest? = nil, broughtBy upstream: String? = nil
    ) async throws -> Digest {
        let bytes = Array("\(isIndex)\(note)\(linked.map(\.description))\(subject?.description ?? "")".utf8)
        let digest = Digest.of(bytes)
        let manifest = NewManifest(
            digest: digest, mediaType: isIndex ? .ociIndex : .ociManifest, bytes: bytes, isIndex: isIndex,
            linked: linked.map { ($0, 1) }, subject: subject)
        try await store(manifest, in: repository, broughtBy: upstream)
        if let tag { try await set(tag, of: repository, to: digest) }
        return digest
    }

    func opened(_ digest: Digest) async throws -> BlobFile? {
        try await gate.turn(digest) { () async throws(StoreError) -> BlobFile? in
            guard let size = try await storedSize(digest) else { return nil }
            return try await open(digest, size: size)
        }
    }

    func bytes(of digest: Digest) async throws -> [UInt8]? { try await opened(digest)?.readAll() }

    func storedSize(_ digest: Digest) async throws(StoreError) -> Int64? {
        guard let name = RepositoryName("nobody/asks") else { return nil }
        return try await knowledge(of: digest, in: Repository(upstream: "nowhere", name: name)).storedSize
    }

    func isStored(_ digest: Digest) async throws -> Bool { try await storedSize(digest) != nil }
}

extension IngestWriter {
    /// Writes behind what is there.
    func append(_ bytes: UnsafeRawBufferPointer) throws(StoreError) { try write(bytes, at: landing.landed) }

    var hashed: Int64 { state.withLock { $0.hashed } }

    /// Returns once no hash job is under way: all that can be hashed is.
    func hashRests() async { while state.withLock({ $0.isHashing }) { await Task.yield() } }

    /// Writes these bytes of a whole at their place.
    func write(_ range: Range<Int>, of whole: [UInt8]) throws {
        try whole[range].withUnsafeBytes { try write($0, at: Int64(range.lowerBound)) }
    }
}

/// What an open file holds in a range.
func read(_ range: Range<Int64>, of descriptor: CInt) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
        count = try readFully(descriptor, UnsafeMutableRawBufferPointer(buffer), at: range.lowerBound, path: "")
    }
}

/// Many bytes, quickly: no two of its blocks of 64 KiB are the same.
func patterned(_ count: Int) -> [UInt8] {
    let block = seeded(77, 65_536)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + block.count)
    while bytes.count < count {
        withUnsafeBytes(of: UInt64(bytes.count)) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: block)
    }
    bytes.removeLast(bytes.count - count)
    return bytes
}
