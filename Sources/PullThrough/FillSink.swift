// Where a transfer's bytes go: staged, written, counted; the transfer pauses while there is nowhere to put them.

import Store
import Synchronization
import Upstream

/// Called on the transport's thread. The ingest is made only once the upstream has said how large the blob is, and
/// room for it may have to be made first: until then the transfer waits.
final class FillSink: BlobSink {
    private struct State {
        var head: BlobHead?
        var stage: Stage?
        var transfer: (any Transfer)?
        var failure: StoreError?
        var end: Result<Void, UpstreamError>?
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())
    private let received: @Sendable (Int64) -> Void

    /// - Parameter received: told of each piece's size in bytes.
    init(received: @escaping @Sendable (Int64) -> Void) { self.received = received }

    var head: BlobHead? { state.withLock { $0.head } }

    /// From here on bytes are taken. The resumption is a message to the transport's thread, so it cannot overtake the
    /// pause that a piece arriving just now still brings.
    func start(writing writer: IngestWriter, from transfer: any Transfer) {
        state.withLock { state in
            state.stage = Stage(for: writer)
            state.transfer = transfer
        }
        transfer.resume()
    }

    /// Waits until no more bytes will come.
    func end() async throws(PullThroughError) {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if state.end == nil { state.waiter = continuation }
                return state.end != nil
            }
            if isOver { continuation.resume() }
        }
        let (failure, end, name) = state.withLock { ($0.failure, $0.end, $0.head?.host ?? "the upstream") }
        if let failure { throw PullThroughError(failure) }
        do { try end?.get() } catch { throw PullThroughError(error, of: name) }
    }

    // MARK: BlobSink

    func begin(_ head: BlobHead) -> Verdict {
        state.withLock { $0.head = head }
        return .took
    }

    func bytes(_ bytes: UnsafeRawBufferPointer) -> Verdict {
        let (stage, transfer, failure) = state.withLock { ($0.stage, $0.transfer, $0.failure) }
        // What was staged when the writing failed is lost: nothing may land behind it.
        if failure != nil { return .abort }
        guard let stage else { return .pause }
        do throws(StoreError) {
            guard try stage.append(bytes, whenReady: { transfer?.resume() }) == .took else { return .pause }
            received(Int64(bytes.count))
            return .took
        } catch {
            state.withLock { $0.failure = $0.failure ?? error }
            return .abort
        }
    }

    func settle() {
        guard let stage = state.withLock({ $0.failure == nil ? $0.stage : nil }) else { return }
        do throws(StoreError) {
            try stage.settle()
        } catch {
            let transfer = state.withLock { state in
                state.failure = state.failure ?? error
                return state.transfer
            }
            transfer?.cancel()
        }
    }

    func finished(_ end: Result<Void, UpstreamError>) {
        settle()
        let waiter = state.withLock { state in
            state.end = end
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }
}
