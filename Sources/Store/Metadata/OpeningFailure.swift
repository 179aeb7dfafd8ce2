// Why the database cannot be used, judged by what SQLite says.

import GRDB

struct OpeningFailure: Error {
    enum Cause: Equatable {
        /// What the file holds is no database of ours any more.
        case damage
        /// A newer program has written it.
        case newer
        /// The disk does not give its bytes: for a moment, or for ever.
        case unread
        /// The disk is too full to begin one.
        case full
        /// It cannot be had now: no permission, another program that holds it.
        case now
    }

    let reason: StoreError
    let cause: Cause

    /// - Parameter path: the database's file.
    init(_ error: any Error, _ path: String) {
        let database = error as? DatabaseError
        switch database?.extendedResultCode {
        case _ where error is Superseded:
            cause = .newer
            reason = .database(
                "\(path) was written by a newer wharf: run that one, or move the file away"
                    + " (blobs are kept, what they were called is learnt anew)")
        case let code? where code.primaryResultCode == .SQLITE_BUSY || code.primaryResultCode == .SQLITE_LOCKED:
            cause = .now
            reason = .database("\(path) is held by another program (an open sqlite3, a backup): end that")
        case let code?:
            // `ERROR`: the tables are not ours.
            let isOther = [.SQLITE_ERROR, .SQLITE_CONSTRAINT].contains(code.primaryResultCode)
            let isShort = code == .SQLITE_IOERR_SHORT_READ
            let isUnread = code == .SQLITE_IOERR_READ || code == .SQLITE_IOERR_CORRUPTFS
            let isFull = code.primaryResultCode == .SQLITE_FULL
            cause =
                isOther || isShort || Self.isLoss(error) ? .damage : isUnread ? .unread : isFull ? .full : .now
            reason = .database("\(error)")
        case nil:
            cause = .now
            reason = .database("\(error)")
        }
    }

    /// Whether an error of a database in use says that its file is damaged, or is there no more.
    static func isLoss(_ error: any Error) -> Bool {
        guard let code = (error as? DatabaseError)?.extendedResultCode else { return false }
        return [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(code.primaryResultCode) || code == .SQLITE_READONLY_DBMOVED
    }
}

/// Thrown where the database knows migrations that this program does not.
struct Superseded: Error {}
