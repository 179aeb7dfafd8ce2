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
    private let broke: @Sendable (UpstreamError) -> Void

    /// - Parameters:
    ///   - hasBody: false for HEAD, whose `Content-Length` counts bytes that never come.
    ///   - counted: told of the body bytes taken, on the transport's thread.
    ///   - broke: told why a stream ended early, on the transport's thread.
    ///   - plan: asked once, on the transport's thread.
    init(
        hasBody: Bool, counted: @escaping @Sendable (Int) -> Void = { _ in },
        broke: @escaping @Sendable (UpstreamError) -> Void = { _ in },
        plan: @escaping @Sendable (ResponseHead, Exchange) -> Plan
    ) {
        self.hasBody = hasBody
        self.counted = counted
        self.broke = broke
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
            let verdict = sink.begin(blobHead)
            if verdict != .abort {
                let answering = state.withLock { $0.answered() }
                answering?.resume(returning: .success(Answer(head: head, body: [], stream: self)))
            }
            return verdict
        }
    }

    func bytes(_ bytes: UnsafeRawBufferPointer) -> Verdict {
        let sink: (any BlobSink)? = state.withLock { state in
            if case .streaming(let sink, _) = state.phase { sink } else { nil }
        }
        let verdict = sink?.bytes(bytes) ?? collect(bytes)
        if verdict == .took {
            state.withLock { $0.received += Int64(bytes.count) }
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
                state.plan = nil
                state.transfer = nil
                state.body = []
            }
            return (state.phase, state.answered(), state.body, state.received)
        }
        switch phase {
        case .streaming(let sink, let expected):
            let result = Self.result(of: end, received: received, expected: expected)
            sink.finished(result)
            guard case .failure(let error) = result else { return }
            if let answering { answering.resume(returning: .failure(error)) } else { broke(error) }
        case .collecting(let head, let limit, let beyond):
            let isCut = end == .aborted && beyond == nil && body.count == limit
            let expected = hasBody ? head.length : nil
            let result = isCut ? .success(()) : Self.result(of: end, received: received, expected: expected)
            answering?.resume(returning: result.map { Answer(head: head, body: body, stream: nil) })
        case .refused(let error):
            answering?.resume(returning: .failure(error))
        case .awaitingHead, .over:
            let result = Self.result(of: end, received: 0, expected: nil)
            let error: UpstreamError = if case .failure(let error) = result { error } else { .cancelled }
            answering?.resume(returning: .failure(error))
        }
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
