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

    private struct State {
        var totals = Totals()
        var byRepository: [Repository: Use] = [:]
    }

    /// Of the totals and repositories, one for each event loop that counts: a lock that others want costs more than
    /// what is counted.
    private final class Lane: Sendable { let state = Mutex(State()) }
    private let lanes = (0..<16).map { _ in Lane() }

    /// - Parameter saved: what `named` gave in an earlier run.
    package init(saved: [String: Int64] = [:]) {
        var totals = Totals()
        for kind in RequestClass.allCases { totals.requests[kind] = saved["requests.\(kind.rawValue)"] ?? 0 }
        totals.toClients = saved["bytes.to_clients"] ?? 0
        totals.asTheyCame = saved["bytes.as_they_came"] ?? 0
        totals.fromUpstream = saved["bytes.from_upstream"] ?? 0
        lanes[0].state.withLock { $0.totals = totals }
    }

    package var totals: Totals {
        lanes.reduce(into: Totals()) { sum, lane in
            let totals = lane.state.withLock { $0.totals }
            sum.requests.merge(totals.requests, uniquingKeysWith: +)
            sum.toClients += totals.toClients
            sum.asTheyCame += totals.asTheyCame
            sum.fromUpstream += totals.fromUpstream
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

    /// - Parameter lane: of the event loop that says so.
    package func count(_ kind: RequestClass, of repository: Repository?, lane: Int = 0) {
        lanes[lane % lanes.count].state.withLock { state in
            state.totals.requests[kind, default: 0] += 1
            if let repository { Self.use(&state, repository) { $0.requests += 1 } }
        }
    }

    /// - Parameters:
    ///   - asTheyCame: the request began the fill whose bytes these are.
    ///   - lane: of the event loop that says so.
    package func sent(_ bytes: Int64, of repository: Repository?, asTheyCame: Bool, lane: Int = 0) {
        lanes[lane % lanes.count].state.withLock { state in
            state.totals.toClients += bytes
            if asTheyCame { state.totals.asTheyCame += bytes }
            if let repository { Self.use(&state, repository) { $0.bytes += bytes } }
        }
    }

    func received(_ bytes: Int64) { lanes[0].state.withLock { $0.totals.fromUpstream += bytes } }

    /// The most used, by bytes.
    package func topRepositories(_ count: Int) -> [(repository: Repository, use: Use)] {
        let all = lanes.reduce(into: [Repository: Use]()) { sum, lane in
            sum.merge(lane.state.withLock { $0.byRepository }) { one, other in
                Use(requests: one.requests + other.requests, bytes: one.bytes + other.bytes)
            }
        }
        return all.sorted { ($0.value.bytes, $0.value.requests) > ($1.value.bytes, $1.value.requests) }
            .prefix(count).map { ($0.key, $0.value) }
    }

    private static func use(_ state: inout State, _ repository: Repository, _ body: (inout Use) -> Void) {
        guard state.byRepository[repository] != nil || state.byRepository.count < mostRepositories else { return }
        body(&state.byRepository[repository, default: Use()])
    }
}
