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

    @Test func `names that come to nothing take nobody's place`() throws {
        let statistics = Statistics()
        for number in 0..<10_001 {
            let junk = Repository(upstream: "docker.io", name: try #require(RepositoryName("junk/\(number)")))
            statistics.count(.error, .manifest, of: junk)
            // There is none, says the upstream.
            statistics.countRefusal(.miss, .manifest, of: junk)
            statistics.tally(of: junk).sent(0, asTheyCame: false)
        }
        #expect(statistics.mostUsed.isEmpty)
        #expect(statistics.totals.total == 20_002)
        statistics.tally(of: Scene.alpine, lane: 3).count(.miss, .manifest)
        // On whatever lane, an error counts by name once there was an answer.
        statistics.count(.error, .manifest, of: Scene.alpine)
        #expect(statistics.topRepositories(2).map(\.repository) == ["\(Scene.alpine)"])
        #expect(statistics.topRepositories(2).first?.use == Statistics.Use(requests: 2, bytes: 0))
    }

    @Test func `a tally that was there before the first answer counts with the others`() {
        let statistics = Statistics(uses: ["\(Scene.alpine)": Statistics.Use(requests: 5, bytes: 50)])
        let kept = [statistics.tally(of: Scene.alpine), statistics.tally(of: Scene.alpine)]
        kept[0].count(.error, .manifest)
        #expect(statistics.topRepositories(1).first?.use == Statistics.Use(requests: 5, bytes: 50))
        kept[0].count(.miss, .manifest)
        kept[1].count(.hit, .manifest)
        kept[1].sent(7, asTheyCame: false)
        kept[0].count(.error, .manifest)
        statistics.tally(of: Scene.alpine, lane: 1).sent(3, asTheyCame: true)
        #expect(statistics.topRepositories(9).map(\.use) == [Statistics.Use(requests: 8, bytes: 60)])
    }

    @Test func `of many the most used are told, in order`() throws {
        let statistics = Statistics(uses: ["earlier/app": Statistics.Use(requests: 1, bytes: 95)])
        for number in 1...100 {
            let name = try #require(RepositoryName("app/\(number)"))
            let repository = Repository(upstream: "docker.io", name: name)
            statistics.tally(of: repository, lane: number).sent(Int64(number), asTheyCame: false)
        }
        #expect(statistics.topRepositories(3).map(\.repository) == (98...100).reversed().map { "docker.io/app/\($0)" })
        #expect(statistics.topRepositories(7).map(\.use.bytes) == [100, 99, 98, 97, 96, 95, 95])
        #expect(statistics.topRepositories(7).map(\.repository).contains("earlier/app"))
        #expect(statistics.topRepositories(1000).count == 101)
        #expect(statistics.topRepositories(0).isEmpty)
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
