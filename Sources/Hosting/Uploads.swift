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

    /// The next bytes, their failure said in this room's words.
    func more() async throws(HostingError) -> [UInt8]? {
        do throws(Broken) { return try await next() } catch { throw .bodyBroken(error.reason) }
    }
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
        private let kept = Mutex<UploadFile?>(nil)

        init(id: String, name: RepositoryName, algorithm: Digest.Algorithm) {
            self.id = id
            self.name = name
            self.algorithm = algorithm
        }

        var file: UploadFile? { kept.withLock { $0 } }
        func keep(_ file: UploadFile) { kept.withLock { $0 = file } }

        /// Nothing of it is left.
        func discard() { kept.withLock { $0.take() }?.discard() }

        var status: UploadStatus { UploadStatus(id: id, received: file?.size ?? 0) }
    }

    private struct Entry {
        let session: Session
        var isBusy = false
        /// By `uptime`.
        var lastUse: Duration
    }

    /// Beyond so many, the one that nothing was sent to for the longest ends when another begins: many clients begin
    /// one to see whether they may, and leave.
    static let most = 10_000
    /// The same of those that have a file, each with a descriptor.
    static let mostFiles = 512

    private let entries = Mutex<[String: Entry]>([:])
    private let uptime: @Sendable () -> Duration

    init(uptime: @escaping @Sendable () -> Duration) { self.uptime = uptime }

    /// nil if all there may be are being written to. Its name cannot be guessed.
    func begin(_ name: RepositoryName, _ algorithm: Digest.Algorithm) -> Session? {
        let id = (0..<2).map { _ in
            let text = String(UInt64.random(in: .min ... .max), radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }.joined()
        let session = Session(id: id, name: name, algorithm: algorithm)
        let (begun, ended): (Bool, Session?) = entries.withLock { entries in
            var ended: Session?
            if entries.count >= Self.most {
                // What somebody has sent is worth more than what he has only asked for.
                ended =
                    Self.takeLongestIdle(of: &entries) { $0.file == nil }
                    ?? Self.takeLongestIdle(of: &entries) { _ in true }
            }
            guard entries.count < Self.most else { return (false, nil) }
            entries[id] = Entry(session: session, lastUse: uptime())
            return (true, ended)
        }
        ended?.discard()
        return begun ? session : nil
    }

    /// Call it before another session gets a file.
    func makeRoomForFile() {
        let ended = entries.withLock { entries -> Session? in
            guard entries.count >= Self.mostFiles else { return nil }
            guard entries.values.count(where: { $0.session.file != nil }) >= Self.mostFiles else { return nil }
            return Self.takeLongestIdle(of: &entries) { $0.file != nil }
        }
        ended?.discard()
    }

    private static func takeLongestIdle(
        of entries: inout [String: Entry], where isMeant: (Session) -> Bool
    ) -> Session? {
        let idle = entries.values.filter { !$0.isBusy && isMeant($0.session) }
        guard let longest = idle.min(by: { $0.lastUse < $1.lastUse })?.session else { return nil }
        entries[longest.id] = nil
        return longest
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
        session.discard()
    }

    /// Ends those that nothing was sent to for so long.
    ///
    /// - Returns: how many.
    func expire(after period: Duration) -> Int {
        let now = uptime()
        // In one step: who comes back now finds it, or does not.
        let old = entries.withLock { entries in
            let old = entries.values.filter { !$0.isBusy && now - $0.lastUse >= period }.map(\.session)
            for session in old { entries[session.id] = nil }
            return old
        }
        for session in old { session.discard() }
        return old.count
    }
}
