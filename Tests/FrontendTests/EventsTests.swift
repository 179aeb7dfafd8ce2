// The event stream as its clients see it, over real sockets: what is kept, what comes, and coming again.

import Foundation
import OCI
import PullThrough
import TestSupport
import Testing

@testable import Frontend

@Suite("GET /api/v1/events", .timeLimit(.minutes(1))) struct EventsTests {
    private static let path = "/api/v1/events"

    private func moved(_ tag: String) throws -> Event.Kind {
        let name = try #require(RepositoryName("library/debian"))
        return .tagMoved(
            Repository(upstream: "docker.io", name: name), try #require(Tag(tag)), from: Digest.of([1]),
            to: Digest.of([2]))
    }

    private func images(_ events: [StreamClient.Fields]) -> [String] {
        events.map { fields in
            let data = try? JSONSerialization.jsonObject(with: Data((fields["data"] ?? "").utf8)) as? [String: String]
            return data?["image"]?.split(separator: ":").last.map(String.init) ?? "?"
        }
    }

    /// The server subscribes and cancels on its own threads.
    private func reach(_ subscriptions: Int, in scene: Scene) async throws {
        while scene.cache.events.subscriptions != subscriptions { try await Task.sleep(for: .milliseconds(2)) }
    }

    @Test func `two clients see an event as it is posted, in the format of the standard`() async throws {
        try await Scene.run { scene in
            try await Served.run(scene) { served in
                let clients = [try await served.ask("GET", Self.path), try await served.ask("GET", Self.path)]
                try await reach(2, in: scene)
                #expect(clients.map(\.body) == ["", ""])
                scene.wall.advance(by: .seconds(3))
                scene.cache.events.post(try moved("12"))
                for client in clients {
                    #expect(client.status == 200 && client["Content-Type"] == "text/event-stream")
                    #expect(client["Cache-Control"] == "no-store")
                    _ = await client.events(1)
                    #expect(
                        client.body == """
                            id: 1700000000000
                            event: tag-moved
                            data: {"at":"2023-11-14T22:13:23.000Z","from":"\(Digest.of([1]))",\
                            "image":"docker.io/library/debian:12","to":"\(Digest.of([2]))"}


                            """)
                }
            }
        }
    }

    @Test func `a forgotten tag says what it was`() async throws {
        try await Scene.run { scene in
            let name = try #require(RepositoryName("library/debian"))
            scene.cache.events.post(
                .tagForgotten(Repository(upstream: "ghcr.io", name: name), .latest, Digest.of([7])))
            try await Served.run(scene) { served in
                let events = await (try await served.ask("GET", Self.path)).events(1)
                #expect(events.count == 1 && events.first?["event"] == "tag-forgotten")
                #expect(
                    events.first?["data"] == """
                        {"at":"2023-11-14T22:13:20.000Z","image":"ghcr.io/library/debian:latest",\
                        "was":"\(Digest.of([7]))"}
                        """)
            }
        }
    }

    @Test func `who comes late gets what is kept, and then what comes`() async throws {
        try await Scene.run { scene in
            for tag in ["1", "2"] { scene.cache.events.post(try moved(tag)) }
            try await Served.run(scene) { served in
                let client = try await served.ask("GET", Self.path)
                #expect(images(await client.events(2)) == ["1", "2"])
                scene.cache.events.post(try moved("3"))
                #expect(images(await client.events(3)) == ["1", "2", "3"])
            }
        }
    }

    @Test func `who comes again with the last id misses nothing and sees nothing twice`() async throws {
        try await Scene.run { scene in
            let posting = Task { [events = scene.cache.events] in
                // Fewer than are kept, while clients come and go.
                for number in 0..<200 {
                    events.post(try moved("\(number)"))
                    try await Task.sleep(for: .milliseconds(2))
                }
            }
            try await Served.run(scene) { served in
                var seen: [StreamClient.Fields] = []
                while seen.count < 200 {
                    let last = seen.last?["id"].map { ["Last-Event-ID": $0] } ?? [:]
                    let client = try await served.ask("GET", Self.path, last)
                    seen += await client.events(1)
                    client.leave()
                }
                #expect(images(seen) == (0..<200).map { "\($0)" })
                #expect(seen.map { $0["id"] } == (0..<200).map { "\(1_700_000_000_000 + $0)" })
            }
            try await posting.value
        }
    }

    @Test(
        "the field or the query say where to go on, the field first; what is no number says nothing",
        arguments: [
            ("1700000000001", nil, 1), (nil, "1700000000001", 1), ("1700000000001", "1700000000000", 1),
            ("", nil, 3), ("x", "1700000000000", 2), ("-1", nil, 3), ("1700000000001 ", nil, 1),
            ("+1700000000001", nil, 3), ("1700000000001x", nil, 3), ("99999999999999999999", nil, 3),
            (nil, "", 3), (nil, "%31700000000001", 1), ("1699999999999", nil, 3), ("1800000000000", nil, 3),
        ] as [(String?, String?, Int)])
    func goesOn(field: String?, query: String?, count: Int) async throws {
        try await Scene.run { scene in
            for tag in ["0", "1", "2"] { scene.cache.events.post(try moved(tag)) }
            try await Served.run(scene) { served in
                let client = try await served.ask(
                    "GET", Self.path + (query.map { "?after=\($0)" } ?? ""), field.map { ["Last-Event-ID": $0] } ?? [:])
                #expect(images(await client.events(count)) == (3 - count..<3).map { "\($0)" })
            }
        }
    }

    @Test func `HEAD has the fields and no subscription`() async throws {
        try await Scene.run { scene in
            scene.cache.events.post(try moved("1"))
            try await Served.run(scene) { served in
                let client = try await served.ask("HEAD", Self.path)
                #expect(client.status == 200 && client["Content-Type"] == "text/event-stream" && client.body == "")
                // The next answer on the same connection shows that the first had no body.
                try client.send("GET /livez HTTP/1.1\r\nHost: t\r\n\r\n")
                #expect(await client.bodyBegins().hasPrefix("HTTP/1.1 200 OK\r\n"))
                #expect(scene.cache.events.subscriptions == 0)
            }
        }
    }

    @Test func `nobody is subscribed any more when the clients have left, nor when the server has stopped`()
        async throws
    {
        try await Scene.run { scene in
            let events = scene.cache.events
            try await Served.run(scene) { served in
                var clients: [StreamClient] = []
                for _ in 0..<50 { clients.append(try await served.ask("GET", Self.path)) }
                try await reach(50, in: scene)
                for client in clients.dropLast() { client.leave() }
                try await reach(1, in: scene)
                events.post(try moved("1"))
                let left = await clients.last?.events(1) ?? []
                #expect(images(left) == ["1"])
            }
            #expect(events.subscriptions == 0)
        }
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (1_764_104_400_123, "2025-11-25T21:00:00.123Z"),
        (1_764_104_400_999, "2025-11-25T21:00:00.999Z"), (1_764_104_400_007, "2025-11-25T21:00:00.007Z"),
        (-1, "1969-12-31T23:59:59.999Z"), (-1000, "1969-12-31T23:59:59.000Z"),
    ])
    func `an instant is written to the millisecond`(milliseconds: Int64, text: String) {
        #expect(EventText.instant(milliseconds) == text)
    }
}
