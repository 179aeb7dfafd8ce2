// One connection of a fill: its turn among the upstream's transfers, its request, and where its bytes go.

import OCI
import Store
import Synchronization
import Upstream

/// Lives for one segment. Its sink's calls come on the transport's thread; what they mean is decided by the fill.
final class FillConnection: BlobSink {
    private struct State {
        var transfer: (any Transfer)?
        var stage: Stage?
        var end: Result<Void, UpstreamError>?
        var waiter: CheckedContinuation<Void, Never>?
        /// Bytes at the beginning of the next piece that were taken before it had to be refused.
        var taken = 0
        /// It has brought what it was to bring: what is still on its way is of no use.
        var isDone = false
        var isCancelled = false
        var hasEnded = false
        var contributor: Contributor?
        var task: Task<Void, Never>?
        var ticket: ConnectionBudget.Ticket?
    }

    let ask: FillState.Ask
    let repository: Repository
    private unowned let fill: Fill
    private let state = Mutex(State())

    /// - Parameter fill: outlives its connections: it waits for each.
    init(_ ask: FillState.Ask, from repository: Repository, of fill: Fill) {
        self.ask = ask
        self.repository = repository
        self.fill = fill
    }

    /// Waits for a slot, asks, and brings what comes. Ends when nothing more will.
    func run(
        _ source: Fill.Source, _ ticket: ConnectionBudget.Ticket, _ request: BlobRequest
    ) async -> Result<Void, UpstreamError> {
        defer {
            ticket.release()
            state.withLock { state in
                state.hasEnded = true
                (state.task, state.ticket) = (nil, nil)
            }
        }
        guard await ticket.granted() else { return .failure(.cancelled) }
        do throws(UpstreamError) {
            _ = try await source.registry.blob(source.repository.name, fill.digest, request, into: self)
        } catch {
            return .failure(error)
        }
        return await ended()
    }

    /// The file is there: bytes are taken from here on. The resumption is a message to the transport's thread, so it
    /// cannot overtake the pause that a piece arriving just now still brings.
    func start(writing writer: IngestWriter) {
        let stage = stage(for: writer)
        let transfer = state.withLock { state in
            state.stage = state.stage ?? stage
            return state.transfer
        }
        transfer?.resume()
    }

    /// Its life began; a cancel may have been quicker.
    func attach(_ task: Task<Void, Never>, _ ticket: ConnectionBudget.Ticket) {
        let isCancelled = state.withLock { state in
            if state.hasEnded { return false }
            (state.task, state.ticket) = (task, ticket)
            return state.isCancelled
        }
        if isCancelled { task.cancel() }
    }

    func becomeFirst() { state.withLock { $0.ticket }?.becomeFirst() }

    func update(isFollowed: Bool) { state.withLock { $0.ticket }?.update(isFollowed: isFollowed) }

    /// Who sends its bytes, once that is known.
    var contributor: Contributor? { state.withLock { $0.contributor } }

    func resume() { state.withLock { $0.transfer }?.resume() }

    func cancel() {
        let (transfer, task) = state.withLock { state in
            state.isCancelled = true
            return (state.transfer, state.task)
        }
        transfer?.cancel()
        task?.cancel()
    }

    private func ended() async -> Result<Void, UpstreamError> {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if state.end == nil { state.waiter = continuation }
                return state.end != nil
            }
            if isOver { continuation.resume() }
        }
        return state.withLock { $0.isDone ? .success(()) : $0.end ?? .failure(.cancelled) }
    }

    private func stage(for writer: IngestWriter) -> Stage {
        Stage(for: writer, at: fill.start(of: ask.id)) { [weak self] in
            if let self { fill.landed(self, upTo: $0) }
        }
    }

    // MARK: BlobSink

    func begin(_ head: BlobHead) -> Reception {
        let isCancelled = state.withLock { state in
            state.transfer = head.transfer
            state.contributor = Contributor(repository: repository, endpoint: head.endpoint, host: head.host)
            return state.isCancelled
        }
        if isCancelled { return .refuse(.cancelled) }
        switch fill.answered(self, head) {
        case .failure(let error): return .refuse(error)
        case .success(nil):
            fill.paused(ask.id)
            return .pause
        case .success(let writer?):
            let stage = stage(for: writer)
            state.withLock { $0.stage = $0.stage ?? stage }
            return .took
        }
    }

    func bytes(_ bytes: UnsafeRawBufferPointer) -> Verdict {
        let (stage, transfer, taken) = state.withLock { ($0.stage, $0.transfer, $0.taken) }
        guard let stage, let transfer else { return .pause }
        // They come again in pieces of whatever size.
        guard taken < bytes.count else {
            state.withLock { $0.taken = taken - bytes.count }
            return .took
        }
        var rest = UnsafeRawBufferPointer(rebasing: bytes[taken...])
        while !rest.isEmpty {
            let position = stage.position
            let limit: Int64
            switch fill.allowance(ask.id, at: position) {
            case .upTo(let offset): limit = offset
            case .hold: return refuse(rest, of: bytes)
            case .done: return done()
            }
            let part = UnsafeRawBufferPointer(rebasing: rest.prefix(Int(clamping: limit - position)))
            do throws(StoreError) {
                guard try stage.append(part, whenReady: { transfer.resume() }) == .took else {
                    return refuse(rest, of: bytes)
                }
                // At the end of its segment: whether it goes on is decided by what has landed.
                if stage.position == limit { try stage.settle() }
            } catch {
                let isHeld = fill.couldNotWrite(self, error)
                let took = Int(stage.position - position)
                fill.received(took)
                return isHeld ? refuse(UnsafeRawBufferPointer(rebasing: rest[took...]), of: bytes) : .abort
            }
            fill.received(part.count)
            rest = UnsafeRawBufferPointer(rebasing: rest[part.count...])
        }
        if taken > 0 { state.withLock { $0.taken = 0 } }
        return .took
    }

    func held() { fill.paused(ask.id) }

    func settle() {
        guard let stage = state.withLock({ $0.stage }) else { return }
        do throws(StoreError) {
            try stage.settle()
        } catch {
            // What waits in the stage is written with what comes next, once there is room.
            if !fill.couldNotWrite(self, error) { cancel() }
        }
    }

    func finished(_ end: Result<Void, UpstreamError>) {
        settle()
        let waiter = state.withLock { state in
            state.end = end
            state.transfer = nil
            return state.waiter.take()
        }
        waiter?.resume()
    }

    /// Not now: they come again.
    private func refuse(_ rest: UnsafeRawBufferPointer, of bytes: UnsafeRawBufferPointer) -> Verdict {
        state.withLock { $0.taken = bytes.count - rest.count }
        fill.paused(ask.id)
        return .pause
    }

    private func done() -> Verdict {
        state.withLock { $0.isDone = true }
        return .abort
    }
}
