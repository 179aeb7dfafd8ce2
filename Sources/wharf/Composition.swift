// The mirror as it runs: the parts with a server before them, in the order in which they stop, and the signals.

import FoundationEssentials
import Frontend
import HTTPServer
import Hosting
import Logging
import PullThrough
import ServiceLifecycle
import Store
import UnixSignals
import Upstream

struct Composition {
    private let parts: Parts
    private let server: HTTPServer
    private let services: ServiceGroup
    private let reloader: Reloader
    private let configuration: Configuration
    private let logger: Logger

    /// Opens the store; asks nothing of the network.
    ///
    /// - Parameter source: where the configuration came from, to be read again.
    init(_ configuration: Configuration, from source: ConfigurationSource, log: Log) throws {
        self.configuration = configuration
        let logger = log.logger
        self.logger = logger
        let parts = try Parts(configuration, logger: logger)
        self.parts = parts
        for mistake in Proxies(configured: .environment, environment: ProcessInfo.processInfo.environment).mistakes {
            logger.warning("a proxy of the environment is not used", metadata: ["reason": "\(mistake)"])
        }

        // Face
        let access = Access(AccessRules(configuration))
        let reloader = Reloader(configuration, from: source, parts: parts, access: access, log: log.settings)
        self.reloader = reloader
        let (clock, cache, statistics) = (parts.clock, parts.cache, parts.statistics)
        let started = clock.now
        let running = Running(since: unixMilliseconds(), log: log)
        let responder = WharfResponder(
            cache: cache, hosted: parts.hosted, version: Wharf.version, pseudonym: "wharf-\(parts.instance)",
            access: access, vitals: running.vitals,
            reload: { await reloader.reload() }
        ) {
            let (seconds, attoseconds) = (clock.now - started).components
            return Double(seconds) + Double(attoseconds / 1_000_000_000_000_000) / 1000
        }
        let server = HTTPServer(
            configuration: ServerConfiguration(configuration), responder: responder, log: log.access,
            logger: logger.of(.server))
        self.server = server
        running.serves(server)

        // They stop in the reverse order: no more clients, no more transfers, then all is written down.
        let upkeep = Upkeep(
            of: parts.store, every: .seconds(5), clock: clock, totals: { statistics.named },
            uses: parts.uses,
            memos: { cache.directory.memos },
            beforeEnd: { await cache.cease() })
        services = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    upkeep, parts.transport, CollectionPass(of: parts.hosted, every: .seconds(3600)),
                    CertificateWatch(reloader: reloader, clock: clock), server,
                ],
                logger: logger))
    }

    func run() async throws {
        // Before anybody can know that it serves: what comes earlier waits.
        let signals = await UnixSignalsSequence(trapping: .sighup, .sigterm, .sigint)
        await reloader.serve(by: server)
        let addresses = try await bind()
        if configuration.offline { logger.notice("offline: no upstream is asked") }
        var facts: Logger.Metadata = [
            "version": "\(Wharf.version)", "listen": "\(addresses.map { "\($0)" }.joined(separator: ", "))",
            "data": "\(configuration.data)",
        ]
        if let login = server.loginAddresses.first { facts["login"] = "\(login)" }
        facts["tls"] = configuration.tls.map { "\($0.certificate.path)" }
        logger.info("serving", metadata: facts)
        let running = Task { [services] in try await services.run() }
        let obeying = Task { await obey(signals, running) }
        defer { obeying.cancel() }
        try await running.value
        logger.info("stopped")
    }

    /// HUP reads the configuration again. TERM and INT stop it within `drain`; the second of them ends the waiting.
    private func obey(_ signals: UnixSignalsSequence, _ running: Task<Void, any Error>) async {
        var isStopping = false
        for await signal in signals {
            if signal == .sighup {
                Task { await reloader.reload() }
            } else if isStopping {
                logger.notice("stopping at once", metadata: ["signal": "\(signal)"])
                server.hurry()
            } else {
                isStopping = true
                let limit = reloader.drain + .seconds(10)
                logger.info("stopping", metadata: ["signal": "\(signal)"])
                await services.triggerGracefulShutdown()
                // What does not end by itself then is cancelled.
                Task { [parts] in
                    try await parts.clock.sleep(for: limit)
                    running.cancel()
                }
            }
        }
    }

    private func bind() async throws -> [BoundAddress] {
        do {
            return try await server.bind()
        } catch {
            let all = configuration.listen + (configuration.loginListen.map { [$0] } ?? [])
            let addresses = all.map { "\($0)" }.joined(separator: ", ")
            throw StartFailure("cannot listen on \(addresses): \(error); free the port or choose another with --listen")
        }
    }
}
