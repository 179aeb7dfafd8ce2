// What no manifest of a repository names any more, and uploads that nobody goes on with: both go.

import Logging
import OCI
import ServiceLifecycle
import Store
import Synchronization

package struct Collected: Equatable, Sendable {
    package var manifests: Int
    package var blobs: Int
    package var uploads: Int

    package init(manifests: Int = 0, blobs: Int = 0, uploads: Int = 0) {
        self.manifests = manifests
        self.blobs = blobs
        self.uploads = uploads
    }
}

extension HostedRepositories {
    /// How many go in a turn of their repository, which pushes wait for.
    private static let batch = 100

    /// Takes from each repository the blobs that none of its manifests names, and, where an operator has said after how
    /// long (`untaggedAfter`), the manifests that nothing leads to. What was pushed, or found by a pusher, within
    /// `abandonedAfter` stays: a push may be about to name it.
    package func collect() async throws(HostingError) -> Collected {
        let policy = policy
        var collected = Collected(uploads: uploads.expire(after: policy.abandonedAfter))
        for name in try await repositories() where !policy.isReadOnly(name) {
            if let age = policy.untaggedAfter {
                // Each takes its hold from what it names, which goes in the next round.
                collected.manifests += try await collectAll(of: name, max(age, policy.abandonedAfter)) {
                    (before) async throws(StoreError) in try await self.store.unreached(in: name, before: before)
                }
            }
            collected.blobs += try await collectAll(of: name, policy.abandonedAfter, asManifests: false) {
                (before) async throws(StoreError) in try await self.store.litter(in: name, before: before)
            }
        }
        if collected != Collected() {
            logger.info(
                "collected what nothing reaches",
                metadata: [
                    "manifests": "\(collected.manifests)", "blobs": "\(collected.blobs)",
                    "uploads": "\(collected.uploads)",
                ])
        }
        return collected
    }

    /// - Parameter find: what there is to take and was not pushed since a moment in Unix milliseconds.
    private func collectAll(
        of name: RepositoryName, _ age: Duration, asManifests: Bool = true,
        _ find: @escaping @Sendable (_ before: Int64) async throws(StoreError) -> [Digest]
    ) async throws(HostingError) -> Int {
        var all = 0
        while !Task.isCancelled {
            let (before, uptime) = (now() - age.milliseconds, uptime())
            let gone = try await restated { () async throws(StoreError) in
                try await store.hostedGate.turn(name) { () async throws(StoreError) -> Int in
                    let isAwaited: @Sendable (Digest) -> Bool = { digest in
                        let last = self.asked.withLock { $0[AskedDigest(name: name, digest: digest)] }
                        return last.map { uptime - $0 < age } ?? false
                    }
                    var gone = 0
                    for digest in try await find(before).filter({ !isAwaited($0) }).prefix(Self.batch) {
                        // A pusher may find it meanwhile.
                        let isGone = try await store.unhost(digest, asManifest: asManifests, in: name) {
                            isAwaited(digest)
                        }
                        gone += isGone ? 1 : 0
                    }
                    return gone
                }
            }
            if gone == 0 { break }
            all += gone
        }
        return all
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
