// One request on the transport and what came back: collected whole, or streamed on into a sink.
import HTTPSemantics
import Synchronization

/// What came back of one request.
struct Answer: Sendable {
    let head: ResponseHead
    /// Empty where the body is streamed.
    let body: [UInt8]
    /// The transfer that goes on into a sink.
    let stream: (any Transfer)?
}

/// Receives one transfer and answers one awaiting task.
///
/// It is the transfer's handle too: resume and cancel may come before the transport has given its own, from a sink
/// that is quicker than the call that began it, and are kept until then.
final class Exchange: TransferReceiver, Transfer {
    /// What to do with a body, decided from its head on the transport's thread.
    enum Plan: Sendable {
        /// Keep up to so many bytes. One more is the given error, or, without one, simply left out.
        case collect(limit: Int, beyond: UpstreamError?)
        case stream(BlobHead, any BlobSink)
        case refuse(UpstreamError)
    }

    private enum Phase {
        case awaitingHead
        case collecting(ResponseHead, limit: Int, beyond: UpstreamError?)
        case streaming(any BlobSink, expected: Int64?)
        case refused(UpstreamError)
        case over
    }

    private struct State {
        var phase = Phase.awaitingHead
        /// Given up once asked: it holds the sink, which holds this exchange as its transfer.
        var plan: (@Sendable (ResponseHead, Exchange) -> Plan)?
        var answering: CheckedContinuation<Result<Answer, UpstreamError>, Never>?
        var transfer: (any Transfer)?
        var isCancelled = false
        var isResumed = false
        var body: [UInt8] = []
        var received: Int64 = 0
        var share = BandwidthShare()
        /// Ends with the resume of what was held back for the bandwidth's sake.
        var holding: Task<Void, Never>?

        /// Whether a cancelled task takes the transfer with it: until a sink has been given the head.
        var isAwaited: Bool {
            switch phase {
            case .awaitingHead, .collecting, .refused: true
            case .streaming, .over: false
            }
        }

        mutating func answered() -> CheckedContinuation<Result<Answer, UpstreamError>, Never>? { answering.take() }
    }

    private let state: Mutex<State>
    private let hasBody: Bool
    private let counted: @Sendable (Int) -> Void
    private let began: @Sendable () -> Void
    private let broke: @Sendable (UpstreamError) -> Void
    private let bandwidth: Bandwidth?

    /// - Parameters:
    ///   - hasBody: false for HEAD, whose `Content-Length` counts bytes that never come.
    ///   - counted: told of the body bytes taken, on the transport's thread.
    ///   - began: told that a stream was accepted, on the transport's thread.
    ///   - broke: told why a stream ended early, on the transport's thread.
    ///   - bandwidth: what the body draws from; a stream waits for it, what is collected does not.
    ///   - plan: asked once, on the transport's thread.
    init(
        hasBody: Bool, counted: @escaping @Sendable (Int) -> Void = { _ in },
        began: @escaping @Sendable () -> Void = {}, broke: @escaping @Sendable (UpstreamError) -> Void = { _ in },
        bandwidth: Bandwidth? = nil,
        plan: @escaping @Sendable (ResponseHead, Exchange) -> Plan
    ) {
        self.hasBody = hasBody
        self.counted = counted
        self.began = began
        self.broke = broke
        self.bandwidth = bandwidth
        state = Mutex(State(plan: plan))
    }

    /// Sends the request and waits for its whole answer or, of a stream, for its accepted head. Cancelling the task
    /// cancels the transfer, but not a stream that has begun.
    func answer(to request: TransferRequest, over transport: any Transport) async throws(UpstreamError) -> Answer {
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { (answering: CheckedContinuation<Result<Answer, UpstreamError>, Never>) in
                let isCancelled = state.withLock { state in
                    if !state.isCancelled { state.answering = answering }
                    return state.isCancelled
                }
                if isCancelled { return answering.resume(returning: .failure(.cancelled)) }
                attach(transport.begin(request, self))
            }
        } onCancel: {
            let transfer: (any Transfer)? = state.withLock { state in
                guard state.isAwaited else { return nil }
                state.isCancelled = true
                return state.transfer
            }
            transfer?.cancel()
        }
        return try result.get()
    }

    // MARK: Transfer

    func resume() {
        let transfer = state.withLock { state in
            state.isResumed = state.transfer == nil
            return state.transfer
        }
        transfer?.resume()
    }

    func cancel() {
        let transfer = state.withLock { state in
            state.isCancelled = true
            return state.transfer
        }
        transfer?.cancel()
    }

    private func attach(_ transfer: any Transfer) {
        let (isCancelled, isResumed) = state.withLock { state in
            if case .over = state.phase { return (false, false) }
            state.transfer = transfer
            return (state.isCancelled, state.isResumed)
        }
        if isCancelled { transfer.cancel() }
        if isResumed { transfer.resume() }
    }

    // MARK: TransferReceiver

    func head(_ head: ResponseHead) -> Verdict {
        guard let plan = state.withLock({ $0.plan.take() }) else { return .abort }
        switch plan(head, self) {
        case .collect(let limit, let beyond):
            if hasBody, let beyond, let length = head.length, length > limit { return refuse(beyond) }
            state.withLock { $0.phase = .collecting(head, limit: limit, beyond: beyond) }
            return .took
        case .refuse(let error):
            return refuse(error)
        case .stream(let blobHead, let sink):
            let isCancelled = state.withLock { state in
                state.phase = state.isCancelled ? .refused(.cancelled) : .streaming(sink, expected: head.length)
                return state.isCancelled
            }
            if isCancelled { return .abort }
            let verdict: Verdict
            switch sink.begin(blobHead) {
            case .took: verdict = .took
            case .pause: verdict = .pause
            case .refuse(let error): return refuse(error)
            }
            let answering = state.withLock { $0.answered() }
            // Here and not by whoever awaits: the stream may have broken before that task runs.
            began()
            answering?.resume(returning: .success(Answer(head: head, body: [], stream: self)))
            return verdict
        }
    }

    func bytes(_ bytes: UnsafeRawBufferPointer) -> Verdict {
        let sink: (any BlobSink)? = state.withLock { state in
            if case .streaming(let sink, _) = state.phase { sink } else { nil }
        }
        if let sink, isHeldBack(bytes.count) {
            sink.held()
            return .pause
        }
        let verdict = sink?.bytes(bytes) ?? collect(bytes)
        if verdict == .took {
            state.withLock { state in
                state.received += Int64(bytes.count)
                if sink != nil, bandwidth != nil { state.share.passed(bytes.count) }
            }
            if sink == nil { _ = bandwidth?.take(bytes.count) }
            counted(bytes.count)
        }
        return verdict
    }

    func settle() {
        let sink: (any BlobSink)? = state.withLock { state in
            if case .streaming(let sink, _) = state.phase { sink } else { nil }
        }
        sink?.settle()
    }

    func finished(_ end: TransferEnd) {
        let (phase, answering, body, received) = state.withLock { state in
            defer {
                state.phase = .over
                state.holding?.cancel()
                state.plan = nil
                state.transfer = nil
                state.body = []
            }
            return (state.phase, state.answered(), state.body, state.received)
        }
        switch phase {
        case .streaming(let sink, let expected):
            let result = Self.result(of: end, received: received, expected: expected)
            // First: the sink may ask again at once, and the endpoint that has just failed goes last then.
            if case .failure(let error) = result { broke(error) }
            sink.finished(result)
        case .collecting(let head, _, let beyond):
            // Without a bound that counts the body is only words about the status, which says enough without them.
            let isEnough = beyond == nil && end != .cancelled
            let expected = hasBody ? head.length : nil
            let result = isEnough ? .success(()) : Self.result(of: end, received: received, expected: expected)
            answering?.resume(returning: result.map { Answer(head: head, body: body, stream: nil) })
        case .refused(let error):
            answering?.resume(returning: .failure(error))
        case .awaitingHead, .over:
            let result = Self.result(of: end, received: 0, expected: nil)
            let error: UpstreamError = if case .failure(let error) = result { error } else { .cancelled }
            answering?.resume(returning: .failure(error))
        }
    }

    /// Whether a stream's bytes have to wait. A resume from elsewhere may offer them early: they stay held.
    private func isHeldBack(_ bytes: Int) -> Bool {
        guard let bandwidth else { return false }
        return state.withLock { state in
            switch state.share.offered(bytes, from: bandwidth) {
            case .pass: return false
            case .stay: return true
            case .hold(let wait):
                state.holding = Task { [weak self] in if await bandwidth.wait(wait) { self?.ripened() } }
                return true
            }
        }
    }

    /// The resume is a message to the transport's thread: it comes after the pause, however short the wait.
    private func ripened() {
        state.withLock { $0.share.ripened() }
        resume()
    }

    private func refuse(_ error: UpstreamError) -> Verdict {
        state.withLock { $0.phase = .refused(error) }
        return .abort
    }

    private func collect(_ bytes: UnsafeRawBufferPointer) -> Verdict {
        state.withLock { state in
            guard case .collecting(_, let limit, let beyond) = state.phase else { return .abort }
            let room = limit - state.body.count
            guard bytes.count > room else {
                state.body.append(contentsOf: bytes)
                return .took
            }
            if let beyond { state.phase = .refused(beyond) } else { state.body.append(contentsOf: bytes.prefix(room)) }
            return .abort
        }
    }

    /// A body is whole only if its length is the announced one, whatever the transport thinks of it.
    private static func result(of end: TransferEnd, received: Int64, expected: Int64?) -> Result<Void, UpstreamError> {
        switch end {
        case .complete:
            guard let expected, expected != received else { return .success(()) }
            return .failure(.incomplete(received: received, expected: expected))
        case .cancelled, .aborted: return .failure(.cancelled)
        case .failed(let error, let words):
            guard let expected, error == .httpResponseIncomplete || error == .connectionTerminated else {
                return .failure(.unreachable(error, words))
            }
            return .failure(.incomplete(received: received, expected: expected))
        }
    }
}
