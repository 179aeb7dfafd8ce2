// One client's connection on its event loop: requests in, one at a time answered, in order.
import HTTPTypes
import NIOCore

/// ```
/// waiting ─ head, body dropped ─→ answering ─ response handed over ─→ next queued request, or waiting
///                                     └ last response ─→ closed, or lingering if the client may still be sending
/// ```
/// While it answers, it reads no more (only what one read had already brought is queued, and one more while an answer
/// waits for the turn's end), so a client that sends without end waits in its own socket buffer. A body that the
/// responder takes is read when he asks for more of it (`StreamedBody.swift`).
final class Connection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    enum Receiving {
        case head
        /// A body, to be dropped before the request gets its turn, and the bytes of it so far, chunk framing included:
        /// a chunk extension may be as long as its sender likes (RFC 9112 §7.1.1).
        case body(Arrival, RequestBody, received: Int)
        /// A body that whoever answers takes; then it is the next head's turn, if there may be one.
        case stream(RequestBody, RequestBodyStream, isPersistent: Bool)
        /// The rest of a body whose request is already being answered.
        case rest
    }

    /// Requests that may wait behind one, and their bytes. Only a client that sends a great many and then closes its
    /// side gets there: NIO then reads all there is. What is beyond is not answered, and the connection ends.
    private static let queueLimit = 256
    private static let queuedBytesLimit = 16 * 1024

    let table: ConnectionTable
    let channel: any Channel
    /// `NewConnection.swift`.
    var standing = Standing.fresh
    /// Its place in the table.
    var place = 0
    private(set) var context: ChannelHandlerContext?
    /// Where TLS is spoken: behind it, towards the network, is what the client's kernel gets. `SecureConnection.swift`.
    var tls: ChannelHandlerContext?
    private(set) var deadline = NIODeadline.distantFuture
    private(set) var current: Exchange?
    var peer = ""
    /// The socket's. To be used while the connection is open, and on its loop: `ResponseWriter.swift`.
    var descriptor: CInt?
    /// Writes that are waiting in the channel for the kernel to take them.
    var inFlight = 0
    var isInFlight: Bool { inFlight > 0 }
    /// The answer is made, and is sent at the end of the loop's turn.
    var isPosted = false
    var admission = ConnectionLimits.Admission.dropped
    var receiving = Receiving.head
    private var queue: [Arrival] = []
    private var queuedBytes = 0
    /// What has arrived and belongs to nothing yet, and how much of it the meter has seen.
    private var unread = ByteBuffer()
    private var measured = 0
    private var meter: HeadMeter
    private var isHeadUnderWay = false
    private var hasServed = false
    private var isAdvancing = false
    var isReadHeld = false
    /// Owned by `StreamedBody.swift`.
    var stream = StreamedBody()
    private var isInputClosed = false
    var isInputUnread = false
    private var isLingering = false
    /// Whatever else arrives is dropped unread.
    var isDeaf = false
    /// Owned by `ResponseWriter.swift`.
    var output = Output()

    init(table: ConnectionTable, channel: any Channel) {
        self.table = table
        self.channel = channel
        meter = HeadMeter(limit: table.configuration.headLimit)
    }

    /// Whether the next byte belongs to a head, not to a body.
    private var awaitsHead: Bool {
        if case .head = receiving { true } else { false }
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        arrived(unwrapInboundIn(data))
    }

    func arrived(_ bytes: ByteBuffer) {
        guard !isDeaf else { return }
        var bytes = bytes
        if current != nil, streamed == nil { queuedBytes += bytes.readableBytes }
        if unread.readableBytes == 0 { unread = bytes } else { unread.writeBuffer(&bytes) }
        do {
            while !isDeaf, unread.readableBytes > measured { try readOn() }
        } catch {
            if streamed == nil { refuse(JudgedHead.Refusal(error)) } else { stopStream(.malformed) }
        }
        headIsUnderWay(meter.isUnderWay)
        // An idle connection keeps no buffer.
        if isDeaf || unread.readableBytes == 0 { (unread, measured) = (ByteBuffer(), 0) }
    }

    /// Reads to the end of a head or a body, or of what there is. Never beyond: what one read brings behind a body is a
    /// head, and no head goes unmeasured.
    private func readOn() throws {
        switch receiving {
        case .head:
            let length = try unread.withUnsafeReadableBytes { bytes in
                try meter.measure(UnsafeRawBufferPointer(rebasing: bytes[measured...]))
            }
            measured += length
            guard !meter.isUnderWay else { return }
            let head = try unread.withUnsafeReadableBytes { bytes in
                try table.heads.head(UnsafeRawBufferPointer(rebasing: bytes[..<measured]))
            }
            unread.moveReaderIndex(forwardBy: measured)
            measured = 0
            take(head)
        case .body(let arrival, var body, let before):
            // Not beyond what is read of any body, so that it does not matter how the bytes were cut.
            let room = table.configuration.discardLimit - before
            guard room > 0 else { return admitUnread(arrival) }
            let length = try unread.withUnsafeReadableBytes { bytes in
                try body.take(UnsafeRawBufferPointer(rebasing: bytes.prefix(room)))
            }
            unread.moveReaderIndex(forwardBy: length)
            receiving = .body(arrival, body, received: before + length)
            if body.hasEnded { end(arrival) }
        case .stream(var body, let taker, let isPersistent):
            let length = try unread.withUnsafeReadableBytes { bytes in
                try body.take(bytes) { stream.isWanted = taker.feed(UnsafeRawBufferPointer(rebasing: bytes[$0])) }
            }
            unread.moveReaderIndex(forwardBy: length)
            receiving = .stream(body, taker, isPersistent: isPersistent)
            streamMoved()
        case .rest: unread.moveReaderIndex(forwardBy: unread.readableBytes)
        }
    }

    private func headIsUnderWay(_ isUnderWay: Bool) {
        guard isUnderWay != isHeadUnderWay else { return }
        isHeadUnderWay = isUnderWay
        if isUnderWay, current == nil { deadline = .now() + table.timeouts.header }
    }

    private func take(_ head: JudgedHead) {
        isHeadUnderWay = false
        let arrival = arrival(head)
        if head.bodyLength != 0, isTaken(arrival) { return admitStreamed(arrival) }
        if head.refusal != nil || head.bodyLength ?? 0 > table.configuration.discardLimit {
            return admitUnread(arrival)
        }
        guard head.bodyLength != 0 else { return admit(arrival) }
        let body = RequestBody(length: head.bodyLength, trailerLimit: table.configuration.headLimit)
        receiving = .body(arrival, body, received: 0)
        if current == nil {
            deadline = arrival.began + table.timeouts.header
            continueIfExpected()
        }
    }

    private func arrival(_ head: JudgedHead) -> Arrival {
        let request = Request(
            head, peer: peer, id: table.makeID(), lane: table.lane, isByOwner: table.isForOwner,
            isAtLogin: table.isForLogin)
        return Arrival(request, began: .now())
    }

    /// The request is here whole.
    private func end(_ arrival: Arrival) {
        receiving = .head
        admit(arrival)
    }

    /// RFC 9110 §10.1.1. In a pipeline the 100 waits for the responses before it.
    private func continueIfExpected() {
        guard case .body(let arrival, _, received: 0) = receiving, arrival.head.expectsContinue else { return }
        send(ByteBuffer(staticString: "HTTP/1.1 100 Continue\r\n\r\n")) {}
    }

    /// A request whose body will not be read to its end: the last of this connection.
    private func admitUnread(_ arrival: Arrival) {
        var arrival = arrival
        arrival.isPersistent = false
        receiving = .rest
        isInputUnread = true
        admit(arrival)
    }

    func admit(_ arrival: Arrival) {
        var arrival = arrival
        // Those that memory has answered wait for nothing but the turn's end.
        while isPosted, isQueueFull, table.outbox.sendNow() {}
        if isQueueFull {
            arrival.isPersistent = false
            isInputUnread = true
        }
        isDeaf = !arrival.isPersistent && streamed == nil
        queue.append(arrival)
        advance()
    }

    private var isQueueFull: Bool { queue.count >= Self.queueLimit || queuedBytes > Self.queuedBytesLimit }

    /// Gives requests their turn until one has to wait. A loop, not a recursion: memory may answer all of a pipeline.
    private func advance() {
        guard !isAdvancing else { return }
        isAdvancing = true
        while current == nil, !isLingering, isOpen, !queue.isEmpty {
            begin(Exchange(queue.removeFirst()))
        }
        isAdvancing = false
        if current == nil, queue.isEmpty { rest() }
    }

    private func begin(_ exchange: Exchange) {
        current = exchange
        let request = exchange.arrival.request
        if let refusal = request.head.refusal { return answer(exchange, .plain(refusal), isLast: true) }
        if table.isDraining {
            return answer(exchange, .plain(.serviceUnavailable, "stopping", retryAfter: 1), isLast: true)
        }
        if admission == .refused {
            return answer(exchange, .plain(.serviceUnavailable, "too many connections", retryAfter: 1), isLast: true)
        }
        if let response = table.responder.ready(request) { return answer(exchange, response) }

        deadline = isInputClosed ? .now() + table.timeouts.header : .distantFuture
        let loop = table.loop
        let bound = NIOLoopBound((self, exchange), eventLoop: loop)
        exchange.task = Task { [responder = table.responder, limit = table.configuration.discardLimit, request] in
            let response = await responder.respond(to: request)
            if let body = request.body { await body.passOver(limit) }
            loop.execute {
                let (connection, exchange) = bound.value
                connection.deliver(response, to: exchange)
            }
        }
    }

    private func deliver(_ response: Response, to exchange: Exchange) {
        guard exchange === current, isOpen else {
            response.observer?.ended(.clientLeft)
            return
        }
        answer(exchange, response)
    }

    private func answer(_ exchange: Exchange, _ response: Response, isLast: Bool = false) {
        let framing = Framing(response, isHTTP10: exchange.arrival.head.isHTTP10)
        let ends =
            isLast || !exchange.arrival.isPersistent || framing == .untilClose || table.isStopping || table.isDraining
            || exchange.arrival.request.body?.isWhole == false || (isInputClosed && queue.isEmpty)
            || response.endsConnection
        exchange.answered(by: response, isLast: ends)
        if ends {
            stopStream(.clientLeft)
            isDeaf = true
        }
        hasServed = true
        write(response, framing, for: exchange)
    }

    // MARK: Ends

    /// The current response was handed to the kernel whole.
    func responseEnded() {
        guard let exchange = current else { return }
        end(exchange, .complete)
        guard exchange.isLast else { return advance() }
        // Only a client that asked for the close is known to send no more.
        if exchange.arrival.isPersistent { isInputUnread = true }
        leave()
    }

    private func end(_ exchange: Exchange, _ ending: ResponseEnding) {
        output.pump?.stop()
        output.live?.stop()
        output = Output()
        current = nil
        exchange.end(ending, log: table.log, times: table.times)
    }

    /// Nothing is asked: what was put off meanwhile happens now, and the clock is set.
    private func rest() {
        queuedBytes = 0
        guard !isLingering, isOpen else { return }
        if isInputClosed || (table.isDraining && awaitsHead && !isHeadUnderWay) { return leave() }
        let isWaited = isHeadUnderWay || !hasServed || !awaitsHead
        deadline = .now() + (isWaited ? table.timeouts.header : table.timeouts.idle)
        continueIfExpected()
        if isReadHeld {
            isReadHeld = false
            context?.read()
        }
    }

    /// Closes after the last response. If the client may still be sending, only our side at first: a close with unread
    /// input is a reset (RFC 9112 §9.6), and that can overtake the response.
    private func leave() {
        guard !isLingering else { return }
        guard isInputUnread, !isInputClosed else { return close() }
        register()
        guard let context else { return }
        isLingering = true
        isDeaf = true
        deadline = .now() + table.timeouts.linger
        context.close(mode: .output, promise: nil)
        if isReadHeld {
            isReadHeld = false
            context.read()
        }
    }

    /// Under TLS the client is told first, and has a moment to say the same; what else it says then comes too late.
    private func close() {
        isDeaf = true
        shut(context)
    }

    /// Ends the connection so that no client takes what it has for the whole: by RST.
    func reset(as ending: ResponseEnding) {
        if let exchange = current { end(exchange, ending) }
        queue = []
        isDeaf = true
        setLinger(true)
        // Not through TLS, which would say an honest end first.
        shut(tls ?? context)
    }

    /// The connection is no more, and its descriptor may be another's next.
    func over() {
        guard standing != .over else { return }
        standing = .over
        isDeaf = true
        descriptor = nil
        stopStream(.clientLeft)
        queue = []
        if let exchange = current { end(exchange, .clientLeft) }
        table.limits.leave(peer, admission)
        table.remove(self)
    }

    /// The server is stopping. What is under way goes on, if it has an end; an idle connection has nothing to wait for.
    func drain() {
        output.live?.drain()
        if current == nil, queue.isEmpty { rest() }
    }

    /// `deadline` has passed.
    func expire(at now: NIODeadline) {
        if isLingering {
            close()
        } else if let exchange = current {
            if let since = output.standsSince { return checkStall(at: now, since: since) }
            if stream.isWanted { stopStream(.stalled) }
            // Its side closed, and no answer in sight: a half-closed client is given up, like one that closed whole.
            deadline = .distantFuture
            if isInputClosed, !exchange.isAnswered { reset(as: .clientLeft) }
        } else if isHeadUnderWay || !awaitsHead {
            refuse(.init("request not received in time", status: .requestTimeout))
        } else {
            close()
        }
    }

    func setDeadline(_ deadline: NIODeadline) {
        self.deadline = deadline
    }

    /// Answers what cannot be read, after what could.
    private func refuse(_ refusal: JudgedHead.Refusal) {
        guard !isDeaf else { return }
        admitUnread(arrival(JudgedHead(refusal: refusal)))
    }
}

// MARK: The channel's events

extension Connection {
    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        tls = nil
    }

    func channelInactive(context: ChannelHandlerContext) { over() }

    /// Back-pressure: while a request is being answered, the next bytes stay in the socket.
    func read(context: ChannelHandlerContext) {
        if current != nil, !isLingering, !isPosted, !stream.isWanted {
            isReadHeld = true
        } else {
            context.read()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event as? ChannelEvent == .inputClosed else { return tlsTold(event) }
        isInputClosed = true
        stopStream(.clientLeft)
        if isLingering || (current == nil && queue.isEmpty) { return close() }
        // It may be gone or only have nothing more to say: TCP does not tell. It gets what is under way, but a task
        // nobody may be waiting for is not waited for without end.
        if let current, !current.isAnswered { deadline = .now() + table.timeouts.header }
        output.live?.probe()
    }

    /// The socket's own. A body under way is ended by RST: `setLinger`.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if tls != nil, tlsFailed(error) { return }
        context.close(promise: nil)
    }
}
