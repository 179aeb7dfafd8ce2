// Rows about what was counted over time, and of which repositories.

import GRDB
import OCI

extension MetadataDatabase {
    /// Writes down totals, and with them, in the same transaction, what they have grown by: a crash loses both or none.
    /// Rows that say so already are not written again, and none goes back: who could not read them at the start counts
    /// from nothing.
    ///
    /// - Parameters:
    ///   - growth: by name, since the last time.
    ///   - now: Unix seconds.
    ///   - uses: all that are to be kept, or none.
    func save(
        totals: [String: Int64], growth: [String: Int64], at now: Int64, uses: [RepositoryUse]
    ) async throws(StoreError) {
        try await write { db in
            let total = try db.cachedStatement(
                sql: """
                    INSERT INTO total (name, value) VALUES (?, ?)
                    ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value < excluded.value
                    """)
            for (name, value) in totals { try total.execute(arguments: [name, value]) }
            if !totals.isEmpty { try Self.add(growth, at: now, in: db) }
            try Self.save(uses, in: db)
        }
    }

    private static func add(_ growth: [String: Int64], at now: Int64, in db: Database) throws {
        let point = try db.cachedStatement(
            sql: """
                INSERT INTO history (step, at, name, value) VALUES (?, ?, ?, ?)
                ON CONFLICT (step, at, name) DO UPDATE SET value = value + excluded.value WHERE excluded.value <> 0
                """)
        for span in HistorySpan.allCases {
            let at = span.begin(of: now)
            try point.execute(arguments: [span.step, at, "", 0])
            let isNew = db.changesCount > 0
            for (name, value) in growth where value > 0 {
                try point.execute(arguments: [span.step, at, name, value])
            }
            if isNew { try prune(span, at: at, in: db) }
        }
    }

    /// Once a step. By their number, not by the time: a clock that jumps ahead for a while would take them all. What
    /// lies in the future was written while it was wrong, and would be found again when that time comes; a step ahead
    /// is no more than clocks are set by every day.
    private static func prune(_ span: HistorySpan, at: Int64, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                DELETE FROM history WHERE step = ?1 AND (at > ?2 OR at <= (
                    SELECT at FROM history WHERE step = ?1 AND name = '' AND at <= ?2
                    ORDER BY at DESC LIMIT 1 OFFSET ?3))
                """
        ).execute(arguments: [span.step, at + span.step, span.points + 1])
    }

    private static func save(_ uses: [RepositoryUse], in db: Database) throws {
        guard !uses.isEmpty else { return }
        let use = try db.cachedStatement(
            sql: """
                INSERT INTO used (repository, requests, bytes) VALUES (?, ?, ?)
                ON CONFLICT (repository) DO UPDATE SET requests = excluded.requests, bytes = excluded.bytes
                WHERE requests <> excluded.requests OR bytes <> excluded.bytes
                """)
        for each in uses { try use.execute(arguments: [each.repository, each.requests, each.bytes]) }
        // Those that others have overtaken.
        let count = try Int.fetchOne(db.cachedStatement(sql: "SELECT count(*) FROM used")) ?? 0
        guard count > 2 * uses.count else { return }
        try db.execute(
            sql: """
                DELETE FROM used WHERE repository NOT IN
                    (SELECT repository FROM used ORDER BY bytes DESC, requests DESC LIMIT ?)
                """, arguments: [uses.count])
    }

    /// - Parameter first: Unix seconds; the steps from there to `last`, oldest first.
    func history(
        _ span: HistorySpan, from first: Int64, through last: Int64
    ) async throws(StoreError) -> [HistoryPoint] {
        try await read { db in
            let rows = try Row.fetchCursor(
                db,
                sql: "SELECT at, name, value FROM history WHERE step = ? AND at BETWEEN ? AND ? ORDER BY at, name",
                arguments: [span.step, first, last])
            var points: [HistoryPoint] = []
            while let row = try rows.next() {
                let at: Int64 = row[0]
                if points.last?.at != at { points.append(HistoryPoint(at: at, counted: [:])) }
                let name: String = row[1]
                if !name.isEmpty { points[points.count - 1].counted[name] = row[2] }
            }
            return points
        }
    }

    /// At start.
    func uses() throws(StoreError) -> [RepositoryUse] {
        try readNow { db in
            try Row.fetchAll(db, sql: "SELECT repository, requests, bytes FROM used").map {
                RepositoryUse(repository: $0[0], requests: $0[1], bytes: $0[2])
            }
        }
    }
}
