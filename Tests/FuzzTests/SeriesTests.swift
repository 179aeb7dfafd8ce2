// Whether time grows with the length of an input and no faster: only in deploy/fuzz, since it is told by a clock.

import Foundation
import Glibc
import Testing

@Suite(
    "Inputs that grow", .serialized, .enabled(if: ProcessInfo.processInfo.environment["WHARF_FUZZ_SERIES"] != nil))
struct SeriesTests {
    private static let lengths = (short: 1 << 11, long: 1 << 14)

    @Test(arguments: FuzzTarget.all) func `time grows with the length`(target: FuzzTarget) throws {
        var worst: (factor: Double, input: String) = (0, "")
        for (start, word) in Self.inputs(target) {
            let long = Self.grown(start, word, to: Self.lengths.long)
            // What is quick at its longest need not be looked at closely.
            guard try Self.time(target, long, runs: 1) > .milliseconds(20) else { continue }
            let short = Self.grown(start, word, to: Self.lengths.short)
            let factor = try Self.time(target, long, runs: 3) / Self.time(target, short, runs: 3)
            if factor > worst.factor { worst = (factor, "\(start.literal) + n * \(word.literal)") }
        }
        print(
            "series: \(target.name): 8 times as long takes at most \(Int(worst.factor)) times as long, \(worst.input)")
        // In proportion it would be 8; the square is 64.
        #expect(worst.factor < 32, "\(target.name): \(worst.input)")
    }

    /// Every piece of the grammar many times: alone, and behind each proper input.
    private static func inputs(_ target: FuzzTarget) -> [(start: [UInt8], word: [UInt8])] {
        let starts = [[]] + target.seeds
        let words = target.words.filter { !$0.isEmpty }
        return starts.flatMap { start in words.map { (start, $0) } }
    }

    private static func grown(_ start: [UInt8], _ word: [UInt8], to length: Int) -> [UInt8] {
        start + Array(repeating: word, count: length / word.count).joined()
    }

    /// The shortest of some runs, as this thread has worked: what else the machine does is not counted.
    private static func time(_ target: FuzzTarget, _ input: [UInt8], runs: Int) throws -> Duration {
        try (0..<runs).map { _ in
            let start = worked
            try target.law(input)
            return worked - start
        }.min() ?? .zero
    }

    private static var worked: Duration {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
