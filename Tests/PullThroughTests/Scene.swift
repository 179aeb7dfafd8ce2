// What the tests of this room share: a stub registry, a store on the real disk, and the cache between them; the wall
// clock is turned by hand.

import Glibc
import HTTPSemantics
import Logging
import OCI
import Store
import Synchronization
import TestSupport
import Upstream

@testable import PullThrough

struct Scene {
    static let alpine = Repository(upstream: "docker.io", name: RepositoryName("library/alpine")!)  // grammatical
    static let other = Repository(upstream: "docker.io", name: RepositoryName("acme/app")!)  // grammatical

    /// Of an upstream that is read with credentials.
    static let secret = Repository(upstream: "private.test", name: RepositoryName("acme/secret")!)  // grammatical

    let stub: StubRegistry
    /// The second endpoint of both upstreams, if there is one.
    let spare: StubRegistry?
    let cache: PullThroughCache
    let store: ContentStore
    let clock: ManualClock
    let wall: WallClock
    let directory: TemporaryDirectory
    private let transport: CurlTransport
    private let makeCache: @Sendable (_ isOffline: Bool) -> PullThroughCache

    /// The cache as it is after a restart: nothing is remembered but what is stored.
    func restarted(offline: Bool = false) -> PullThroughCache { makeCache(offline) }

    /// Runs the body against a fresh registry and a fresh store, and stops both after it.
    static func run(
        _ options: StubOptions = StubOptions(), offline: Bool = false,
        maxSize: Int64? = nil,
        policy: FreshnessPolicy = .usual,
        tagPolicy: @escaping @Sendable (RepositoryName, OCI.Tag) -> FreshnessPolicy? = { _, _ in nil },
        fills: FillPolicy = .prompt, hasSpare: Bool = false, body: (Scene) async throws -> Void
    ) async throws {
        let directory = try TemporaryDirectory()
        let stub = try await StubRegistry.start(options)
        let spare = hasSpare ? try await StubRegistry.start(options) : nil
        let transport = CurlTransport()
        var configuration = StoreConfiguration(root: directory.path("data"))
        configuration.minFree = .bytes(0)
        if let maxSize { configuration.maxSize = .bytes(maxSize) }
        let scene = try Scene(
            stub, spare, transport, configuration, directory, offline, policy, tagPolicy, fills)
        do {
            try await body(scene)
        } catch {
            await scene.stop()
            throw error
        }
        await scene.stop()
    }

    private init(
        _ stub: StubRegistry, _ spare: StubRegistry?, _ transport: CurlTransport, _ configuration: StoreConfiguration,
        _ directory: TemporaryDirectory, _ offline: Bool, _ policy: FreshnessPolicy,
        _ tagPolicy: @escaping @Sendable (RepositoryName, OCI.Tag) -> FreshnessPolicy?, _ fills: FillPolicy
    ) throws {
        self.stub = stub
        self.spare = spare
        self.transport = transport
        self.directory = directory
        clock = ManualClock()
        wall = WallClock(with: clock)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        store = try ContentStore(configuration, now: { [wall] in wall.now }, logger: logger)
        let login = CredentialSource.login(Credentials(username: "acme", password: "secret"))
        let upstreams = [("docker.io", .anonymous), ("private.test", login)].map { [wall, clock] name, credentials in
            let upstream = UpstreamConfiguration(
                name: name, endpoints: [stub.url, spare?.url ?? ""].compactMap { UpstreamEndpoint($0) },
                authHosts: ["127.0.0.1"],
                credentials: credentials, allowHTTP: true)
            let registry = UpstreamRegistry(
                upstream, transport: transport, clock: clock, now: { wall.now / 1000 }, logger: logger,
                instance: "test")
            let entry = UpstreamDirectory.Entry(
                registry: registry, policy: policy, tagPolicy: tagPolicy, fills: fills)
            return (name: name, entry: entry)
        }
        makeCache = { [store, clock, wall] isOffline in
            PullThroughCache(
                store: store, directory: UpstreamDirectory(upstreams, defaultName: "docker.io"),
                statistics: Statistics(), isOffline: isOffline, clock: clock, now: { wall.now }, jitter: { 0 },
                logger: logger)
        }
        cache = makeCache(offline)
    }

    private func stop() async {
        await transport.stop()
        await cache.cease()
        await stub.stop()
        await spare?.stop()
    }

    // The cache's verbs without their typed errors, which the expectations' macros cannot carry.

    func blob(
        _ digest: Digest, in repository: Repository, range: PullThroughCache.RangeReading? = nil
    ) async throws -> BlobAnswer {
        try await cache.blob(digest, in: repository, range: range)
    }

    func blobFacts(_ digest: Digest, in repository: Repository) async throws -> (size: Int64?, status: CacheStatus) {
        try await cache.blobFacts(digest, in: repository)
    }

    func manifest(_ reference: Reference, in repository: Repository) async throws -> ManifestAnswer {
        try await cache.manifest(reference, in: repository)
    }

    func figures() async -> Figures { await cache.figures() }

    /// What people were told, from the start.
    func told() -> [Event] {
        let events = Mutex<[Event]>([])
        cache.events.subscribe(after: nil) { event in events.withLock { $0.append(event) } }.cancel()
        return events.withLock { $0 }
    }

    /// Waits for the questions about tags that are under way.
    func settled() async {
        for flight in cache.tagFlights.underWay { _ = await flight.value }
    }

    /// Time that goes on by itself, five times as fast as the real one, until it is ended: for who must retry several
    /// times while a real network answers in between.
    struct Time: Sendable {
        fileprivate let task: Task<Void, Never>

        func cancel() { task.cancel() }

        func end() async {
            task.cancel()
            await task.value
        }
    }

    func turning() -> Time {
        Time(
            task: Task {
                while (try? await Task.sleep(for: .milliseconds(2))) != nil { clock.advance(by: .milliseconds(10)) }
            })
    }

    /// Requests for content that the stub saw.
    func asked(_ part: String, _ method: String? = nil) -> Int { stub.log.requests(part, method: method).count }
}

extension FreshnessPolicy {
    static let usual = FreshnessPolicy(freshFor: .seconds(60), staleIfError: .seconds(3600), negativeFor: .seconds(10))

    func with(_ change: (inout FreshnessPolicy) -> Void) -> FreshnessPolicy {
        var policy = self
        change(&policy)
        return policy
    }
}

extension FillPolicy {
    /// The first try after a break is made at once, without turning the clock.
    static var prompt: FillPolicy {
        var policy = FillPolicy()
        policy.jitter = { 0 }
        return policy
    }
}

extension BlobAnswer {
    var reader: BlobReader {
        get throws {
            guard case .bytes(let reader, _) = content else { throw BlobReader.Broken() }
            return reader
        }
    }
}

extension BlobReader {
    struct Broken: Error {}

    /// Reads to the end as a client does, waiting as a connection does.
    func bytes(from start: Int64 = 0, to end: Int64? = nil, isPiece: Bool = false) async throws -> [UInt8] {
        let descriptor = try openDescriptor()
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var offset = start
        while true {
            let (available, ending) = await look(from: offset, atLeast: min(offset + 1, end ?? .max), isPiece: isPiece)
            let limit = min(available, end ?? .max)
            if limit > offset {
                var buffer = [UInt8](repeating: 0, count: Int(limit - offset))
                let count = pread(descriptor, &buffer, buffer.count, off_t(offset))
                bytes += buffer.prefix(max(0, count))
                offset += Int64(max(0, count))
            }
            if let end, offset == end { return bytes }
            switch ending {
            case .complete(let size) where offset >= size: return bytes
            case .broken: throw Broken()
            default: continue
            }
        }
    }

    /// Waits until so much may be read, or it has ended.
    func look(from offset: Int64 = 0, atLeast: Int64, isPiece: Bool = false) async -> (
        available: Int64, ending: Ending?
    ) {
        await withCheckedContinuation { continuation in
            let once = Mutex(false)
            @Sendable func lookAgain() {
                let view = peek(from: offset, isPiece: isPiece)
                let isFirst = once.withLock { done in
                    defer { done = true }
                    return !done
                }
                if isFirst { continuation.resume(returning: view) }
            }
            let view = self.view(
                from: offset, atLeast: atLeast, isPiece: isPiece, group: ObjectIdentifier(self), execute: { $0() },
                orCall: lookAgain)
            if view.available >= atLeast || view.ending != nil { lookAgain() }
        }
    }

    /// What may be read now.
    func peek(from offset: Int64 = 0, isPiece: Bool = false) -> (available: Int64, ending: Ending?) {
        view(
            from: offset, atLeast: 0, isPiece: isPiece, group: ObjectIdentifier(self), execute: { $0() }, orCall: {})
    }
}

/// What a pull is refused with; nil if it is not.
func refusal<Value>(_ body: () async throws(Refusal) -> Value) async -> Refusal? {
    do throws(Refusal) {
        _ = try await body()
        return nil
    } catch {
        return error
    }
}
