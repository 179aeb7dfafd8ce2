// A set of bytes as the random tests see it: plainly written, and not the program's own.

struct Runs {
    /// Neither overlapping nor touching; in no order.
    private(set) var runs: [Range<Int64>] = []

    init(_ runs: [Range<Int64>] = []) { for run in runs { add(run) } }

    var count: Int64 { runs.reduce(0) { $0 + $1.upperBound - $1.lowerBound } }

    mutating func add(_ range: Range<Int64>) {
        guard !range.isEmpty else { return }
        var (all, rest) = (range, [Range<Int64>]())
        for run in runs {
            if run.upperBound < range.lowerBound || run.lowerBound > range.upperBound {
                rest.append(run)
            } else {
                all = min(all.lowerBound, run.lowerBound)..<max(all.upperBound, run.upperBound)
            }
        }
        runs = rest + [all]
    }

    mutating func remove(_ range: Range<Int64>) {
        guard !range.isEmpty else { return }
        var rest: [Range<Int64>] = []
        for run in runs {
            if run.upperBound <= range.lowerBound || run.lowerBound >= range.upperBound {
                rest.append(run)
                continue
            }
            if run.lowerBound < range.lowerBound { rest.append(run.lowerBound..<range.lowerBound) }
            if run.upperBound > range.upperBound { rest.append(range.upperBound..<run.upperBound) }
        }
        runs = rest
    }

    func overlaps(_ range: Range<Int64>) -> Bool {
        runs.contains { max($0.lowerBound, range.lowerBound) < min($0.upperBound, range.upperBound) }
    }

    func has(_ offset: Int64) -> Bool { runs.contains { $0.contains(offset) } }

    /// The first byte of `range` that is not in it; the range's end if all are.
    func firstMissing(in range: Range<Int64>) -> Int64 {
        var offset = range.lowerBound
        while offset < range.upperBound, let run = runs.first(where: { $0.contains(offset) }) {
            offset = run.upperBound
        }
        return min(offset, range.upperBound)
    }

    func has(all range: Range<Int64>) -> Bool { firstMissing(in: range) == range.upperBound }
}
