// One record a request, and who writes it down.
import HTTPTypes
import NIOCore

/// Where records go. Called on the connections' event loops, once a request: be quick, never block.
package protocol AccessLog: Sendable {
    /// Whether anybody wants them.
    var isOn: Bool { get }
    func write(_ record: AccessRecord)
}

/// What became of a request. Nothing of it but its method, path, `ns` and `User-Agent` ever gets here: no token, no
/// query.
package struct AccessRecord: Sendable {
    /// The keys in the order of a line. A response's own pairs follow, then `ended`.
    package static let keys = ["method", "path", "status", "bytes", "ms", "client", "agent", "cache", "id"]
    /// What the line's message is.
    package static let message = "request"

    /// "-" for what could not be read.
    package let method: String
    package let path: String
    /// 499, as nginx has it: the client left before there was an answer.
    package let status: Int
    /// Of the body, handed to the kernel.
    package let bytes: Int64
    package let microseconds: Int64
    package let client: String
    package let agent: String
    package let cache: String
    package let id: UInt64
    package let own: [(key: String, value: String)]
    package let ending: ResponseEnding
    /// Of the event loop that says so.
    package let lane: Int

    init(_ exchange: Exchange, _ ending: ResponseEnding, at now: NIODeadline) {
        let request = exchange.arrival.request
        method = request.path == "-" ? "-" : request.method.rawValue
        path = request.queryValue("ns").map { "\(request.path)?ns=\($0)" } ?? request.path
        status = exchange.response?.status.code ?? 499
        bytes = exchange.sent
        microseconds = (now - exchange.arrival.began).nanoseconds / 1000
        client = request.peer
        agent = request.fields[.userAgent] ?? "-"
        cache = exchange.response?.cacheStatus ?? "-"
        id = request.id
        own = exchange.response?.logged ?? []
        self.ending = ending
        lane = exchange.lane
    }

    /// `client-left`, `broken`, or nil where all was handed over.
    package var ended: String? {
        switch ending {
        case .complete: nil
        case .clientLeft: "client-left"
        case .broken: "broken"
        }
    }
}

extension Response {
    private static let cacheStatusName = HTTPField.Name("Cache-Status")

    fileprivate var cacheStatus: String? { prepared?.cacheStatus ?? Self.cacheStatusName.flatMap { fields[$0] } }
}
