// Reading all that is stored, and fetching again what turned out damaged or lost.

import HTTPSemantics
package import OCI
import Store
import Synchronization

package enum ScrubEvent: Sendable {
    /// `kind`: damaged, missing or unreadable. Bytes.
    case found(Digest, kind: String, size: Int64)
    case repaired(Digest, from: Repository)
    case unrepaired(Digest, PullThroughError)
}

package struct ScrubTotals: Sendable {
    package var blobs = 0
    package var bytes: Int64 = 0
    package var damaged = 0, missing = 0, unreadable = 0
    package var repaired = 0, unrepaired = 0

    fileprivate mutating func count(_ kind: ScrubFinding.Kind) {
        switch kind {
        case .damaged: damaged += 1
        case .missing: missing += 1
        case .unreadable: unreadable += 1
        }
    }

    fileprivate mutating func count(repaired isRepaired: Bool) {
        if isRepaired { repaired += 1 } else { unrepaired += 1 }
    }
}

extension PullThroughCache {
    /// Checks everything that is stored against its digest, one blob at a time; what is damaged goes to quarantine and
    /// is not served any more. Cancellable: what was found until then has been told.
    ///
    /// - Parameters:
    ///   - isRepairing: whether what is found is fetched again, as it is found.
    ///   - tell: called as it happens.
    /// - Throws: `.store` if the store cannot be read.
    package func scrub(
        isRepairing: Bool, _ tell: @escaping @Sendable (ScrubEvent) async -> Void
    ) async throws(PullThroughError) -> ScrubTotals {
        let counted = Mutex(ScrubTotals())
        let summary = try await restated { () async throws(StoreError) in
            try await store.scrub { finding in
                counted.withLock { $0.count(finding.kind) }
                await tell(.found(finding.digest, kind: finding.kind.rawValue, size: finding.size))
                // At once: it is forgotten, and whoever ends this would not find it again.
                guard isRepairing else { return }
                let result = await Result { () async throws(PullThroughError) in try await repair(finding.digest) }
                switch result {
                case .success(let repository): await tell(.repaired(finding.digest, from: repository))
                case .failure(let error): await tell(.unrepaired(finding.digest, error))
                }
                counted.withLock { $0.count(repaired: (try? result.get()) != nil) }
            }
        }
        var totals = counted.withLock { $0 }
        (totals.blobs, totals.bytes) = (summary.blobs, summary.bytes)
        return totals
    }

    /// Fetches again what has been lost, by an ordinary pull through the first repository that links it and whose
    /// upstream gives it.
    ///
    /// - Returns: the repository that gave it.
    /// - Throws: what the last of them said; `.unknown` if none links it.
    package func repair(_ digest: Digest) async throws(PullThroughError) -> Repository {
        let (repositories, isManifest) = try await restated { () async throws(StoreError) in
            (try await store.repositories(linking: digest), try await store.isManifest(digest))
        }
        var failure = PullThroughError.unknown("no repository that is known here links \(digest)")
        for repository in repositories where directory[repository.upstream]?.allows(repository.name) == true {
            do throws(PullThroughError) {
                try await isManifest ? fetchManifest(digest, in: repository) : fetchBlob(digest, in: repository)
                let knowledge = try await restated { () async throws(StoreError) in
                    try await store.knowledge(of: digest, in: repository)
                }
                if knowledge.storedSize != nil { return repository }
                failure = .noSpace("\(digest) came, and could not be stored: the log says why")
            } catch {
                failure = error
            }
        }
        throw failure
    }

    private func fetchManifest(_ digest: Digest, in repository: Repository) async throws(PullThroughError) {
        do throws(Refusal) { _ = try await manifest(.digest(digest), in: repository, mustAsk: true) } catch {
            throw error.error
        }
    }

    /// A reader that stays until the transfer has ended is a client that wants all of it.
    private func fetchBlob(_ digest: Digest, in repository: Repository) async throws(PullThroughError) {
        do throws(Refusal) {
            let answer = try await blob(digest, in: repository)
            guard case .bytes(let reader, _) = answer.content else { return }
            // What only passes is not kept, and waits for its reader.
            if reader.isPassing { throw Refusal(.noSpace("there is no room for \(digest)"), answer.status) }
            if let fill = fill(of: digest) { await task(of: fill)?.value }
            withExtendedLifetime(reader) {}
        } catch {
            throw error.error
        }
    }
}
