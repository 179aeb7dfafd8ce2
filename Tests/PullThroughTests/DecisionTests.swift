// The table at the head of Decision.swift, row by row; routing; and the arithmetic of the figures.

import HTTPSemantics
import OCI
import Store
import TestSupport
import Testing

@testable import PullThrough

@Suite("Decision") struct DecisionTests {
    private let digest = Digest.of([1])
    private let other = Digest.of([2])
    private let policy = FreshnessPolicy(
        freshFor: .seconds(60), staleIfError: .seconds(600), negativeFor: .seconds(10))

    private func stored(age: Int64, isStored: Bool = true) -> StoredTag {
        StoredTag(digest: digest, checkedAt: 1_000_000 - age * 1000, isStored: isStored)
    }

    @Test(arguments: [(0, true), (59, true), (60, false), (10_000, false), (-5, false)])
    func `a tag is served without a question while it is fresh`(age: Int64, isFresh: Bool) {
        let decision = Decision.onRequest(stored: stored(age: age), policy: policy, now: 1_000_000)
        #expect(decision == (isFresh ? .serve(digest) : .ask))
    }

    @Test func `a tag that is not known is asked for`() {
        #expect(Decision.onRequest(stored: nil, policy: policy, now: 0) == .ask)
        #expect(Decision.onAnswer(digest, stored: nil) == .fetch(digest))
        #expect(Decision.onFailure(stored: nil, policy: policy, now: 0) == .refuse)
    }

    @Test func `the same digest confirms what is stored, another is fetched`() {
        #expect(Decision.onAnswer(digest, stored: stored(age: 100)) == .serveConfirmed(digest))
        #expect(Decision.onAnswer(other, stored: stored(age: 100)) == .fetch(other))
        #expect(Decision.onAnswer(digest, stored: stored(age: 100, isStored: false)) == .fetch(digest))
    }

    @Test(arguments: [(61, true), (659, true), (660, false), (100_000, false)])
    func `after a failure it is served until stale-if-error ends`(age: Int64, isServed: Bool) {
        let decision = Decision.onFailure(stored: stored(age: age), policy: policy, now: 1_000_000)
        #expect(decision == (isServed ? .serveStale(digest) : .refuse))
    }

    @Test func `what was evicted cannot be served stale`() {
        let gone = stored(age: 61, isStored: false)
        #expect(Decision.onFailure(stored: gone, policy: policy, now: 1_000_000) == .refuse)
    }
}

@Suite("Statistics") struct StatisticsTests {
    @Test func `the ratios are the contract's`() {
        let statistics = Statistics()
        let kinds: [(RequestClass, Int)] = [
            (.hit, 4), (.revalidated, 1), (.collapsed, 1), (.stale, 2), (.miss, 2), (.error, 5),
        ]
        for (kind, count) in kinds { for _ in 0..<count { statistics.count(kind, of: Scene.alpine) } }
        statistics.sent(300, of: Scene.alpine, asTheyCame: true)
        statistics.sent(700, of: Scene.alpine, asTheyCame: false)
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
        before.sent(10, of: nil, asTheyCame: true)
        before.received(7)
        let after = Statistics(saved: before.named)
        #expect(after.totals == before.totals)
    }
}
