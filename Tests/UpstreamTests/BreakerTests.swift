// The circuit breaker as replayed events.
import Testing

@testable import Upstream

@Suite("The breaker of an endpoint") struct BreakerTests {
    private func isDue(_ breaker: inout Breaker, at now: Duration) -> Bool { breaker.takeProbe(at: now) }

    @Test func `one failure opens it for a second, and then one probe is let through`() {
        var breaker = Breaker()
        #expect(!isDue(&breaker, at: .seconds(100)))
        breaker.failed(at: .seconds(100))
        #expect(breaker.state == .open)
        #expect(!isDue(&breaker, at: .milliseconds(100_999)))
        #expect(isDue(&breaker, at: .seconds(101)))
        #expect(breaker.state == .halfOpen)
        #expect(!isDue(&breaker, at: .seconds(101)))
        breaker.answered()
        #expect(breaker == Breaker())
    }

    @Test func `each probe that fails doubles the pause, up to half a minute`() {
        var breaker = Breaker()
        var now = Duration.zero
        breaker.failed(at: now)
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            #expect(!isDue(&breaker, at: now + .seconds(pause) - .milliseconds(1)))
            now += .seconds(pause)
            #expect(isDue(&breaker, at: now))
            breaker.failed(at: now)
        }
        breaker.answered()
        breaker.failed(at: now)
        #expect(isDue(&breaker, at: now + .seconds(1)))
    }

    @Test func `who answers no more than probes is left alone for longer each time`() {
        var breaker = Breaker()
        var now = Duration.zero
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            breaker.failed(at: now)
            #expect(!isDue(&breaker, at: now + .seconds(pause) - .milliseconds(1)))
            now += .seconds(pause)
            #expect(isDue(&breaker, at: now))
            breaker.answeredProbe()
            #expect(breaker.state == .closed)
        }
        breaker.answered()
        breaker.failed(at: now)
        #expect(isDue(&breaker, at: now + .seconds(1)))
        // A probe that was given up, or overtaken, tells nothing.
        breaker = Breaker()
        breaker.failed(at: now)
        breaker.answeredProbe()
        #expect(breaker.state == .open)
    }

    @Test func `what was under way when it opened does not hold it open longer`() {
        var breaker = Breaker()
        breaker.failed(at: .zero)
        for _ in 0..<100 { breaker.failed(at: .milliseconds(900)) }
        #expect(isDue(&breaker, at: .seconds(1)))
    }

    @Test func `a probe that never tells is given up`() {
        var breaker = Breaker()
        breaker.failed(at: .zero)
        #expect(isDue(&breaker, at: .seconds(1)))
        #expect(!isDue(&breaker, at: .seconds(20)))
        #expect(isDue(&breaker, at: .seconds(21)))
    }
}
