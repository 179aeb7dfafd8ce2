// A look at the whole cache at one instant, as plain values: what `/stats` tells.

package import OCI
import Store
import Upstream

package struct Figures: Sendable {
    /// Bytes, where not said otherwise.
    package struct Storage: Sendable {
        package let used, limit, free, pinned, hosted, partial: Int64
        package let blobs, manifests, tags, quarantined: Int
        package let evictedBlobs, evictedBytes: Int64
    }

    package struct Transfer: Sendable {
        package let digest: Digest
        package let repository: Repository
        /// Bytes; the size is nil while nobody knows.
        package let received: Int64
        package let size: Int64?
        package let followers: Int
        package let seconds: Double
        /// Over the last few seconds.
        package let bytesPerSecond: Int64
        /// Those that an upstream has answered on.
        package let connections: Int
    }

    package struct RateLimit: Sendable {
        package let limit, remaining, windowSeconds: Int?
        package let source: String?
    }

    package struct Endpoint: Sendable {
        package let upstream, url: String
        package let isHealthy: Bool
        /// `closed`, `open` or `half-open`.
        package let breaker: String
        package let requests, errors, bytes: Int64
        package let lastError: String?
        package let rateLimit: RateLimit?
        /// It said that nothing may be pulled just now.
        package let isSpent: Bool
    }

    package let storage: Storage
    package let totals: Statistics.Totals
    package let inFlight: [Transfer]
    package let endpoints: [Endpoint]
    package let top: [(repository: Repository, use: Statistics.Use)]
}

extension PullThroughCache {
    package func figures() async -> Figures {
        let storage = await store.figures()
        return Figures(
            storage: Figures.Storage(
                used: storage.ledger.used, limit: storage.ledger.limit, free: storage.free,
                pinned: storage.stored.pinnedBytes, hosted: storage.stored.hostedBytes,
                partial: storage.ledger.reserved + storage.ledger.partial,
                blobs: storage.stored.blobs, manifests: storage.stored.manifests, tags: storage.stored.tags,
                quarantined: storage.quarantined, evictedBlobs: storage.evictedBlobs,
                evictedBytes: storage.evictedBytes),
            totals: statistics.totals,
            inFlight: transfers,
            endpoints: directory.names.flatMap { name in
                (directory[name]?.registry.figures ?? []).map { Figures.Endpoint($0, of: name) }
            },
            top: statistics.topRepositories(10))
    }

    /// What is in flight, the oldest first.
    package var transfers: [Figures.Transfer] {
        let now = now()
        return inFlight.map { fill in
            let progress = fill.progress
            return Figures.Transfer(
                digest: fill.digest, repository: fill.source, received: progress.received, size: progress.size,
                followers: progress.followers, seconds: Double(max(0, now - fill.startedAt)) / 1000,
                bytesPerSecond: progress.bytesPerSecond, connections: progress.connections)
        }
    }

    /// What is amiss, each in a sentence for people; upstreams never matter.
    package var amiss: [String] { store.amiss + (isOffline ? ["offline: no upstream is asked"] : []) }

    /// Whether the store can be read: all that readiness depends on.
    package func isReadable() async -> Bool {
        await store.isReadable()
    }
}

extension Figures.Endpoint {
    fileprivate init(_ figures: EndpointFigures, of upstream: String) {
        self.init(
            upstream: upstream, url: figures.url, isHealthy: figures.isHealthy, breaker: figures.breaker,
            requests: figures.requests, errors: figures.errors, bytes: figures.bytes, lastError: figures.lastError,
            rateLimit: figures.rateLimit.map {
                Figures.RateLimit(
                    limit: $0.limit, remaining: $0.remaining, windowSeconds: $0.windowSeconds, source: $0.source)
            },
            isSpent: figures.isSpent)
    }
}
