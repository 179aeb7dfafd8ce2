// `GET /stats`: the figures as JSON. Its keys are a contract: monitoring scripts read them.

import FoundationEssentials
import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough

struct StatisticsHandler: Sendable {
    let cache: PullThroughCache
    let access: Access
    let version: String
    let vitals: Vitals
    /// Seconds since the start.
    let uptime: @Sendable () -> Double

    func respond() async -> Response {
        .json(await document())
    }

    func document() async -> StatisticsDocument {
        var document = StatisticsDocument(await cache.figures(mostUsed: 10), version: version, uptime: uptime())
        document.startedAt = EventText.instant(vitals.startedAt)
        document.hostedPush = access.letsSomebodyPush
        document.loginListen = vitals.loginListen()
        return document
    }
}

/// The document, in the contract's words; `convertToSnakeCase` spells them.
struct StatisticsDocument: Encodable {
    struct Storage: Encodable {
        let bytes, maxBytes, freeBytes: Int64
        let blobs, manifests, tags: Int
        let pinnedBytes, hostedBytes, partialBytes, evictedBlobs, evictedBytes: Int64
        let quarantined: Int
    }

    struct Requests: Encodable {
        let total, hit, miss, collapsed, revalidated, stale, error: Int64
    }

    struct Bytes: Encodable {
        let toClients, fromStore, fromUpstream: Int64
    }

    struct Transfer: Encodable {
        let digest, upstream, repository: String
        let received: Int64
        @Nullable var size: Int64?
        let followers: Int
        let seconds: Double
        let bytesPerSecond: Int64
        let connections: Int
    }

    struct Upstream: Encodable {
        struct RateLimit: Encodable {
            @Nullable var limit: Int?
            @Nullable var remaining: Int?
            @Nullable var windowSeconds: Int?
            @Nullable var source: String?
        }

        let name, endpoint: String
        let healthy: Bool
        let breaker: String
        let spent: Bool
        @Nullable var spentUntilAt: String?
        /// The same for all: the configuration says so.
        let offline: Bool
        let requests, errors, bytes: Int64
        @Nullable var lastError: String?
        @Nullable var rateLimit: RateLimit?
    }

    struct Use: Encodable {
        let name: String
        let requests, bytes: Int64
    }

    let version: String
    var uptimeSeconds: Double
    var startedAt = ""
    let ready = true
    let offline: Bool
    /// Whether anybody may push here, and where people log in.
    var hostedPush = false
    @Nullable var loginListen: String?
    let storage: Storage
    let requests: Requests
    let bytes: Bytes
    let hitRatio, byteHitRatio: Double
    let bytesSaved: Int64
    let inFlight: [Transfer]
    let upstreams: [Upstream]
    let topRepositories: [Use]
}

extension StatisticsDocument {
    init(_ figures: Figures, version: String, uptime: Double) {
        self.version = version
        uptimeSeconds = uptime
        offline = figures.isOffline
        let stored = figures.storage
        storage = Storage(
            bytes: stored.used, maxBytes: stored.limit, freeBytes: stored.free, blobs: stored.blobs,
            manifests: stored.manifests, tags: stored.tags, pinnedBytes: stored.pinned, hostedBytes: stored.hosted,
            partialBytes: stored.partial, evictedBlobs: stored.evictedBlobs, evictedBytes: stored.evictedBytes,
            quarantined: stored.quarantined)
        let totals = figures.totals
        func count(_ kind: RequestClass) -> Int64 { totals.requests[kind] ?? 0 }
        requests = Requests(
            total: totals.total, hit: count(.hit), miss: count(.miss), collapsed: count(.collapsed),
            revalidated: count(.revalidated), stale: count(.stale), error: count(.error))
        bytes = Bytes(
            toClients: totals.toClients, fromStore: totals.toClients - totals.asTheyCame,
            fromUpstream: totals.fromUpstream)
        hitRatio = totals.hitRatio
        byteHitRatio = totals.byteHitRatio
        bytesSaved = totals.bytesSaved
        inFlight = figures.inFlight.map { Transfer($0) }
        upstreams = figures.endpoints.map { endpoint in
            Upstream(
                name: endpoint.upstream, endpoint: endpoint.url, healthy: endpoint.isHealthy,
                breaker: endpoint.breaker, spent: endpoint.isSpent,
                spentUntilAt: endpoint.spentUntil.map(EventText.instant), offline: figures.isOffline,
                requests: endpoint.requests, errors: endpoint.errors, bytes: endpoint.bytes,
                lastError: endpoint.lastError,
                rateLimit: endpoint.rateLimit.map {
                    .init(
                        limit: $0.limit, remaining: $0.remaining, windowSeconds: $0.windowSeconds, source: $0.source)
                })
        }
        topRepositories = figures.top.map {
            Use(name: $0.repository, requests: $0.use.requests, bytes: $0.use.bytes)
        }
    }
}

extension StatisticsDocument.Transfer {
    init(_ transfer: Figures.Transfer) {
        self.init(
            digest: "\(transfer.digest)", upstream: transfer.repository.upstream,
            repository: "\(transfer.repository.name)", received: transfer.received, size: transfer.size,
            followers: transfer.followers, seconds: transfer.seconds, bytesPerSecond: transfer.bytesPerSecond,
            connections: transfer.connections)
    }
}

/// A value that is written as `null` when there is none, so that the key is always there.
@propertyWrapper struct Nullable<Value: Encodable>: Encodable {
    var wrappedValue: Value?

    init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(wrappedValue)
    }
}
