// What is told to whom: kept and new events in one order, none twice, and listeners that do as they please.

import OCI
import PullThrough
import Synchronization
import Testing

@Suite("Event log", .timeLimit(.minutes(1))) struct EventLogTests {
    /// Remembers what it was told.
    private final class Listener: Sendable {
        private let events = Mutex<[Event]>([])
        let subscription = Mutex<EventLog.Subscription?>(nil)

        var ids: [Int64] { events.withLock { $0.map(\.id) } }
        var kinds: [Event.Kind] { events.withLock { $0.map(\.kind) } }

        func hear(_ event: Event) { events.withLock { $0.append(event) } }

        func listen(to log: EventLog, after id: Int64? = nil) {
            let subscription = log.subscribe(after: id) { self.hear($0) }
            self.subscription.withLock { $0 = subscription }
        }

        func leave() { subscription.withLock { $0 }?.cancel() }
    }

    private static let start: Int64 = 1_700_000_000_000
    private let log = EventLog(now: { start })

    private func moved(_ number: Int = 0) throws -> Event.Kind {
        let name = try #require(RepositoryName("library/debian"))
        return .tagMoved(
            Repository(upstream: "docker.io", name: name), try #require(Tag("\(number)")),
            from: Digest.of([1]), to: Digest.of([2]))
    }

    @Test func `ids go on from the time of the start, and each event has its instant`() throws {
        let time = Mutex<Int64>(5_000)
        let times = EventLog(now: { time.withLock { $0 } })
        let heard = Mutex<[Event]>([])
        times.post(try moved(1))
        time.withLock { $0 = 9_000 }
        times.post(try moved(2))
        _ = times.subscribe(after: nil) { event in heard.withLock { $0.append(event) } }
        let events = heard.withLock { $0 }
        #expect(events.map(\.id) == [5_000, 5_001] && events.map(\.at) == [5_000, 9_000])
        #expect(events.map(\.kind) == [try moved(1), try moved(2)])
    }

    @Test func `what is kept is told first, then what comes`() throws {
        let listener = Listener()
        log.post(try moved(1))
        listener.listen(to: log)
        log.post(try moved(2))
        #expect(listener.kinds == [try moved(1), try moved(2)])
    }

    @Test func `the newest 256 are kept`() throws {
        for number in 0..<300 { log.post(try moved(number)) }
        let listener = Listener()
        listener.listen(to: log)
        #expect(listener.ids == Array(Self.start + 44..<Self.start + 300))
    }

    @Test(
        "only what is newer than the given id is told",
        arguments: [
            (start + 7, 2), (start + 8, 1), (start + 9, 0),  // of ten
            (start - 1, 10), (0, 10), (.min, 10),  // an earlier run's
            (start + 10, 10), (.max, 10),  // by a clock that was ahead
        ])
    func newer(id: Int64, count: Int) throws {
        for number in 0..<10 { log.post(try moved(number)) }
        let listener = Listener()
        listener.listen(to: log, after: id)
        #expect(listener.ids == Array(Self.start + Int64(10 - count)..<Self.start + 10))
        log.post(try moved())
        #expect(listener.ids.last == Self.start + 10 && listener.ids.count == count + 1)
    }

    @Test func `an id of which nothing is kept any more hides nothing`() throws {
        for number in 0..<1_000 { log.post(try moved(number)) }
        let listener = Listener()
        listener.listen(to: log, after: Self.start + 3)
        #expect(listener.ids.count == EventLog.mostKept && listener.ids.last == Self.start + 999)
    }

    @Test func `listeners that come while events are posted on many threads miss none and hear none twice`()
        async throws
    {
        // Fewer than are kept, so that even a listener who is held up for all of it misses none.
        let threads = 8
        let each = 30
        for _ in 0..<50 {
            let log = EventLog(now: { Self.start })
            let listeners = (0..<16).map { _ in Listener() }
            await withTaskGroup(of: Void.self) { group in
                for thread in 0..<threads {
                    group.addTask {
                        for number in 0..<each {
                            // It is grammatical: a number.
                            if let kind = try? self.moved(thread * 100 + number) { log.post(kind) }
                            if number % 15 == 7 { listeners[thread * 2 + number / 15].listen(to: log) }
                        }
                    }
                }
            }
            let all = Array(Self.start..<Self.start + Int64(threads * each))
            for listener in listeners { #expect(listener.ids == all) }
        }
    }

    @Test func `a listener is never called twice at once`() async throws {
        let calls = Mutex((now: 0, most: 0, all: 0))
        _ = log.subscribe(after: nil) { _ in
            calls.withLock {
                $0.now += 1
                $0.most = max($0.most, $0.now)
                $0.all += 1
            }
            for _ in 0..<100 { _ = Digest.of([1, 2, 3]) }
            calls.withLock { $0.now -= 1 }
        }
        let kind = try moved()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { for _ in 0..<30 { log.post(kind) } } }
        }
        #expect(calls.withLock { $0.most == 1 && $0.all == 240 })
    }

    @Test func `a listener that cancels inside its call hears no more, and the others do`() throws {
        let (leaver, other) = (Listener(), Listener())
        let subscription = log.subscribe(after: nil) { event in
            leaver.hear(event)
            leaver.leave()
            leaver.leave()
        }
        leaver.subscription.withLock { $0 = subscription }
        other.listen(to: log)
        for number in 0..<3 { log.post(try moved(number)) }
        #expect(leaver.ids == [Self.start] && other.ids.count == 3)
        #expect(log.subscriptions == 1)
    }

    @Test func `a listener may post, subscribe and cancel others inside its call`() throws {
        let (first, second, late) = (Listener(), Listener(), Listener())
        second.listen(to: log)
        let kind = try moved(99)
        _ = log.subscribe(after: nil) { [log] event in
            first.hear(event)
            guard event.id == Self.start else { return }
            log.post(kind)
            second.leave()
            late.listen(to: log)
        }
        log.post(try moved())
        log.post(try moved())
        #expect(first.ids == [Self.start, Self.start + 1, Self.start + 2])
        #expect(late.ids == first.ids)
        #expect(second.ids.count <= 2 && log.subscriptions == 2)
    }

    @Test func `a thousand listeners hear everything, and nobody is left when they are gone`() throws {
        let listeners = (0..<1_000).map { _ in Listener() }
        for listener in listeners { listener.listen(to: log) }
        #expect(log.subscriptions == 1_000)
        for number in 0..<20 { log.post(try moved(number)) }
        #expect(listeners.allSatisfy { $0.ids.count == 20 })
        for listener in listeners { listener.leave() }
        log.post(try moved())
        #expect(listeners.allSatisfy { $0.ids.count == 20 } && log.subscriptions == 0)
    }

    @Test func `what a listener held is let go with it, outside of any lock`() throws {
        /// Calls the log when it goes.
        final class Last: Sendable {
            let log: EventLog
            let kind: Event.Kind

            init(_ log: EventLog, _ kind: Event.Kind) { (self.log, self.kind) = (log, kind) }
            deinit { log.post(kind) }
        }
        let other = Listener()
        other.listen(to: log)
        let subscription = {
            let last = Last(log, try moved())
            return log.subscribe(after: nil) { _ in _ = last }
        }
        try subscription().cancel()
        #expect(other.ids == [Self.start])
    }
}
