// `GET /api/v1/history?span=hour|week`: what was counted in each minute, or each hour, as JSON.

import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough

struct HistoryHandler: Sendable {
    let cache: PullThroughCache

    /// Without a span it is the last hour.
    func respond(to request: Request) async -> Response {
        guard let history = await cache.history(request.queryValue("span") ?? "hour") else {
            return ErrorMapping.response(.badRequest, .unsupported, "span is hour or week")
        }
        return .json(HistoryDocument(history))
    }
}

/// In the words of `/stats`; what was counted within each step.
struct HistoryDocument: Encodable {
    struct Requests: Encodable {
        let hit, miss, collapsed, revalidated, stale, error: Int64
    }

    struct Bytes: Encodable {
        let toClients, fromUpstream, fromStore: Int64
    }

    struct Point: Encodable {
        let at: String
        let requests: Requests
        let bytes: Bytes
    }

    let span: String
    let stepSeconds: Int64
    let points: [Point]

    init(_ history: PullThroughCache.History) {
        span = history.span
        stepSeconds = history.step
        points = history.points.map { point in
            let counted = point.counted
            func count(_ answer: RequestClass) -> Int64 { counted.requests[answer] ?? 0 }
            return Point(
                at: EventText.instant(point.at * 1000),
                requests: Requests(
                    hit: count(.hit), miss: count(.miss), collapsed: count(.collapsed),
                    revalidated: count(.revalidated), stale: count(.stale), error: count(.error)),
                bytes: Bytes(
                    toClients: counted.toClients, fromUpstream: counted.fromUpstream,
                    fromStore: counted.toClients - counted.asTheyCame))
        }
    }
}
