// Reading everything that is stored, to find what the disk has changed or lost.

import Glibc
package import OCI

package struct ScrubFinding: Sendable {
    package enum Kind: String, Sendable { case damaged, missing, unreadable }

    package let digest: Digest
    package let kind: Kind
    /// Bytes, as they were stored.
    package let size: Int64
}

package struct ScrubSummary: Sendable {
    package var blobs = 0
    package var bytes: Int64 = 0
    package var findings = 0
}

extension ContentStore {
    /// Reads and hashes everything that is stored, one blob at a time; what does not match goes to quarantine and is
    /// forgotten. Cancellable: what was found until then has been told.
    package func scrub(
        _ found: @Sendable (ScrubFinding) async -> Void
    ) async throws(StoreError) -> ScrubSummary {
        var summary = ScrubSummary()
        var last: Digest?
        while let (digest, size) = try await database.blob(after: last), !Task.isCancelled {
            last = digest
            summary.blobs += 1
            summary.bytes += size
            guard let kind = try await check(digest, size: size) else { continue }
            summary.findings += 1
            await found(ScrubFinding(digest: digest, kind: kind, size: size))
        }
        return summary
    }

    private func check(_ digest: Digest, size: Int64) async throws(StoreError) -> ScrubFinding.Kind? {
        let path = layout.blob(digest)
        do throws(StoreError) {
            let file = try await DiskQueue.run { () throws(StoreError) in
                try BlobFile(opening: path, digest: digest)
            }
            if let file, file.size == size {
                let actual = try await DiskQueue.run { () throws(StoreError) in try file.hash() }
                if actual == digest { return nil }
                try await gate.turn(digest) { () async throws(StoreError) in
                    try await drop(damaged: digest, isThere: true)
                }
                return .damaged
            }
            // In its turn: evicted meanwhile, or replaced, it is neither missing nor damaged.
            return try await gate.turn(digest) { () async throws(StoreError) in
                guard try await !database.known([digest]).isEmpty else { return nil }
                return try await open(digest, size: size) == nil ? (file == nil ? .missing : .damaged) : nil
            }
        } catch .io {
            return .unreadable
        }
    }

    /// The repositories that may show it, by a link of their own or by that of a manifest that names it.
    package func repositories(linking digest: Digest) async throws(StoreError) -> [Repository] {
        try await database.repositories(linking: digest)
    }
}
