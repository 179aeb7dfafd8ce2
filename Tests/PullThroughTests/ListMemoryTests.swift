// Lists in memory: how many, how long, and never an older one in place of a newer; and how long ones are read.

import OCI
import Store
import Synchronization
import Testing

@testable import PullThrough

@Suite("Lists in memory") struct ListMemoryTests {
    private struct Text: ReadList, Equatable {
        let text: String
        var cost = 1

        init(_ text: String, cost: Int = 1) { (self.text, self.cost) = (text, cost) }
        init?(_ kept: KeptList) { text = String(decoding: kept.bytes, as: UTF8.self) }
    }

    /// How many do something, and how many did at most.
    private final class Running: Sendable {
        private let counts = Mutex((now: 0, most: 0))

        var most: Int { counts.withLock { $0.most } }

        func change(by number: Int) {
            counts.withLock { $0 = ($0.now + number, max($0.most, $0.now + number)) }
        }
    }

    private let memory = ListMemory()

    private func question(
        _ query: String, kind: ListKey.Kind = .tags, of repository: Repository = Scene.alpine
    ) -> Discovery.Question {
        Discovery.Question(repository: repository, key: ListKey(kind: kind, query: query))
    }

    private func put(_ query: String, cost: Int = 1) {
        memory.change(question(query), to: KnownList(list: Text(query, cost: cost), fetchedAt: 1))
    }

    private func text(_ question: Discovery.Question) -> String? {
        let known: KnownList<Text>? = memory.known(question)
        return known?.list.text
    }

    @Test func `eight are remembered, and the one least recently used goes first`() {
        for number in 0..<8 { put("\(number)") }
        #expect(text(question("0")) == "0")
        put("8")
        put("8")
        #expect(text(question("1")) == nil)
        for number in [0, 2, 3, 4, 5, 6, 7, 8] { #expect(text(question("\(number)")) == "\(number)") }
    }

    @Test func `they take no more than 24 MiB together, and one that alone takes more is not remembered`() {
        for number in 0..<3 { put("\(number)", cost: 8 << 20) }
        #expect(text(question("0")) == "0")
        put("3", cost: 1)
        #expect(text(question("1")) == nil)
        #expect(text(question("0")) == "0")
        put("4", cost: 24 << 20 + 1)
        #expect(text(question("4")) == nil)
    }

    @Test func `a list that was read while it changed is not remembered`() {
        let before = memory.changes
        put("a")
        let old = KnownList(list: Text("old"), fetchedAt: 0)
        memory.remember(old, for: question("a"), since: before)
        #expect(text(question("a")) == "a")
        memory.remember(old, for: question("b"), since: memory.changes)
        #expect(text(question("b")) == "old")
        let between = memory.changes
        memory.forget(.tags, of: Scene.alpine)
        memory.remember(old, for: question("a"), since: between)
        #expect(text(question("a")) == nil)
    }

    @Test func `all pages of one list are forgotten, and no other`() {
        let others = [question("a", kind: .referrers(Digest.of([1]))), question("a", of: Scene.other)]
        for other in others { memory.change(other, to: KnownList(list: Text("x"), fetchedAt: 1)) }
        for query in ["", "n=1"] { put(query) }
        memory.forget(.tags, of: Scene.alpine)
        for query in ["", "n=1"] { #expect(text(question(query)) == nil) }
        for other in others { #expect(text(other) == "x") }
    }

    @Test func `long lists are read one at a time, and each by itself`() async {
        let lane = Lane()
        let running = Running()
        let numbers = await withTaskGroup(of: Int.self) { group in
            for number in 0..<50 {
                group.addTask {
                    await lane.run {
                        running.change(by: 1)
                        var sum = 0
                        for step in 0..<100_000 { sum &+= step }
                        running.change(by: -1)
                        return sum > 0 ? number : -1
                    }
                }
            }
            return await group.reduce(into: Set<Int>()) { $0.insert($1) }
        }
        #expect(numbers == Set(0..<50))
        #expect(running.most == 1)
    }
}
