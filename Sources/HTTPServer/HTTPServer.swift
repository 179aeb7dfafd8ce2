// The server as a service: it binds, accepts, and drains on graceful shutdown.
import Glibc
package import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// HTTP/1.1 and 1.0 on the process's event loops, one listener a loop and address.
package final class HTTPServer: Service {
    private struct State {
        var configuration: ServerConfiguration
        var listeners: [any Channel] = []
        var adminSocket: String?
        var tables: [NIOLoopBound<ConnectionTable>] = []
        var times: [RequestTimes] = []
        var addresses: [BoundAddress] = []
        var loginAddresses: [BoundAddress] = []
    }

    private let responder: any Responder
    private let logger: Logger
    private let log: (any AccessLog)?
    private let now: @Sendable () -> Int64
    /// The process's own, never shut down: a fill may wake a connection's loop long after the connection.
    private let group = MultiThreadedEventLoopGroup.singleton
    private let limits: ConnectionLimits
    private let state: Mutex<State>

    /// - Parameters:
    ///   - log: who wants to know of each request.
    ///   - now: the wall clock in Unix seconds, for the `Date` field.
    package init(
        configuration: ServerConfiguration, responder: any Responder, log: (any AccessLog)? = nil, logger: Logger,
        now: @escaping @Sendable () -> Int64 = { Int64(time(nil)) }
    ) {
        limits = ConnectionLimits(
            total: configuration.connections, perAddress: configuration.connectionsPerAddress,
            refusedAtOnce: configuration.refusedAtOnce)
        state = Mutex(State(configuration: configuration))
        self.responder = responder
        self.logger = logger
        self.log = log
        self.now = now
    }

    /// Opens the listeners; connections are served from then on.
    ///
    /// - Returns: the addresses in the configuration's order, each with the port it got.
    /// - Throws: `IOError` if an address is taken, also by another process that would share it, or cannot be had.
    package func bind() async throws -> [BoundAddress] {
        let configuration = state.withLock { $0.configuration }
        let (addresses, loginAddresses) = (configuration.addresses, configuration.loginAddresses)
        let wanted = try (addresses + loginAddresses).map { address in
            try SocketAddress.makeAddressResolvingHost(address.host, port: address.port)
        }
        for address in wanted { try Self.probe(address) }
        let tables = try await makeTables(configuration, isForLogin: false)
        let loginTables = loginAddresses.isEmpty ? [] : try await makeTables(configuration, isForLogin: true)
        state.withLock { $0.tables = tables + loginTables }
        // Who is answered on any of the addresses finds the admin socket and those for logging in too.
        if let path = configuration.adminSocket { await bindAdminSocket(path, configuration) }
        do {
            for (address, named) in zip(wanted.dropFirst(addresses.count), loginAddresses) {
                let bound = try await listen(on: address, named, loginTables)
                state.withLock { $0.loginAddresses.append(bound) }
            }
            for (address, named) in zip(wanted, addresses) {
                let bound = try await listen(on: address, named, tables)
                state.withLock { $0.addresses.append(bound) }
            }
        } catch {
            await closeListeners()
            throw error
        }
        return state.withLock { $0.addresses }
    }

    /// The addresses for logging in that were bound, in the configuration's order.
    package var loginAddresses: [BoundAddress] { state.withLock { $0.loginAddresses } }

    private func listen(
        on address: SocketAddress, _ named: BoundAddress, _ tables: [NIOLoopBound<ConnectionTable>]
    ) async throws -> BoundAddress {
        var address = address
        for table in tables {
            let listener = try await Pipeline.listen(on: address, table: table, loop: table.eventLoop)
            state.withLock { $0.listeners.append(listener) }
            // The kernel chose a port for the first; the others join it.
            address = listener.localAddress ?? address
        }
        return BoundAddress(host: named.host, port: address.port ?? named.port)
    }

    /// The mirror serves without it too: a file system that has no sockets is no reason not to start.
    private func bindAdminSocket(_ path: String, _ configuration: ServerConfiguration) async {
        do {
            // Limits of its own: however many clients there are, its owner gets through.
            let table = try await makeTable(
                on: group.next(), at: nil,
                limits: ConnectionLimits(total: 64, perAddress: 64, refusedAtOnce: 8), configuration)
            let descriptor = try AdminSocket.listen(at: path)
            let listener = try await Pipeline.listen(on: descriptor, table: table, loop: table.eventLoop)
            state.withLock { state in
                state.listeners.append(listener)
                state.tables.append(table)
                state.adminSocket = path
            }
        } catch {
            logger.warning(
                "there is no admin socket: commands reach this mirror with --server and the admin token only",
                metadata: ["path": "\(path)", "reason": "\(error)"])
        }
    }

    /// Client connections that are open, those beside the admin socket.
    package var openConnections: Int { limits.open }

    package var figures: ServerFigures {
        var figures = ServerFigures()
        (figures.connections, figures.mostConnections) = (limits.open, limits.total)
        for times in state.withLock({ $0.times }) { times.add(to: &figures) }
        return figures
    }

    /// Takes up other limits and timeouts; addresses and socket stay. Connections and what is on its way to them are
    /// not touched.
    package func reconfigure(_ configuration: ServerConfiguration) {
        limits.set(total: configuration.connections, perAddress: configuration.connectionsPerAddress)
        let tables = state.withLock { state in
            state.configuration = configuration
            return state.tables
        }
        for table in tables { table.eventLoop.execute { table.value.reconfigure(configuration) } }
    }

    /// Waits for nobody any more: of a stop that has begun, or is about to, the drain is over.
    package func hurry() {
        let tables = state.withLock { state in
            state.configuration.drain = .zero
            return state.tables
        }
        Self.reset(tables)
    }

    /// Serves until the service group shuts down gracefully, then drains; a cancelled task resets what is left.
    package func run() async throws {
        if state.withLock({ $0.addresses.isEmpty }) { _ = try await bind() }
        do {
            try await gracefulShutdown()
        } catch is CancellationError {
            // Cancelled without grace: `stop` sees that and does not wait.
        }
        await stop()
    }

    /// Stops listening, lets responses in flight end within the configured time, and resets what is left.
    private func stop() async {
        let (tables, drain) = state.withLock { ($0.tables, $0.configuration.drain) }
        // Before nobody can connect any more: who is answered after that is told.
        for table in tables { table.eventLoop.execute { table.value.isStopping = true } }
        await closeListeners()
        await withTaskCancellationHandler {
            await withTaskGroup(of: Void.self) { group in
                for table in tables {
                    let time = TimeAmount(drain)
                    let drained = table.eventLoop.flatSubmit { table.value.drain(within: time) }
                    // It never fails.
                    group.addTask { try? await drained.get() }
                }
            }
        } onCancel: {
            Self.reset(tables)
        }
    }

    private static func reset(_ tables: [NIOLoopBound<ConnectionTable>]) {
        for table in tables {
            table.eventLoop.execute {
                _ = table.value.drain(within: .zero)
                table.value.resetAll()
            }
        }
    }

    private func closeListeners() async {
        let (listeners, adminSocket) = state.withLock { state in
            defer { (state.listeners, state.adminSocket) = ([], nil) }
            return (state.listeners, state.adminSocket)
        }
        if let adminSocket { unlink(adminSocket) }
        // A listener that is closed already is what we want.
        for listener in listeners { try? await listener.close() }
    }

    private func makeTables(
        _ configuration: ServerConfiguration, isForLogin: Bool
    ) async throws -> [NIOLoopBound<ConnectionTable>] {
        var tables: [NIOLoopBound<ConnectionTable>] = []
        for loop in group.makeIterator() {
            tables.append(
                try await makeTable(
                    on: loop, at: tables.count, isForLogin: isForLogin, limits: limits, configuration))
        }
        return tables
    }

    /// - Parameter place: among the loops; `nil`: it is that of the admin socket, which counts behind them.
    private func makeTable(
        on loop: any EventLoop, at place: Int?, isForLogin: Bool = false, limits: ConnectionLimits,
        _ configuration: ServerConfiguration
    ) async throws -> NIOLoopBound<ConnectionTable> {
        let loops = Array(group.makeIterator()).count
        let times = RequestTimes()
        state.withLock { $0.times.append(times) }
        return try await loop.submit { [responder, log, logger, now] in
            // Numbers of requests differ though their lanes be the same.
            let index = place.map { isForLogin ? loops + 1 + $0 : $0 } ?? loops
            let table = ConnectionTable(
                loop: loop, lane: place ?? loops, position: (index, 2 * loops + 1), isForOwner: place == nil,
                isForLogin: isForLogin, configuration: configuration, responder: responder, limits: limits, log: log,
                times: times, logger: logger, now: now)
            return NIOLoopBound(table, eventLoop: loop)
        }.get()
    }

    /// Fails if anyone else listens there. The listeners themselves would not notice: SO_REUSEPORT shares the port with
    /// every process of the same user.
    private static func probe(_ address: SocketAddress) throws {
        guard address.port != 0 else { return }
        let family = address.protocol.rawValue
        try address.withSockAddr { pointer, length in
            let descriptor = socket(family, CInt(SOCK_STREAM.rawValue), 0)
            guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
            defer { close(descriptor) }
            var isReused: CInt = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &isReused, socklen_t(MemoryLayout<CInt>.size))
            guard Glibc.bind(descriptor, pointer, socklen_t(length)) == 0 else {
                throw IOError(errnoCode: errno, reason: "bind")
            }
        }
    }
}
