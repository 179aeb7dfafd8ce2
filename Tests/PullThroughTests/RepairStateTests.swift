// When and where a fill asks again after a failure, by replayed events.
import Testing
import Upstream

@testable import PullThrough

@Suite("RepairState: failure → verdict") struct RepairStateTests {
    private let reset = FillScript.reset

    private func state(sources: Int = 1) -> RepairState {
        var policy = FillPolicy()
        policy.jitter = { 0.5 }
        var state = RepairState(policy: policy)
        for _ in 1..<sources { state.addSource() }
        return state
    }

    private func told(_ error: UpstreamError, isLie: Bool = false) -> RepairState.Verdict {
        .giveUp(PullThroughError(error, of: "hub"), isLie: isLie)
    }

    @Test func `nothing is asked before its time, and the next source is asked then`() {
        var state = state(sources: 2)
        #expect(state.failed(reset, by: 0, of: "hub", isEarly: false, isAlone: true, at: .seconds(1)) == .again)
        #expect(state.source == 1)
        // Only who has failed is let be.
        #expect(state.retryAt == nil)
        #expect(state.mayAsk(at: .milliseconds(1001)) == true)
        #expect(state.failed(reset, by: 1, of: "hub", isEarly: false, isAlone: true, at: .milliseconds(1002)) == .again)
        #expect(state.retryAt == .milliseconds(1050))
        #expect(state.mayAsk(at: .milliseconds(1049)) == false)
        #expect(state.mayAsk(at: .milliseconds(1050)) == true)
        #expect(state.source == 0)
        #expect(state.retryAt == nil)
        #expect(state.givesUpAt == .seconds(61))
    }

    @Test func `progress forgets the failures, and so does rest their time`() {
        var state = state()
        for _ in 1...4 { _ = state.failed(reset, by: 0, of: "hub", isEarly: false, isAlone: true, at: .zero) }
        state.progressed()
        #expect(state.givesUpAt == nil)
        #expect(state.failed(reset, by: 0, of: "hub", isEarly: false, isAlone: true, at: .seconds(9)) == .again)
        #expect(state.retryAt == .milliseconds(9050))
        state.rests()
        #expect(state.givesUpAt == nil)
    }

    @Test func `early, each source is tried three times`() {
        var state = state(sources: 2)
        for turn in 0..<5 {
            #expect(state.failed(reset, by: turn % 2, of: "hub", isEarly: true, isAlone: true, at: .zero) == .again)
        }
        #expect(state.failed(reset, by: 1, of: "hub", isEarly: true, isAlone: true, at: .zero) == told(reset))
    }

    @Test func `a no counts when all have said it; later only time counts`() {
        let no = UpstreamError.denied(status: 403, message: "no")
        var state = state(sources: 2)
        #expect(state.failed(no, by: 0, of: "hub", isEarly: true, isAlone: true, at: .zero) == .again)
        #expect(state.failed(no, by: 0, of: "hub", isEarly: true, isAlone: true, at: .zero) == .again)
        #expect(state.failed(no, by: 1, of: "hub", isEarly: true, isAlone: true, at: .zero) == told(no))
        #expect(state.failed(no, by: 1, of: "hub", isEarly: false, isAlone: true, at: .zero) == .again)
    }

    @Test func `a contradiction by all there are ends it at any time`() {
        let lie = UpstreamError.unsatisfiable(size: 1)
        var state = state(sources: 2)
        #expect(state.failed(lie, by: 0, of: "hub", isEarly: false, isAlone: true, at: .zero) == .again)
        state.addSource()
        #expect(state.failed(lie, by: 1, of: "hub", isEarly: false, isAlone: true, at: .zero) == .again)
        #expect(state.failed(lie, by: 2, of: "hub", isEarly: false, isAlone: true, at: .zero) == told(lie, isLie: true))
    }

    @Test func `a contradiction is no end while another connection sends`() {
        let lie = UpstreamError.contradicted("another size")
        var state = state()
        #expect(state.failed(lie, by: 0, of: "hub", isEarly: false, isAlone: false, at: .zero) == .again)
        #expect(state.failed(lie, by: 0, of: "hub", isEarly: false, isAlone: true, at: .zero) == told(lie, isLie: true))
    }

    @Test func `an answer that cannot be used is asked for again until time is up`() {
        let page = UpstreamError.refused("an HTML page")
        var state = state()
        for _ in 0..<20 {
            #expect(state.failed(page, by: 0, of: "hub", isEarly: false, isAlone: true, at: .zero) == .again)
        }
        #expect(state.failed(page, by: 0, of: "hub", isEarly: true, isAlone: true, at: .zero) == told(page))
    }

    @Test func `one connection too many is no reason to wait, and nothing is waited for beyond the time that is left`()
    {
        let slowly = UpstreamError.rateLimited(retryAfter: .seconds(25), message: "slowly")
        var state = state()
        #expect(state.failed(slowly, by: 0, of: "hub", isEarly: false, isAlone: false, at: .zero) == .again)
        #expect(state.retryAt == .milliseconds(50))
        var policy = FillPolicy()
        policy.giveUpAfter = .seconds(4)
        state = RepairState(policy: policy)
        #expect(state.failed(slowly, by: 0, of: "hub", isEarly: false, isAlone: true, at: .zero) == .again)
        #expect(state.retryAt == .seconds(2))
    }

    @Test func `the wait that an upstream wishes is kept, up to 30 s`() {
        let slowly = UpstreamError.rateLimited(retryAfter: .seconds(100), message: "slowly")
        var state = state()
        #expect(state.failed(slowly, by: 0, of: "hub", isEarly: false, isAlone: true, at: .zero) == .again)
        #expect(state.failed(reset, by: 0, of: "hub", isEarly: false, isAlone: true, at: .zero) == .again)
        #expect(state.retryAt == .seconds(30))
    }
}
