// A set of ranges against a row of booleans, which is slow and cannot be wrong.

import Foundation
import Testing

@testable import Store

@Suite("Extents") struct ExtentsTests {
    /// The same as the extents under test, a byte at a time.
    private struct Model {
        var isHere = [Bool](repeating: false, count: 120)

        mutating func set(_ range: Range<Int64>, _ value: Bool) { for place in range { isHere[Int(place)] = value } }

        func run(from offset: Int64, _ value: Bool) -> Int64 {
            var end = Int(offset)
            while end < isHere.count, isHere[end] == value { end += 1 }
            return Int64(end)
        }

        func runs(_ value: Bool, in range: Range<Int64>) -> [Range<Int64>] {
            var runs: [Range<Int64>] = []
            var place = range.lowerBound
            while place < range.upperBound {
                let end = min(range.upperBound, run(from: place, isHere[Int(place)]))
                if isHere[Int(place)] == value { runs.append(place..<end) }
                place = end
            }
            return runs
        }
    }

    private func range(_ generator: inout SeededGenerator) -> Range<Int64> {
        let bounds = [
            Int64.random(in: 0...120, using: &generator),
            Int64.random(in: 0...120, using: &generator),
        ].sorted()
        return Bool.random(using: &generator)
            ? bounds[0]..<bounds[1] : bounds[0]..<min(120, bounds[0] + Int64.random(in: 0...6, using: &generator))
    }

    @Test(arguments: 0..<60 as Range<UInt64>) func `it holds what was put in and not taken out`(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var extents = Extents()
        var model = Model()
        for _ in 0..<60 {
            let changed = range(&generator)
            if Int.random(in: 0..<4, using: &generator) > 0 {
                extents.insert(changed)
                model.set(changed, true)
            } else {
                extents.remove(changed)
                model.set(changed, false)
            }
            let runs = model.runs(true, in: 0..<120)
            #expect(extents.ranges == runs)
            #expect(extents.count == Int64(model.isHere.count { $0 }))
            #expect(extents.isEmpty == runs.isEmpty)
            #expect(extents.end == runs.last?.upperBound ?? 0)
            #expect(extents.prefix == model.run(from: 0, true))
            let looked = range(&generator)
            #expect(extents.contains(looked) == model.runs(false, in: looked).isEmpty)
            #expect(extents.gaps(in: looked) == model.runs(false, in: looked))
            #expect(extents.firstGap(in: looked) == model.runs(false, in: looked).first)
            for offset in 0..<120 as Range<Int64> {
                #expect(extents.end(from: offset) == model.run(from: offset, true))
                #expect(extents.extent(holding: offset) == runs.first { $0.contains(offset) })
            }
            #expect(Extents(runs.reversed()) == extents)
            #expect(Extents(data: extents.data) == extents)
        }
    }

    @Test func `beyond everything there is nothing`() {
        let extents = Extents(upTo: 10)
        #expect(extents.end(from: 10) == 10 && extents.end(from: .max) == .max)
        #expect(extents.firstGap(in: 5..<5) == nil)
        #expect(extents.gaps(in: 20..<30) == [20..<30])
        #expect(Extents(upTo: 0).isEmpty)
    }

    @Test(
        "what cannot have been written down is not read",
        arguments: [[0], [5, 5], [5, 4], [0, 5, 5, 9], [0, 5, 3, 9], [8, 9, 0, 5], [-5, 9], [0, -9]] as [[Int64]])
    func unreadable(bounds: [Int64]) {
        var data = Data()
        for bound in bounds { withUnsafeBytes(of: bound.littleEndian) { data.append(contentsOf: $0) } }
        #expect(Extents(data: data) == nil)
        #expect(Extents(data: Data([1, 2, 3])) == nil)
        #expect(Extents(data: Data()) == Extents())
    }
}
