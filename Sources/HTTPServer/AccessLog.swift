// One record a request, and who writes it down.
import HTTPTypes
import NIOCore

/// Where records go. Called on the connections' event loops, once a request: be quick, never block.
package protocol AccessLog: AnyObject, Sendable {
    /// Whether anybody wants them.
    var isOn: Bool { get }
    func write(_ record: AccessRecord)
}

/// What became of a request. Nothing of it but its method, path, `ns`, `User-Agent` and what it calls itself ever gets
/// here: no token, no query.
package struct AccessRecord: Sendable {
    /// The keys in the order of a line. A response's own pairs follow, then `ended`.
    package static let keys = [
        "method", "path", "status", "bytes", "ms", "client", "agent", "cache", "request_id",
    ]
    /// What the line's message is.
    package static let message = "request"

    private let request: Request
    /// 499, as nginx has it: the client left before there was an answer.
    package let status: Int
    /// Of the body, handed to the kernel.
    package let bytes: Int64
    package let microseconds: Int64
    package let cache: String
    package let own: [(key: String, value: String)]
    package let ending: ResponseEnding

    init(_ exchange: Exchange, _ ending: ResponseEnding, at now: NIODeadline) {
        request = exchange.arrival.request
        status = exchange.status ?? 499
        bytes = exchange.sent
        microseconds = (now - exchange.arrival.began).nanoseconds / 1000
        cache = exchange.cacheStatus ?? "-"
        own = exchange.logged
        self.ending = ending
    }

    /// "-" for what could not be read, as is the path.
    package var method: String { request.path == "-" ? "-" : request.method.rawValue }
    package var path: String { request.head.loggedPath }
    package var client: String { request.peer }
    package var agent: String { request.head.agent }
    /// What the client calls it; else it is `run` and `id`, with `-` between.
    package var givenID: String? { request.head.givenID }
    package var id: UInt64 { request.id }
    package static var run: String { RequestID.run }
    /// Of the event loop that says so.
    package var lane: Int { request.lane }

    /// `client-left`, `broken`, or nil where all was handed over.
    package var ended: String? {
        switch ending {
        case .complete: nil
        case .clientLeft: "client-left"
        case .broken: "broken"
        }
    }
}
