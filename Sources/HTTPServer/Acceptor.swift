// What a listener does with who has come, and when the process has no descriptor left: it rests, and tries again.
import Glibc
import Logging
import NIOCore

/// A connection begins here, past what the bootstrap would do with its channel (`NewConnection.swift`).
///
/// One that cannot be accepted stays in the kernel's queue, and so the listener stays readable: without a rest its loop
/// would do nothing but try. Who waits is served when others have gone.
final class Acceptor: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private static let pause = TimeAmount.milliseconds(100)
    /// How often it is said.
    private static let silence = TimeAmount.minutes(1)

    private let table: ConnectionTable
    private var nextWarning = NIODeadline.distantPast

    init(table: ConnectionTable) {
        self.table = table
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        Connection(table: table, channel: unwrapInboundIn(data)).start()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        defer { context.fireErrorCaught(error) }
        let shortages = [EMFILE, ENFILE, ENOBUFS, ENOMEM]
        guard let code = (error as? IOError)?.errnoCode, shortages.contains(code) else { return }
        let channel = context.channel
        // It fails on a listener that is closed, which has its rest.
        try? channel.syncOptions?.setOption(.autoRead, value: false)
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            try? channel.syncOptions?.setOption(.autoRead, value: true)
        }
        let now = NIODeadline.now()
        guard now >= nextWarning else { return }
        nextWarning = now + Self.silence
        table.logger.warning(
            "connections wait: raise the limit on open files (ulimit -n, LimitNOFILE), or lower limits.connections",
            metadata: ["reason": "\(String(cString: strerror(code)))"])
    }
}
