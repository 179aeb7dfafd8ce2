// One connection of a StubRegistry: a request in, an answer out, with the faults that were ordered.
import NIOCore
import NIOHTTP1
import NIOPosix

final class StubConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// One answer under way.
    private struct Sending {
        var body: ByteBuffer
        var stallAt: Int?
        var holds: [(at: Int, gate: StubGate)] = []
        var cut: (at: Int, reset: Bool)?
        var closesAtEnd = false
        var pace: Int?
        var isContent: Bool
        var isHead: Bool
        var sent = 0
        /// Whether it is one of those that the log counts.
        var isBody: Bool { isContent && !isHead }
        let start: NIODeadline

        /// The bytes of the next piece: no further than to the next offset at which something happens.
        var nextLength: Int {
            let stops = [cut?.at, stallAt, holds.first?.at].compactMap { $0 }
            return stops.reduce(min(body.readableBytes, 64 * 1024)) { min($0, $1 - sent) }
        }

        /// Takes in the faults of bodies; the length to announce, or nil for none.
        mutating func obey(_ faults: [StubFault], _ bytes: inout [UInt8]) -> Int? {
            var length: Int? = bytes.count
            for fault in faults {
                switch fault {
                case .stall(let at): stallAt = at
                case .holdBody(let at, let gate):
                    holds.append((at, gate))
                    holds.sort { $0.at < $1.at }
                case .cut(let at, let reset): cut = (at, reset)
                case .corrupt(let at): if bytes.indices.contains(at) { bytes[at] ^= 0xFF }
                case .overstate(let by):
                    length = bytes.count + by
                    closesAtEnd = true
                case .chunked: length = nil
                case .pace(let rate): pace = rate
                case .status, .html, .redirect, .fields, .hold, .ignoreRange, .partialUnasked, .rangeTotal, .entityTag,
                    .changingEntityTag, .ignoreIfRange, .cuts:
                    break
                }
            }
            return length
        }
    }

    private let registry: StubRegistry
    private let door: StubDoor
    private var context: ChannelHandlerContext?
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var sending: Sending?

    init(_ registry: StubRegistry, _ door: StubDoor) {
        self.registry = registry
        self.door = door
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelInactive(context: ChannelHandlerContext) {
        if head != nil || sending != nil { registry.watched.change { $0.abandoned += 1 } }
        served()
        self.context = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
        case .body(let bytes): body += bytes.readableBytesView
        case .end: received(context)
        }
    }

    private func received(_ context: ChannelHandlerContext) {
        guard let head else { return }
        let parts = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let request = StubRequest(
            door: door, method: head.method.rawValue, path: String(parts[0]),
            query: parts.count > 1 ? String(parts[1]) : nil, fields: head.headers.map { ($0.name, $0.value) },
            body: body)
        registry.watched.change { $0.requests.append(request) }
        let faults = registry.faults(for: request)
        let gates = faults.compactMap { if case .hold(let gate) = $0 { gate } else { nil } }
        guard let gate = gates.first else { return answer(request, faults) }
        registry.watched.change { $0.held += 1 }
        let me = NIOLoopBound(self, eventLoop: context.eventLoop)
        let loop = context.eventLoop
        gate.whenOpen { loop.execute { me.value.answer(request, faults) } }
    }

    private func answer(_ request: StubRequest, _ faults: [StubFault]) {
        guard let context else { return }
        var answer = registry.answer(to: request)
        for fault in faults { fault.replace(&answer) }
        let ignoresRange = faults.contains { if case .ignoreRange = $0 { true } else { false } }
        let ignoresCondition = faults.contains { if case .ignoreIfRange = $0 { true } else { false } }
        let isPartial = !ignoresRange && (ignoresCondition || answer.meets(request["If-Range"]))
        if answer.isContent, answer.status == 200, isPartial {
            answer.cut(to: request.range)
            for case .rangeTotal(let total) in faults { answer.tell(total: total) }
        }
        let isHead = request.method == "HEAD"
        var sending = Sending(body: ByteBuffer(), isContent: answer.isContent, isHead: isHead, start: .now())
        let isChunked = faults.contains { if case .chunked = $0 { true } else { false } }
        let length =
            answer.isContent ? sending.obey(faults, &answer.body) : isChunked ? nil : answer.body.count
        sending.body = context.channel.allocator.buffer(bytes: isHead ? [] : answer.body)
        var headers = HTTPHeaders(answer.fields)
        if let length { headers.add(name: "Content-Length", value: "\(length)") }
        let status = HTTPResponseStatus(statusCode: answer.status)
        let head = HTTPResponseHead(version: .http1_1, status: status, headers: headers)
        self.head = nil
        self.sending = sending
        if sending.isBody { registry.watched.change { $0.serving += 1 } }
        context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
        pump()
    }

    /// Sends a piece and comes back when it is in the kernel: a client that does not read stops it.
    private func pump() {
        guard let context, let sending else { return }
        if let cut = sending.cut, sending.sent >= min(cut.at, sending.sent + sending.body.readableBytes) {
            served()
            return cut.reset ? reset(context) : context.close(promise: nil)
        }
        if let stallAt = sending.stallAt, sending.sent >= stallAt {
            return registry.watched.change { $0.stalled += 1 }
        }
        if let hold = sending.holds.first, sending.sent >= hold.at { return wait(at: hold.gate, context) }
        guard sending.body.readableBytes > 0 else { return end(context) }
        var length = sending.nextLength
        let me = NIOLoopBound(self, eventLoop: context.eventLoop)
        if let pace = sending.pace {
            let due = Int(Double((NIODeadline.now() - sending.start).nanoseconds) * Double(pace) / 1e9)
            guard due > sending.sent else {
                context.eventLoop.scheduleTask(in: .milliseconds(1)) { me.value.pump() }
                return
            }
            length = min(length, due - sending.sent)
        }
        guard let piece = self.sending?.body.readSlice(length: length) else { return }
        self.sending?.sent += length
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { result in
            guard case .success = result else { return }
            if sending.isContent { self.registry.watched.change { $0.bytesSent += length } }
            self.pump()
        }
        context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(piece))), promise: written)
    }

    private func wait(at gate: StubGate, _ context: ChannelHandlerContext) {
        sending?.holds.removeFirst()
        registry.watched.change { $0.held += 1 }
        let me = NIOLoopBound(self, eventLoop: context.eventLoop)
        let loop = context.eventLoop
        gate.whenOpen { loop.execute { me.value.pump() } }
    }

    /// The answer is over, one way or another.
    private func served() {
        if sending?.isBody == true { registry.watched.change { $0.serving -= 1 } }
        sending = nil
    }

    private func end(_ context: ChannelHandlerContext) {
        let closes = sending?.closesAtEnd == true && sending?.isHead == false
        served()
        if closes { return context.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    private func reset(_ context: ChannelHandlerContext) {
        guard let socket = context.channel as? any SocketOptionProvider else { return context.close(promise: nil) }
        let channel = context.channel
        socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in channel.close(promise: nil) }
    }
}

extension StubFault {
    /// The faults that are another answer.
    fileprivate func replace(_ answer: inout StubAnswer) {
        switch self {
        case .status(let status, let body, let fields):
            let type = body.hasPrefix("{") ? "application/json" : "text/plain"
            answer = StubAnswer(
                status: status, fields: (body.isEmpty ? [] : [("Content-Type", type)]) + fields, body: Array(body.utf8))
        case .html:
            answer = StubAnswer(
                status: 200, fields: [("Content-Type", "text/html; charset=utf-8")],
                body: Array("<html>please log in</html>".utf8))
        case .redirect(let location):
            answer = StubAnswer(status: 307, fields: [("Location", location)])
        case .fields(let fields):
            for (name, value) in fields {
                answer.fields.removeAll { $0.name.lowercased() == name.lowercased() }
                if !value.isEmpty { answer.fields.append((name, value)) }
            }
        case .entityTag(let tag):
            answer.fields.removeAll { $0.name == "ETag" }
            if answer.isContent { answer.fields.append(("ETag", tag)) }
        case .partialUnasked:
            answer.status = 206
            answer.fields.append(("Content-Range", "bytes 0-\(answer.body.count - 1)/\(answer.body.count)"))
        case .hold, .holdBody, .stall, .cut, .cuts, .corrupt, .overstate, .chunked, .pace, .ignoreRange, .rangeTotal,
            .changingEntityTag, .ignoreIfRange:
            break
        }
    }
}

extension StubAnswer {
    /// RFC 9110 §13.1.5, by strong comparison; dates never hold.
    fileprivate func meets(_ condition: String?) -> Bool {
        guard let condition else { return true }
        return !condition.hasPrefix("W/") && fields.contains { $0.name == "ETag" && $0.value == condition }
    }

    fileprivate mutating func tell(total: String) {
        for index in fields.indices where fields[index].name == "Content-Range" && status == 206 {
            fields[index].value = fields[index].value.prefix { $0 != "/" } + "/\(total)"
        }
    }

    /// RFC 9110 §14, for one range.
    fileprivate mutating func cut(to range: String?) {
        guard let range, range.hasPrefix("bytes="), !range.contains(",") else { return }
        let parts = range.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return }
        let size = body.count
        let bounds: Range<Int>
        if let first = Int(parts[0]) {
            guard first < size else {
                status = 416
                fields.append(("Content-Range", "bytes */\(size)"))
                body = []
                return
            }
            bounds = first..<min(size, (Int(parts[1]) ?? size - 1) + 1)
        } else {
            bounds = max(0, size - (Int(parts[1]) ?? 0))..<size
        }
        status = 206
        fields.append(("Content-Range", "bytes \(bounds.lowerBound)-\(bounds.upperBound - 1)/\(size)"))
        body = Array(body[bounds])
    }
}
