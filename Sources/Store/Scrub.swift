// Whether what is stored is still what it is called: all of it when asked to, and a share of what is served.

import Glibc
package import OCI
import Synchronization

/// Something stored that was not what it should be. It is in quarantine, if there was anything, and forgotten.
package struct ScrubFinding: Sendable {
    package enum Kind: String, Sendable {
        /// Its bytes do not hash to its digest, or are not as many as they were.
        case damaged
        /// There is no file.
        case missing
        /// The disk does not give its bytes.
        case unreadable
    }

    package let digest: Digest
    package let kind: Kind
    /// Bytes, as they were committed.
    package let size: Int64

    package init(digest: Digest, kind: Kind, size: Int64) {
        self.digest = digest
        self.kind = kind
        self.size = size
    }
}

package struct ScrubSummary: Sendable {
    package var blobs = 0
    /// Bytes.
    package var bytes: Int64 = 0
    package var findings = 0

    package init() {}
}

/// Which blobs are to be looked at beside being served.
struct SpotChecks {
    /// Beyond so many, what is served now is not looked at: it is only a share.
    private static let mostWaiting = 64

    /// Milliseconds for which what was looked at is not looked at again: it is in the page cache, and the disk would
    /// not be asked.
    private static let rest: Int64 = 60_000

    /// Bytes that may be hashed: as many as have been served, times the rate.
    private var credit: Double = 0
    private var looked: [Digest: Int64] = [:]
    private var waiting: [(digest: Digest, size: Int64)] = []
    private(set) var isRunning = false

    /// - Parameters:
    ///   - rate: from 1 on all that is served is looked at, each time.
    ///   - now: Unix time in milliseconds.
    /// - Returns: whether somebody must begin to work through them.
    mutating func served(_ digest: Digest, size: Int64, bytes: Int64, rate: Double, at now: Int64) -> Bool {
        let before = credit
        credit += Double(bytes) * rate
        guard credit >= Double(size), waiting.count < Self.mostWaiting else { return false }
        guard rate < 1 else {
            credit -= Double(size)
            return add(digest, size: size)
        }
        if let last = looked[digest], 0..<Self.rest ~= now - last {
            // What others have saved up stays; this one's own share does not grow beyond what it takes.
            credit = max(before, min(credit, Double(size)))
            return false
        }
        credit -= Double(size)
        if looked.count >= Self.mostWaiting { looked = looked.filter { 0..<Self.rest ~= now - $0.value } }
        // Who is forgotten may be looked at twice.
        if looked.count >= Self.mostWaiting { looked = [:] }
        looked[digest] = now
        return add(digest, size: size)
    }

    mutating func add(_ digest: Digest, size: Int64) -> Bool {
        guard waiting.count < Self.mostWaiting else { return false }
        waiting.append((digest, size))
        defer { isRunning = true }
        return !isRunning
    }

    mutating func next() -> (digest: Digest, size: Int64)? {
        isRunning = !waiting.isEmpty
        return waiting.isEmpty ? nil : waiting.removeFirst()
    }
}

extension ContentStore {
    /// Reads and hashes all that is stored, one blob after another and in nobody's way. What does not match goes to
    /// quarantine and is forgotten; it is fetched again by who asks for it next. Ends early when it is cancelled.
    ///
    /// - Parameter found: told of each as it is found.
    /// - Throws: `.database` if it cannot be told what is stored.
    package func scrub(
        _ found: @Sendable (ScrubFinding) async -> Void
    ) async throws(StoreError) -> ScrubSummary {
        var summary = ScrubSummary()
        var last: Digest?
        while !Task.isCancelled {
            let page = try await database.blobs(after: last, limit: 500)
            if page.isEmpty { break }
            for blob in page where !Task.isCancelled {
                summary.blobs += 1
                summary.bytes += blob.size
                if let kind = await check(blob.digest, size: blob.size) {
                    summary.findings += 1
                    await found(ScrubFinding(digest: blob.digest, kind: kind, size: blob.size))
                }
            }
            last = page.last?.digest
        }
        return summary
    }

    /// Repositories through which it may be had: those whose upstream answered for it first, then those with a
    /// manifest that names it.
    package func repositories(linking digest: Digest) async throws(StoreError) -> [Repository] {
        try await database.repositories(linking: digest)
    }

    /// Whether it was stored as a manifest or an index, also where its content has been lost: those are asked for by
    /// another path than blobs.
    package func isManifest(_ digest: Digest) async throws(StoreError) -> Bool {
        try await database.isManifest(digest)
    }

    /// So many bytes of a stored blob are being served. A share of what is served (`verifyRate`) is hashed soon after,
    /// from the page cache where it still is.
    package func noteServed(_ digest: Digest, size: Int64, bytes: Int64) {
        let rate = configuration.verifyRate
        let now = now()
        startChecking { $0.served(digest, size: size, bytes: bytes, rate: rate, at: now) }
    }

    /// Reading it went wrong on the way out: it is looked at soon.
    package func doubt(_ digest: Digest, size: Int64) { startChecking { $0.add(digest, size: size) } }

    private func startChecking(_ change: (inout sending SpotChecks) -> Bool) {
        guard spotChecks.withLock({ change(&$0) }) else { return }
        Task(priority: .low) {
            while let (digest, size) = spotChecks.withLock({ $0.next() }) { _ = await check(digest, size: size) }
        }
    }

    /// Hashes it outside its turn, which a client may want meanwhile; what is wrong is dropped inside it, if it is
    /// still the same file.
    ///
    /// - Returns: what was wrong; nil if nothing is, or if it is gone or has been replaced since.
    func check(_ digest: Digest, size: Int64) async -> ScrubFinding.Kind? {
        let path = layout.blob(digest)
        let (file, kind) = await look(at: path, digest, size)
        guard let kind else { return nil }
        return await gate.turn(digest) { () async -> ScrubFinding.Kind? in
            guard (try? await database.size(of: digest)) == size else { return nil }
            let isStill =
                file.map { (try? $0.isStill(at: path)) == true } ?? (kind == .unreadable || access(path, F_OK) != 0)
            guard isStill else { return nil }
            await drop(digest, kind)
            return kind
        }
    }

    private func look(at path: String, _ digest: Digest, _ size: Int64) async -> (BlobFile?, ScrubFinding.Kind?) {
        var opened: BlobFile?
        do throws(StoreError) {
            opened = try await DiskQueue.run { () throws(StoreError) in try BlobFile(opening: path, digest: digest) }
            guard let file = opened else { return (nil, .missing) }
            guard file.size == size else { return (file, .damaged) }
            let actual = try await DiskQueue.run { () throws(StoreError) in try file.hash() }
            return (file, actual == digest ? nil : .damaged)
        } catch {
            // What cannot be opened for another reason (no descriptor left) says nothing about the file.
            return (opened, error.isUnreadable ? .unreadable : nil)
        }
    }
}
