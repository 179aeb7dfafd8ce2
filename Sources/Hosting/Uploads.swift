// Blobs being pushed, from the first request to the last.

import OCI
import Store
import Synchronization

/// What a request brings, as it comes.
package struct UploadBody: Sendable {
    /// Why there is no more of it, though its end has not come; in words.
    package struct Broken: Error {
        let reason: String
        package init(_ reason: String) { self.reason = reason }
    }

    /// The announced length in bytes; nil if nobody said.
    let length: Int64?
    /// The next bytes; nil at the end.
    let next: @Sendable () async throws(Broken) -> [UInt8]?

    package init(length: Int64?, next: @escaping @Sendable () async throws(Broken) -> [UInt8]?) {
        self.length = length
        self.next = next
    }

    package static let empty = UploadBody(length: 0) { () throws(Broken) in nil }
}

package struct UploadStatus: Equatable, Sendable {
    package let id: String
    /// Bytes that are here.
    package let received: Int64
}

/// The uploads of this run: they end with it.
final class UploadTable: Sendable {
    final class Session: Sendable {
        let id: String
        let name: RepositoryName
        let algorithm: Digest.Algorithm
        /// Made when there is something to put into it.
        let file = Mutex<UploadFile?>(nil)

        init(id: String, name: RepositoryName, algorithm: Digest.Algorithm) {
            self.id = id
            self.name = name
            self.algorithm = algorithm
        }

        var status: UploadStatus { UploadStatus(id: id, received: file.withLock { $0?.size ?? 0 }) }
    }

    private struct Entry {
        let session: Session
        var isBusy = false
        /// By `uptime`.
        var lastUse: Duration
    }

    /// Beyond so many, none is begun.
    static let most = 10_000

    private let entries = Mutex<[String: Entry]>([:])
    private let uptime: @Sendable () -> Duration

    init(uptime: @escaping @Sendable () -> Duration) { self.uptime = uptime }

    /// nil if there are too many. Its name cannot be guessed.
    func begin(_ name: RepositoryName, _ algorithm: Digest.Algorithm) -> Session? {
        let id = (0..<2).map { _ in
            let text = String(UInt64.random(in: .min ... .max), radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }.joined()
        let session = Session(id: id, name: name, algorithm: algorithm)
        return entries.withLock { entries in
            guard entries.count < Self.most else { return nil }
            entries[id] = Entry(session: session, lastUse: uptime())
            return session
        }
    }

    func find(_ id: String, in name: RepositoryName) throws(HostingError) -> Session {
        guard let session = entries.withLock({ $0[id]?.session }), session.name == name else { throw .uploadUnknown }
        return session
    }

    /// For one request alone, until `leave`.
    func enter(_ id: String, in name: RepositoryName) throws(HostingError) -> Session {
        let result: Result<Session, HostingError> = entries.withLock { entries in
            guard let entry = entries[id], entry.session.name == name else { return .failure(.uploadUnknown) }
            guard !entry.isBusy else { return .failure(.uploadBusy) }
            entries[id]?.isBusy = true
            return .success(entry.session)
        }
        return try result.get()
    }

    func leave(_ session: Session) {
        entries.withLock { entries in
            entries[session.id]?.isBusy = false
            entries[session.id]?.lastUse = uptime()
        }
    }

    /// Nothing of it is left.
    func end(_ session: Session) {
        _ = entries.withLock { $0.removeValue(forKey: session.id) }
        session.file.withLock { $0.take() }?.discard()
    }

    /// Ends those that nothing was sent to for so long.
    ///
    /// - Returns: how many.
    func expire(after period: Duration) -> Int {
        let now = uptime()
        let old = entries.withLock { entries in
            entries.values.filter { !$0.isBusy && now - $0.lastUse >= period }.map(\.session)
        }
        for session in old { end(session) }
        return old.count
    }
}
