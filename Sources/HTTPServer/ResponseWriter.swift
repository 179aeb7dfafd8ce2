// A connection's writing half: heads and small bodies in one piece, other bodies by a pump, and how far the client is.
import Glibc
import HTTPTypes
import NIOCore

/// What is on its way to the kernel for the response under way.
struct Output {
    var pump: BodyPump?
    var live: LivePump?
    /// Something is written that the kernel has not taken whole yet.
    var isInFlight = false
    /// Bytes the client's kernel had acknowledged when last looked at, and since when that has not changed; `nil` while
    /// nothing is waited for.
    var acknowledged: UInt64?
    var standsSince: NIODeadline?
}

extension Connection {
    func write(_ response: Response, _ framing: Framing, for exchange: Exchange) {
        guard let context else { return }
        let arrival = exchange.arrival
        let head = ResponseHead(
            response: response, framing: framing, isHEAD: arrival.request.method == .head, isHTTP10: arrival.isHTTP10,
            isLast: exchange.isLast)
        var buffer = context.channel.allocator.buffer(capacity: head.estimatedSize)
        head.write(into: &buffer, date: table.date)

        switch response.body {
        case _ where head.isHEAD || framing == .none || framing == .length(0), .empty:
            send(.byteBuffer(buffer)) { self.responseEnded() }
        case .bytes(let bytes):
            buffer.writeBytes(bytes)
            send(.byteBuffer(buffer)) {
                exchange.handed(Int64(bytes.count))
                self.responseEnded()
            }
        case .file(let body):
            // From here to the body's end, however the connection ends (a failed sendfile, a bug, the process killed),
            // it ends by RST.
            setLinger(true)
            let pump = BodyPump(body, isChunked: framing == .chunked, connection: self)
            output.pump = pump
            // At once: the client sees the status while the first byte may still be awaited.
            context.writeAndFlush(wrapOutboundOut(.byteBuffer(buffer)), promise: nil)
            pump.start()
        case .live(let body):
            // As above: only an end that was meant is one.
            setLinger(true)
            let pump = LivePump(body, isChunked: framing == .chunked, connection: self)
            output.live = pump
            context.writeAndFlush(wrapOutboundOut(.byteBuffer(buffer)), promise: nil)
            pump.start()
            if table.isDraining { pump.drain() }
        }
    }

    /// One piece of a body; `then` runs when the kernel has taken all of it, and never if it cannot.
    func writeBody(_ data: IOData, length: Int64, isChunked: Bool, then: @escaping () -> Void) {
        guard let exchange = current, let context else { return }
        let taken = {
            exchange.handed(length)
            then()
        }
        guard isChunked else { return send(data, then: taken) }
        let size = ByteBuffer(string: "\(String(length, radix: 16))\r\n")
        context.write(wrapOutboundOut(.byteBuffer(size)), promise: nil)
        context.write(wrapOutboundOut(data), promise: nil)
        send(.byteBuffer(ByteBuffer(staticString: "\r\n")), then: taken)
    }

    /// The body was handed over whole: from here on a close is an honest one.
    func finishBody(isChunked: Bool) {
        setLinger(false)
        guard isChunked else { return responseEnded() }
        send(.byteBuffer(ByteBuffer(staticString: "0\r\n\r\n"))) { self.responseEnded() }
    }

    /// Whether closing the socket is a reset (SO_LINGER with no time) or an end.
    func setLinger(_ isReset: Bool) {
        guard let socket = context?.channel as? any SocketOptionProvider else { return }
        // Runs at once on the loop; on a socket already closed it fails, and nothing is left to say.
        _ = socket.setSoLinger(linger(l_onoff: isReset ? 1 : 0, l_linger: 0))
    }

    private func send(_ data: IOData, then: @escaping () -> Void) {
        guard let context else { return }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { result in
            // A disk that does not give its bytes is no client that left.
            if case .failure(let error as IOError) = result, error.errnoCode == EIO { return self.reset(as: .broken) }
            // On any other failure the channel is closed; `channelInactive` ends the response.
            guard case .success = result, self.current != nil else { return }
            self.output.isInFlight = false
            then()
        }
        output.isInFlight = true
        context.writeAndFlush(wrapOutboundOut(data), promise: promise)
        if output.isInFlight { watch() }
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
        if receipt?.isWhole ?? true, !output.isInFlight {
            output.standsSince = nil
            return setDeadline(.distantFuture)
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
        let isKnown = try? context?.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: CInt.self) { socket in
            var length = socklen_t(info.count)
            let result = getsockopt(socket, CInt(IPPROTO_TCP), TCP_INFO, &info, &length)
            return result == 0 && length == info.count
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

extension ResponseHead {
    /// Bytes of head and small body, roughly: one allocation instead of several.
    var estimatedSize: Int {
        guard !isHEAD, case .bytes(let bytes) = response.body else { return 512 }
        return 512 + bytes.count
    }
}
