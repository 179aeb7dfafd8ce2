// The whole object graph on one page, built by hand, bottom-up.

import FoundationEssentials
import Frontend
import Glibc
import HTTPServer
import Hosting
import Logging
import OCI
import PullThrough
import ServiceLifecycle
import Store
import UnixSignals
import Upstream

struct Composition {
    private let server: HTTPServer
    private let services: ServiceGroup
    private let configuration: Configuration
    private let logger: Logger

    /// Opens the store; asks nothing of the network.
    init(_ configuration: Configuration, logger: Logger) throws {
        self.configuration = configuration
        self.logger = logger
        let clock = ContinuousClock()
        let started = clock.now

        // Hands
        let store = try ContentStore(StoreConfiguration(configuration), now: unixMilliseconds, logger: logger)
        let transport = CurlTransport()
        let instance = String(UInt32.random(in: .min ... .max), radix: 16)

        // Mind
        let environment = ProcessInfo.processInfo.environment
        let memos = store.memos()
        let upstreams = try configuration.upstreams.map { upstream in
            let registry = UpstreamRegistry(
                try UpstreamConfiguration(upstream, environment: environment), transport: transport, clock: clock,
                now: { unixMilliseconds() / 1000 }, logger: logger, instance: instance, memos: memos)
            let entry = UpstreamDirectory.Entry(
                registry: registry, policy: FreshnessPolicy(upstream.freshness), tagPolicy: upstream.tagPolicy,
                fills: FillPolicy(upstream), allows: upstream.allows)
            return (name: upstream.name, entry: entry)
        }
        for mistake in Proxies(configured: .environment, environment: environment).mistakes {
            logger.warning("a proxy of the environment is not used", metadata: ["reason": "\(mistake)"])
        }
        let hosted = HostedNames([])
        let statistics = Statistics(saved: store.totals())
        let cache = PullThroughCache(
            store: store,
            directory: UpstreamDirectory(
                upstreams, defaultName: configuration.defaultUpstream, isHosted: { hosted.contains($0) }),
            statistics: statistics, isOffline: configuration.offline, clock: clock, now: unixMilliseconds,
            logger: logger)

        // Face
        let responder = WharfResponder(
            cache: cache, version: Wharf.version, pseudonym: "wharf-\(instance)",
            access: Access(adminToken: configuration.adminToken?.revealed)
        ) {
            let (seconds, attoseconds) = (clock.now - started).components
            return Double(seconds) + Double(attoseconds / 1_000_000_000_000_000) / 1000
        }
        server = HTTPServer(
            configuration: ServerConfiguration(configuration), responder: responder, logger: logger)

        // They stop in the reverse order: no more clients, no more transfers, then all is written down.
        let upkeep = Upkeep(
            of: store, every: .seconds(5), clock: clock, totals: { statistics.named },
            memos: { cache.directory.memos },
            beforeEnd: { await cache.cease() })
        var group = ServiceGroupConfiguration(
            services: [upkeep, transport, server], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        group.maximumGracefulShutdownDuration = configuration.drain + .seconds(10)
        services = ServiceGroup(configuration: group)
    }

    func run() async throws {
        let addresses = try await bind()
        if configuration.offline { logger.notice("offline: no upstream is asked") }
        logger.info(
            "serving",
            metadata: [
                "version": "\(Wharf.version)", "listen": "\(addresses.map { "\($0)" }.joined(separator: ", "))",
                "data": "\(configuration.data)",
            ])
        try await services.run()
        logger.info("stopped")
    }

    private func bind() async throws -> [BoundAddress] {
        do {
            return try await server.bind()
        } catch {
            let addresses = configuration.listen.map { "\($0)" }.joined(separator: ", ")
            throw StartFailure("cannot listen on \(addresses): \(error); free the port or choose another with --listen")
        }
    }
}

/// Why the program could not start, in one line that says what to do.
struct StartFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// The wall clock. It may jump; what must not is measured with the clock.
@Sendable private func unixMilliseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
}
