// A file's body on its way out: a follower on its connection's event loop, one region in flight.
import NIOCore

/// Asks the body how much can be read, hands that to `sendfile`, and waits for the kernel to take it before it asks
/// again: a slow client slows nobody, and no byte comes to user space, but where TLS has to see it.
///
/// ```
/// advance ─ nothing to read ─→ waiting for the body ─ its call, or the pace ─→ advance
///    ├───── a piece, taken at once ─→ advance, or waiting for the loop's next turn
///    └───── a piece, or its rest ─→ in flight ─ taken ─→ advance
///    └───── at the end ─→ finished          └ failed ─→ stopped by the connection, which is gone
///    └───── broken, or shorter than promised ─→ the connection is reset
/// ```
final class BodyPump {
    /// `nil` once stopped. A waker may keep the pump for long after that, but not the file open.
    private var body: FileBody?
    private let isChunked: Bool
    /// NIO's view of the descriptor. `body.file` owns it, so this one must give it up unclosed before it goes.
    private let handle: NIOFileHandle
    private var offset: Int64
    /// `nil` once stopped: nothing happens after that, whoever calls.
    private var connection: Connection?
    private var isInFlight = false
    private var isWaiting = false
    private var isAdvancing = false
    private var isCorked = false

    /// Each piece costs a call; and a stored file may have to be read from the disk while the whole loop waits. The
    /// kernel takes no more at once than there is room for in the socket.
    private static let clearPiece: Int64 = 4 << 20
    /// Under TLS a piece is memory as long as the client has not taken it, and for the connection's life that much is
    /// kept by NIOSSL. Full records (RFC 8446 §5.1), which fill the next power of two but for what is around them.
    private static let securePiece: Int64 = 3 * 16 << 10
    /// After a piece smaller than this from a body still growing, the next is taken a little later: many small writes
    /// upstream become few here, and the first byte is still sent at once.
    private static let paceBelow: Int64 = 64 << 10
    private static let pace = TimeAmount.milliseconds(5)
    /// Bytes that are there to be sent, from which on the kernel is told to wait for full segments: a third less of its
    /// time for what goes out.
    private static let corkFrom: Int64 = 256 << 10
    /// What a client may take in one turn of the loop, which has others, and how long it then waits at least: what is
    /// due at once would have its turn before them.
    private static let breath = TimeAmount.microseconds(50)
    private static let turn: Int64 = 16 << 20

    init(_ body: FileBody, isChunked: Bool, connection: Connection) {
        self.body = body
        self.isChunked = isChunked
        self.connection = connection
        offset = body.start
        handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: body.file.descriptor)
    }

    func start() {
        advance()
    }

    /// The response has ended one way or another. A region still queued fails with EBADF, on a channel that is dead.
    func stop() {
        guard connection != nil else { return }
        connection = nil
        // It throws only if the handle is closed (nobody else has it) or inside a sendfile, which runs on this loop.
        _ = try? handle.takeDescriptorOwnership()
        body = nil
    }

    /// A loop, not a recursion: the kernel may take one piece after another.
    private func advance() {
        guard !isAdvancing else { return }
        isAdvancing = true
        defer { isAdvancing = false }
        let first = offset
        while let connection, let body, !isInFlight, !isWaiting {
            if let end = body.end, offset >= end { return finish() }
            if offset - first >= Self.turn { return rest(for: Self.breath) }

            let me = NIOLoopBound(self, eventLoop: connection.table.loop)
            let view = body.view(offset, offset + 1, connection.table.waker) { me.value.resume() }
            if view.ending == .broken { return connection.reset(as: .broken) }

            let readable = min(view.available, body.end ?? .max)
            guard offset < readable else {
                switch view.ending {
                case nil:
                    // What is there now must not wait for what is not.
                    cork(false)
                    isWaiting = true
                case .complete where body.end == nil: finish()
                case .complete, .broken: connection.reset(as: .broken)
                }
                return
            }
            let most = connection.tls == nil ? Self.clearPiece : Self.securePiece
            let piece = offset..<min(readable, offset + most)
            // A region past the end of the file would never end: sendfile(2) returns 0, and NIO waits.
            guard let size = body.file.size, piece.upperBound <= size else { return connection.reset(as: .broken) }
            if readable - offset >= Self.corkFrom { cork(true) }
            let isSmall = Int64(piece.count) < min(Self.paceBelow, most)
            send(piece, of: body, on: connection, thenWaits: view.ending == nil && isSmall)
        }
    }

    private func send(_ piece: Range<Int64>, of body: FileBody, on connection: Connection, thenWaits: Bool) {
        if !isChunked { offset += connection.sendAtOnce(piece, of: body.file) }
        guard offset < piece.upperBound else { return sent(to: piece.upperBound, thenWaits) }
        let left = offset..<piece.upperBound
        // The only place where it matters: a region in a pipeline with TLS would end the process.
        guard let data = connection.tls == nil ? region(left) : connection.read(left, of: body) else {
            return connection.reset(as: .broken)
        }
        isInFlight = true
        connection.writeBody(data, length: Int64(left.count), isChunked: isChunked) {
            self.isInFlight = false
            self.sent(to: left.upperBound, thenWaits)
            self.advance()
        }
    }

    private func sent(to end: Int64, _ waits: Bool) {
        offset = end
        guard waits, end < body?.end ?? .max else { return }
        cork(false)
        rest(for: Self.pace)
    }

    private func cork(_ isCorked: Bool) {
        guard let connection, connection.tls == nil, self.isCorked != isCorked else { return }
        self.isCorked = isCorked
        connection.setCork(isCorked)
    }

    private func region(_ piece: Range<Int64>) -> IOData {
        .fileRegion(
            FileRegion(fileHandle: handle, readerIndex: Int(piece.lowerBound), endIndex: Int(piece.upperBound)))
    }

    private func rest(for time: TimeAmount) {
        guard let connection else { return }
        isWaiting = true
        connection.table.loop.assumeIsolated().scheduleTask(in: time) { self.resume() }
    }

    private func resume() {
        isWaiting = false
        advance()
    }

    private func finish() {
        guard let connection else { return }
        cork(false)
        connection.finishBody(isChunked: isChunked)
    }
}
