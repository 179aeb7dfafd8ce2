// A registry on loopback that does what a test tells it to, and remembers what it was asked.
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
package import OCI
import Synchronization

/// An upstream for tests: content by repository, the Bearer dance, blobs redirected to a second port, faults by path.
///
/// ```swift
/// let registry = try await StubRegistry.start(StubOptions(authentication: .bearer(), redirectsBlobs: true))
/// let image = registry.add(builder.image(), to: "library/alpine", tag: "3")
/// registry.inject(.cut(at: 1000, reset: true), into: "\(image.layers[0].digest)", times: 1)
/// … registry.url …
/// #expect(registry.log.requests("/blobs/", method: "GET").count == 2)
/// await registry.stop()
/// ```
/// Written on NIO alone, so that a mistake of our own server cannot hide one of our client.
package final class StubRegistry: Sendable {
    struct Repository: Sendable {
        var blobs: Set<Digest> = []
        var manifests: Set<Digest> = []
        var tags: [String: Digest] = [:]
    }

    struct State {
        var content: [Digest: TestBlob] = [:]
        var repositories: [String: Repository] = [:]
        var rules: [StubRule] = []
        var tokens: [String: String] = [:]  // token → scope
        var identityToken: String?  // the last one given, where they are rotated
        var lastToken = 0
        var lastEntityTag = 0

        /// Uses up what befalls one request of a rule, the next of several if it has several.
        mutating func use(_ index: Int) -> StubFault? {
            rules[index].remaining = rules[index].remaining.map { $0 - 1 }
            switch rules[index].fault {
            case .cuts(let offsets, let reset):
                rules[index].fault = .cuts(at: Array(offsets.dropFirst()), reset: reset)
                return offsets.first.map { .cut(at: $0, reset: reset) }
            case .changingEntityTag:
                lastEntityTag += 1
                return .entityTag("\"\(lastEntityTag)\"")
            case let fault: return fault
            }
        }
    }

    let options: StubOptions
    let state = Mutex(State())
    let watched = Watched(StubLog())
    private let doors: Mutex<[StubDoor: any Channel]> = Mutex([:])
    private let connections: Mutex<[ObjectIdentifier: any Channel]> = Mutex([:])
    private let accepted = Mutex(0)
    private let reserved: Mutex<[ReservedPort]> = Mutex([])

    private init(_ options: StubOptions) { self.options = options }

    /// Listens on free ports of 127.0.0.1: the registry's, the blobs' and the tokens'.
    package static func start(_ options: StubOptions = StubOptions()) async throws -> StubRegistry {
        let registry = StubRegistry(options)
        for door in [StubDoor.registry, .blobs, .tokens] {
            let channel = try await registry.listen(at: door)
            registry.doors.withLock { $0[door] = channel }
            let reserved = try ReservedPort(registry.port(door))
            registry.reserved.withLock { $0.append(reserved) }
        }
        return registry
    }

    /// Resets what is open. The ports refuse connections from then on, and are nobody else's while this lives.
    package func stop() async {
        let listening = doors.withLock { Array($0.values) }
        for channel in listening { try? await channel.close() }  // closed already is as good
        // Waited for: on one that is not closed yet a request may still be answered.
        for channel in connections.withLock({ Array($0.values) }) { try? await channel.close() }
    }

    package var url: String { url(.registry) }

    package func url(_ door: StubDoor) -> String { "http://127.0.0.1:\(port(door))" }

    package func port(_ door: StubDoor = .registry) -> Int {
        doors.withLock { $0[door]?.localAddress?.port } ?? 0
    }

    // MARK: Content

    @discardableResult
    package func add(_ image: TestImage, to name: String, tag: String? = nil) -> TestImage {
        for blob in image.blobs { add(blob: blob, to: name) }
        add(manifest: image.manifest, to: name, tag: tag)
        return image
    }

    @discardableResult
    package func add(_ index: TestIndex, to name: String, tag: String? = nil) -> TestIndex {
        for image in index.images { add(image, to: name) }
        add(manifest: index.manifest, to: name, tag: tag)
        return index
    }

    @discardableResult
    package func add(blob: TestBlob, to name: String) -> TestBlob {
        state.withLock { state in
            state.content[blob.digest] = blob
            state.repositories[name, default: Repository()].blobs.insert(blob.digest)
        }
        return blob
    }

    /// A tag that exists moves.
    @discardableResult
    package func add(manifest: TestBlob, to name: String, tag: String? = nil) -> TestBlob {
        state.withLock { state in
            state.content[manifest.digest] = manifest
            state.repositories[name, default: Repository()].manifests.insert(manifest.digest)
            if let tag { state.repositories[name, default: Repository()].tags[tag] = manifest.digest }
        }
        return manifest
    }

    package func remove(tag: String, from name: String) {
        state.withLock { $0.repositories[name]?.tags[tag] = nil }
    }

    package func remove(_ digest: Digest, from name: String) {
        state.withLock { state in
            state.repositories[name]?.blobs.remove(digest)
            state.repositories[name]?.manifests.remove(digest)
        }
    }

    /// Every token issued so far is answered 401 from now on.
    package func revokeTokens() { state.withLock { $0.tokens = [:] } }

    // MARK: Faults

    /// Makes requests whose path contains `part` go wrong, `times` times or for good. Several faults add up.
    package func inject(
        _ fault: StubFault, into part: String, method: String? = nil, at door: StubDoor? = nil, times: Int? = nil
    ) {
        let rule = StubRule(fault: fault, part: part, method: method, door: door, remaining: times)
        state.withLock { $0.rules.append(rule) }
    }

    package func heal() { state.withLock { $0.rules = [] } }

    // MARK: Log

    /// Connections accepted since the start, on all ports.
    package var connectionCount: Int { accepted.withLock { $0 } }

    package var log: StubLog { watched.value }

    package func clearLog() { watched.change { $0 = StubLog(serving: $0.serving) } }

    /// Waits until the log is as the test wants it.
    package func wait(until isThere: @escaping @Sendable (StubLog) -> Bool) async {
        await watched.wait(until: isThere)
    }

    /// The faults that befall a request, each used up by one.
    func faults(for request: StubRequest) -> [StubFault] {
        state.withLock { state in
            state.rules.indices.filter { state.rules[$0].befalls(request) }.compactMap { state.use($0) }
        }
    }

    // MARK: Sockets

    private func listen(at door: StubDoor) async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // So that the port can be reserved while it is still listened at.
            .serverChannelOption(.socketOption(.init(rawValue: SO_REUSEPORT)), value: 1)
            .serverChannelOption(.backlog, value: 1024)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                self.keep(channel)
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: false)
                    try channel.pipeline.syncOperations.addHandler(StubConnection(self, door))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    private func keep(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        connections.withLock { $0[id] = channel }
        accepted.withLock { $0 += 1 }
        channel.closeFuture.whenComplete { _ in _ = self.connections.withLock { $0.removeValue(forKey: id) } }
    }
}
