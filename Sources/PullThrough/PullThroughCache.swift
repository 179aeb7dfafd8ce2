// The cache: looks up, decides, and acts. Its verbs are in BlobPull.swift, ManifestPull.swift and TagPull.swift.

import HTTPSemantics
package import Logging
import OCI
package import Store
import Synchronization
import Upstream

package final class PullThroughCache: Sendable {
    /// Who is asked. It may be another at the next look, so what belongs together is read at once.
    package var directory: UpstreamDirectory { asked.withLock { $0.directory } }
    /// Ask no upstream at all.
    package var isOffline: Bool { asked.withLock { $0.isOffline } }
    package let statistics: Statistics
    let store: ContentStore
    private let asked: Mutex<Asked>
    private let editions = Atomic<Int>(0)
    /// Time since some fixed instant.
    package let uptime: @Sendable () -> Duration
    let now: @Sendable () -> Int64
    /// For whoever waits on this cache's behalf.
    package let clock: any Clock<Duration>
    let logger: Logger

    private struct Asked {
        var directory: UpstreamDirectory
        var isOffline: Bool
    }

    private struct Fills {
        /// At most one a digest; entered only in that digest's turn. Who finds one here may follow it.
        var open: [Digest: Fill] = [:]
        /// All that have not ended yet, those that take no more followers too.
        var tasks: [ObjectIdentifier: (fill: Fill, task: Task<Void, Never>)] = [:]
        /// Digests whose last bytes were wrong and came from several endpoints.
        var suspects: Set<Digest> = []
    }

    /// So many suspects are remembered.
    private static let mostSuspects = 10_000
    private let fills = Mutex(Fills())
    let unknowns = NegativeCache()
    let linkFlights = SingleFlight<NegativeCache.Key, Result<Int64?, PullThroughError>>()
    let manifestFlights = SingleFlight<NegativeCache.Key, Result<Fetched, PullThroughError>>()
    let tagFlights = SingleFlight<TagMemory.Key, Result<Resolution, PullThroughError>>()
    let tagMemory: TagMemory
    let patience: Patience
    let platforms = PlatformMemory()
    /// What people may want to know as it happens.
    package let events: EventLog

    /// - Parameters:
    ///   - now: Unix time in milliseconds.
    ///   - jitter: by how much of itself the freshness of a tag is shortened.
    package init(
        store: ContentStore, directory: UpstreamDirectory, statistics: Statistics, isOffline: Bool,
        clock: any Clock<Duration>, now: @escaping @Sendable () -> Int64,
        jitter: @escaping @Sendable () -> Double = { .random(in: 0..<0.1) }, logger: Logger
    ) {
        uptime = stopwatch(clock)
        tagMemory = TagMemory(uptime: uptime, jitter: jitter)
        patience = Patience(uptime: stopwatch(clock))
        events = EventLog(now: now)
        self.store = store
        asked = Mutex(Asked(directory: directory, isOffline: isOffline))
        self.statistics = statistics
        self.clock = clock
        self.now = now
        self.logger = logger
    }

    /// While it is the same, so are the upstreams and what is asked of them. Ask before looking at them.
    package var edition: Int { editions.load(ordering: .acquiring) }

    /// Asks others from now on. What is under way goes on with whom it began; what was learnt of failures and of
    /// absence, and that nothing may be pulled, is void: somebody has just mended something.
    package func reconfigure(directory: UpstreamDirectory, isOffline: Bool) {
        asked.withLock { $0 = Asked(directory: directory, isOffline: isOffline) }
        editions.add(1, ordering: .releasing)
        for name in directory.names { directory[name]?.registry.pardon() }
        unknowns.forgetAll()
        tagMemory.forgetSetbacks()
    }

    /// The registry of a repository that `directory` gave; without one, or offline, there is nobody to ask.
    func registry(of repository: Repository) throws(PullThroughError) -> UpstreamRegistry {
        guard let entry = directory[repository.upstream] else { throw .noSuchUpstream(repository.upstream) }
        if isOffline { throw .offline }
        return entry.registry
    }

    /// All questions that one answer takes are bounded together.
    func together<Value: Sendable, Failure: Error>(
        _ repository: Repository, _ work: () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        guard let registry = directory[repository.upstream]?.registry else { return try await work() }
        return try await registry.together(work)
    }

    /// One question to a repository's upstream, its failure said in this room's words.
    func asking<Value: Sendable>(
        _ repository: Repository,
        _ question: (UpstreamRegistry, RepositoryName) async throws(UpstreamError) -> Value
    ) async throws(PullThroughError) -> Value {
        let registry = try registry(of: repository)
        do throws(UpstreamError) {
            let answer = try await question(registry, repository.name)
            patience.speaks(repository.upstream)
            return answer
        } catch {
            let error = PullThroughError(error, of: repository.upstream)
            if !error.isSilence { patience.speaks(repository.upstream) }
            throw error
        }
    }

    func fill(of digest: Digest) -> Fill? { fills.withLock { $0.open[digest] } }

    /// Ends with the fill; nil if that has ended.
    func task(of fill: Fill) -> Task<Void, Never>? { fills.withLock { $0.tasks[ObjectIdentifier(fill)]?.task } }

    /// Begins a fill that nothing but its own end stops, in its digest's turn.
    ///
    /// - Parameter isOpen: whether others may find it.
    func begin(_ fill: Fill, isOpen: Bool) {
        // Under the lock: it is in the table before it can leave it.
        fills.withLock { fills in
            if isOpen { fills.open[fill.digest] = fill }
            let task = Task {
                await fill.run()
                self.fills.withLock { $0.tasks[ObjectIdentifier(fill)] = nil }
            }
            fills.tasks[ObjectIdentifier(fill)] = (fill, task)
        }
    }

    func retire(_ fill: Fill) {
        fills.withLock { if $0.open[fill.digest] === fill { $0.open[fill.digest] = nil } }
    }

    func isSuspect(_ digest: Digest) -> Bool { fills.withLock { $0.suspects.contains(digest) } }

    func suspect(_ digest: Digest, _ isSuspect: Bool) {
        fills.withLock { fills in
            if !isSuspect {
                fills.suspects.remove(digest)
            } else if fills.suspects.count < Self.mostSuspects {
                fills.suspects.insert(digest)
            }
        }
    }

    /// Waits for the fills of this moment to end.
    package func settle() async {
        for (_, task) in fills.withLock({ Array($0.tasks.values) }) { await task.value }
    }

    /// The program ends: the fills of this moment end too, and what they have is kept.
    package func cease() async {
        for (fill, _) in fills.withLock({ Array($0.tasks.values) }) { fill.cease() }
        await settle()
    }

    /// Remembers the upstream's own word that there is no such thing.
    ///
    /// - Parameter period: in milliseconds; nil: as the upstream's policy is.
    func remember(_ error: PullThroughError, for key: NegativeCache.Key, during period: Int64? = nil) {
        guard let entry = directory[key.repository.upstream] else { return }
        unknowns.remember(
            error, for: key, as: entry.registry.credentialRevision, at: now(),
            during: period ?? entry.policy.negativeFor)
    }

    /// What is remembered of it, while it is.
    func refusal(for key: NegativeCache.Key) -> Refusal? {
        guard let entry = directory[key.repository.upstream] else { return nil }
        return unknowns.refusal(for: key, as: entry.registry.credentialRevision, at: now())
    }

    func remembered(_ key: NegativeCache.Key) throws(Refusal) {
        if let refusal = refusal(for: key) { throw refusal }
    }

    /// The transfers of this moment.
    package var inFlight: [Fill] {
        fills.withLock { $0.tasks.values.map(\.fill) }.sorted { $0.startedAt < $1.startedAt }
    }

}

extension CacheStatus {
    /// The bytes were here, and a HEAD to the upstream showed that the repository has them.
    static let confirmed = CacheStatus(forward: .uriMiss, forwardStatus: 200, isUnchanged: true, detail: "link")

    /// Asked because it was not here.
    static func miss(_ status: Int? = nil, isStored: Bool = false, isCollapsed: Bool = false) -> CacheStatus {
        CacheStatus(forward: .miss, forwardStatus: status, isStored: isStored, isCollapsed: isCollapsed)
    }
}

extension Refusal {
    /// Refused after asking, because it was not here.
    static func missed(_ error: PullThroughError, isCollapsed: Bool = false) -> Refusal {
        Refusal(error, .miss(error.upstreamStatus, isCollapsed: isCollapsed))
    }
}

extension PullThroughError {
    /// The status that the upstream gave, where it gave one.
    package var upstreamStatus: Int? {
        switch self {
        case .unknown, .schema1: 404
        case .rateLimited: 429
        case .denied(let status, _), .failed(let status, _): status
        case .credentials, .unreachable, .unusable, .noSuchUpstream, .notAllowed, .offline, .noSpace, .store: nil
        }
    }
}
