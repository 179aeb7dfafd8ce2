// How many connections are open, in all and from each client address, and who gets no more.
import Synchronization

/// Shared by all event loops: a lock around two counts, taken twice in a connection's life.
final class ConnectionLimits: Sendable {
    enum Admission {
        case admitted
        /// Beyond the limit: its first request is answered 503, so that the client learns why.
        case refused
        /// Even beyond what may be told so: closed without a word.
        case dropped
    }

    private struct Counts {
        var total, perAddress: Int
        var open = 0
        var refused = 0
        var byAddress: [String: Int] = [:]
    }

    /// Connections that may be told at one time that there are too many.
    private let refusedAtOnce: Int
    private let counts: Mutex<Counts>

    init(total: Int, perAddress: Int, refusedAtOnce: Int) {
        self.refusedAtOnce = refusedAtOnce
        counts = Mutex(Counts(total: total, perAddress: perAddress))
    }

    /// Admitted, and still there.
    var open: Int { counts.withLock { $0.open } }

    /// The most there may be.
    var total: Int { counts.withLock { $0.total } }

    /// Who is in stays in.
    func set(total: Int, perAddress: Int) {
        counts.withLock { ($0.total, $0.perAddress) = (total, perAddress) }
    }

    func enter(_ address: String) -> Admission {
        counts.withLock { counts in
            guard counts.open < counts.total, counts.byAddress[address, default: 0] < counts.perAddress else {
                guard counts.refused < refusedAtOnce else { return .dropped }
                counts.refused += 1
                return .refused
            }
            counts.open += 1
            counts.byAddress[address, default: 0] += 1
            return .admitted
        }
    }

    func leave(_ address: String, _ admission: Admission) {
        counts.withLock { counts in
            switch admission {
            case .dropped: break
            case .refused: counts.refused -= 1
            case .admitted:
                counts.open -= 1
                let left = counts.byAddress[address, default: 1] - 1
                counts.byAddress[address] = left > 0 ? left : nil
            }
        }
    }
}
