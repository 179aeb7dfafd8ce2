// The order of those who want a connection, by replayed events.
import TestSupport
import Testing

@testable import Upstream

@Suite("BudgetState: event → actions") struct BudgetStateTests {
    private typealias Claim = ConnectionBudget.Claim
    private typealias Actions = BudgetState.Actions

    private func claim(first: Bool = true, followed: Bool = true, _ size: Int64? = 100) -> Claim {
        Claim(isFirst: first, isFollowed: followed, size: size)
    }

    /// A budget whose connections are all held, by 1 and so on.
    private func full(_ claims: Claim...) -> BudgetState {
        var state = BudgetState(limit: claims.count)
        for (index, claim) in claims.enumerated() {
            #expect(state.claimed(index + 1, claim, at: .zero) == Actions(granted: [index + 1]))
        }
        return state
    }

    @Test func `below the limit a claim is granted at once, beyond it waits for a release`() {
        var state = full(claim(), claim())
        #expect(state.claimed(3, claim(), at: .zero) == Actions())
        #expect(state.holding == 2 && state.waiting == 1)
        #expect(state.released(1, at: .zero) == Actions(granted: [3]))
        #expect(state.isHolding(3) && !state.isHolding(1))
    }

    @Test func `followed goes before abandoned, first before further, small before large, then who came first`() {
        var state = full(claim())
        let claims = [
            claim(first: false, followed: false, 1), claim(followed: false, 1), claim(first: false, 5), claim(nil),
            claim(200), claim(100), claim(100), claim(first: false, 4),
        ]
        for (index, claim) in claims.enumerated() { _ = state.claimed(index + 2, claim, at: .zero) }
        var order: [Int] = []
        var holder = 1
        while let next = state.released(holder, at: .zero).granted.first {
            order.append(next)
            holder = next
        }
        #expect(order == [7, 8, 6, 5, 9, 4, 3, 2])
    }

    @Test func `a release twice, or of nobody, changes nothing`() {
        var state = full(claim(), claim())
        _ = state.claimed(3, claim(), at: .zero)
        _ = state.claimed(4, claim(), at: .zero)
        #expect(state.released(1, at: .zero) == Actions(granted: [3]))
        #expect(state.released(1, at: .zero) == Actions())
        #expect(state.released(99, at: .zero) == Actions())
        #expect(state.holding == 2)
    }

    @Test func `who leaves while waiting is passed over`() {
        var state = full(claim())
        _ = state.claimed(2, claim(1), at: .zero)
        _ = state.claimed(3, claim(2), at: .zero)
        #expect(state.released(2, at: .zero) == Actions())
        #expect(state.released(1, at: .zero) == Actions(granted: [3]))
    }

    @Test func `a followed first claim starts beyond the limit after 5 s, and its release admits nobody`() {
        var state = full(claim())
        _ = state.claimed(2, claim(), at: .seconds(10))
        _ = state.claimed(3, claim(), at: .seconds(12))
        #expect(state.nextDue == .seconds(15))
        #expect(state.woken(at: .milliseconds(14_999)) == Actions())
        #expect(state.woken(at: .seconds(15)) == Actions(granted: [2]))
        #expect(state.nextDue == .seconds(17))
        #expect(state.released(2, at: .seconds(16)) == Actions())
        #expect(state.released(1, at: .seconds(16)) == Actions(granted: [3]))
        #expect(state.nextDue == nil)
    }

    @Test func `nobody else starts beyond the limit`() {
        var state = full(claim())
        _ = state.claimed(2, claim(first: false), at: .zero)
        _ = state.claimed(3, claim(followed: false), at: .zero)
        #expect(state.nextDue == nil)
        #expect(state.woken(at: .seconds(60)) == Actions())
    }

    @Test func `patience is counted from the follower's coming`() {
        var state = full(claim())
        _ = state.claimed(2, claim(followed: false), at: .zero)
        #expect(state.updated(2, isFollowed: true, at: .seconds(100)) == Actions())
        #expect(state.updated(2, isFollowed: true, at: .seconds(103)) == Actions())
        #expect(state.nextDue == .seconds(105))
        _ = state.updated(2, isFollowed: false, at: .seconds(104))
        #expect(state.nextDue == nil)
        #expect(state.woken(at: .seconds(105)) == Actions())
    }

    @Test func `a claim that gains a follower moves up`() {
        var state = full(claim())
        _ = state.claimed(2, claim(followed: false), at: .zero)
        _ = state.claimed(3, claim(first: false, 1), at: .zero)
        _ = state.updated(2, isFollowed: true, at: .zero)
        #expect(state.released(1, at: .zero) == Actions(granted: [2]))
    }

    @Test func `an abandoned holder is asked once to yield to a client that waits for its first byte`() {
        var state = full(claim(), claim(followed: false, 10), claim(first: false, followed: false, 10))
        #expect(state.claimed(4, claim(first: false), at: .zero) == Actions())
        #expect(state.claimed(5, claim(followed: false), at: .zero) == Actions())
        #expect(state.claimed(6, claim(), at: .zero) == Actions(yielding: [3]))
        #expect(state.woken(at: .seconds(1)) == Actions())
        #expect(state.released(3, at: .seconds(1)) == Actions(granted: [6]))
        #expect(state.claimed(7, claim(), at: .seconds(1)) == Actions(yielding: [2]))
        #expect(state.claimed(8, claim(), at: .seconds(1)) == Actions())
    }

    @Test func `a holder that is left while a client waits is asked then, and again after it was followed`() {
        var state = full(claim())
        #expect(state.claimed(2, claim(), at: .zero) == Actions())
        #expect(state.updated(1, isFollowed: false, at: .zero) == Actions(yielding: [1]))
        #expect(state.updated(1, isFollowed: false, at: .zero) == Actions())
        #expect(state.updated(1, isFollowed: true, at: .zero) == Actions())
        #expect(state.updated(1, isFollowed: false, at: .zero) == Actions(yielding: [1]))
    }

    @Test func `what started beyond the limit has to come back too before a yield helps`() {
        var state = full(claim(followed: false, 1), claim(followed: false, 2))
        #expect(state.claimed(3, claim(), at: .zero) == Actions(yielding: [2]))
        #expect(state.woken(at: .seconds(5)) == Actions(granted: [3]))
        #expect(state.claimed(4, claim(), at: .seconds(5)) == Actions(yielding: [1]))
        #expect(state.released(2, at: .seconds(5)) == Actions())
        #expect(state.released(1, at: .seconds(5)) == Actions(granted: [4]))
    }

    @Test(arguments: 1...20)
    func `in any order of events the limit holds but for the overdue, and nobody idles`(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        let limit = Int.random(in: 1...4, using: &random)
        var state = BudgetState(limit: limit)
        var now = Duration.zero
        var (waiting, holding): ([Int: Bool], Set<Int>) = ([:], [])
        for id in 1...2000 {
            now += .milliseconds(Int.random(in: 0...400, using: &random))
            let known = (Array(waiting.keys) + Array(holding)).sorted()
            let actions: Actions
            switch Int.random(in: 0...3, using: &random) {
            case 0:
                let claim = Claim(
                    isFirst: .random(using: &random), isFollowed: .random(using: &random),
                    size: .random(in: 1...9, using: &random))
                waiting[id] = claim.isFirst
                actions = state.claimed(id, claim, at: now)
            case 1:
                let id = known.randomElement(using: &random) ?? 0
                waiting[id] = nil
                holding.remove(id)
                actions = state.released(id, at: now)
            case 2:
                let id = known.randomElement(using: &random) ?? 0
                actions = state.updated(id, isFollowed: .random(using: &random), at: now)
            default: actions = state.woken(at: now)
            }
            for id in actions.granted {
                let isFirst = waiting.removeValue(forKey: id)
                #expect(isFirst != nil)
                #expect(holding.count < limit || isFirst == true)
                #expect(holding.insert(id).inserted)
            }
            #expect(holding.isSuperset(of: actions.yielding))
            #expect(waiting.isEmpty || holding.count >= limit)
            #expect(state.holding == holding.count && state.waiting == waiting.count)
            #expect(state.nextDue.map { $0 > now } ?? true)
        }
    }
}
