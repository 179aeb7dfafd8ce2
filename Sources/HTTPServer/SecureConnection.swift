// What a connection does otherwise where TLS is spoken on it: reading files for it, and what becomes of its failures.
import Glibc
import Logging
import NIOCore
import NIOSSL
import NIOTLS

extension Connection {
    /// These bytes of a file; `nil` if the disk does not give all of them.
    ///
    /// Read on the loop, as `sendfile` does: what is in the page cache costs a copy, and what is not holds up the loop
    /// for one piece. The buffer is the loop's own: by the time this connection's next piece is read, or another's, TLS
    /// has taken it, or holds on to it and a new one is made.
    func read(_ piece: Range<Int64>, of body: FileBody) -> IOData? {
        let count = Int(piece.upperBound - piece.lowerBound)
        table.scratch.clear(minimumCapacity: count)
        let read = table.scratch.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { bytes in
            var read = 0
            while read < count {
                let offset = off_t(piece.lowerBound) + off_t(read)
                let result = pread(body.file.descriptor, bytes.baseAddress.map { $0 + read }, count - read, offset)
                if result < 0, errno == EINTR { continue }
                guard result > 0 else { break }
                read += result
            }
            return read
        }
        return read == count ? .byteBuffer(table.scratch) : nil
    }

    /// Acknowledges the client's last word of the handshake. Nothing else would, since tickets wait for the first
    /// answer: a client that holds its request back until then (Nagle's algorithm) would be held up for 40 ms.
    func tlsTold(_ event: Any) {
        guard case .handshakeCompleted = event as? TLSUserEvent else { return }
        // It fails on a socket that is closed, where nobody waits.
        try? channel.syncOptions?.setOption(.tcpOption(.init(rawValue: TCP_QUICKACK)), value: 1)
    }

    /// - Returns: whether nothing else is to be done: the connection goes on, or is closed by who has failed.
    func tlsFailed(_ error: any Error) -> Bool {
        switch error {
        case NIOSSLError.uncleanShutdown:
            // A client that closes without saying so in TLS, as many do: `inputClosed` or `channelInactive` follows.
            return true
        case NIOSSLError.handshakeFailed(let reason):
            // Anyone can make these, so they stand in no log that is not asked for.
            table.logger.debug("no handshake", metadata: ["client": "\(peer)", "reason": "\(reason)"])
            if "\(reason)".contains("HTTP_REQUEST") { answerInClearText() }
            return true
        default:
            return false
        }
    }

    /// To who speaks HTTP where TLS is spoken; the close follows from who has noticed.
    private func answerInClearText() {
        let text = "this address speaks TLS: ask with https://\n"
        let answer = """
            HTTP/1.1 400 Bad Request\r
            Content-Type: text/plain; charset=utf-8\r
            Content-Length: \(text.utf8.count)\r
            Connection: close\r
            \r
            \(text)
            """
        tls?.writeAndFlush(NIOAny(ByteBuffer(string: answer)), promise: nil)
    }
}
