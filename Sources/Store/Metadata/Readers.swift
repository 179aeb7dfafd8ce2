// Connections for look-ups, which take microseconds: on them the way to the rows must not cost more than the rows.

import GRDB
import Synchronization

/// A few connections, each with one user at a time. The pool's readers do the same and more (they watch the schema,
/// and begin and end a transaction in SQL that is parsed each time), at twice the price.
final class Readers: Sendable {
    private let connections: [DatabaseQueue]
    /// Indices; the last to come back is the first to go, since its pages are in memory.
    private let free: Mutex<[Int]>

    /// - Parameter path: of a database that is open already.
    init(_ path: String, _ configuration: Configuration, count: Int) throws {
        var configuration = configuration
        configuration.readonly = true
        connections = try (0..<count).map { _ in try DatabaseQueue(path: path, configuration: configuration) }
        free = Mutex(Array(0..<count))
    }

    /// - Parameters:
    ///   - isOneStatement: it sees one state of the database by itself.
    ///   - body: on this thread.
    /// - Returns: nil if all are in use.
    func read<Value>(isOneStatement: Bool, _ body: (Database) throws -> Value) throws -> Value? {
        guard let index = free.withLock({ $0.popLast() }) else { return nil }
        defer { free.withLock { $0.append(index) } }
        return try connections[index].unsafeRead { db in
            if isOneStatement { return try body(db) }
            try db.cachedStatement(sql: "BEGIN DEFERRED").execute()
            // Nothing is written, so there is nothing that its end could refuse.
            defer { try? db.cachedStatement(sql: "ROLLBACK").execute() }
            return try body(db)
        }
    }

    func close() {
        // As with the pool.
        for connection in connections { try? connection.close() }
    }
}
