// Who follows a fill, how far each has read, and what that makes worth having.

import Store

/// What a follower of a blob asked for. Offsets are bytes.
package enum Demand: Equatable, Sendable {
    /// Nothing yet: the size must be known first.
    case undecided
    /// No range: all of it is to be had, also for others.
    case whole
    /// `N-`, which says nothing of how much is wanted: so much is had as the reader comes near to.
    case openEnded(from: Int64)
    case part(Range<Int64>)

    fileprivate var start: Int64 {
        switch self {
        case .undecided, .whole: 0
        case .openEnded(let first): first
        case .part(let range): range.lowerBound
        }
    }
}

/// A value.
struct FollowerTable: Sendable {
    private struct Follower {
        var demand: Demand
        var position: Int64
    }

    /// How far ahead of an open-ended reader bytes are had, at the most. At the least it is half of that, and so much
    /// is asked for at once, not a little with each of his steps.
    static let window: Int64 = 8 << 20

    private var followers: [Int: Follower] = [:]

    var count: Int { followers.count }
    var isEmpty: Bool { followers.isEmpty }
    /// How far the one who is furthest behind has read.
    var slowest: Int64 { followers.values.map(\.position).min() ?? 0 }

    func contains(_ id: Int) -> Bool { followers[id] != nil }
    func demand(of id: Int) -> Demand? { followers[id]?.demand }

    mutating func set(_ id: Int, _ demand: Demand) { followers[id] = Follower(demand: demand, position: demand.start) }

    mutating func remove(_ id: Int) -> Bool { followers.removeValue(forKey: id) != nil }

    /// Only the one who came first stays.
    mutating func keepFirst() {
        guard let first = followers.keys.min() else { return }
        followers = followers.filter { $0.key == first }
    }

    enum Move: Equatable {
        case nowhere, ahead
        /// Of an open-ended reader: more is to be had for him.
        case intoNextWindow
    }

    mutating func move(_ id: Int, to offset: Int64) -> Move {
        guard let follower = followers[id], offset > follower.position else { return .nowhere }
        followers[id]?.position = offset
        guard case .openEnded = follower.demand else { return .ahead }
        return follower.position / (Self.window / 2) == offset / (Self.window / 2) ? .ahead : .intoNextWindow
    }

    /// From where each one's next missing byte is to where he wants it; the same want counts once.
    ///
    /// - Parameter isWindowed: whether open-ended readers are given a window only.
    func wants(of size: Int64, landed: Extents, isWindowed: Bool) -> [Range<Int64>] {
        let wants = followers.values.compactMap { follower -> Range<Int64>? in
            let end = end(of: follower, size: size, isWindowed: isWindowed)
            let start = landed.end(from: follower.position)
            return start < end ? start..<end : nil
        }
        return Set(wants).sorted { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }
    }

    /// Whether nobody waits for anything but what has landed.
    func areServed(of size: Int64, landed: Extents) -> Bool {
        wants(of: size, landed: landed, isWindowed: false).isEmpty
    }

    /// Whether somebody waits for the whole to be verified: who asked for it, or who has all up to the end but for the
    /// last bytes, which are held back until then.
    func wantsWhole(of size: Int64, landed: Extents) -> Bool {
        followers.values.contains { follower in
            switch follower.demand {
            case .whole: true
            case .openEnded: landed.end(from: follower.position) >= size
            case .undecided, .part: false
            }
        }
    }

    private func end(of follower: Follower, size: Int64, isWindowed: Bool) -> Int64 {
        switch follower.demand {
        case .undecided: 0
        case .whole: size
        case .openEnded: isWindowed ? min(size, (follower.position / (Self.window / 2) + 2) * (Self.window / 2)) : size
        case .part(let range): min(size, range.upperBound)
        }
    }
}
