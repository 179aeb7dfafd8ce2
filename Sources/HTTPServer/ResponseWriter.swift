// A connection's writing half: heads and small bodies in one piece, other bodies by a pump, and how far the client is.
import Glibc
import HTTPTypes
import NIOCore

/// What is on its way to the kernel for the response under way.
struct Output {
    var pump: BodyPump?
    var live: LivePump?
    /// Bytes the client's kernel had acknowledged when last looked at, and since when that has not changed; `nil` while
    /// nothing is waited for.
    var acknowledged: UInt64?
    var standsSince: NIODeadline?
}

extension Connection {
    func write(_ response: Response, _ framing: Framing, for exchange: Exchange) {
        let request = exchange.arrival.head
        let head = ResponseHead(
            response: response, framing: framing, isHEAD: request.method == .head, isHTTP10: request.isHTTP10,
            isLast: exchange.isLast,
            requestID: request.givenID
                ?? (response.status.code >= 400 ? RequestID.made(exchange.arrival.request.id) : nil))
        switch response.body {
        case _ where head.isHEAD || framing == .none || framing == .length(0), .empty:
            post(head, [], of: exchange)
        case .bytes(let bytes):
            post(head, bytes, of: exchange)
        case .file(let body):
            register()
            // From here to the body's end, however the connection ends (a failed sendfile, a bug, the process killed),
            // it ends by RST.
            setLinger(true)
            let pump = BodyPump(body, isChunked: framing == .chunked, connection: self)
            output.pump = pump
            // At once: the client sees the status while the first byte may still be awaited.
            send(bytes(of: head)) {}
            pump.start()
        case .live(let body):
            register()
            // As above: only an end that was meant is one.
            setLinger(true)
            let pump = LivePump(body, isChunked: framing == .chunked, connection: self)
            output.live = pump
            send(bytes(of: head)) { pump.headTaken() }
            pump.start()
            if table.isDraining { pump.drain() }
        }
    }

    /// A head and a body in memory, at the end of the loop's turn if that may be.
    private func post(_ head: ResponseHead, _ body: [UInt8], of exchange: Exchange) {
        guard openOutlet != nil, body.count <= Outbox.largest, !table.outbox.isFull else {
            return send(bytes(of: head, body)) { self.sent(body.count, of: exchange) }
        }
        isPosted = true
        let date = table.date
        table.outbox.post(exchange, of: self, body: body.count) { bytes in
            head.write(into: &bytes, date: date)
            bytes.writeBytes(body)
        }
    }

    /// The turn's end: the kernel gets it. `bytes` are not there any more after this.
    func dispatch(_ bytes: UnsafeRawBufferPointer, of exchange: Exchange, body: Int) {
        // The connection may have ended since, and the exchange with it.
        guard exchange === current else { return }
        isPosted = false
        let taken = openOutlet.map { max(0, Glibc.send($0, bytes.baseAddress, bytes.count, flags)) } ?? 0
        if taken < bytes.count {
            let rest = ByteBuffer(bytes: UnsafeRawBufferPointer(rebasing: bytes[taken...]))
            enqueue(.byteBuffer(rest)) { self.sent(body, of: exchange) }
        } else {
            sent(body, of: exchange)
        }
        registerUnlessPosted()
    }

    private func sent(_ body: Int, of exchange: Exchange) {
        if body > 0 { exchange.handed(Int64(body)) }
        responseEnded()
    }

    private func bytes(of head: ResponseHead, _ body: [UInt8] = []) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(512 + body.count)
        head.write(into: &buffer, date: table.date)
        buffer.writeBytes(body)
        return buffer
    }

    /// One piece of a body; `then` runs when the kernel has taken all of it, and never if it cannot.
    func writeBody(_ data: IOData, length: Int64, isChunked: Bool, then: @escaping () -> Void) {
        guard let exchange = current, let context else { return }
        let taken = {
            exchange.handed(length)
            then()
        }
        guard isChunked else { return enqueue(data, then: taken) }
        let size = ByteBuffer(string: "\(String(length, radix: 16))\r\n")
        context.write(wrapOutboundOut(.byteBuffer(size)), promise: nil)
        context.write(wrapOutboundOut(data), promise: nil)
        enqueue(.byteBuffer(ByteBuffer(staticString: "\r\n")), then: taken)
    }

    /// The body was handed over whole: from here on a close is an honest one.
    func finishBody(isChunked: Bool) {
        setLinger(false)
        guard isChunked else { return responseEnded() }
        send(ByteBuffer(staticString: "0\r\n\r\n")) { self.responseEnded() }
    }

    /// Whether closing the socket is a reset (SO_LINGER with no time) or an end.
    func setLinger(_ isReset: Bool) {
        guard let socket else { return }
        var option = linger(l_onoff: isReset ? 1 : 0, l_linger: 0)
        // On a socket of which nothing is left it fails, and there is nothing to say.
        _ = setsockopt(socket, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    /// Whether the kernel keeps back what fills no segment (tcp(7), TCP_CORK).
    func setCork(_ isCorked: Bool) {
        guard let socket else { return }
        var option: CInt = isCorked ? 1 : 0
        _ = setsockopt(socket, CInt(IPPROTO_TCP), TCP_CORK, &option, socklen_t(MemoryLayout<CInt>.size))
    }

    // MARK: Towards the kernel

    /// While it is open, and on its loop: NIO closes it there, and says at once that it has.
    private var socket: CInt? { isOpen ? descriptor : nil }

    /// Where the kernel may be given something past the channel: nothing waits there that would be overtaken.
    private var openOutlet: CInt? { isInFlight || tls != nil ? nil : socket }

    /// Bytes in memory; `then` runs when the kernel has taken all of them.
    ///
    /// Most of what is sent the kernel takes at once. That costs the call and nothing else: no queue, no promise and no
    /// future. What it does not take, or fails at, goes the way of the channel.
    func send(_ bytes: ByteBuffer, then: @escaping () -> Void) {
        var bytes = bytes
        if let outlet = openOutlet {
            bytes.readWithUnsafeReadableBytes { max(0, Glibc.send(outlet, $0.baseAddress, $0.count, flags)) }
            if bytes.readableBytes == 0 { return then() }
        }
        enqueue(.byteBuffer(bytes), then: then)
    }

    private var flags: CInt { CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT) }

    /// Of a file, in the same way.
    ///
    /// - Returns: how many of these bytes the kernel has taken; the rest is for `writeBody`.
    func sendAtOnce(_ piece: Range<Int64>, of file: OpenFile) -> Int64 {
        guard let outlet = openOutlet else { return 0 }
        var offset = off_t(piece.lowerBound)
        let taken = Int64(max(0, sendfile(outlet, file.descriptor, &offset, piece.count)))
        if taken > 0 { current?.handed(taken) }
        return taken
    }

    private func enqueue(_ data: IOData, then: @escaping () -> Void) {
        register()
        guard let context else { return }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { result in
            self.inFlight -= 1
            // A disk that does not give its bytes is no client that left.
            if case .failure(let error as IOError) = result, error.errnoCode == EIO { return self.reset(as: .broken) }
            // On any other failure the channel is closed; `channelInactive` ends the response.
            guard case .success = result, self.current != nil else { return }
            then()
        }
        inFlight += 1
        context.writeAndFlush(wrapOutboundOut(data), promise: promise)
        if isInFlight, current != nil { watch() }
    }

    /// From here on the client must go on taking bytes, until it has all of them. Who is watched already has no more
    /// time for a further piece.
    func watch() {
        guard output.standsSince == nil else { return }
        let now = NIODeadline.now()
        output.acknowledged = nil
        output.standsSince = now
        setDeadline(now + stallInterval)
    }

    /// A region may be in flight for long while a slow client takes it byte by byte; so not the write's end is asked
    /// for but what the client's kernel has acknowledged.
    func checkStall(at now: NIODeadline, since standsSince: NIODeadline) {
        let receipt = receipt()
        // Where nobody tells (no TCP), what the kernel has taken is all that is known.
        if receipt?.isWhole ?? true, !isInFlight {
            output.standsSince = nil
            // A client that was told to go on has its time from here.
            return setDeadline(stream.isWanted ? now + table.timeouts.stall : .distantFuture)
        }
        if receipt?.acknowledged != output.acknowledged {
            output.acknowledged = receipt?.acknowledged
            output.standsSince = now
        } else if now - standsSince >= table.timeouts.stall {
            return reset(as: .clientLeft)
        }
        setDeadline(now + stallInterval)
    }

    private var stallInterval: TimeAmount { .nanoseconds(table.timeouts.stall.nanoseconds / 4) }

    private struct Receipt {
        /// Bytes.
        let acknowledged: UInt64
        /// Nothing of what the kernel has taken is on its way or waiting.
        let isWhole: Bool
    }

    /// From `struct tcp_info`, by the places in the kernel's ABI; glibc's own struct ends before them.
    private func receipt() -> Receipt? {
        let (unacked, bytesAcked, notSent, end) = (24, 120, 144, 148)
        var info = [UInt8](repeating: 0, count: end)
        var length = socklen_t(info.count)
        let isKnown = socket.map {
            getsockopt($0, CInt(IPPROTO_TCP), TCP_INFO, &info, &length) == 0 && length == info.count
        }
        // `nil` (a closed socket) never changes and so counts as standing still.
        guard isKnown == true else { return nil }
        return info.withUnsafeBytes { info in
            let waiting = [unacked, notSent].map { info.loadUnaligned(fromByteOffset: $0, as: UInt32.self) }
            return Receipt(
                acknowledged: info.loadUnaligned(fromByteOffset: bytesAcked, as: UInt64.self),
                isWhole: waiting == [0, 0])
        }
    }
}
