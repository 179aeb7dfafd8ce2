// What was counted in each minute of the last hour and in each hour of the last week, kept small.

import OCI
import Synchronization

/// How far back, and in which steps.
package enum HistorySpan: String, CaseIterable, Sendable {
    case hour, week

    /// Seconds.
    package var step: Int64 { self == .hour ? 60 : 3600 }
    /// Steps, the one under way among them.
    package var points: Int { self == .hour ? 60 : 168 }

    /// When the step began that an instant is in. Unix seconds, both.
    func begin(of now: Int64) -> Int64 { now - now % step }
}

/// One step in which the program ran.
package struct HistoryPoint: Equatable, Sendable {
    /// Unix seconds: when it began.
    package let at: Int64
    /// By name; what is missing is 0.
    package var counted: [String: Int64]
}

/// How much was asked of one repository.
package struct RepositoryUse: Equatable, Sendable {
    /// As people write it.
    package let repository: String
    package let requests: Int64
    /// Body bytes to clients.
    package let bytes: Int64

    package init(repository: String, requests: Int64, bytes: Int64) {
        self.repository = repository
        self.requests = requests
        self.bytes = bytes
    }
}

/// Totals only grow. What they have grown by since they were last written down belongs to the step of this moment, and
/// is added to it when they are written: in the same transaction, so that a restart counts nothing twice and loses
/// nothing that was counted.
///
/// Steps are by the wall clock. A clock that is set back adds to steps that have been; what it has written into the
/// future is not shown, and goes.
final class History: Sendable {
    /// Writing and reading take turns: what is read and what is not yet written fit together.
    private let gate = Gate<Int>()
    private let written: Mutex<[String: Int64]>

    /// - Parameter totals: as they were written down in an earlier run.
    init(_ totals: [String: Int64]) { written = Mutex(Self.sums(totals)) }

    /// The first two words of a name say what is counted, and what follows of whom: history has the sum.
    private static func sums(_ totals: [String: Int64]) -> [String: Int64] {
        totals.reduce(into: [:]) { sums, total in
            let words = total.key.split(separator: ".", maxSplits: 2)
            guard words.count > 1 else { return }
            sums["\(words[0]).\(words[1])", default: 0] += total.value
        }
    }

    private func growth(to sums: [String: Int64]) -> [String: Int64] {
        written.withLock { written in
            sums.reduce(into: [:]) { growth, sum in
                let more = sum.value - written[sum.key, default: 0]
                if more > 0 { growth[sum.key] = more }
            }
        }
    }

    /// - Parameter write: given what the totals have grown by.
    func write(
        _ totals: [String: Int64], _ write: @Sendable ([String: Int64]) async throws(StoreError) -> Void
    ) async throws(StoreError) {
        try await gate.turn(0) { () async throws(StoreError) in
            let sums = Self.sums(totals)
            try await write(growth(to: sums))
            written.withLock { $0 = sums }
        }
    }

    /// - Parameters:
    ///   - now: Unix seconds.
    ///   - totals: of this moment.
    ///   - read: the points that are written down, from one instant to another.
    func points(
        _ span: HistorySpan, at now: Int64, totals: @Sendable () -> [String: Int64],
        _ read: @Sendable (Int64, Int64) async throws(StoreError) -> [HistoryPoint]
    ) async throws(StoreError) -> [HistoryPoint] {
        try await gate.turn(0) { () async throws(StoreError) in
            let last = span.begin(of: now)
            var points = try await read(last - span.step * Int64(span.points - 1), last)
            if points.last?.at != last { points.append(HistoryPoint(at: last, counted: [:])) }
            for (name, more) in growth(to: Self.sums(totals())) {
                points[points.count - 1].counted[name, default: 0] += more
            }
            return points
        }
    }
}

extension ContentStore {
    /// What was counted in each step of a span, oldest first; steps in which the program did not run are missing. The
    /// last is under way.
    ///
    /// - Parameter totals: as they are given to be written down.
    package func history(
        _ span: HistorySpan, totals: @Sendable () -> [String: Int64]
    ) async throws(StoreError) -> [HistoryPoint] {
        try await history.points(span, at: now() / 1000, totals: totals) { (first, last) async throws(StoreError) in
            try await database.history(span, from: first, through: last)
        }
    }

    /// What was asked of repositories in earlier runs, as far as the database is to be had.
    package func repositoryUses() -> [RepositoryUse] { (try? database.uses()) ?? [] }
}
