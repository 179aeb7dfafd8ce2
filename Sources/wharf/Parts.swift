// What the program is made of but for its face: the store, the transport, and the cache between them.

import FoundationEssentials
import Glibc
import Hosting
import Logging
import PullThrough
import Store
import Upstream

/// Built by hand, bottom-up. With a server before it, it is the mirror; a command that needs no client does without.
struct Parts: Sendable {
    let store: ContentStore
    let transport: CurlTransport
    let cache: PullThroughCache
    let hosted: HostedRepositories
    let statistics: Statistics
    let clock: ContinuousClock
    /// What this run calls itself towards others.
    let instance: String
    let logger: Logger

    /// Opens the store; asks nothing of the network.
    init(_ configuration: Configuration, logger: Logger) throws {
        self.logger = logger
        clock = ContinuousClock()
        instance = String(UInt32.random(in: .min ... .max), radix: 16)
        store = try ContentStore(StoreConfiguration(configuration), now: unixMilliseconds, logger: logger.of(.store))
        transport = CurlTransport()
        statistics = Statistics(
            saved: store.totals(),
            uses: Dictionary(
                store.repositoryUses().map { ($0.repository, Statistics.Use(requests: $0.requests, bytes: $0.bytes)) },
                uniquingKeysWith: { $1 }))
        let maker = RegistryMaker(transport: transport, clock: clock, instance: instance, logger: logger)
        cache = PullThroughCache(
            store: store, directory: try maker.directory(of: configuration, memos: store.memos()),
            statistics: statistics, isOffline: configuration.offline, clock: clock, now: unixMilliseconds,
            logger: logger.of(.cache))
        hosted = HostedRepositories(
            store: store, policy: HostingPolicy(configuration.hosting), clock: clock, now: unixMilliseconds,
            logger: logger.of(.hosting))
    }

    /// The directory of another configuration. An upstream of which nothing has changed keeps its registry: its
    /// connections, tokens, breakers, and what is known of its limit; another one begins anew, with its figures.
    func directory(of configuration: Configuration, insteadOf earlier: Configuration) throws -> UpstreamDirectory {
        let maker = RegistryMaker(transport: transport, clock: clock, instance: instance, logger: logger)
        let directory = cache.directory
        return try maker.directory(of: configuration, memos: directory.memos) { upstream in
            earlier.upstreams.contains(upstream) ? directory[upstream.name]?.registry : nil
        }
    }

    /// Of the repositories that are asked for most, to be written down.
    @Sendable func uses() -> [RepositoryUse] {
        statistics.mostUsed.map {
            RepositoryUse(repository: $0.repository, requests: $0.use.requests, bytes: $0.use.bytes)
        }
    }

    /// Ends what is under way, keeps what it has, and writes everything down; for who runs no `Upkeep`.
    func close() async {
        await transport.stop()
        await cache.cease()
        do {
            try await store.writeDown(totals: statistics.named, uses: uses(), memos: cache.directory.memos)
        } catch {
            logger.error("could not write down uses", metadata: ["error": "\(error)"])
        }
        store.close()
    }
}

private struct RegistryMaker {
    let transport: CurlTransport
    let clock: ContinuousClock
    let instance: String
    let logger: Logger

    /// - Parameter kept: the registry that goes on, where one does.
    func directory(
        of configuration: Configuration, memos: [String: String],
        keeping kept: (Configuration.Upstream) -> UpstreamRegistry? = { _ in nil }
    ) throws -> UpstreamDirectory {
        let environment = ProcessInfo.processInfo.environment
        let upstreams = try configuration.upstreams.map { upstream in
            let registry =
                try kept(upstream)
                ?? UpstreamRegistry(
                    try UpstreamConfiguration(upstream, environment: environment), transport: transport, clock: clock,
                    now: { unixMilliseconds() / 1000 }, logger: logger.of(.upstream), instance: instance, memos: memos)
            let entry = UpstreamDirectory.Entry(
                registry: registry, policy: FreshnessPolicy(upstream.freshness), tagPolicy: upstream.tagPolicy,
                fills: FillPolicy(upstream), allows: upstream.allows)
            return (name: upstream.name, entry: entry)
        }
        let hosted = HostedNames(configuration.hosting.names)
        return UpstreamDirectory(
            upstreams, defaultName: configuration.defaultUpstream, isHosted: { hosted.contains($0) })
    }
}

/// Why the program could not start, in one line that says what to do.
struct StartFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// The wall clock. It may jump; what must not is measured with the clock.
@Sendable func unixMilliseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
}
