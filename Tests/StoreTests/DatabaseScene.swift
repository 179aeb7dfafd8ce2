// What only the database itself can tell a test: how many rows a table has, whether anything was written.

import GRDB

@testable import Store

extension ContentStore {
    func rows(in table: String) async throws -> Int? {
        try await database.read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)") }
    }

    /// Rows changed by the writer since it was opened.
    func changes() async throws -> Int { try await database.write { db in db.totalChangesCount } }
}
