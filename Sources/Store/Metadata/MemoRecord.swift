// Rows about memos: what the rooms above want to remember over a restart, in their own words.

import GRDB
import OCI

extension MetadataDatabase {
    /// At start.
    func memos() throws(StoreError) -> [String: String] { try readNow(Self.memos) }

    /// These and no others are remembered from now on; what is so already is not written again.
    func save(memos: [String: String]) async throws(StoreError) {
        guard try await read(Self.memos) != memos else { return }
        try await write { db in
            try db.execute(sql: "DELETE FROM memo")
            let statement = try db.cachedStatement(sql: "INSERT INTO memo (name, value) VALUES (?, ?)")
            for (name, value) in memos { try statement.execute(arguments: [name, value]) }
        }
    }

    @Sendable private static func memos(in db: Database) throws -> [String: String] {
        let rows = try Row.fetchAll(db.cachedStatement(sql: "SELECT name, value FROM memo"))
        return Dictionary(rows.map { ($0[0], $0[1]) }, uniquingKeysWith: { $1 })
    }
}
