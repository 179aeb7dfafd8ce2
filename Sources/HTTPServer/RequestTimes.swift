// How long requests take: counted on the event loop that serves them, added up for whoever asks.
import NIOCore
import Synchronization

/// Durations by size.
package struct Histogram: Equatable, Sendable {
    /// Seconds: from a memory's answer to a large blob over a slow line.
    package static let bounds = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
    ]
    fileprivate static let nanoseconds = bounds.map { Int64($0 * 1e9) }

    /// How many were no longer than each bound and longer than the one before; the last: longer than all.
    package internal(set) var counts = [Int64](repeating: 0, count: bounds.count + 1)
    /// Seconds, of all together.
    package internal(set) var sum = 0.0

    package init() {}
}

/// What the server counts, since the start.
package struct ServerFigures: Equatable, Sendable {
    /// By `Response.series`.
    package struct Times: Equatable, Sendable {
        /// From a request's arrival to the last byte of its answer.
        package internal(set) var whole = Histogram()
        /// To the first: the answer has been decided upon, and its head goes out.
        package internal(set) var firstByte = Histogram()
    }

    /// Client connections that are open, those beside the admin socket, and how many there may be.
    package var connections = 0
    package var mostConnections = 0
    package internal(set) var times = [Times](repeating: Times(), count: RequestTimes.mostSeries)

    package init() {}
}

/// Of one event loop, which alone writes: so a count is a load and a store, and no other processor waits for it.
final class RequestTimes: Sendable {
    static let mostSeries = 16

    private final class Cell: Sendable {
        private let count = Atomic<Int64>(0)

        var value: Int64 { count.load(ordering: .relaxed) }
        func add(_ more: Int64) { count.store(value &+ more, ordering: .relaxed) }
    }

    private struct Cells: Sendable {
        let counts = (0...Histogram.bounds.count).map { _ in Cell() }
        let nanoseconds = Cell()

        func count(_ time: TimeAmount) {
            // The first bounds are those of most.
            let place = Histogram.nanoseconds.firstIndex { time.nanoseconds <= $0 } ?? Histogram.bounds.count
            counts[place].add(1)
            nanoseconds.add(time.nanoseconds)
        }

        func add(to histogram: inout Histogram) {
            for (place, cell) in counts.enumerated() { histogram.counts[place] += cell.value }
            histogram.sum += Double(nanoseconds.value) / 1e9
        }
    }

    private let series = (0..<mostSeries).map { _ in (whole: Cells(), firstByte: Cells()) }

    /// - Parameters:
    ///   - whole: nil for an answer that has no end of its own.
    func count(_ series: Int, whole: TimeAmount?, firstByte: TimeAmount) {
        let cells = self.series[min(series, Self.mostSeries - 1)]
        if let whole { cells.whole.count(whole) }
        cells.firstByte.count(firstByte)
    }

    func add(to figures: inout ServerFigures) {
        for (place, cells) in series.enumerated() {
            cells.whole.add(to: &figures.times[place].whole)
            cells.firstByte.add(to: &figures.times[place].firstByte)
        }
    }
}
