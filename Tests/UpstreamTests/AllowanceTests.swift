// What remains to be pulled, as replayed answers.
import Testing

@testable import Upstream

@Suite("The allowance of an endpoint") struct AllowanceTests {
    private func told(_ remaining: Int?) -> RateLimit {
        RateLimit(limit: 100, remaining: remaining, windowSeconds: 21_600, source: "192.0.2.1")
    }

    @Test func `nothing remains until an answer tells otherwise, however long that takes`() {
        var allowance = Allowance()
        #expect(!allowance.isSpent(at: 0))
        allowance.saw(told(1), at: 0)
        #expect(!allowance.isSpent(at: 0))
        allowance.saw(told(0), at: 0)
        #expect(allowance.isSpent(at: 0) && allowance.isSpent(at: 10_000_000))
        #expect(allowance.retryAfter(at: 0) == nil)
        allowance.saw(told(nil), at: 0)
        #expect(allowance.isSpent(at: 0))
        allowance.saw(told(3), at: 0)
        #expect(!allowance.isSpent(at: 0))
        #expect(allowance.limit == told(3))
    }

    @Test func `a 429 lasts as long as it says, a minute if it says nothing, and a day at most`() {
        var allowance = Allowance()
        allowance.refused(retryAfter: .seconds(3600), at: 1000)
        #expect(allowance.isSpent(at: 4599))
        #expect(allowance.retryAfter(at: 4000) == .seconds(600))
        #expect(!allowance.isSpent(at: 4600))
        allowance.refused(retryAfter: nil, at: 5000)
        #expect(allowance.isSpent(at: 5059) && !allowance.isSpent(at: 5060))
        allowance.refused(retryAfter: .seconds(10_000_000), at: 0)
        #expect(allowance.isSpent(at: 86_399) && !allowance.isSpent(at: 86_400))
    }

    @Test func `an answer with something left ends a 429 early, one without keeps its end`() {
        var allowance = Allowance()
        allowance.refused(retryAfter: .seconds(3600), at: 0)
        allowance.saw(told(0), at: 10)
        #expect(allowance.isSpent(at: 3599) && !allowance.isSpent(at: 3600))
        // Its time is over, and yet nothing remains: that is told anew.
        allowance.saw(told(0), at: 3600)
        #expect(allowance.isSpent(at: 3600) && allowance.isSpent(at: 100_000))
        allowance.refused(retryAfter: .seconds(3600), at: 0)
        allowance.saw(told(5), at: 10)
        #expect(!allowance.isSpent(at: 1))
    }

    @Test func `an answer without numbers ends what only numbers told`() {
        var allowance = Allowance()
        allowance.saw(told(0), at: 0)
        allowance.sawNone()
        #expect(!allowance.isSpent(at: 0))
        allowance.refused(retryAfter: .seconds(60), at: 0)
        allowance.sawNone()
        #expect(allowance.isSpent(at: 0))
    }

    @Test func `a clock that goes back by days holds nothing up`() {
        var allowance = Allowance()
        allowance.refused(retryAfter: .seconds(60), at: 1_000_000)
        #expect(!allowance.isSpent(at: 100))
    }

    @Test func `a ledger goes on after a restart, but not with another account's allowance`() {
        let ledger = EndpointLedger(url: "https://hub.test", uptime: { .zero }, now: { 1000 })
        ledger.requested()
        ledger.received(70)
        ledger.saw(told(0))
        ledger.refusedPull(retryAfter: .seconds(600))
        let memo = ledger.memo(of: "anna")
        #expect(!memo.isEmpty)

        let same = EndpointLedger(url: "https://hub.test", uptime: { .zero }, now: { 1100 })
        same.restore(memo, of: "anna")
        #expect(same.figures.requests == 1 && same.figures.bytes == 70)
        #expect(same.figures.rateLimit == told(0))
        #expect(same.isSpent && same.retryAfter == .seconds(500))

        let other = EndpointLedger(url: "https://hub.test", uptime: { .zero }, now: { 1100 })
        other.restore(memo, of: "")
        #expect(other.figures.requests == 1)
        #expect(!other.isSpent && other.figures.rateLimit == nil)

        let fresh = EndpointLedger(url: "https://hub.test", uptime: { .zero }, now: { 1100 })
        for rubbish in ["", "{}", "[1]", "{\"requests\":\"x\"}"] { fresh.restore(rubbish, of: "") }
        #expect(fresh.figures == EndpointFigures(url: "https://hub.test"))
    }
}
