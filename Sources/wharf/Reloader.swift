// The configuration read again while the program runs: all of it is taken up, or nothing.

import Frontend
import Glibc
import HTTPSemantics
import HTTPServer
import Hosting
import Logging
import PullThrough
import Store
import Synchronization

/// What the command line and the environment said at the start, with which the file is read again.
struct ConfigurationSource: Sendable {
    let flags: Configuration.Flags
    let environment: [String: String]

    func load() throws(ConfigurationMistakes) -> (Configuration, warnings: [String]) {
        try Configuration.load(file: nil, flags: flags, environment: environment)
    }
}

/// One reload after another, whoever asks for them.
actor Reloader {
    private let source: ConfigurationSource
    private let parts: Parts
    private let access: Access
    private let log: LogSettings
    private let logger: Logger
    private var current: Configuration
    private let drainNow: Mutex<Duration>
    private var server: HTTPServer?
    private var last: Task<Void, Never>?
    private var certificates: FileWatch

    init(
        _ configuration: Configuration, from source: ConfigurationSource, parts: Parts, access: Access,
        log: LogSettings
    ) {
        current = configuration
        certificates = FileWatch(configuration.tls?.stamps ?? [])
        drainNow = Mutex(configuration.drain)
        self.source = source
        self.parts = parts
        self.access = access
        self.log = log
        logger = parts.logger
    }

    /// Whose limits change; told once, since the server wants this first.
    func serve(by server: HTTPServer) { self.server = server }

    /// How long a stop may take by what is configured now. Said at once, whatever a reload waits for.
    nonisolated var drain: Duration { drainNow.withLock { $0 } }

    /// Every mistake is logged with its place, and then everything stays as it was. Else connections and transfers that
    /// are under way go on, and everything that begins from here on goes by what is configured now.
    @discardableResult
    func reload() async -> Reloaded {
        await inTurn { await self.readAll() }
    }

    /// Looks whether the files under `tls` have become others, and takes up what they hold: nothing else is read. What
    /// is wrong with them is logged once, and then what was shown before is shown on.
    func lookAtCertificates() async {
        await inTurn { await self.readCertificates() }
    }

    private func inTurn<Outcome: Sendable>(_ work: @escaping @Sendable () async -> Outcome) async -> Outcome {
        let before = last
        let turn = Task {
            await before?.value
            return await work()
        }
        last = Task { _ = await turn.value }
        return await turn.value
    }

    private func readAll() async -> Reloaded {
        do throws(ConfigurationMistakes) {
            let (read, warnings) = try await load()
            for warning in warnings { logger.warning("\(warning)") }
            return await take(read)
        } catch {
            return refused(error.mistakes.map(\.description))
        }
    }

    /// Not here: a file may lie on a disk that does not answer, and nobody else should wait for that.
    private func load() async throws(ConfigurationMistakes) -> (Configuration, warnings: [String]) {
        let result = await Task.detached { [source] in
            Result { () throws(ConfigurationMistakes) in try source.load() }
        }.value
        return try result.get()
    }

    private func readCertificates() async {
        guard let tls = current.tls else { return }
        let paths = [tls.certificate.path, tls.key.path] + (tls.clientCA.map { [$0.path] } ?? [])
        let stamps = await Task.detached { FileStamp.of(paths) }.value
        guard certificates.hasSettled(stamps) else { return }
        let result = await Task.detached { Result { () throws(Configuration.TLS.Fault) in try tls.readAgain() } }.value
        switch result {
        case .failure(let fault):
            logger.error("\(fault)")
            logger.error("the certificate that was read before is shown on")
        case .success(let renewed):
            // Touched, and the same: sessions go on.
            guard renewed != tls else { return }
            if let warning = renewed.warning(at: Int64(time(nil))) { logger.warning("tls.certificate: \(warning)") }
            current.tls = renewed
            server?.reconfigure(ServerConfiguration(current))
            logger.notice(
                "certificate renewed",
                metadata: [
                    "file": "\(renewed.certificate.path)",
                    "until": "\(HTTPDate.format(renewed.server.validity.upperBound))",
                ])
        }
    }

    private func take(_ read: Configuration) async -> Reloaded {
        var next = read
        // The same in the same files: sessions go on.
        if next.tls == current.tls { next.tls = current.tls }
        // What was right before need not be looked at again.
        if next.users == current.users { next.users = current.users }
        // Sockets and lock are held from the start to the end.
        (next.listen, next.data, next.loginListen) = (current.listen, current.data, current.loginListen)
        let restart = current.changes(to: read).filter(Configuration.fixedKeys.contains)
        let changed = current.changes(to: next)
        let directory: UpstreamDirectory
        do {
            directory = try parts.directory(of: next, insteadOf: current)
        } catch {
            return refused(["\(error)"])
        }
        // Nothing below can be refused any more.
        current = next
        certificates = FileWatch(read.tls?.stamps ?? [])
        drainNow.withLock { $0 = next.drain }
        log.set(next.log)
        access.reconfigure(AccessRules(next))
        parts.hosted.reconfigure(HostingPolicy(next.hosting))
        server?.reconfigure(ServerConfiguration(next))
        parts.cache.reconfigure(directory: directory, isOffline: next.offline)
        do {
            try await parts.store.reconfigure(StoreConfiguration(next))
        } catch {
            logger.error("could not pin", metadata: ["error": "\(error)"])
        }
        if !restart.isEmpty {
            logger.warning(
                "what takes a restart keeps its value until then",
                metadata: ["keys": "\(restart.joined(separator: ", "))"])
        }
        logger.notice(
            "reloaded", metadata: ["changed": "\(changed.isEmpty ? "nothing" : changed.joined(separator: ", "))"])
        return .changed(changed, restart: restart)
    }

    private func refused(_ mistakes: [String]) -> Reloaded {
        for mistake in mistakes { logger.error("\(mistake)") }
        logger.error("not reloaded: what was configured before stays in force")
        return .refused(mistakes)
    }
}
