// A live body on its way out: fetches what was written, one piece in flight, and tells the producer when it is over.
import NIOCore

/// ```
/// start ─ begin ─→ idle ─ written, or the heartbeat ─→ in flight ─ taken ─→ what came together meanwhile, or idle
///                   └ ended by the producer ─→ finished        └ too much came together ─→ the connection is reset
/// ```
/// Confined to the connection's event loop.
final class LivePump {
    private let body: LiveBody
    private let isChunked: Bool
    /// `nil` once stopped, as is the writer: nothing happens after that, whoever calls.
    private var connection: Connection?
    private var writer: LiveWriter?
    private var nextBeat: Scheduled<Void>?
    private var isAdvancing = false

    init(_ body: LiveBody, isChunked: Bool, connection: Connection) {
        self.body = body
        self.isChunked = isChunked
        self.connection = connection
    }

    func start() {
        // The head's write may have shown that the client is gone.
        guard let connection else { return }
        let loop = connection.table.loop
        let me = NIOLoopBound(self, eventLoop: loop)
        let writer = LiveWriter { loop.execute { me.value.advance() } }
        self.writer = writer
        scheduleBeat()
        body.begin(writer)
    }

    /// The kernel has taken the head: what came meanwhile may follow.
    func headTaken() { advance() }

    /// The response has ended one way or another.
    func stop() {
        connection = nil
        nextBeat?.cancel()
        nextBeat = nil
        let writer = writer
        self.writer = nil
        writer?.close()
    }

    /// The server is stopping, and this body would never end. A client that does not take the end at once is not waited
    /// for.
    func drain() {
        writer?.end()
        advance()
        connection?.reset(as: .clientLeft)
    }

    /// Writes something that the client's kernel must answer if nobody is there any more.
    func probe() {
        writer?.write(body.heartbeat.bytes)
    }

    private func scheduleBeat() {
        guard let loop = connection?.table.loop else { return }
        nextBeat = loop.assumeIsolated().scheduleTask(in: TimeAmount(body.heartbeat.every)) {
            self.probe()
            self.scheduleBeat()
        }
    }

    /// A loop, not a recursion: the kernel may take each piece at once while the next is being written.
    private func advance() {
        guard !isAdvancing else { return }
        isAdvancing = true
        defer { isAdvancing = false }
        while let connection, let writer {
            switch writer.next(isInFlight: connection.isInFlight) {
            case .nothing: return
            case .overrun: return connection.reset(as: .clientLeft)
            case .end: return connection.finishBody(isChunked: isChunked)
            case .piece(let bytes):
                // What the kernel has taken is not with the client yet, and nothing else may be written for long.
                connection.watch()
                connection.writeBody(
                    .byteBuffer(ByteBuffer(bytes: bytes)), length: Int64(bytes.count), isChunked: isChunked
                ) { self.advance() }
            }
        }
    }
}
