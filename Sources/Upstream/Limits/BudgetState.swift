// Who of those that want a connection for a blob gets one, who gives one back: event → actions, without clock or lock.

/// The claims on one upstream's connections, waiting and holding.
///
/// ```
///            granted: below the limit, and the first in rank
///            or: followed, first, and waiting for 5 s
/// waiting ────────────────────────────────────────────────▶ holding
///    │                                                         │ asked to yield, once: abandoned,
///    └──────────────────▶ gone ◀───────────────────────────────┘ and a followed first claim waits
///           released                       released
/// ```
struct BudgetState {
    /// What the owner is to do.
    struct Actions: Equatable {
        /// In the order in which they are to be told.
        var granted: [Int] = []
        /// Holders that are to give their connection back.
        var yielding: [Int] = []
    }

    /// So long a client that has got nothing yet waits; then the limit does not hold for it.
    static let patience = Duration.seconds(5)

    private struct Waiter {
        var claim: ConnectionBudget.Claim
        /// Since when it waits with a follower; nil without one.
        var followedSince: Duration?

        /// Whether a client waits for its first byte.
        var isUrgent: Bool { claim.isFirst && claim.isFollowed }
    }

    private struct Holder {
        var claim: ConnectionBudget.Claim
        var isAskedToYield = false
    }

    private let limit: Int
    /// By number, which is the order of arrival.
    private var waiters: [Int: Waiter] = [:]
    private var holders: [Int: Holder] = [:]

    /// - Parameter limit: connections at the same time; 1 at least.
    init(limit: Int) { self.limit = max(1, limit) }

    var holding: Int { holders.count }
    var waiting: Int { waiters.count }

    /// When time alone will grant a claim; nil if it will not.
    var nextDue: Duration? {
        waiters.values.filter(\.isUrgent).compactMap(\.followedSince).min().map { $0 + Self.patience }
    }

    func isHolding(_ id: Int) -> Bool { holders[id] != nil }

    func isWaiting(_ id: Int) -> Bool { waiters[id] != nil }

    // MARK: Events, each at an instant of one clock

    /// - Parameter id: greater than any before.
    mutating func claimed(_ id: Int, _ claim: ConnectionBudget.Claim, at now: Duration) -> Actions {
        waiters[id] = Waiter(claim: claim, followedSince: claim.isFollowed ? now : nil)
        return settle(at: now)
    }

    mutating func updated(_ id: Int, isFollowed: Bool, at now: Duration) -> Actions {
        if let waiter = waiters[id], waiter.claim.isFollowed != isFollowed {
            waiters[id]?.claim.isFollowed = isFollowed
            waiters[id]?.followedSince = isFollowed ? now : nil
        }
        if let holder = holders[id], holder.claim.isFollowed != isFollowed {
            holders[id]?.claim.isFollowed = isFollowed
            // Who has a follower again may have stayed: should it lose that one too, it is asked anew.
            holders[id]?.isAskedToYield = false
        }
        return settle(at: now)
    }

    /// The fill's other connections have ended: what was a further one is its first now.
    mutating func becameFirst(_ id: Int, at now: Duration) -> Actions {
        guard waiters[id] != nil else { return Actions() }
        waiters[id]?.claim.isFirst = true
        return settle(at: now)
    }

    /// Also of a claim that is gone already.
    mutating func released(_ id: Int, at now: Duration) -> Actions {
        waiters[id] = nil
        holders[id] = nil
        return settle(at: now)
    }

    mutating func woken(at now: Duration) -> Actions { settle(at: now) }

    // MARK: What follows

    private mutating func settle(at now: Duration) -> Actions {
        var actions = Actions()
        while holders.count < limit, let next = waiters.min(by: { Self.rank($0) < Self.rank($1) }) {
            grant(next.key, &actions)
        }
        let overdue = waiters.filter { _, waiter in
            waiter.isUrgent && waiter.followedSince.map { now - $0 >= Self.patience } ?? false
        }
        for id in overdue.keys.sorted() { grant(id, &actions) }
        askToYield(&actions)
        return actions
    }

    private mutating func grant(_ id: Int, _ actions: inout Actions) {
        guard let waiter = waiters.removeValue(forKey: id) else { return }
        holders[id] = Holder(claim: waiter.claim)
        actions.granted.append(id)
    }

    /// As many as there are clients waiting for a first byte, and those that started beyond the limit besides: only
    /// below the limit does a connection that comes back go to anyone.
    private mutating func askToYield(_ actions: inout Actions) {
        let urgent = waiters.values.count { $0.isUrgent }
        guard urgent > 0 else { return }
        let abandoned = holders.filter { !$0.value.claim.isFollowed }
        let missing = urgent + holders.count - limit - abandoned.values.count { $0.isAskedToYield }
        guard missing > 0 else { return }
        let last = abandoned.filter { !$0.value.isAskedToYield }.sorted { Self.rank($0) > Self.rank($1) }
        for (id, _) in last.prefix(missing) {
            holders[id]?.isAskedToYield = true
            actions.yielding.append(id)
        }
    }

    /// Lower goes first: followed before abandoned, a fill's first connection before further ones, small before large
    /// (who does not know is large), then by arrival.
    private typealias Rank = (isAbandoned: Int, isFurther: Int, size: Int64, arrival: Int)

    private static func rank(_ waiter: (key: Int, value: Waiter)) -> Rank { rank(waiter.key, waiter.value.claim) }

    private static func rank(_ holder: (key: Int, value: Holder)) -> Rank { rank(holder.key, holder.value.claim) }

    private static func rank(_ id: Int, _ claim: ConnectionBudget.Claim) -> Rank {
        (claim.isFollowed ? 0 : 1, claim.isFirst ? 0 : 1, claim.size ?? .max, id)
    }
}
