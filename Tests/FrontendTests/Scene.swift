// What the tests of this room share: two stub registries, a store on the real disk, the cache, and the responder that
// is asked with requests as values; the wall clock is turned by hand.

import Hosting
import Logging
import OCI
import PullThrough
import Synchronization
import TestSupport
import Upstream

@testable import Frontend
@testable import HTTPServer
@testable import Store

/// A mirror of `docker.io` and `ghcr.io`; names that begin with `ours/` are hosted.
struct Scene {
    static let alpine = "/v2/library/alpine"
    static let adminToken = "admin-token"
    /// Of the only user, dev, whose password is `secret`.
    static let login = ["Authorization": "Basic ZGV2OnNlY3JldA=="]

    /// docker.io
    let stub: StubRegistry
    /// ghcr.io
    let other: StubRegistry
    let cache: PullThroughCache
    let store: ContentStore
    let hosted: HostedRepositories
    let access: Access
    let clock: ManualClock
    let wall: WallClock
    let directory: TemporaryDirectory
    let responder: WharfResponder
    private let transport: CurlTransport
    private let heads = Heads()

    private final class Heads: Sendable { let requests = Mutex<[String: Request]>([:]) }

    /// Runs the body against fresh registries and a fresh store, and stops them after it.
    ///
    /// - Parameter maxSize: bytes.
    static func run(
        _ options: StubOptions = StubOptions(), offline: Bool = false, maxSize: Int64 = 1 << 30,
        body: (Scene) async throws -> Void
    ) async throws {
        let directory = try TemporaryDirectory()
        let stubs = (try await StubRegistry.start(options), try await StubRegistry.start())
        var configuration = StoreConfiguration(root: directory.path("data"))
        configuration.minFree = .bytes(0)
        configuration.maxSize = .bytes(maxSize)
        let scene = try Scene(stubs, CurlTransport(), configuration, directory, offline)
        // Time goes on, five times as fast as the real one: what an upstream refuses is asked again after a while.
        let time = Task { [clock = scene.clock] in
            while (try? await Task.sleep(for: .milliseconds(2))) != nil { clock.advance(by: .milliseconds(10)) }
        }
        defer { time.cancel() }
        do {
            try await body(scene)
        } catch {
            await scene.stop()
            throw error
        }
        await scene.stop()
    }

    private init(
        _ stubs: (StubRegistry, StubRegistry), _ transport: CurlTransport, _ configuration: StoreConfiguration,
        _ directory: TemporaryDirectory, _ offline: Bool
    ) throws {
        (stub, other) = stubs
        self.transport = transport
        self.directory = directory
        clock = ManualClock()
        wall = WallClock(with: clock)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        store = try ContentStore(configuration, now: { [wall] in wall.now }, logger: logger)
        let policy = FreshnessPolicy(
            freshFor: .seconds(60), staleIfError: .seconds(3600), negativeFor: .seconds(10))
        let upstreams = [("docker.io", stubs.0), ("ghcr.io", stubs.1)].map { [wall, clock] name, stub in
            let upstream = UpstreamConfiguration(
                name: name, endpoints: [stub.url].compactMap { UpstreamEndpoint($0) }, authHosts: ["127.0.0.1"],
                allowHTTP: true)
            let registry = UpstreamRegistry(
                upstream, transport: transport, clock: clock, now: { wall.now / 1000 }, logger: logger,
                instance: "test")
            return (name: name, entry: UpstreamDirectory.Entry(registry: registry, policy: policy))
        }
        cache = PullThroughCache(
            store: store,
            directory: UpstreamDirectory(
                upstreams, defaultName: "docker.io", isHosted: { "\($0)".hasPrefix("ours/") }),
            statistics: Statistics(), isOffline: offline, clock: clock, now: { [wall] in wall.now }, jitter: { 0 },
            logger: logger)
        hosted = HostedRepositories(
            store: store, policy: HostingPolicy(), clock: clock, now: { [wall] in wall.now }, logger: logger)
        access = Access(try Self.rules())
        responder = WharfResponder(
            cache: cache, hosted: hosted, version: "0.1.0", pseudonym: "wharf-test", access: access,
            reload: { .changed([], restart: []) }
        ) { 12.5 }
    }

    /// Whoever logs in may push, and who comes from 10.0.0.1; to `ours/team` nobody by his name but root.
    static func rules() throws -> AccessRules {
        var rules = AccessRules(adminToken: adminToken)
        rules.passwords = try Passwords(parsing: "dev:$2y$05$g6wXK3sFFvb/TaMdK4c3..1XCBEqbPkaVI4CNtoMLVtiY5qKYs2Vu\n")
        let names = ["ours/*", "ours/team"].compactMap { NamePattern($0) }
        rules.push = [
            AccessRules.Push(names: [names[0]], users: nil, isNear: { $0 == "10.0.0.1" }),
            AccessRules.Push(names: [names[1]], users: ["root"], isNear: { _ in false }),
        ]
        return rules
    }

    private func stop() async {
        await transport.stop()
        await cache.cease()
        await stub.stop()
        await other.stop()
    }

    // MARK: Asking

    /// As a connection has it: the same head again is known by what was found out about it.
    func request(
        _ method: String, _ path: String, query: String? = nil, _ fields: [String: String] = [:],
        from peer: String = "127.0.0.1"
    ) -> Request {
        let request = Request.of(method, path, query: query, fields, from: peer)
        // No secret is kept, nor what has a body: `KnownHeads`.
        guard peer == "127.0.0.1", fields["Authorization"] == nil else { return request }
        return heads.requests.withLock { requests in
            let key = "\(method) \(path)?\(query ?? "-") \(fields.sorted { $0.key < $1.key })"
            let known = requests[key] ?? request
            requests[key] = known
            return known
        }
    }

    /// Asks as a connection does: what memory can answer first. A body that nobody takes is dropped.
    func send(
        _ method: String, _ path: String, query: String? = nil, _ fields: [String: String] = [:],
        body: [UInt8] = [], from peer: String = "127.0.0.1", atLogin: Bool = false
    ) async -> Reply {
        var request = request(method, path, query: query, fields, from: peer)
        request.isAtLogin = atLogin
        if !body.isEmpty, responder.takesBody(request) { request.body = RequestBodyStream(whole: body) }
        if let response = responder.ready(request) { return Reply(response, isHead: method == "HEAD") }
        return Reply(await responder.respond(to: request), isHead: method == "HEAD")
    }

    func get(_ path: String, query: String? = nil, _ fields: [String: String] = [:]) async -> Reply {
        await send("GET", path, query: query, fields)
    }

    func head(_ path: String, query: String? = nil, _ fields: [String: String] = [:]) async -> Reply {
        await send("HEAD", path, query: query, fields)
    }

    /// Pulls it to the end and waits until it is stored.
    @discardableResult
    func pull(_ path: String, query: String? = nil) async throws -> [UInt8] {
        let bytes = try await get(path, query: query).bytes()
        await cache.settle()
        return bytes
    }

    func statistics() async throws -> StatisticsView { StatisticsView(try await get("/stats").json()) }

    /// From here on the store cannot be read.
    func closeDatabase() { store.database.close() }

    // MARK: Content

    /// A blob of docker.io's `library/alpine`.
    func blob(_ size: Int, seed: UInt64 = 1) -> (blob: TestBlob, path: String) {
        var builder = ImageBuilder(seed: seed)
        let blob = stub.add(blob: builder.blob(size), to: "library/alpine")
        return (blob, "\(Self.alpine)/blobs/\(blob.digest)")
    }

    /// An image of docker.io's `library/alpine`, with a tag.
    @discardableResult
    func image(tag: String = "1.0", seed: UInt64 = 1) -> TestImage {
        var builder = ImageBuilder(seed: seed)
        return stub.add(builder.image(), to: "library/alpine", tag: tag)
    }
}
