// Tickets for connections: waiting, being granted, yielding, cancelling and dropping.
import TestSupport
import Testing

@testable import Upstream

@Suite("ConnectionBudget") struct ConnectionBudgetTests {
    private let clock = ManualClock()

    private func claim(
        first: Bool = true, followed: Bool = true, _ size: Int64? = 100
    ) -> ConnectionBudget.Claim {
        ConnectionBudget.Claim(isFirst: first, isFollowed: followed, size: size)
    }

    private func budget(_ limit: Int) -> ConnectionBudget { ConnectionBudget(limit: limit, clock: clock) }

    @Test func `a ticket below the limit is granted before it is waited for`() async {
        let budget = budget(2)
        let tickets = [budget.ticket(claim()) {}, budget.ticket(claim()) {}]
        #expect(budget.figures == (2, 0))
        for ticket in tickets { #expect(await ticket.granted()) }
        let third = budget.ticket(claim(first: false)) {}
        #expect(budget.figures == (2, 1))
        tickets[0].release()
        #expect(await third.granted())
        tickets[0].release()
        #expect(budget.figures == (2, 0))
        for ticket in tickets + [third] { ticket.release() }
        #expect(budget.figures == (0, 0))
    }

    @Test func `who waits is told when its turn comes`() async {
        let budget = budget(1)
        let holder = budget.ticket(claim()) {}
        let large = budget.ticket(claim(first: false, 9)) {}
        let small = budget.ticket(claim(first: false, 8)) {}
        let order = Watched<[String]>([])
        await withTaskGroup(of: Void.self) { group in
            for (name, ticket) in [("large", large), ("small", small)] {
                group.addTask {
                    #expect(await ticket.granted())
                    order.change { $0.append(name) }
                    ticket.release()
                }
            }
            holder.release()
        }
        #expect(order.value == ["small", "large"])
        #expect(budget.figures == (0, 0))
    }

    @Test func `a cancelled wait is false, and its place is gone`() async {
        let budget = budget(1)
        let holder = budget.ticket(claim()) {}
        let ticket = budget.ticket(claim(first: false)) {}
        let waiting = Task { await ticket.granted() }
        waiting.cancel()
        #expect(await waiting.value == false)
        #expect(budget.figures == (1, 0))
        holder.release()
        #expect(budget.figures == (0, 0))
    }

    @Test func `a ticket released before the grant is false for whoever waits, and later`() async {
        let budget = budget(1)
        let holder = budget.ticket(claim()) {}
        let ticket = budget.ticket(claim()) {}
        async let granted = ticket.granted()
        await clock.sleepers(1)
        ticket.release()
        #expect(await granted == false)
        #expect(await ticket.granted() == false)
        holder.release()
    }

    @Test func `a grant that has come is not lost to a cancel`() async {
        let budget = budget(1)
        let ticket = budget.ticket(claim()) {}
        let waiting = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await ticket.granted()
        }
        #expect(await waiting.value)
        #expect(budget.figures == (1, 0))
        ticket.release()
    }

    @Test func `dropping a ticket gives its connection, or its place, back`() async {
        let budget = budget(1)
        var holder: ConnectionBudget.Ticket? = budget.ticket(claim()) {}
        var waiter: ConnectionBudget.Ticket? = budget.ticket(claim()) {}
        #expect(budget.figures == (1, 1))
        waiter = nil
        #expect(budget.figures == (1, 0))
        holder = nil
        #expect(budget.figures == (0, 0))
        _ = (holder, waiter)
    }

    @Test func `a followed first claim waits for 5 s and no longer`() async {
        let budget = budget(1)
        let holder = budget.ticket(claim()) {}
        let ticket = budget.ticket(claim()) {}
        async let granted = ticket.granted()
        await clock.sleepers(1)
        clock.advance(by: .milliseconds(4999))
        #expect(budget.figures == (1, 1))
        clock.advance(by: .milliseconds(1))
        #expect(await granted)
        #expect(budget.figures == (2, 0))
        for ticket in [holder, ticket] { ticket.release() }
    }

    @Test func `the alarm is set anew for the next, and is called off with the last`() async {
        let budget = budget(1)
        let holder = budget.ticket(claim()) {}
        let first = budget.ticket(claim()) {}
        await clock.sleepers(1)
        clock.advance(by: .seconds(3))
        let second = budget.ticket(claim()) {}
        first.release()
        clock.advance(by: .seconds(2))  // rings for the one that left
        await clock.sleepers(1)
        #expect(budget.figures == (1, 1))
        clock.advance(by: .seconds(3))
        #expect(await second.granted())
        #expect(budget.figures == (2, 0))
        let third = budget.ticket(claim()) {}
        await clock.sleepers(1)
        third.release()
        #expect(clock.sleeperCount == 0)
        for ticket in [holder, second] { ticket.release() }
    }

    @Test func `an abandoned holder is told to yield, and may do so from within`() async {
        let budget = budget(1)
        let yields = Counter()
        let held = Watched<ConnectionBudget.Ticket?>(nil)
        let abandoned = budget.ticket(claim(followed: false)) {
            yields.increment()
            held.change { $0.take() }?.release()
        }
        held.change { $0 = abandoned }
        let ticket = budget.ticket(claim()) {}
        #expect(await ticket.granted())
        #expect(yields.count == 1)
        #expect(budget.figures == (1, 0))
        ticket.release()
    }

    @Test func `who loses its followers yields, who gains one goes ahead`() async {
        let budget = budget(1)
        let yields = Counter()
        let holder = budget.ticket(claim()) { yields.increment() }
        let waiter = budget.ticket(claim(followed: false)) {}
        let other = budget.ticket(claim(followed: false, 1)) {}
        holder.update(isFollowed: false)
        #expect(yields.count == 0)
        waiter.update(isFollowed: true)
        #expect(yields.count == 1)
        holder.release()
        #expect(await waiter.granted())
        #expect(budget.figures == (1, 1))
        for ticket in [waiter, other] { ticket.release() }
    }

    @Test func `a yield that is the last to hold another ticket is let go of outside the lock`() async {
        let budget = budget(1)
        let holder = budget.ticket(claim()) {}
        let outer = ticketHoldingAnother(budget)
        #expect(budget.figures == (1, 2))
        outer.release()
        #expect(budget.figures == (1, 0))
        holder.release()
    }

    private func ticketHoldingAnother(_ budget: ConnectionBudget) -> ConnectionBudget.Ticket {
        let inner = budget.ticket(claim(first: false)) {}
        return budget.ticket(claim(first: false)) { _ = inner }
    }

    @Test func `under many tasks never more than the limit hold, and all come through`() async {
        let budget = budget(3)
        let holding = Watched((now: 0, peak: 0))
        await withTaskGroup(of: Void.self) { group in
            for index in 1...500 {
                group.addTask {
                    let ticket = budget.ticket(self.claim(first: false, followed: index % 2 == 0, Int64(index % 7))) {}
                    guard await ticket.granted() else { return }
                    holding.change { $0 = ($0.now + 1, max($0.peak, $0.now + 1)) }
                    await Task.yield()
                    holding.change { $0.now -= 1 }
                    ticket.release()
                }
            }
        }
        #expect((1...3).contains(holding.value.peak))
        #expect(budget.figures == (0, 0))
    }
}
