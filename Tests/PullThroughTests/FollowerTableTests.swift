// Who follows a fill, and what that makes worth having.
import Store
import Testing

@testable import PullThrough

@Suite("FollowerTable") struct FollowerTableTests {
    private func wants(
        _ demand: Demand, landed: Range<Int64>..., at position: Int64? = nil, isWindowed: Bool = true
    ) -> [Range<Int64>] {
        var table = FollowerTable()
        table.set(1, demand)
        if let position { _ = table.move(1, to: position) }
        return table.wants(of: 100 * mebi, landed: Extents(landed), isWindowed: isWindowed)
    }

    @Test func `each wants from his next missing byte on as far as he asked for`() {
        #expect(wants(.undecided) == [])
        #expect(wants(.whole) == [0..<100 * mebi])
        #expect(wants(.whole, landed: 0..<5 * mebi, 6 * mebi..<7 * mebi) == [5 * mebi..<100 * mebi])
        #expect(wants(.part(10..<20)) == [10..<20])
        #expect(wants(.part(10..<20), landed: 5..<20) == [])
        #expect(wants(.part(10..<20), landed: 5..<15, at: 12) == [15..<20])
        #expect(wants(.part(99 * mebi..<200 * mebi)) == [99 * mebi..<100 * mebi])
    }

    @Test func `an open-ended reader wants between half a window and a window more than he has read`() {
        #expect(wants(.openEnded(from: 10 * mebi)) == [10 * mebi..<16 * mebi])
        #expect(wants(.openEnded(from: 10 * mebi), at: 12 * mebi - 1) == [12 * mebi - 1..<16 * mebi])
        #expect(wants(.openEnded(from: 10 * mebi), at: 12 * mebi) == [12 * mebi..<20 * mebi])
        #expect(wants(.openEnded(from: 97 * mebi)) == [97 * mebi..<100 * mebi])
        #expect(wants(.openEnded(from: 10 * mebi), isWindowed: false) == [10 * mebi..<100 * mebi])
    }

    @Test func `the same want counts once, and they are in order`() {
        var table = FollowerTable()
        table.set(1, .whole)
        table.set(2, .whole)
        table.set(3, .part(50..<60))
        #expect(table.wants(of: 100, landed: Extents(upTo: 20), isWindowed: true) == [20..<100, 50..<60])
    }

    @Test func `the slowest counts, and nobody goes back`() {
        var table = FollowerTable()
        table.set(7, .whole)
        table.set(9, .openEnded(from: 50))
        #expect(table.move(7, to: 10) == .ahead)
        #expect(table.move(7, to: 10) == .nowhere)
        #expect(table.move(7, to: 5) == .nowhere)
        #expect(table.move(8, to: 5) == .nowhere)
        #expect(table.move(9, to: 60) == .ahead)
        #expect(table.move(9, to: FollowerTable.window / 2) == .intoNextWindow)
        #expect(table.slowest == 10)
        table.keepFirst()
        #expect(table.contains(7) && !table.contains(9))
        #expect(table.remove(7) == true)
        #expect(table.remove(7) == false)
        #expect(table.isEmpty)
    }

    @Test func `served are those for whom nothing more need come; verified is more than that`() {
        var table = FollowerTable()
        table.set(1, .openEnded(from: 50))
        #expect(!table.areServed(of: 100, landed: Extents([40..<99])))
        #expect(!table.wantsWhole(of: 100, landed: Extents([40..<99])))
        #expect(table.areServed(of: 100, landed: Extents([40..<100])))
        #expect(table.wantsWhole(of: 100, landed: Extents([40..<100])))
        table.set(1, .part(50..<100))
        #expect(!table.wantsWhole(of: 100, landed: Extents([40..<100])))
        table.set(1, .whole)
        #expect(table.wantsWhole(of: 100, landed: Extents()))
    }
}
