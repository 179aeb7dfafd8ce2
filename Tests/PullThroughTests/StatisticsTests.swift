// The arithmetic of the figures.

import HTTPSemantics
import Testing

@testable import PullThrough

@Suite("Statistics") struct StatisticsTests {
    @Test func `the ratios are the contract's`() {
        let statistics = Statistics()
        let kinds: [(RequestClass, Int)] = [
            (.hit, 4), (.revalidated, 1), (.collapsed, 1), (.stale, 2), (.miss, 2), (.error, 5),
        ]
        for (kind, count) in kinds { for _ in 0..<count { statistics.count(kind, of: Scene.alpine) } }
        statistics.tally(of: Scene.alpine).sent(300, asTheyCame: true)
        statistics.tally(of: Scene.alpine, lane: 1).sent(700, asTheyCame: false)
        statistics.received(250)
        let totals = statistics.totals
        #expect(totals.total == 15)
        #expect(totals.hitRatio == 0.8)
        #expect(totals.bytesSaved == 750)
        #expect(totals.byteHitRatio == 0.75)
        #expect(totals.toClients - totals.asTheyCame == 700)
        #expect(statistics.topRepositories(3).first?.use == Statistics.Use(requests: 15, bytes: 1000))
    }

    @Test func `totals go on after a restart`() {
        let before = Statistics()
        before.count(.hit, of: nil)
        before.tally(of: nil).sent(10, asTheyCame: true)
        before.received(7)
        let after = Statistics(saved: before.named)
        #expect(after.totals == before.totals)
    }
}
