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
        var question = Setback(backoff: Backoff(free: 10, first: .seconds(1), most: .seconds(30)))
        /// Of the GET of what it is said to name now.
        var fetch: Setback?

        var hasFailed: Bool { question.error != nil || fetch != nil }

        var pardoned: Entry {
            Entry(digest: digest, confirmedAt: confirmedAt, jitter: jitter, isServedStale: isServedStale)
        }
    }

    private struct Setback {
        var backoff: Backoff
        var error: PullThroughError?
        var digest: Digest?

        mutating func failed(_ failure: PullThroughError, at now: Duration) {
            error = failure
            backoff.failed(at: now)
        }

        func refusal(at now: Duration) -> PullThroughError? { backoff.isDue(at: now) ? nil : error }
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
        // Below zero only where somebody fakes that clock as well: nobody can say then either.
        let age = entry.confirmedAt.map { (uptime - $0).milliseconds }.flatMap { $0 >= 0 ? $0 : nil }
        return KnownTag(digest: stored.digest, age: age, jitter: entry.jitter)
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

    // MARK: What fails again and again

    /// Asking about a tag that is stored has failed.
    func questionFailed(_ key: Key, _ error: PullThroughError) {
        let now = uptime()
        entries.withLock { $0[key]?.question.failed(error, at: now) }
    }

    /// Why it is not asked about just now; nil if it may be.
    func pause(_ key: Key) -> PullThroughError? {
        let now = uptime()
        return entries.withLock { $0[key]?.question.refusal(at: now) }
    }

    /// What the tag is said to name could not be had: each try is a pull that the upstream counts.
    ///
    /// - Parameter digest: nil where the upstream tells none.
    func fetchFailed(_ key: Key, _ digest: Digest?, _ error: PullThroughError) {
        let now = uptime()
        entries.withLock { entries in
            guard var entry = entries[key] else { return }
            // What cannot be used does not get better by itself; who cannot answer does.
            let most = error.isUnusable ? Duration.seconds(600) : .seconds(60)
            var fetch = Setback(backoff: Backoff(free: 2, first: .seconds(10), most: most), digest: digest)
            if let earlier = entry.fetch, earlier.digest == digest { fetch = earlier }
            fetch.failed(error, at: now)
            entry.fetch = fetch
            entries[key] = entry
        }
    }

    /// Why that is not tried just now; nil if it may be.
    func fetchPause(_ key: Key, _ digest: Digest?) -> PullThroughError? {
        let now = uptime()
        return entries.withLock { entries in
            guard let fetch = entries[key]?.fetch, fetch.digest == digest else { return nil }
            return fetch.refusal(at: now)
        }
    }

    /// What failed may not fail any more.
    func forgetSetbacks() {
        entries.withLock { entries in
            for (key, entry) in entries where entry.hasFailed { entries[key] = entry.pardoned }
        }
    }

    func forget(_ key: Key) { entries.withLock { $0[key] = nil } }

    private static func put(_ entry: Entry, _ key: Key, in entries: inout [Key: Entry]) {
        if entries.count >= limit, entries[key] == nil { entries.removeAll() }
        entries[key] = entry
    }
}
