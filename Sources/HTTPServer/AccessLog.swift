// One line a request, at info, with the keys of the glossary.
import HTTPTypes
import Logging
import NIOCore

package struct AccessLog {
    /// The order of the keys in a line; a log handler that sorts uses it. A response's own pairs follow, then `ended`.
    package static let keys = ["method", "path", "status", "bytes", "ms", "client", "agent", "cache", "id"]
    /// What the line's message is.
    package static let message = "request"

    let logger: Logger

    /// Nothing of a request but its method, path, `ns` and `User-Agent` ever gets here: no token, no query.
    func write(_ exchange: Exchange, _ ending: ResponseEnding, at now: NIODeadline) {
        guard logger.logLevel <= .info else { return }
        let arrival = exchange.arrival
        let request = arrival.request
        // 499, as nginx has it: the client left before there was an answer.
        let status = exchange.response?.status.code ?? 499
        var metadata: Logger.Metadata = [
            "method": .string(request.path == "-" ? "-" : request.method.rawValue),
            "path": .string(Self.path(request)),
            "status": .string("\(status)"),
            "bytes": .string("\(exchange.sent)"),
            "ms": .string(Self.milliseconds(now - arrival.began)),
            "client": .string(request.peer),
            "agent": .string(request.fields[.userAgent] ?? "-"),
            "cache": .string(exchange.response.flatMap(Self.cacheStatus) ?? "-"),
            "id": .string("\(request.id)"),
        ]
        for (key, value) in exchange.response?.logged ?? [] { metadata[key] = .string(value) }
        switch ending {
        case .complete: break
        case .clientLeft: metadata["ended"] = "client-left"
        case .broken: metadata["ended"] = "broken"
        }
        logger.info("\(Self.message)", metadata: metadata)
    }

    private static func path(_ request: Request) -> String {
        guard let namespace = request.queryValue("ns") else { return request.path }
        return "\(request.path)?ns=\(namespace)"
    }

    private static let cacheStatusName = HTTPField.Name("Cache-Status")

    private static func cacheStatus(_ response: Response) -> String? {
        cacheStatusName.flatMap { response.fields[$0] }
    }

    private static func milliseconds(_ time: TimeAmount) -> String {
        let microseconds = time.nanoseconds / 1_000
        let fraction = "\(microseconds % 1_000)"
        return "\(microseconds / 1_000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)"
    }
}
