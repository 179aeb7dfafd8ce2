// `GET /api/v1/history`: its keys, and that it agrees with `/stats`.

import HTTPServer
import TestSupport
import Testing

@testable import Frontend

@Suite("GET /api/v1/history") struct HistoryTests {
    @Test(arguments: [(nil, "hour", 60), ("span=hour", "hour", 60), ("span=week", "week", 3600)])
    func `what was counted stands in steps, in the words of stats`(
        _ query: String?, _ span: String, _ step: Int
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (_, path) = scene.blob(10_000)
            try await scene.pull(path)
            try await scene.pull(path)
            let reply = await scene.get("/api/v1/history", query: query)
            #expect(reply.status == 200 && reply["Cache-Control"] == "no-store")
            let view = StatisticsView(try await reply.json())
            #expect(view.document["span"] as? String == span)
            #expect(view.document["step_seconds"] as? Int == step)
            let point = try #require(view.list("points").last)
            #expect((point["at"] as? String)?.hasPrefix("2023-11-14T22:") == true)
            #expect(
                point["requests"] as? [String: Int]
                    == ["hit": 1, "miss": 1, "collapsed": 0, "revalidated": 0, "stale": 0, "error": 0])
            #expect(
                point["bytes"] as? [String: Int]
                    == ["to_clients": 20_000, "from_upstream": 10_000, "from_store": 10_000])
        }
    }

    @Test func `another span is refused, and nothing but reading is served`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            #expect(await scene.get("/api/v1/history", query: "span=year").status == 400)
            let reply = await scene.send(
                "POST", "/api/v1/history", ["Authorization": "Bearer \(Scene.adminToken)"])
            #expect(reply.status == 405)
        }
    }
}
