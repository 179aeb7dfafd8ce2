// Which bytes of a file there are: a sorted set of disjoint ranges, as a value.

/// Offsets and lengths are bytes. A blob has few extents (one a connection, and one a place where a lazy reader
/// looked), so a sorted array beats every tree.
package struct Extents: Hashable, Sendable {
    /// Sorted, not empty, not touching.
    package private(set) var ranges: [Range<Int64>] = []

    package init() {}

    /// The bytes up to `end`.
    package init(upTo end: Int64) { insert(0..<end) }

    package init(_ ranges: some Sequence<Range<Int64>>) { for range in ranges { insert(range) } }

    package var isEmpty: Bool { ranges.isEmpty }

    /// Bytes in all.
    package var count: Int64 { ranges.reduce(0) { $0 + Int64($1.count) } }

    /// How far it goes without a gap from the first byte on.
    package var prefix: Int64 { end(from: 0) }

    /// One past the last byte of all; 0 if there is none.
    package var end: Int64 { ranges.last?.upperBound ?? 0 }

    /// How far it goes without a gap from `offset` on; `offset` itself if that byte is not here.
    package func end(from offset: Int64) -> Int64 { extent(holding: offset)?.upperBound ?? offset }

    /// The whole run of bytes around `offset`; nil if that byte is not here.
    package func extent(holding offset: Int64) -> Range<Int64>? {
        let index = firstIndex(endingAfter: offset)
        guard index < ranges.endIndex, ranges[index].lowerBound <= offset else { return nil }
        return ranges[index]
    }

    package func contains(_ range: Range<Int64>) -> Bool {
        range.isEmpty || end(from: range.lowerBound) >= range.upperBound
    }

    /// The first run of bytes within `range` that is not here.
    package func firstGap(in range: Range<Int64>) -> Range<Int64>? {
        var start = range.lowerBound
        for extent in ranges[firstIndex(endingAfter: start)...] {
            if extent.lowerBound >= range.upperBound { break }
            if extent.lowerBound > start { return start..<extent.lowerBound }
            start = extent.upperBound
        }
        return start < range.upperBound ? start..<range.upperBound : nil
    }

    /// All that is not here within `range`, in order.
    package func gaps(in range: Range<Int64>) -> [Range<Int64>] {
        var gaps: [Range<Int64>] = []
        var rest = range
        while let gap = firstGap(in: rest) {
            gaps.append(gap)
            rest = gap.upperBound..<range.upperBound
        }
        return gaps
    }

    package mutating func insert(_ range: Range<Int64>) {
        guard !range.isEmpty else { return }
        // Those that overlap or touch become one.
        let first = firstIndex(endingAfter: range.lowerBound - 1)
        var last = first
        var merged = range
        while last < ranges.endIndex, ranges[last].lowerBound <= range.upperBound {
            merged = min(merged.lowerBound, ranges[last].lowerBound)..<max(merged.upperBound, ranges[last].upperBound)
            last += 1
        }
        ranges.replaceSubrange(first..<last, with: CollectionOfOne(merged))
    }

    package mutating func remove(_ range: Range<Int64>) {
        guard !range.isEmpty else { return }
        ranges = ranges.flatMap { extent -> [Range<Int64>] in
            guard extent.overlaps(range) else { return [extent] }
            let before = extent.lowerBound..<max(extent.lowerBound, range.lowerBound)
            let after = min(extent.upperBound, range.upperBound)..<extent.upperBound
            return [before, after].filter { !$0.isEmpty }
        }
    }

    private func firstIndex(endingAfter offset: Int64) -> Int {
        var (low, high) = (ranges.startIndex, ranges.endIndex)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound > offset { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
