// One transfer of one digest from an upstream into the store, followed by any number of clients.

import HTTPSemantics
import Logging
package import OCI
import Store
import Synchronization
import Upstream

/// It outlives its clients: what was begun is finished, and the last to leave ends nothing. It ends as a committed
/// blob or not at all; its followers see the landing end as complete or broken.
package final class Fill: Sendable {
    package let digest: Digest
    /// Through which repository it is asked for: the first asker's.
    package let source: Repository
    /// Unix time, milliseconds.
    package let startedAt: Int64

    private enum Opening {
        case waiting([CheckedContinuation<Result<IngestWriter, PullThroughError>, Never>])
        case decided(Result<IngestWriter, PullThroughError>)
    }

    private struct State {
        var opening = Opening.waiting([])
        var transfer: (any Transfer)?
        var followers = 0
    }

    private let state = Mutex(State())

    init(_ digest: Digest, from source: Repository, at now: Int64) {
        self.digest = digest
        self.source = source
        startedAt = now
    }

    /// Waits until a status line may be sent: the upstream has answered, and a blob no larger than what is held back
    /// is verified whole, so that a mismatch is still an honest 404.
    func opened() async throws(PullThroughError) -> IngestWriter {
        let result = await withCheckedContinuation { continuation in
            let decided: Result<IngestWriter, PullThroughError>? = state.withLock { state in
                switch state.opening {
                case .decided(let result): return result
                case .waiting(let waiters):
                    state.opening = .waiting(waiters + [continuation])
                    return nil
                }
            }
            if let decided { continuation.resume(returning: decided) }
        }
        return try result.get()
    }

    /// Transfers, verifies and commits. Never throws: who follows is told by the opening and by the landing.
    ///
    /// - Parameter retire: takes the fill out of the table. It runs before a failure is told, so that nobody joins
    ///   what has failed, and after a commit, so that everybody finds one or the other.
    func run(
        from registry: UpstreamRegistry, into store: ContentStore, statistics: Statistics, logger: Logger,
        retire: @Sendable () -> Void
    ) async {
        do throws(PullThroughError) {
            let sink = FillSink { statistics.received($0) }
            let writer = try await begin(sink, registry, store)
            do throws(PullThroughError) {
                try await sink.end()
                let size = try await verified(writer, store)
                writer.complete(size: size)
                decide(.success(writer))
                try await restated { () async throws(StoreError) in
                    try await store.commit(
                        writer, size: size, linkedTo: [source],
                        broughtBy: registry.configuration.credentials == nil ? nil : source.upstream)
                }
            } catch {
                retire()
                writer.breakOff()
                throw error
            }
        } catch {
            retire()
            decide(.failure(error))
            return log(error, logger)
        }
        retire()
    }

    /// Asks the upstream, makes room, and lets followers in as soon as they may be.
    private func begin(
        _ sink: FillSink, _ registry: UpstreamRegistry, _ store: ContentStore
    ) async throws(PullThroughError) -> IngestWriter {
        let transfer: any Transfer
        do throws(UpstreamError) {
            transfer = try await registry.blob(source.name, digest, into: sink)
        } catch {
            throw PullThroughError(error, of: source.upstream)
        }
        state.withLock { $0.transfer = transfer }
        let size = sink.head?.size
        do throws(StoreError) {
            let writer = try await store.ingest(digest, size: size)
            sink.start(writing: writer, from: transfer)
            if size.map({ $0 > Landing.heldBack }) ?? true { decide(.success(writer)) }
            return writer
        } catch {
            transfer.cancel()
            throw PullThroughError(error)
        }
    }

    private func verified(_ writer: IngestWriter, _ store: ContentStore) async throws(PullThroughError) -> Int64 {
        do throws(StoreError) {
            return try await writer.verify()
        } catch {
            if case .digestMismatch = error { await store.quarantine(writer) }
            throw PullThroughError(error)
        }
    }

    /// The first-byte timeout has passed. If nobody could be let in yet (no answer, no room, or a small blob that
    /// trickles and must be verified whole) it is given up: clients leave at 30 s, and an honest 404 sends them
    /// elsewhere.
    func expire(retire: () -> Void) {
        let (isWaiting, transfer) = state.withLock { state in
            if case .waiting = state.opening { return (true, state.transfer) }
            return (false, nil)
        }
        guard isWaiting else { return }
        retire()
        decide(.failure(.unreachable(.httpResponseTimeout, "\(source.upstream): no answer in time")))
        transfer?.cancel()
    }

    /// Only the first decision counts: a failure after the opening is told by the landing.
    private func decide(_ result: Result<IngestWriter, PullThroughError>) {
        let waiters: [CheckedContinuation<Result<IngestWriter, PullThroughError>, Never>] = state.withLock { state in
            guard case .waiting(let waiters) = state.opening else { return [] }
            state.opening = .decided(result)
            return waiters
        }
        for waiter in waiters { waiter.resume(returning: result) }
    }

    private func log(_ error: PullThroughError, _ logger: Logger) {
        let metadata: Logger.Metadata = [
            "digest": "\(digest)", "upstream": "\(source.upstream)", "repository": "\(source.name)",
            "error": "\(error.message)",
        ]
        if error.isFailure {
            logger.warning("fill failed", metadata: metadata)
        } else {
            logger.debug("blob unknown", metadata: metadata)
        }
    }

    // MARK: Followers

    func join() { state.withLock { $0.followers += 1 } }
    func leave() { state.withLock { $0.followers -= 1 } }

    /// A look at the transfer. Bytes.
    package var progress: (received: Int64, size: Int64?, followers: Int) {
        let (opening, followers) = state.withLock { ($0.opening, $0.followers) }
        guard case .decided(.success(let writer)) = opening else { return (0, nil, followers) }
        return (writer.landing.landed, writer.announced, followers)
    }
}

/// The store's errors, said in this room's words.
func restated<Value: Sendable>(
    _ body: () async throws(StoreError) -> Value
) async throws(PullThroughError) -> Value {
    do throws(StoreError) { return try await body() } catch { throw PullThroughError(error) }
}
