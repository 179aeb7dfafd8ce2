// The live connections of one event loop: their deadlines, their drain, and what they share.
import Logging
import NIOCore

/// Confined to its event loop. One sweep for all connections instead of a timer each: an idle connection costs
/// no scheduled task, and a request sets its deadlines by storing a number.
final class ConnectionTable {
    let loop: any EventLoop
    /// Its connections are those of the admin socket.
    let isForOwner: Bool
    /// Its connections are those of the addresses that are for logging in.
    let isForLogin: Bool
    /// The server is about to drain: whoever is answered is told that the connection ends.
    var isStopping = false
    private(set) var configuration: ServerConfiguration
    private(set) var timeouts: Timeouts
    /// Where bytes of files rest on their way into TLS; one for all connections, since none is left there.
    var scratch = ByteBuffer()
    /// What a new one brings is read into this; likewise.
    var inlet = ByteBuffer()
    /// Of requests that came on any of them.
    var heads = KnownHeads()
    let outbox: Outbox
    let responder: any Responder
    let limits: ConnectionLimits
    let log: (any AccessLog)?
    let times: RequestTimes
    let logger: Logger
    let waker: Waker
    /// Among the event loops.
    let lane: Int
    private let now: @Sendable () -> Int64
    /// In no order; each knows its place.
    private var connections: [Connection] = []
    private var drained: EventLoopPromise<Void>?
    private var isSweeping = false
    private var nextID: UInt64
    private let idStride: UInt64
    private var dateLine = DateLine()

    init(
        loop: any EventLoop, lane: Int = 0, position: (index: Int, count: Int), isForOwner: Bool = false,
        isForLogin: Bool = false, configuration: ServerConfiguration, responder: any Responder,
        limits: ConnectionLimits, log: (any AccessLog)?, times: RequestTimes = RequestTimes(), logger: Logger,
        now: @escaping @Sendable () -> Int64
    ) {
        self.loop = loop
        outbox = Outbox(loop: loop)
        self.isForOwner = isForOwner
        self.isForLogin = isForLogin
        self.configuration = configuration
        self.responder = responder
        self.limits = limits
        self.log = log
        self.times = times
        self.logger = logger
        self.now = now
        timeouts = Timeouts(configuration)
        waker = Waker(id: ObjectIdentifier(loop)) { work in loop.execute(work) }
        self.lane = lane
        nextID = UInt64(position.index)
        idStride = UInt64(position.count)
    }

    /// What is timed already keeps its deadline; the next one is set by the new configuration.
    func reconfigure(_ configuration: ServerConfiguration) {
        self.configuration = configuration
        timeouts = Timeouts(configuration)
    }

    /// Whether the server is stopping: what is under way ends, what is asked now is answered 503.
    var isDraining: Bool { drained != nil }

    var date: String { dateLine.text(at: now()) }

    /// The loops count in steps of their number, each from its own start: unique without a lock.
    func makeID() -> UInt64 {
        nextID += idStride
        return nextID
    }

    func insert(_ connection: Connection) {
        connection.place = connections.count
        connections.append(connection)
        scheduleSweep()
    }

    func remove(_ connection: Connection) {
        let last = connections.removeLast()
        if last !== connection {
            connections[connection.place] = last
            last.place = connection.place
        }
        if connections.isEmpty { drained?.succeed() }
    }

    /// Lets responses in flight end for so long, then resets what is left. The future ends with the last connection.
    func drain(within time: TimeAmount) -> EventLoopFuture<Void> {
        if let drained { return drained.futureResult }
        let promise = loop.makePromise(of: Void.self)
        drained = promise
        guard !connections.isEmpty else {
            promise.succeed()
            return promise.futureResult
        }
        for connection in connections { connection.drain() }
        let deadline = loop.assumeIsolated().scheduleTask(in: time) { self.resetAll() }
        promise.futureResult.assumeIsolated().whenComplete { _ in deadline.cancel() }
        return promise.futureResult
    }

    func resetAll() {
        for connection in connections { connection.reset(as: .broken) }
    }

    private func scheduleSweep() {
        guard !isSweeping, !connections.isEmpty else { return }
        isSweeping = true
        loop.assumeIsolated().scheduleTask(in: timeouts.sweep) {
            self.isSweeping = false
            let now = NIODeadline.now()
            for connection in self.connections.filter({ $0.deadline <= now }) { connection.expire(at: now) }
            self.scheduleSweep()
        }
    }
}

/// The configured durations as NIO has them.
struct Timeouts {
    let header: TimeAmount
    let idle: TimeAmount
    let stall: TimeAmount
    /// How often deadlines are looked at, and so how late one may be noticed: a quarter of the shortest, at most 1 s.
    let sweep: TimeAmount
    /// How long a connection that is being closed is read on, so that its last response is not lost to a reset.
    let linger = TimeAmount.seconds(2)

    init(_ configuration: ServerConfiguration) {
        header = TimeAmount(configuration.headerTimeout)
        idle = TimeAmount(configuration.idleTimeout)
        stall = TimeAmount(configuration.clientStallTimeout)
        sweep = max(.milliseconds(5), min(.seconds(1), .nanoseconds(min(header, idle, stall).nanoseconds / 4)))
    }
}
