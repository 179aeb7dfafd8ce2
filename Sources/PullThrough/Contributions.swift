// Who sent which bytes of a fill: when they turn out wrong, everyone who contributed is suspect.

import OCI
import Store

struct Contributor: Hashable, Sendable {
    let repository: Repository
    /// The endpoint that was asked, and the host that the bytes came from in the end.
    let endpoint: String
    let host: String
}

/// A value.
struct Contributions: Sendable {
    private var extents: [Contributor: Extents] = [:]

    mutating func add(_ range: Range<Int64>, by contributor: Contributor) {
        extents[contributor, default: Extents()].insert(range)
    }

    /// The only endpoint that anything came from.
    var onlyEndpoint: String? {
        let endpoints = Set(extents.keys.map(\.endpoint))
        return endpoints.count == 1 ? endpoints.first : nil
    }

    var repositories: Set<Repository> { Set(extents.keys.map(\.repository)) }

    /// For the log: each host, and how much it sent.
    var summary: String {
        extents.map { "\($0.key.host) (\($0.value.count) bytes, asked at \($0.key.endpoint))" }.sorted()
            .joined(separator: ", ")
    }
}
