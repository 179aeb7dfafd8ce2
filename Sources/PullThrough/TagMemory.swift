// When each tag was last confirmed, by a clock that never jumps: the wall clock is asked only about earlier runs.

import OCI
import Store
import Synchronization

/// A step of the wall clock, of a day in either direction, makes no tag of this run older or younger: it neither sends
/// a question about each of them upstream nor keeps one from being asked for a day.
final class TagMemory: Sendable {
    struct Key: Hashable, Sendable {
        let repository: Repository
        let tag: Tag
    }

    /// Beyond so many all are dropped: then the wall clock is asked again.
    private static let limit = 20_000

    private struct Entry {
        let digest: Digest
        /// By `uptime`; nil if an earlier run confirmed it at a time that has not come yet.
        let confirmedAt: Duration?
        let jitter: Double
        var isServedStale = false
    }

    private let entries = Mutex<[Key: Entry]>([:])
    private let uptime: @Sendable () -> Duration
    private let jitter: @Sendable () -> Double

    /// - Parameters:
    ///   - uptime: since the start of this run.
    ///   - jitter: by how much of itself a freshness is shortened; 0..<1.
    init(uptime: @escaping @Sendable () -> Duration, jitter: @escaping @Sendable () -> Double) {
        self.uptime = uptime
        self.jitter = jitter
    }

    /// What the stored row means now; nil if its manifest is not here.
    ///
    /// - Parameter now: Unix time in milliseconds, as in the row.
    func known(_ key: Key, _ stored: StoredTag?, at now: Int64) -> KnownTag? {
        guard let stored, stored.isStored else { return nil }
        let uptime = uptime()
        let entry = entries.withLock { entries in
            if let entry = entries[key], entry.digest == stored.digest { return entry }
            let age = now - stored.checkedAt
            let entry = Entry(
                digest: stored.digest, confirmedAt: age >= 0 ? uptime - .milliseconds(age) : nil, jitter: jitter())
            Self.put(entry, key, in: &entries)
            return entry
        }
        return KnownTag(
            digest: stored.digest, age: entry.confirmedAt.map { (uptime - $0).milliseconds }, jitter: entry.jitter)
    }

    /// The upstream has named this digest for the tag, and its manifest is here.
    ///
    /// - Returns: whether it was served stale until now.
    func confirmed(_ key: Key, _ digest: Digest) -> Bool {
        let entry = Entry(digest: digest, confirmedAt: uptime(), jitter: jitter())
        return entries.withLock { entries in
            let wasServedStale = entries[key]?.isServedStale == true
            Self.put(entry, key, in: &entries)
            return wasServedStale
        }
    }

    /// - Returns: whether this is the first time since it was confirmed.
    func servedStale(_ key: Key) -> Bool {
        entries.withLock { entries in
            guard let entry = entries[key], !entry.isServedStale else { return false }
            entries[key]?.isServedStale = true
            return true
        }
    }

    func forget(_ key: Key) { entries.withLock { $0[key] = nil } }

    private static func put(_ entry: Entry, _ key: Key, in entries: inout [Key: Entry]) {
        if entries.count >= limit, entries[key] == nil { entries.removeAll() }
        entries[key] = entry
    }
}
