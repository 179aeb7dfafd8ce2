// How fast something comes: over the last seconds, whatever the pieces.

import Testing

@testable import PullThrough

@Suite("Bytes a second") struct RateMeterTests {
    @Test func `a steady stream has its rate, however it is cut`() {
        for step in [1, 7, 100, 499, 900] {
            var meter = RateMeter(at: .seconds(50))
            for instant in stride(from: 0, to: 20_000, by: step) {
                meter.add(Int64(step) * 1000, at: .seconds(50) + .milliseconds(instant))
            }
            let rate = Double(meter.rate(at: .seconds(70)))
            #expect(abs(rate - 1_000_000) < 300_000, "\(step): \(rate)")
        }
    }

    @Test func `what came first counts over the time since the start, and at least half a second`() {
        var meter = RateMeter(at: .seconds(9))
        #expect(meter.rate(at: .seconds(9)) == 0)
        meter.add(1000, at: .seconds(9))
        #expect(meter.rate(at: .seconds(9)) == 2000)
        #expect(meter.rate(at: .seconds(11)) == 500)
    }

    @Test func `what stands still has no rate four seconds later, and a new one after that`() {
        var meter = RateMeter(at: .zero)
        for second in 0..<10 { meter.add(5000, at: .seconds(second)) }
        #expect(meter.rate(at: .seconds(12)) > 0)
        #expect(meter.rate(at: .seconds(14)) == 0)
        #expect(meter.rate(at: .seconds(10_000)) == 0)
        meter.add(4000, at: .seconds(10_000))
        #expect(meter.rate(at: .seconds(10_000)) > 1000)
    }
}
