// Small answers of one turn of the loop, given to the kernel one after another at its end.
import NIOCore

/// What a turn of the loop brings is answered first, and sent then. A client with many connections is woken by the
/// first answer and finds the others when it comes to look; were each sent as it is made, it would be woken for each,
/// and waking somebody costs more than making an answer.
///
/// Confined to its event loop.
final class Outbox {
    private struct Letter {
        let connection: Connection
        let exchange: Exchange
        /// Where its bytes end.
        let end: Int
        /// How many of them are the body.
        let body: Int
    }

    /// Bytes an answer may have to be gathered, and those after which no more are.
    static let largest = 64 << 10
    private static let full = 256 << 10

    private let loop: any EventLoop
    private var letters: [Letter] = []
    private var bytes = ByteBuffer()
    /// What is being sent; both pairs are used in turn, and neither is made anew.
    private var leaving: (letters: [Letter], bytes: ByteBuffer) = ([], ByteBuffer())
    private var isSending = false

    init(loop: any EventLoop) { self.loop = loop }

    /// - Parameter write: appends the answer.
    func post(_ exchange: Exchange, of connection: Connection, body: Int, write: (inout ByteBuffer) -> Void) {
        write(&bytes)
        letters.append(Letter(connection: connection, exchange: exchange, end: bytes.writerIndex, body: body))
        if letters.count == 1 { loop.assumeIsolated().execute { self.sendNow() } }
        if isFull { sendNow() }
    }

    /// Whether no more should be gathered: what is being sent may bring new ones.
    var isFull: Bool { bytes.writerIndex > Self.full }

    /// What is answered meanwhile is sent the next time.
    ///
    /// - Returns: false if there was nothing to do, or somebody is at it.
    @discardableResult func sendNow() -> Bool {
        guard !isSending, !letters.isEmpty else { return false }
        isSending = true
        swap(&letters, &leaving.letters)
        swap(&bytes, &leaving.bytes)
        var start = 0
        for letter in leaving.letters {
            leaving.bytes.withUnsafeReadableBytes { bytes in
                letter.connection.dispatch(
                    UnsafeRawBufferPointer(rebasing: bytes[start..<letter.end]), of: letter.exchange,
                    body: letter.body)
            }
            start = letter.end
        }
        leaving.letters.removeAll(keepingCapacity: true)
        leaving.bytes.clear()
        isSending = false
        return true
    }
}
