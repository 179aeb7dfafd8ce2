// Which bytes of a blob are asked for next, and by which connection: the segments of one fill, as a value.

import Store

/// No clock, no network: an event goes in, a segment comes out. What always holds:
///
/// - no byte belongs to two segments, and none that has landed is asked for again;
/// - what a segment did not bring is free again once it has ended;
/// - nearest to what somebody waits for comes first; a connection that is free takes work over from one that is not.
///
/// Offsets and lengths are bytes.
struct SegmentPlan: Sendable {
    /// What one connection brings.
    struct Segment: Equatable, Sendable {
        let id: Int
        let start: Int64
        /// The first byte that has not landed yet.
        fileprivate(set) var next: Int64
        /// One past the last byte it is to bring: lowered when another takes a part over.
        fileprivate(set) var end: Int64
        /// One past the last byte that its request is for.
        let reach: Int64

        var remaining: Int64 { end - next }
        fileprivate var claim: Range<Int64> { next..<end }
    }

    /// What is worth a connection while there are several.
    struct Step: Equatable, Sendable {
        /// It takes no more than this at once, so that the others find something nearer to the front than its end.
        let most: Int64
        /// No less than this is taken over from another, or left to it: what is on its way to that is lost then.
        let least: Int64
        /// How many share what is left, so that all of them are done at about the same time.
        let connections: Int
    }

    /// Segments begin and end at multiples of this, where what is there lets them.
    static let block: Int64 = 64 << 10
    /// What a segment will bring within so many bytes is not worth a connection of its own, nor is a part as small.
    static let worthwhile: Int64 = 1 << 20

    /// Of the whole blob; `.max` while nobody has said.
    private(set) var size: Int64
    private(set) var landed: Extents
    /// In the order of their beginning.
    private(set) var segments: [Segment] = []
    /// What followers wait for, each from where he is; clipped to the size by whoever sets it.
    var wants: [Range<Int64>] = []
    /// Whether all of it is to be had, whoever waits.
    var finishesAll = false
    private var lastID = 0

    init(size: Int64?, landed: Extents = Extents()) {
        self.size = size ?? .max
        self.landed = landed
    }

    var isComplete: Bool { landed.contains(0..<size) }

    subscript(id: Int) -> Segment? { segments.first { $0.id == id } }

    /// The upstream has said how large it is, or the end has been met.
    mutating func learn(size: Int64) {
        self.size = size
        for index in segments.indices {
            segments[index].end = max(segments[index].next, min(segments[index].end, size))
        }
    }

    /// Nothing is known any more, and nothing is here. Numbers go on: what was begun is still to end.
    mutating func startOver() {
        let last = lastID
        self = SegmentPlan(size: nil)
        lastID = last
    }

    /// What the file holds, before anything of this fill has been written.
    mutating func found(_ extents: Extents) { landed = extents }

    // MARK: Events

    /// A connection is free: what it is to bring, or nil if there is nothing worth a connection.
    ///
    /// - Parameters:
    ///   - step: what a connection takes; nil: as far as there is a gap, and nothing from another.
    ///   - isUrgent: only what somebody waits for and nobody brings soon.
    mutating func begin(step: Step?, isUrgent: Bool = false) -> Segment? {
        guard let start = nextStart(step: step, isUrgent: isUrgent) else { return nil }
        if let victim = segments.firstIndex(where: { $0.claim.contains(start.offset) }) {
            segments[victim].end = start.offset / Self.block * Self.block
        }
        let free = freeRun(around: start.offset)
        let lower = max(free.lowerBound, start.offset / Self.block * Self.block)
        let limits = [
            free.upperBound, aligned(start.want.upperBound), step.map { aligned(lower + portion($0)) } ?? .max,
        ]
        let end = limits.reduce(.max, min)
        lastID += 1
        let segment = Segment(id: lastID, start: lower, next: lower, end: end, reach: end)
        segments.append(segment)
        return segment
    }

    /// Whether somebody waits for what no segment brings soon.
    func isUrged(step: Step?) -> Bool { nextStart(step: step, isUrgent: true) != nil }

    /// Bytes of a segment have been written up to `offset`.
    mutating func landed(_ id: Int, upTo offset: Int64) {
        guard let index = segments.firstIndex(where: { $0.id == id }) else { return }
        let end = min(offset, segments[index].end)
        landed.insert(segments[index].next..<max(end, segments[index].next))
        segments[index].next = max(end, segments[index].next)
        if segments[index].remaining <= 0 { extend(index) }
    }

    /// The connection is gone: what it did not bring is free again.
    mutating func ended(_ id: Int) { segments.removeAll { $0.id == id } }

    /// Segments whose rest nobody wants any more.
    var unwanted: [Int] {
        if finishesAll { return [] }
        return segments.filter { segment in
            !wants.contains { $0.lowerBound < aligned(segment.end) && segment.next < aligned($0.upperBound) }
        }.map(\.id)
    }

    /// The segment that can best be spared for something urgent: nobody waits for it, or it is furthest ahead of those
    /// who do.
    var mostDispensable: Int? {
        segments.max { distance(to: $0) < distance(to: $1) }.flatMap {
            distance(to: $0) > Self.worthwhile ? $0.id : nil
        }
    }

    /// The upstream sends all of it, from its first byte on, whatever it was asked for: no other connection has a
    /// share in that, and what has landed already is passed over.
    mutating func widen(_ id: Int) {
        segments = [Segment(id: id, start: 0, next: 0, end: size, reach: size)]
    }

    // MARK: Where to go on

    private struct Start {
        let offset: Int64
        /// How far ahead of who wants it.
        let distance: Int64
        let isUrgent: Bool
        let want: Range<Int64>
    }

    private func nextStart(step: Step?, isUrgent: Bool) -> Start? {
        let starts = wants.compactMap { start(for: $0) }.filter { !isUrgent || $0.isUrgent }
        if let best = starts.min(by: { ($0.distance, $0.offset) < ($1.distance, $1.offset) }) { return best }
        if isUrgent { return nil }
        if finishesAll, let rest = start(for: 0..<size) { return rest }
        return step.flatMap { share(step: $0) }
    }

    /// The first byte of what is wanted that is not here, is not soon brought, and is nobody's share.
    private func start(for want: Range<Int64>) -> Start? {
        var offset = want.lowerBound
        var isUrgent = true
        while offset < want.upperBound {
            let end = landed.end(from: offset)
            if end > offset {
                offset = end
                continue
            }
            guard let claiming = segments.first(where: { $0.claim.contains(offset) }),
                !isUrgent || offset - claiming.next <= Self.worthwhile
            else { return Start(offset: offset, distance: offset - want.lowerBound, isUrgent: isUrgent, want: want) }
            // What comes behind that is not the first that is waited for.
            isUrgent = false
            offset = claiming.end
        }
        return nil
    }

    /// All has been given out: the connection with the most left to do of what is wanted gives a part of it away.
    private func share(step: Step) -> Start? {
        let wanted = finishesAll ? [0..<size] : wants
        let tasks = segments.flatMap { segment in
            wanted.filter { $0.overlaps(segment.claim) }.map { $0.clamped(to: segment.claim) }
        }
        guard let largest = tasks.max(by: { $0.count < $1.count }) else { return nil }
        let cut = aligned(largest.lowerBound + max(step.least, min(step.most, Int64(largest.count / 2))))
        guard largest.upperBound - cut >= step.least else { return nil }
        return Start(offset: cut, distance: 0, isUrgent: false, want: cut..<largest.upperBound)
    }

    private func portion(_ step: Step) -> Int64 {
        let unclaimed = segments.reduce(size - landed.count) { $0 - $1.remaining }
        return max(step.least, min(step.most, unclaimed / Int64(step.connections)))
    }

    /// The bytes around `offset`, which is free, that have neither landed nor been given to a segment.
    private func freeRun(around offset: Int64) -> Range<Int64> {
        var (lower, upper) = (Int64(0), size)
        for taken in landed.ranges + segments.map(\.claim) where !taken.isEmpty {
            if taken.upperBound <= offset { lower = max(lower, taken.upperBound) }
            if taken.lowerBound > offset { upper = min(upper, taken.lowerBound) }
        }
        return lower..<upper
    }

    /// A segment that has come to its end goes on if its request covers more, that is free again, and it is wanted.
    private mutating func extend(_ index: Int) {
        let segment = segments[index]
        let isFree =
            !landed.contains(segment.end..<segment.end + 1) && !segments.contains { $0.claim.contains(segment.end) }
        guard segment.reach > segment.end, segment.end < size, isFree else { return }
        guard finishesAll || wants.contains(where: { $0.contains(segment.end) }) else { return }
        segments[index].end = min(segment.reach, freeRun(around: segment.end).upperBound)
    }

    /// How far a segment's bytes are from the nearest who waits for them or for what is before them.
    private func distance(to segment: Segment) -> Int64 {
        wants.filter { $0.lowerBound < segment.end && segment.next < $0.upperBound }
            .map { max(0, segment.next - $0.lowerBound) }.min() ?? .max
    }

    private func aligned(_ offset: Int64) -> Int64 {
        offset > size - Self.block ? size : (offset + Self.block - 1) / Self.block * Self.block
    }
}
