// How many connections a fill is worth, by what was seen of its speed.
import Testing

@testable import PullThrough

@Suite("ConnectionRamp: bytes and time → connections") struct ConnectionRampTests {
    /// One that has seen a connection bring so many bytes in the first half second.
    private func ramp(most: Int = 4, bringing bytes: Int64, of remaining: Int64) -> ConnectionRamp {
        var ramp = ConnectionRamp(most: most)
        ramp.look(at: .seconds(1), received: 0, remaining: remaining)
        ramp.look(at: .milliseconds(1500), received: bytes, remaining: remaining - bytes)
        return ramp
    }

    @Test func `it begins with one, and looks at it for half a second`() {
        var ramp = ConnectionRamp(most: 4)
        #expect(ramp.target == 1 && ramp.step == nil && ramp.deadline == nil)
        #expect(ramp.isDue(at: .zero))
        ramp.look(at: .seconds(1), received: 0, remaining: 400 * mebi)
        #expect(ramp.deadline == .milliseconds(1500))
        #expect(!ramp.isDue(at: .milliseconds(1499)))
        ramp.look(at: .milliseconds(1499), received: 1000, remaining: 400 * mebi)
        #expect(ramp.target == 1)
    }

    @Test func `what one brings soon is left to it`() {
        let ramp = ramp(bringing: 100_000_000, of: 300_000_000)
        #expect(ramp.target == 1)
        #expect(ramp.deadline == .milliseconds(2000))
    }

    @Test func `a fast one is left alone for longer: what is on its way to it would be lost`() {
        #expect(ramp(bringing: 20_000_000, of: 300_000_000).target == 1)
        #expect(ramp(bringing: 20_000_000, of: 530_000_000).target == 4)
        #expect(ramp(bringing: 10_000_000, of: 34_000_000).target == 4)
    }

    @Test func `several are tried where one takes long, and stay if that is a quarter faster`() {
        for (second, target) in [(12_500_000, 4), (12_400_000, 1)] {
            var ramp = ramp(bringing: 5_000_000, of: 400 * mebi)
            #expect(ramp.target == 4)
            #expect(ramp.deadline == .milliseconds(3000))
            // 5 MB while they open, and then what all bring in a second.
            ramp.look(at: .milliseconds(3000), received: 5_000_000 + 5_000_000 + Int64(second), remaining: 300 * mebi)
            #expect(ramp.target == target)
            #expect(ramp.deadline == (target == 4 ? nil : .milliseconds(18_000)))
        }
    }

    @Test func `after a rest it is looked at again`() {
        var ramp = ramp(bringing: 5_000_000, of: 400 * mebi)
        ramp.stayAlone(at: .seconds(2), received: 2_000_000)
        #expect(ramp.target == 1 && ramp.step == nil)
        ramp.look(at: .seconds(17), received: 100_000_000, remaining: 300 * mebi)
        #expect(ramp.target == 1)
        ramp.look(at: .seconds(18), received: 110_000_000, remaining: 290 * mebi)
        #expect(ramp.target == 4)
    }

    @Test func `a segment takes two seconds, from 4 to 64 MiB`() {
        #expect(ramp(bringing: 5_000_000, of: 400 * mebi).step?.most == 20_000_000)
        #expect(ramp(bringing: 1500, of: 400 * mebi).step?.most == 4 * mebi)
        #expect(ramp(bringing: 50_000_000, of: 4000 * mebi).step?.most == 64 * mebi)
    }

    @Test func `one that may not be more never is`() {
        let ramp = ramp(most: 1, bringing: 1500, of: 400 * mebi)
        #expect(ramp.target == 1 && ramp.deadline == nil && !ramp.isDue(at: .seconds(99)))
    }
}
