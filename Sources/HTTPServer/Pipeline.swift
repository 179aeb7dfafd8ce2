// What a connection is made of, and what a listener is: the only file that puts NIO's handlers together.
import Glibc
import NIOCore
import NIOPosix
import NIOSSL

enum Pipeline {
    /// Listens on one event loop; the connections stay on it.
    ///
    /// With one listener a loop (SO_REUSEPORT) a new connection never hops between threads.
    static func listen(
        on address: SocketAddress, table: NIOLoopBound<ConnectionTable>, loop: any EventLoop
    ) async throws -> any Channel {
        try await bootstrap(table, loop)
            .serverChannelOption(.backlog, value: 4_096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.socketOption(.init(rawValue: SO_REUSEPORT)), value: 1)
            // Inherited by what is accepted, which saves a call each.
            .serverChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .bind(to: address).get()
    }

    /// Listens at the admin socket, with a descriptor that is bound and listening.
    static func listen(
        on descriptor: CInt, table: NIOLoopBound<ConnectionTable>, loop: any EventLoop
    ) async throws -> any Channel {
        try await bootstrap(table, loop).withBoundSocket(descriptor).get()
    }

    /// What all listeners and their connections have in common.
    private static func bootstrap(_ table: NIOLoopBound<ConnectionTable>, _ loop: any EventLoop) -> ServerBootstrap {
        ServerBootstrap(group: loop)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try rest(channel, table.value) }
            }
            .childChannelInitializer { channel in
                do {
                    try configure(channel, table.value)
                    // The loop's own: it costs nothing.
                    return channel.eventLoop.makeSucceededVoidFuture()
                } catch {
                    return channel.eventLoop.makeFailedFuture(error)
                }
            }
    }

    /// The socket of one that has one; it stays NIO's.
    ///
    /// The protocol's own cast: the one of `withUnsafeTransportIfAvailable`, which names the type too, takes longer
    /// than it takes to accept a connection.
    static func socket(of channel: any Channel) -> CInt? {
        func transport(_ core: some NIOTransportAccessibleChannelCore) -> CInt? {
            // On an open channel it throws nothing.
            (try? core.withUnsafeTransport { $0 as? CInt }).flatMap { $0 }
        }
        return (channel as? any NIOTransportAccessibleChannelCore).flatMap { transport($0) }
    }

    /// Requests are small, and every idle connection keeps one of these.
    static let receive = AdaptiveRecvByteBufferAllocator(minimum: 1_024, initial: 2_048, maximum: 4_096)

    private static func rest(_ listener: any Channel, _ table: ConnectionTable) throws {
        try listener.pipeline.syncOperations.addHandler(AcceptRest(logger: table.logger))
    }

    /// No decoder, no encoder, no pipelining handler: `Connection` reads, keeps the order, and writes.
    private static func configure(_ channel: any Channel, _ table: ConnectionTable) throws {
        // At once: through the bootstrap each of them costs a new connection a future.
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
        try channel.syncOptions?.setOption(.recvAllocator, value: receive)
        let connection = Connection(table: table)
        let pipeline = channel.pipeline.syncOperations
        if let tls = table.configuration.tls, !table.isForOwner {
            let handler = NIOSSLServerHandler(context: tls.context)
            try pipeline.addHandler(handler)
            connection.tls = try pipeline.context(handler: handler)
        }
        try pipeline.addHandler(connection)
    }
}
