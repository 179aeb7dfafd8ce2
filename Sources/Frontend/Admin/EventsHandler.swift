// `GET /api/v1/events`: what the cache wants people to know, while it happens, as server-sent events.

import FoundationEssentials
import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough
import Synchronization

/// WHATWG HTML, "Server-sent events". What is kept is told first; who was here before says what he has seen.
struct EventsHandler: Sendable {
    let events: EventLog
    let figures: StatisticsFeed
    private let texts = EventTexts()

    init(events: EventLog, figures: StatisticsFeed) {
        self.events = events
        self.figures = figures
    }

    /// A comment, which clients skip. Proxies let go of a connection that says nothing for a minute or less.
    private static let heartbeat = LiveBody.Heartbeat(Array(": \n\n".utf8), every: .seconds(15))

    /// With `also=stats` the figures too, each second while they change. Those have no id, so a client that comes again
    /// says the last event's.
    func respond(to request: Request) -> Response {
        let also = request.queryValue("also")
        guard also == nil || also == "stats" else {
            return ErrorMapping.response(.badRequest, .unsupported, "also may be stats")
        }
        let seen = Self.lastSeen(request)
        let body = LiveBody(heartbeat: Self.heartbeat) { [events, figures, texts] writer in
            let subscription = events.subscribe(after: seen) { writer.write(texts.bytes(of: $0)) }
            let listener = also.map { _ in figures.join(writer) }
            writer.onClose {
                subscription.cancel()
                if let listener { figures.leave(listener) }
            }
        }
        return Response(
            status: .ok, fields: [.contentType: "text/event-stream", .cacheControl: "no-store"], body: .live(body))
    }

    /// The field that browsers send when they come again, or `after=` for who cannot set it. The field counts first:
    /// a browser goes on asking with the query it once began with. What is no number is as if it were absent.
    private static func lastSeen(_ request: Request) -> Int64? {
        let texts = [request.fields[.lastEventID], request.queryValue("after")]
        return texts.lazy.compactMap { $0 }.compactMap { $0.utf8.allSatisfy(isDigit) ? Int64($0) : nil }.first
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}

/// What was written out once is the same for all who listen: there may be thousands, each told on its event loop.
private final class EventTexts: Sendable {
    private let texts = Mutex<[Int64: [UInt8]]>([:])

    func bytes(of event: Event) -> [UInt8] {
        if let bytes = texts.withLock({ $0[event.id] }) { return bytes }
        let bytes = EventText.bytes(of: event)
        texts.withLock { texts in
            let oldest = event.id - Int64(EventLog.mostKept)
            if texts.count >= EventLog.mostKept { texts = texts.filter { $0.key > oldest } }
            texts[event.id] = bytes
        }
        return bytes
    }
}

/// One event in the format of the stream.
enum EventText {
    private struct Moved: Encodable {
        let at, image, from, to: String
    }

    private struct Forgotten: Encodable {
        let at, image, was: String
    }

    static func bytes(of event: Event) -> [UInt8] {
        let at = instant(event.at)
        return switch event.kind {
        case .tagMoved(let repository, let tag, let from, let to):
            bytes("tag-moved", event.id, Moved(at: at, image: "\(repository):\(tag)", from: "\(from)", to: "\(to)"))
        case .tagForgotten(let repository, let tag, let digest):
            bytes("tag-forgotten", event.id, Forgotten(at: at, image: "\(repository):\(tag)", was: "\(digest)"))
        }
    }

    /// The data is one line: JSON writes the ends of lines inside strings as `\n`.
    private static func bytes(_ name: String, _ id: Int64, _ data: some Encodable) -> [UInt8] {
        return Array("id: \(id)\nevent: \(name)\ndata: ".utf8) + JSONAnswer.line(data) + Array("\n".utf8)
    }

    /// `2026-11-25T21:00:00.123Z`: RFC 3339. The fraction is put in by hand, since a floating one is cut to less than
    /// it was.
    static func instant(_ milliseconds: Int64) -> String {
        let (seconds, rest) = milliseconds.quotientAndRemainder(dividingBy: 1000)
        let fraction = rest < 0 ? rest + 1000 : rest
        let date = Date(timeIntervalSince1970: Double(rest < 0 ? seconds - 1 : seconds)).formatted(.iso8601)
        let digits = "\(fraction)"
        return "\(date.dropLast()).\(String(repeating: "0", count: 3 - digits.utf8.count))\(digits)Z"
    }
}
