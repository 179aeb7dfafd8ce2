// What was asked for lately, kept in memory within a bound.

/// A dictionary that forgets what has not been asked for in a while. Two generations: when the young one is full it
/// becomes the old one, and what was in the old one and was not asked for since is gone. So a look costs one or two
/// lookups and no list is kept in order.
///
/// Inlinable: each room has it made for its own keys.
package struct RecentlyUsed<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    @usableFromInline var young: [Key: Value] = [:]
    @usableFromInline var old: [Key: Value] = [:]
    @usableFromInline var weight = 0
    @usableFromInline let limit: Int
    @usableFromInline let weigh: @Sendable (Value) -> Int

    /// - Parameters:
    ///   - limit: what a generation may weigh; there are two.
    ///   - weigh: never more than `limit`.
    @inlinable package init(limit: Int, weigh: @escaping @Sendable (Value) -> Int = { _ in 1 }) {
        self.limit = limit
        self.weigh = weigh
    }

    /// Counts as asked for.
    @inlinable package subscript(key: Key) -> Value? {
        mutating get {
            if let value = young[key] { return value }
            guard let value = old.removeValue(forKey: key) else { return nil }
            put(value, for: key)
            return value
        }
        @inline(__always) set {
            old[key] = nil
            if let before = young.removeValue(forKey: key) { weight -= weigh(before) }
            if let newValue { put(newValue, for: key) }
        }
    }

    @inlinable package mutating func removeAll() {
        (young, old, weight) = ([:], [:], 0)
    }

    @inlinable mutating func put(_ value: Value, for key: Key) {
        let more = weigh(value)
        if weight + more > limit {
            old = young
            (young, weight) = ([:], 0)
        }
        young[key] = value
        weight += more
    }
}
