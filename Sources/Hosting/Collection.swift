// What no manifest of a repository names any more, and uploads that nobody goes on with: both go.

import Logging
import OCI
import ServiceLifecycle
import Store
import Synchronization

package struct Collected: Equatable, Sendable {
    package var blobs: Int
    package var uploads: Int

    package init(blobs: Int = 0, uploads: Int = 0) {
        self.blobs = blobs
        self.uploads = uploads
    }
}

extension HostedRepositories {
    /// Blobs in a turn of their repository, which pushes wait for.
    private static let batch = 100

    /// Takes from each repository the blobs that none of its manifests names. Manifests stay, tagged or not: somebody
    /// may pull them by their digest. So do blobs that were pushed, or found by a pusher, within `abandonedAfter` and
    /// that no manifest has named since: a push may be about to name them.
    package func collect() async throws(HostingError) -> Collected {
        var collected = Collected(blobs: 0, uploads: uploads.expire(after: policy.abandonedAfter))
        for name in try await repositories() {
            while !Task.isCancelled {
                let gone = try await collectSome(of: name)
                collected.blobs += gone
                if gone < Self.batch { break }
            }
        }
        if collected != Collected() {
            logger.info(
                "collected what nothing reaches",
                metadata: ["blobs": "\(collected.blobs)", "uploads": "\(collected.uploads)"])
        }
        return collected
    }

    private func collectSome(of name: RepositoryName) async throws(HostingError) -> Int {
        let period = policy.abandonedAfter
        let (before, uptime) = (now() - period.milliseconds, uptime())
        return try await restated { () async throws(StoreError) in
            try await store.hostedGate.turn(name) { () async throws(StoreError) -> Int in
                let isAwaited: @Sendable (Digest) -> Bool = { digest in
                    let last = self.asked.withLock { $0[AskedBlob(name: name, digest: digest)] }
                    return last.map { uptime - $0 < period } ?? false
                }
                var gone = 0
                for digest in try await store.litter(in: name, before: before).filter({ !isAwaited($0) }) {
                    // A pusher may find it meanwhile.
                    let isGone = try await store.unhost(digest, asManifest: false, in: name) { isAwaited(digest) }
                    gone += isGone ? 1 : 0
                    if gone == Self.batch { break }
                }
                return gone
            }
        }
    }
}

/// The pass beside everything else.
package struct CollectionPass: Service {
    private let repositories: HostedRepositories
    private let interval: Duration

    package init(of repositories: HostedRepositories, every interval: Duration) {
        self.repositories = repositories
        self.interval = interval
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            // The sleep fails only when it is cancelled, which is the end.
            while (try? await repositories.clock.sleep(for: interval)) != nil {
                do throws(HostingError) {
                    _ = try await repositories.collect()
                } catch {
                    // A database that does not answer has been told of, once.
                    repositories.logger.debug("could not collect", metadata: ["error": "\(error.message)"])
                }
            }
        }
    }
}
