// The figures: how requests were answered and how many bytes went where. Totals survive restarts.

package import HTTPSemantics
package import OCI
import Synchronization

package final class Statistics: Sendable {
    package struct Totals: Equatable, Sendable {
        /// Pull requests for manifests and blobs, each in one class.
        package var requests: [RequestClass: Int64] = [:]
        /// Body bytes handed to the kernel.
        package var toClients: Int64 = 0
        /// Of those, the ones sent by the request that began a fill: all others came from the store.
        package var asTheyCame: Int64 = 0
        /// Body bytes of manifests and blobs received.
        package var fromUpstream: Int64 = 0

        package var total: Int64 { requests.values.reduce(0, +) }

        /// Requests that cost no transfer from an upstream, of all that were answered; 0...1.
        package var hitRatio: Double {
            let answered = total - (requests[.error] ?? 0)
            let saved = [RequestClass.hit, .revalidated, .collapsed, .stale].reduce(0) { $0 + (requests[$1] ?? 0) }
            return answered > 0 ? Double(saved) / Double(answered) : 0
        }

        package var bytesSaved: Int64 { max(0, toClients - fromUpstream) }
        package var byteHitRatio: Double { toClients > 0 ? Double(bytesSaved) / Double(toClients) : 0 }
    }

    package struct Use: Equatable, Sendable {
        package var requests: Int64 = 0
        /// Body bytes to clients.
        package var bytes: Int64 = 0
    }

    /// Repositories beyond so many are not counted one by one.
    private static let mostRepositories = 10_000

    /// What one event loop counts: a counter that others want costs more than what is counted.
    fileprivate final class Lane: Sendable {
        let requests = RequestClass.allCases.map { _ in Counter() }
        let toClients = Counter()
        let asTheyCame = Counter()
        let fromUpstream = Counter()
        let tallies = Mutex<[Repository: Tally]>([:])
    }
    private let lanes = (0..<16).map { _ in Lane() }

    /// - Parameter saved: what `named` gave in an earlier run.
    package init(saved: [String: Int64] = [:]) {
        let first = lanes[0]
        for (kind, counter) in zip(RequestClass.allCases, first.requests) {
            counter.add(saved["requests.\(kind.rawValue)"] ?? 0)
        }
        first.toClients.add(saved["bytes.to_clients"] ?? 0)
        first.asTheyCame.add(saved["bytes.as_they_came"] ?? 0)
        first.fromUpstream.add(saved["bytes.from_upstream"] ?? 0)
    }

    package var totals: Totals {
        lanes.reduce(into: Totals()) { sum, lane in
            for (kind, counter) in zip(RequestClass.allCases, lane.requests) {
                sum.requests[kind, default: 0] += counter.value
            }
            sum.toClients += lane.toClients.value
            sum.asTheyCame += lane.asTheyCame.value
            sum.fromUpstream += lane.fromUpstream.value
        }
    }

    /// For writing down.
    package var named: [String: Int64] {
        let totals = totals
        var named = Dictionary(
            uniqueKeysWithValues: totals.requests.map { ("requests.\($0.key.rawValue)", $0.value) })
        named["bytes.to_clients"] = totals.toClients
        named["bytes.as_they_came"] = totals.asTheyCame
        named["bytes.from_upstream"] = totals.fromUpstream
        return named
    }

    /// Where one event loop counts what is asked of a repository, or of none that is known.
    package func tally(of repository: Repository?, lane: Int = 0) -> Tally {
        let lane = lanes[lane % lanes.count]
        guard let repository else { return Tally(lane) }
        return lane.tallies.withLock { tallies in
            if let tally = tallies[repository] { return tally }
            let tally = Tally(lane)
            if tallies.count < Self.mostRepositories { tallies[repository] = tally }
            return tally
        }
    }

    package func count(_ kind: RequestClass, of repository: Repository?) { tally(of: repository).count(kind) }

    func received(_ bytes: Int64) { lanes[0].fromUpstream.add(bytes) }

    /// The most used, by bytes.
    package func topRepositories(_ count: Int) -> [(repository: Repository, use: Use)] {
        let all = lanes.reduce(into: [Repository: Use]()) { sum, lane in
            for (repository, tally) in lane.tallies.withLock({ $0 }) {
                sum[repository, default: Use()].requests += tally.requests.value
                sum[repository, default: Use()].bytes += tally.bytes.value
            }
        }
        return all.sorted { ($0.value.bytes, $0.value.requests) > ($1.value.bytes, $1.value.requests) }
            .prefix(count).map { ($0.key, $0.value) }
    }
}

/// What one event loop has counted of one repository. Cheap, and from any thread.
package final class Tally: Sendable {
    fileprivate let requests = Counter()
    fileprivate let bytes = Counter()
    private let lane: Statistics.Lane

    fileprivate init(_ lane: Statistics.Lane) { self.lane = lane }

    package func count(_ kind: RequestClass) {
        lane.requests[kind.place].add(1)
        requests.add(1)
    }

    /// - Parameter asTheyCame: the request began the fill whose bytes these are.
    package func sent(_ bytes: Int64, asTheyCame: Bool) {
        lane.toClients.add(bytes)
        if asTheyCame { lane.asTheyCame.add(bytes) }
        self.bytes.add(bytes)
    }
}

private final class Counter: Sendable {
    private let count = Atomic<Int64>(0)

    var value: Int64 { count.load(ordering: .relaxed) }
    func add(_ more: Int64) { count.wrappingAdd(more, ordering: .relaxed) }
}

extension RequestClass {
    /// Among all cases.
    fileprivate var place: Int {
        switch self {
        case .hit: 0
        case .miss: 1
        case .collapsed: 2
        case .revalidated: 3
        case .stale: 4
        case .error: 5
        }
    }
}
