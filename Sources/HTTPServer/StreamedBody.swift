// What a connection does while a body comes that somebody takes: reads when he asks, and tells the client to go on.
import HTTPTypes
import NIOCore

struct StreamedBody {
    /// Who answers waits for more of his request's body.
    var isWanted = false
    /// Reads are as large as bodies want them.
    fileprivate var isUnderWay = false
}

extension Connection {
    /// Bytes of a read. Heads are small, and a large buffer would be each idle connection's.
    private static let large = FixedSizeRecvByteBufferAllocator(capacity: 64 << 10)

    /// Whose bytes come next.
    var streamed: RequestBodyStream? { if case .stream(_, let stream, _) = receiving { stream } else { nil } }

    func isTaken(_ arrival: Arrival) -> Bool {
        switch arrival.request.method {
        case .put, .post, .patch: arrival.head.refusal == nil && table.responder.takesBody(arrival.request)
        default: false
        }
    }

    /// The request gets its turn before its body has come.
    func admitStreamed(_ arrival: Arrival) {
        var arrival = arrival
        let (loop, bound) = (table.loop, NIOLoopBound(self, eventLoop: table.loop))
        let (length, expectsContinue) = (arrival.head.bodyLength, arrival.head.expectsContinue)
        let stream = RequestBodyStream(length: length, expectsContinue: expectsContinue) {
            loop.execute { bound.value.readStream() }
        }
        arrival.request.body = stream
        let body = RequestBody(length: length, trailerLimit: table.configuration.headLimit)
        receiving = .stream(body, stream, isPersistent: arrival.isPersistent)
        admit(arrival)
    }

    private static let patience = TimeAmount.seconds(1)

    /// How long the next bytes of it may take.
    private func limit(of body: RequestBodyStream) -> TimeAmount {
        body.isPassedOver ? min(Self.patience, table.timeouts.stall) : table.timeouts.stall
    }

    /// The taker asks for more.
    private func readStream() {
        guard let context, let streamed, streamed === current?.arrival.request.body else { return }
        begin(streamed, context)
        stream.isWanted = true
        setDeadline(.now() + limit(of: streamed))
        guard isReadHeld else { return }
        isReadHeld = false
        context.read()
    }

    /// RFC 9110 §10.1.1: who waits for the word is told once to go on.
    private func begin(_ body: RequestBodyStream, _ context: ChannelHandlerContext) {
        guard !stream.isUnderWay else { return }
        stream.isUnderWay = true
        // It fails on a socket that is closed, where nothing is read.
        try? context.channel.syncOptions?.setOption(.recvAllocator, value: Self.large)
        guard body.expectsContinue else { return }
        send(ByteBuffer(staticString: "HTTP/1.1 100 Continue\r\n\r\n")) {}
    }

    /// Some of it has come.
    func streamMoved() {
        guard case .stream(let body, let taker, let isPersistent) = receiving else { return }
        guard body.hasEnded else {
            // The clock may be another's, who is still being answered.
            guard taker === current?.arrival.request.body, output.standsSince == nil else { return }
            return setDeadline(stream.isWanted ? .now() + limit(of: taker) : .distantFuture)
        }
        taker.end(.success(()))
        leaveStream()
        receiving = .head
        if !isPersistent { isDeaf = true }
    }

    /// No more of it is read, for whatever reason; the connection ends with the answer to it.
    func stopStream(_ fault: RequestBodyStream.Fault) {
        guard let streamed else { return }
        streamed.end(.failure(fault))
        leaveStream()
        receiving = .rest
        isInputUnread = true
    }

    private func leaveStream() {
        if stream.isWanted { setDeadline(.distantFuture) }
        stream.isWanted = false
        guard stream.isUnderWay else { return }
        stream.isUnderWay = false
        try? context?.channel.syncOptions?.setOption(.recvAllocator, value: Pipeline.receive)
    }
}
