// One transfer of one digest into the store, over any number of connections, followed by any number of clients.

import HTTPSemantics
import Logging
package import OCI
import Store
import Synchronization
import Upstream

/// The hands and ears of a `FillState`: it tells that what happened and carries out what it decides. It outlives its
/// clients, and ends as a committed blob, as a partial file to go on from, or not at all; its followers see the landing
/// end as complete or broken.
package final class Fill: Sendable {
    /// Where it may be asked for.
    struct Source: Sendable {
        let registry: UpstreamRegistry
        let repository: Repository
    }

    /// What it needs of the house.
    struct Surroundings: Sendable {
        let store: ContentStore
        let clock: any Clock<Duration>
        let statistics: Statistics
        let logger: Logger
        /// Takes it out of the table: nobody finds it any more.
        let retire: @Sendable (Fill) -> Void
        /// Its bytes were wrong and came from several endpoints: one of them lies, or its last one was right again.
        let suspect: @Sendable (Digest, Bool) -> Void
    }

    /// Bytes; the size is nil while nobody knows.
    package struct Progress: Sendable {
        package let received: Int64
        package let size: Int64?
        package let followers: Int
        /// Over the last few seconds.
        package let bytesPerSecond: Int64
        /// Those that an upstream has answered on.
        package let connections: Int
    }

    enum Opening: Sendable {
        case shown(IngestWriter)
        /// There is no room, and this fill serves another: begin one's own.
        case tryAgain
    }

    struct State {
        var machine: FillState
        var sources: [Source]
        var writer: IngestWriter?
        var connections: [Int: FillConnection] = [:]
        var contributions = Contributions()
        /// Of what has landed.
        var rate: RateMeter
        /// Whose upstream has answered for the digest in this fill: they may see it.
        var answered: Set<Repository> = []
        var opening: Result<IngestWriter, PullThroughError>?
        var awaitingOpening: [CheckedContinuation<Void, Never>] = []
        var outcome: FillState.Outcome?
        var awaitingOutcome: CheckedContinuation<Void, Never>?
        /// Connections that have not reported their end, and the making of the file.
        var underWay = 0
        var awaitingRest: CheckedContinuation<Void, Never>?
        var alarm: (task: Task<Void, Never>, at: Duration)?
        var lastFollower = 0
        /// How much had landed when it was last given more room.
        var grownAt: Int64?
        /// A connection of it has failed.
        var hasBroken = false
        /// It has come to nothing, and will be gone soon.
        var isClosed = false
        /// The only endpoint that may be asked, once it is known, if bytes of several were wrong the last time.
        var onlyEndpoint: String?
    }

    package let digest: Digest
    /// Through which repository it was asked for first.
    package let source: Repository
    /// Unix time, milliseconds.
    package let startedAt: Int64
    let state: Mutex<State>
    let around: Surroundings
    let isSingleSource: Bool
    /// It serves one follower, and passes.
    let isAlone: Bool
    /// Bytes, as far as anybody has said before: for its place among those who wait for a connection.
    let sizeHint: Int64?
    let uptime: @Sendable () -> Duration
    let firstByteTimeout: Duration
    private let isResumed: Bool

    /// - Parameters:
    ///   - size: bytes, if an upstream has told.
    ///   - sizeHint: bytes, if anybody has said: a manifest perhaps.
    ///   - isSingleSource: whether all of it must come from one endpoint.
    ///   - isAlone: there is no room, and it serves one follower.
    init(
        _ digest: Digest, from source: Source, size: Int64?, sizeHint: Int64?, policy: FillPolicy,
        isSingleSource: Bool, isAlone: Bool, at now: Int64, _ around: Surroundings
    ) {
        self.digest = digest
        self.source = source.repository
        self.around = around
        self.isSingleSource = isSingleSource
        self.isAlone = isAlone
        self.sizeHint = sizeHint
        startedAt = now
        firstByteTimeout = source.registry.configuration.firstByteTimeout
        uptime = stopwatch(around.clock)
        let partial =
            isAlone
            ? nil : around.store.partial(of: digest).flatMap { size == nil || size == $0.size ? $0 : nil }
        isResumed = partial != nil
        var machine = FillState(policy: policy, size: partial?.size ?? size, landed: partial?.extents ?? Extents())
        machine.addSource(endpoints: source.registry.configuration.endpoints.count, isFirst: true)
        state = Mutex(State(machine: machine, sources: [source], rate: RateMeter(at: uptime())))
    }

    /// Transfers, verifies and commits. Never throws: who follows is told by the opening and by the landing. It leaves
    /// the table after a commit, so that everybody finds one or the other.
    func run() async {
        let figures = around.statistics.fills
        figures.begun.add(1)
        tick()
        switch await outcome() {
        case .whole: await finish()
        case .kept:
            let words = "\(source.upstream): the transfer was given up"
            await stop(.unreachable(.proxyInternalError, words), keep: true)
            figures.kept.add(1)
        case .failed(let error, let isLie):
            (error.isAbsence ? figures.unknown : figures.failed).add(1)
            log(error)
            await stop(error, keep: !isLie)
        }
        await rest()
    }

    // MARK: Its end

    private func finish() async {
        // All has landed, so there is a file.
        guard let writer = state.withLock({ $0.writer }) else { return around.retire(self) }
        do throws(StoreError) {
            let size = try await writer.verify()
            writer.complete(size: size)
            decide(.success(writer))
            if state.withLock({ $0.machine.isPassing }) {
                await around.store.discard(writer)
            } else {
                let (repositories, broughtBy) = linked
                try await around.store.commit(writer, size: size, linkedTo: repositories, broughtBy: broughtBy)
                around.suspect(digest, false)
            }
            around.retire(self)
            around.statistics.fills.finished.add(1)
            if state.withLock({ $0.hasBroken }) { around.statistics.fills.repaired.add(1) }
        } catch {
            around.statistics.fills.failed.add(1)
            log(PullThroughError(error))
            if case .digestMismatch = error { await blame(error, writer) }
            await stop(PullThroughError(error), keep: false)
        }
    }

    /// What was asked and answered for it, and whose credentials that took.
    private var linked: (repositories: [Repository], broughtBy: String?) {
        state.withLock { state in
            let given = state.answered
            let taking = state.sources.first {
                given.contains($0.repository) && $0.registry.hasCredentials
            }
            return (Array(given), taking?.repository.upstream)
        }
    }

    /// Every contributor is suspect, but only one that sent all of it is marked: among several, and in a file that lay
    /// here over a restart, the fault may be anybody's.
    private func blame(_ error: StoreError, _ writer: IngestWriter) async {
        let (contributions, sources) = state.withLock { ($0.contributions, $0.sources) }
        around.logger.warning(
            "the bytes do not match the digest: nothing of them is kept",
            metadata: ["digest": "\(digest)", "from": "\(contributions.summary)", "resumed": "\(isResumed)"])
        if isResumed {
            // It is fetched once more from nothing.
        } else if let endpoint = contributions.onlyEndpoint {
            for source in sources { source.registry.distrust(endpoint, .refused("\(error)")) }
        } else {
            around.suspect(digest, true)
        }
        await around.store.quarantine(writer)
    }

    /// It leaves the table when its file is out of the way of the next fill's; until then nobody joins it.
    private func stop(_ error: PullThroughError, keep: Bool) async {
        let writer = state.withLock { state in
            state.isClosed = true
            return state.writer
        }
        decide(.failure(error))
        writer?.stop()
        await rest()
        if let writer = state.withLock({ $0.writer }) {
            if keep { await around.store.keep(writer) } else { await around.store.discard(writer) }
        }
        around.retire(self)
    }

    private func outcome() async -> FillState.Outcome {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if state.outcome == nil { state.awaitingOutcome = continuation }
                return state.outcome != nil
            }
            if isOver { continuation.resume() }
        }
        return state.withLock { state in
            state.alarm?.task.cancel()
            return state.outcome ?? .kept
        }
    }

    /// Waits until no connection is left.
    private func rest() async {
        await withCheckedContinuation { continuation in
            let isQuiet = state.withLock { state in
                if state.underWay > 0 { state.awaitingRest = continuation }
                return state.underWay == 0
            }
            if isQuiet { continuation.resume() }
        }
    }

    private func log(_ error: PullThroughError) {
        let metadata: Logger.Metadata = [
            "digest": "\(digest)", "upstream": "\(source.upstream)", "repository": "\(source.name)",
            "error": "\(error.message)",
        ]
        switch error {
        // What is amiss with the store it says itself, once.
        case .store, .noSpace: around.logger.debug("a blob could not be kept", metadata: metadata)
        case _ where error.isFailure: around.logger.warning("fill failed", metadata: metadata)
        default: around.logger.debug("blob unknown", metadata: metadata)
        }
    }

    // MARK: Followers

    /// - Returns: the follower's number; nil if it takes no more.
    func join(_ source: Source, _ demand: Demand) -> Int? {
        let now = uptime()
        let id: Int? = state.withLock { state in
            guard !state.isClosed, state.machine.join(state.lastFollower + 1, demand, at: now) else { return nil }
            state.lastFollower += 1
            if isLent(source), !state.sources.contains(where: { $0.repository == source.repository }) {
                state.sources.append(source)
                state.machine.addSource(endpoints: source.registry.configuration.endpoints.count, isFirst: false)
            }
            return state.lastFollower
        }
        if id != nil {
            around.statistics.fills.followers.add(1)
            tellTickets()
        }
        return id
    }

    /// Whether others may get what comes from a follower's source. What takes credentials is not for the followers of
    /// another upstream.
    private func isLent(_ source: Source) -> Bool {
        if isSingleSource || isAlone { return false }
        return !source.registry.hasCredentials || source.repository.upstream == self.source.upstream
    }

    /// Whether a repository's own upstream has answered for the digest in this fill.
    func hasAnswered(for repository: Repository) -> Bool { state.withLock { $0.answered.contains(repository) } }

    /// Whether it takes credentials of ours to read from any of its sources, whatever is configured by now.
    var takesCredentials: Bool { state.withLock { $0.sources.contains { $0.registry.hasCredentials } } }

    var hasOneSource: Bool { state.withLock { $0.sources.count == 1 } }

    /// Whether it has been said what comes of it.
    var isDecided: Bool { state.withLock { $0.opening != nil } }

    /// The follower knows now what he wants.
    func want(_ id: Int, _ demand: Demand) {
        change { machine, now in
            machine.want(id, demand, at: now)
            return machine.tick(firstByteBy: firstByteTimeout, at: now)
        }
    }

    func leave(_ id: Int) {
        change { $0.left(id, at: $1) }
        tellTickets()
    }

    /// Whether somebody waits for it decides its place among those who want a connection.
    private func tellTickets() {
        let (connections, isFollowed) = state.withLock { (Array($0.connections.values), !$0.machine.followers.isEmpty) }
        for connection in connections { connection.update(isFollowed: isFollowed) }
    }

    /// Waits until a status line may be sent: an upstream has answered, and a blob no larger than what is held back is
    /// verified whole, so that a mismatch is still an honest 404.
    func opened(for follower: Int) async throws(PullThroughError) -> Opening {
        await withCheckedContinuation { continuation in
            let isDecided = state.withLock { state in
                if state.opening == nil { state.awaitingOpening.append(continuation) }
                return state.opening != nil
            }
            if isDecided { continuation.resume() }
        }
        let (opening, isServed) = state.withLock { ($0.opening, $0.machine.followers.contains(follower)) }
        guard let writer = try opening?.get(), isServed else { return .tryAgain }
        return .shown(writer)
    }

    /// Only the first decision counts: a failure after the opening is told by the landing.
    func decide(_ result: Result<IngestWriter, PullThroughError>) {
        let waiters = state.withLock { state in
            guard state.opening == nil else { return [CheckedContinuation<Void, Never>]() }
            state.opening = result
            defer { state.awaitingOpening = [] }
            return state.awaitingOpening
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Bytes of the whole: what is known, and what an upstream has confirmed in this fill.
    var size: Int64? { state.withLock { $0.machine.size } }
    var confirmedSize: Int64? { state.withLock { $0.machine.witness.isConfirmed ? $0.machine.size : nil } }

    var isPassing: Bool { state.withLock { $0.machine.isPassing } }

    /// A look at the transfer.
    package var progress: Progress {
        let now = uptime()
        // Asked outside of the lock: a connection has one of its own.
        let connections = state.withLock { Array($0.connections.values) }.count { $0.contributor != nil }
        return state.withLock { state in
            Progress(
                received: state.writer?.landing.landed ?? 0, size: state.machine.size,
                followers: state.machine.followers.count, bytesPerSecond: state.rate.rate(at: now),
                connections: connections)
        }
    }
}

/// The store's errors, said in this room's words.
func restated<Value: Sendable>(
    _ body: () async throws(StoreError) -> Value
) async throws(PullThroughError) -> Value {
    do throws(StoreError) { return try await body() } catch { throw PullThroughError(error) }
}
