// The arithmetic of the figures.

import HTTPSemantics
import OCI
import Testing

@testable import PullThrough

@Suite("Statistics") struct StatisticsTests {
    @Test func `the ratios are the contract's`() {
        let statistics = Statistics()
        let kinds: [(RequestClass, Int)] = [
            (.hit, 4), (.revalidated, 1), (.collapsed, 1), (.stale, 2), (.miss, 2), (.error, 5),
        ]
        for (kind, count) in kinds { for _ in 0..<count { statistics.count(kind, .blob, of: Scene.alpine) } }
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

    @Test func `what is asked is counted by upstream, kind and class`() throws {
        let statistics = Statistics()
        let hosted = Repository(hosted: Scene.alpine.name)
        statistics.count(.hit, .manifest, of: Scene.alpine)
        statistics.tally(of: Scene.alpine, lane: 3).count(.hit, .manifest)
        statistics.count(.miss, .blob, of: Scene.alpine)
        statistics.tally(of: hosted).sent(5, asTheyCame: false)
        statistics.count(.error, .blob, of: nil)
        let shares = statistics.shares
        #expect(Set(shares.keys) == [Scene.alpine.upstream, "hosted", ""])
        #expect(shares[Scene.alpine.upstream]?.requests.filter { $0.value > 0 } == [
            Statistics.Share.Key(.manifest, .hit): 2, Statistics.Share.Key(.blob, .miss): 1,
        ])
        #expect(shares["hosted"]?.toClients == 5)
        #expect(shares[""]?.requests[Statistics.Share.Key(.blob, .error)] == 1)
        #expect(Statistics(saved: statistics.named).shares == shares)
    }

    @Test func `totals of a version that knew no kinds count as of an unknown one`() {
        let statistics = Statistics(saved: ["requests.hit": 3, "requests.miss.unknown.": 2, "bytes.to_clients": 9])
        #expect(statistics.totals.requests.filter { $0.value > 0 } == [.hit: 3, .miss: 2])
        #expect(statistics.totals.toClients == 9)
        #expect(statistics.named["requests.hit.unknown."] == 3)
    }

    @Test func `the most used repositories go on from earlier runs`() {
        let before = Statistics()
        before.tally(of: Scene.alpine).count(.hit, .blob)
        before.tally(of: Scene.alpine).sent(100, asTheyCame: false)
        let uses = Dictionary(before.mostUsed.map { ($0.repository, $0.use) }, uniquingKeysWith: { $1 })
        let after = Statistics(uses: uses)
        after.tally(of: Scene.alpine, lane: 2).count(.miss, .blob)
        #expect(after.topRepositories(5).map(\.repository) == ["\(Scene.alpine)"])
        #expect(after.topRepositories(5).first?.use == Statistics.Use(requests: 2, bytes: 100))
    }

    @Test func `totals go on after a restart`() {
        let before = Statistics()
        before.count(.hit, .manifest, of: nil)
        before.tally(of: nil).sent(10, asTheyCame: true)
        before.received(7)
        let after = Statistics(saved: before.named)
        #expect(after.totals == before.totals)
    }
}
