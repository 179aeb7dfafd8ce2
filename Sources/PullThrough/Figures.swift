// A look at the whole cache at one instant, as plain values: what `/stats` tells.

package import HTTPSemantics
package import OCI
import Store
import Upstream

package struct Figures: Sendable {
    /// Bytes, where not said otherwise.
    package struct Storage: Sendable {
        package let used, limit, free, pinned, hosted, partial: Int64
        package let blobs, manifests, tags, quarantined: Int
        package let evictedBlobs, evictedBytes: Int64
        /// Times that bytes were put aside, since the start.
        package let quarantines: Int64
        /// Jobs that wait or are being done: hashing, and waits for the disk.
        package let hashing, diskWaits: Int
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
        /// It said that nothing may be pulled just now; and until when, if it said that: Unix milliseconds.
        package let isSpent: Bool
        package let spentUntil: Int64?
        /// Since the start: answers by status, failures by their type of RFC 9209.
        package let answers: [Int: Int64]
        package let failures: [ProxyError: Int64]
    }

    package let storage: Storage
    package let totals: Statistics.Totals
    /// `Statistics.shares`.
    package let shares: [String: Statistics.Share]
    package let fills: FillFigures
    package let inFlight: [Transfer]
    package let endpoints: [Endpoint]
    /// Connections of each upstream that blobs are transferred on, and transfers that wait for one.
    package let budgets: [(upstream: String, inUse: Int, waiting: Int)]
    /// All that may be amiss, in a word, and whether it is.
    package let amiss: [(what: String, isAmiss: Bool)]
    /// Those asked for most, as many as were wanted.
    package let top: [(repository: String, use: Statistics.Use)]
    /// No upstream is asked at all.
    package let isOffline: Bool
}

extension PullThroughCache {
    /// - Parameter mostUsed: repositories to tell of by name, which takes a look at all of them.
    package func figures(mostUsed: Int = 0) async -> Figures {
        let storage = await store.figures()
        return Figures(
            storage: Figures.Storage(
                used: storage.ledger.used, limit: storage.ledger.limit, free: storage.free,
                pinned: storage.stored.pinnedBytes, hosted: storage.stored.hostedBytes,
                partial: storage.ledger.reserved + storage.ledger.partial,
                blobs: storage.stored.blobs, manifests: storage.stored.manifests, tags: storage.stored.tags,
                quarantined: storage.quarantined, evictedBlobs: storage.evictedBlobs,
                evictedBytes: storage.evictedBytes, quarantines: storage.quarantines, hashing: storage.hashing,
                diskWaits: storage.diskWaits),
            totals: statistics.totals, shares: statistics.shares, fills: statistics.fills,
            inFlight: transfers,
            endpoints: directory.names.flatMap { name in
                (directory[name]?.registry.figures ?? []).map { Figures.Endpoint($0, of: name) }
            },
            budgets: directory.names.compactMap { name in
                directory[name].map { entry in
                    let (inUse, waiting) = entry.registry.budget.figures
                    return (name, inUse, waiting)
                }
            },
            amiss: store.troubles, top: statistics.topRepositories(mostUsed), isOffline: isOffline)
    }

    /// What was counted within each step of a span.
    package struct History: Sendable {
        /// `hour` or `week`.
        package let span: String
        /// Seconds.
        package let step: Int64
        /// Oldest first; `at`: when the step began, Unix seconds. Those in which the program did not run are missing,
        /// the last is under way.
        package let points: [(at: Int64, counted: Statistics.Totals)]
    }

    /// - Returns: nil if there is no span of that name. Of a database that is away nothing is known.
    package func history(_ span: String) async -> History? {
        guard let span = HistorySpan(rawValue: span) else { return nil }
        let points = (try? await store.history(span) { [statistics] in statistics.named }) ?? []
        return History(
            span: span.rawValue, step: span.step,
            points: points.map { ($0.at, Statistics(saved: $0.counted).totals) })
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
            isSpent: figures.isSpent, spentUntil: figures.spentUntil.map { $0 * 1000 },
            answers: figures.answers, failures: figures.failures)
    }
}
