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

    /// What all listeners have in common. Of their connections the bootstrap hears nothing: `Acceptor` keeps them.
    private static func bootstrap(_ table: NIOLoopBound<ConnectionTable>, _ loop: any EventLoop) -> ServerBootstrap {
        ServerBootstrap(group: loop)
            // Of those that are waiting, so many in a turn of the loop: what they ask is answered together.
            .serverChannelOption(.maxMessagesPerRead, value: 32)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Acceptor(table: table.value))
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

    /// No decoder, no encoder, no pipelining handler: `Connection` reads, keeps the order, and writes.
    static func add(_ connection: Connection, to channel: any Channel) throws {
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
        try channel.syncOptions?.setOption(.recvAllocator, value: receive)
        let pipeline = channel.pipeline.syncOperations
        if let tls = connection.secured {
            let handler = NIOSSLServerHandler(context: tls.context)
            try pipeline.addHandler(handler)
            connection.tls = try pipeline.context(handler: handler)
        }
        try pipeline.addHandler(connection)
    }
}
