// Which answers of an upstream are believed, by examples.
import Testing
import Upstream

@testable import PullThrough

@Suite("Witness: answer → judgement") struct WitnessTests {
    @Test func `the first size is believed and confirmed, and another is not`() {
        var witness = Witness(size: nil)
        #expect(witness.judge(head(nil), wanted: 0, maySkip: false) == .fit)
        #expect(witness.size == nil && !witness.isConfirmed)
        #expect(witness.judge(head(10), wanted: 0, maySkip: false) == .fit)
        #expect(witness.size == 10 && witness.isConfirmed)
        #expect(witness.judge(head(11, host: "other"), wanted: 0, maySkip: false) != .fit)
        #expect(witness.size == 10)
    }

    @Test func `what was told before is only confirmed by an answer`() {
        var witness = Witness(size: 10)
        #expect(witness.size == 10 && !witness.isConfirmed)
        #expect(witness.judge(head(11), wanted: 0, maySkip: false) != .fit)
        #expect(!witness.isConfirmed)
    }

    @Test func `a tag is compared with the same host's only, weak or not`() {
        var witness = Witness(size: nil)
        #expect(witness.judge(head(10, tag: #""a""#), wanted: 0, maySkip: false) == .fit)
        #expect(witness.judge(head(10, tag: #"W/"a""#), wanted: 0, maySkip: false) == .fit)
        #expect(witness.judge(head(10, tag: "rubbish"), wanted: 0, maySkip: false) == .fit)
        #expect(witness.judge(head(10), wanted: 0, maySkip: false) == .fit)
        #expect(witness.judge(head(10, tag: #"W/"b""#, host: "other"), wanted: 0, maySkip: false) == .fit)
        #expect(witness.judge(head(10, tag: #""b""#), wanted: 0, maySkip: false) != .fit)
        #expect(witness.entityTags == ["cdn": #""a""#])
    }

    @Test func `a whole is passed over up to 8 MiB, and further only where that may be`() {
        var witness = Witness(size: nil)
        #expect(witness.judge(head(100 * mebi), wanted: 8 * mebi, maySkip: false) == .fit)
        let far = witness.judge(head(100 * mebi), wanted: 8 * mebi + 1, maySkip: false)
        #expect(far == .tooFarToSkip(.refused("cdn ignores Range")))
        #expect(witness.judge(head(100 * mebi), wanted: 8 * mebi + 1, maySkip: true) == .fit)
        let part = head(100 * mebi, 50 * mebi..<100 * mebi)
        #expect(witness.judge(part, wanted: 50 * mebi, maySkip: false) == .fit)
    }

    @Test func `what is not believed leaves nothing behind`() {
        var witness = Witness(size: 100 * mebi)
        _ = witness.judge(head(99 * mebi, tag: #""a""#), wanted: 0, maySkip: false)
        _ = witness.judge(head(100 * mebi, tag: #""b""#), wanted: 50 * mebi, maySkip: false)
        #expect(witness.entityTags.isEmpty && !witness.isConfirmed)
    }
}
