// A dictionary with a bound: what is asked for stays.

import OCI
import Testing

@Suite("Recently used") struct RecentlyUsedTests {
    @Test func `what is asked for outlives what is not`() {
        var recent = RecentlyUsed<Int, Int>(limit: 10)
        recent[-1] = 0
        for number in 0..<100 {
            recent[number] = number
            #expect(recent[-1] == 0)
            #expect(recent[number] == number)
        }
        #expect((0..<100).count { recent[$0] != nil } <= 20)
        #expect(recent[99] == 99)
    }

    @Test func `weight counts, in place of what was there`() {
        var recent = RecentlyUsed<Int, Int>(limit: 100) { $0 }
        for _ in 0..<50 { recent[1] = 60 }
        recent[2] = 40
        #expect(recent[1] == 60 && recent[2] == 40)
        recent[1] = nil
        #expect(recent[1] == nil && recent[2] == 40)
        recent.removeAll()
        #expect(recent[2] == nil)
    }
}
