// How long the parts of an answer took, for a client that asks: W3C Server Timing.

import Synchronization

/// Measured only where somebody asks: of all others there is none, and what would be measured runs as it is.
package final class ServerTiming: Sendable {
    package enum Part: String, CaseIterable, Sendable {
        /// Looking for what is here: the database and the disk.
        case store
        /// Waiting for an upstream, or for who waits for it already.
        case upstream
    }

    package static let fieldName = "Server-Timing"

    /// Of the request that is being answered; the tasks that answer it inherit this.
    @TaskLocal package static var current: ServerTiming?

    private let spent = Mutex<[Part: Duration]>([:])

    package init() {}

    /// - Parameter uptime: time since some fixed instant.
    package static func measure<Value, Failure: Error>(
        _ part: Part, _ uptime: () -> Duration, _ work: () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        guard let timing = current else { return try await work() }
        let start = uptime()
        defer {
            let time = uptime() - start
            timing.spent.withLock { $0[part, default: .zero] += time }
        }
        return try await work()
    }

    /// The field's value: milliseconds. What did not occur is absent.
    package func text(total: Duration) -> String {
        let spent = spent.withLock { $0 }
        let parts = Part.allCases.compactMap { part in spent[part].map { (part.rawValue, $0) } }
        return (parts + [("total", total)]).map { "\($0.0);dur=\(Self.milliseconds($0.1))" }.joined(separator: ", ")
    }

    /// With one place behind the point.
    private static func milliseconds(_ time: Duration) -> String {
        let (seconds, attoseconds) = time.components
        let tenths = max(0, seconds) * 10_000 + max(0, attoseconds) / 100_000_000_000_000
        return "\(tenths / 10).\(tenths % 10)"
    }
}
