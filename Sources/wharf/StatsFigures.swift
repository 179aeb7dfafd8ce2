// `/stats` as the commands read it: what they show of it, by the contract's names.

import FoundationEssentials

struct StatsFigures: Decodable, Equatable {
    struct Storage: Decodable, Equatable {
        var bytes, maxBytes, freeBytes: Int64
        var blobs, manifests, tags: Int64
        var pinnedBytes, hostedBytes, partialBytes, evictedBlobs, evictedBytes: Int64
        var quarantined: Int64
    }

    struct Requests: Decodable, Equatable {
        var total, hit, miss, collapsed, revalidated, stale, error: Int64
    }

    struct Bytes: Decodable, Equatable {
        var toClients, fromStore, fromUpstream: Int64
    }

    struct Transfer: Decodable, Equatable {
        var digest, upstream, repository: String
        var received: Int64
        var size: Int64?
        var followers: Int64
        var seconds: Double
        /// Over the last few seconds.
        var bytesPerSecond: Double?
    }

    struct Upstream: Decodable, Equatable {
        struct RateLimit: Decodable, Equatable {
            var limit, remaining, windowSeconds: Int64?
        }

        var name, endpoint: String
        var healthy: Bool
        var spent: Bool?
        var requests, errors, bytes: Int64
        var lastError: String?
        var rateLimit: RateLimit?
        var offline: Bool?
    }

    var version: String
    var uptimeSeconds: Double
    var ready: Bool
    var storage: Storage
    var requests: Requests
    var bytes: Bytes
    var hitRatio: Double
    var byteHitRatio: Double
    var bytesSaved: Int64
    var inFlight: [Transfer]
    var upstreams: [Upstream]
    var offline: Bool?

    init(parsing text: String) throws {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            self = try decoder.decode(Self.self, from: Data(text.utf8))
        } catch {
            throw AdminFailure("the mirror's figures cannot be read: it may be of another version than this command")
        }
    }
}
