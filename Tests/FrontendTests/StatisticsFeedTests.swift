// The figures in the event stream: once a second for all who listen, only while somebody does, and never in a queue.

import OCI
import Synchronization
import TestSupport
import Testing

@testable import Frontend
@testable import HTTPServer

@Suite("GET /api/v1/events?also=stats", .timeLimit(.minutes(1))) struct StatisticsFeedTests {
    /// What the figures say, and how often they were made.
    private final class Source: Sendable {
        let state = Mutex((says: "a", made: 0))

        var made: Int { state.withLock { $0.made } }
        func says(_ text: String) { state.withLock { $0.says = text } }

        func make() -> StatisticsFeed.Edition {
            state.withLock { state in
                state.made += 1
                return .init(text: Array("\(state.says) \(state.made)".utf8), timeless: Array(state.says.utf8))
            }
        }
    }

    private struct Stage {
        let clock = ManualClock()
        let source = Source()
        let feed: StatisticsFeed

        init() {
            feed = StatisticsFeed(clock: clock) { [source] in source.make() }
        }

        /// A second passes, and the next document has been made and told.
        func second() async {
            clock.advance(by: .seconds(1))
            await clock.sleepers(1)
        }
    }

    /// What a client was sent and has taken; a client that is slow takes nothing.
    private func taken(_ writer: LiveWriter) -> [String] {
        var text = ""
        while case .piece(let bytes) = writer.next(isInFlight: false) { text += String(decoding: bytes, as: UTF8.self) }
        return text.split(separator: "\n\n").map { String($0.replacing("event: stats\ndata: ", with: "")) }
    }

    @Test func `they are told at once, and then as they say something new`() async {
        let stage = Stage()
        let writer = LiveWriter {}
        _ = stage.feed.join(writer)
        await stage.clock.sleepers(1)
        #expect(taken(writer) == ["a 1"])
        await stage.second()
        #expect(taken(writer) == [])
        stage.source.says("b")
        await stage.second()
        #expect(taken(writer) == ["b 3"])
    }

    @Test func `what says nothing new is told after fifteen seconds all the same`() async {
        let stage = Stage()
        let writer = LiveWriter {}
        _ = stage.feed.join(writer)
        await stage.clock.sleepers(1)
        #expect(taken(writer) == ["a 1"])
        for _ in 0..<14 { await stage.second() }
        #expect(taken(writer) == [])
        await stage.second()
        #expect(taken(writer) == ["a 16"])
    }

    @Test func `they are made once for all, and not at all while nobody listens`() async {
        let stage = Stage()
        #expect(stage.source.made == 0)
        let writers = (0..<50).map { _ in LiveWriter {} }
        let numbers = [stage.feed.join(writers[0])]
        await stage.clock.sleepers(1)
        let others = writers.dropFirst().map { stage.feed.join($0) }
        // Who comes between gets the last one at once.
        #expect(stage.source.made == 1)
        for writer in writers { #expect(taken(writer) == ["a 1"]) }
        stage.source.says("b")
        await stage.second()
        #expect(stage.source.made == 2)
        for writer in writers { #expect(taken(writer) == ["b 2"]) }
        for number in numbers + others { stage.feed.leave(number) }
        stage.clock.advance(by: .seconds(1))
        while stage.feed.isRunning { await Task.yield() }
        stage.clock.advance(by: .seconds(60))
        #expect(stage.source.made == 2)
        // And again from the beginning.
        let late = LiveWriter {}
        _ = stage.feed.join(late)
        await stage.clock.sleepers(1)
        #expect(taken(late) == ["b 3"])
    }

    @Test func `a client that does not read misses what comes, and gets the newest when he does`() async {
        let stage = Stage()
        let (slow, quick) = (LiveWriter {}, LiveWriter {})
        _ = stage.feed.join(slow)
        _ = stage.feed.join(quick)
        await stage.clock.sleepers(1)
        #expect(taken(quick) == ["a 1"])
        for (text, number) in [("b", 2), ("c", 3), ("d", 4)] {
            stage.source.says(text)
            await stage.second()
            #expect(taken(quick) == ["\(text) \(number)"])
        }
        #expect(taken(slow) == ["a 1"])
        await stage.second()
        #expect(taken(slow) == ["d 5"])
        #expect(taken(quick) == [])
    }

    @Test func `over the wire they are the document of stats, without an id, among the events`() async throws {
        try await Scene.run { scene in
            try await Served.run(scene) { served in
                let client = try await served.ask("GET", "/api/v1/events?also=stats")
                let first = try #require(await client.events(1).first)
                #expect(first["event"] == "stats" && first["id"] == nil)
                let now = try await scene.get("/stats").text()
                let keys = { (text: String) in text.split(separator: "\"").filter { $0.hasSuffix("_ratio") } }
                #expect(keys(first["data"] ?? "") == keys(now))
                try await scene.pull(scene.blob(1000).path)
                var events = await client.events(2)
                while events.last?["data"]?.contains(#""miss":1"#) != true {
                    events = await client.events(events.count + 1)
                }
                #expect(events.allSatisfy { $0["event"] == "stats" })
                let plain = try await served.ask("GET", "/api/v1/events")
                #expect(plain.body == "")
                let refused = try await served.ask("GET", "/api/v1/events?also=all")
                #expect(refused.status == 400)
            }
        }
    }
}
