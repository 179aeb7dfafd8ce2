// The figures: how requests were answered and how many bytes went where. Totals survive restarts.

package import HTTPSemantics
package import OCI
import Synchronization

/// What a pull request is for.
package enum PullKind: String, CaseIterable, Sendable {
    case manifest, blob
    /// Of what was counted before kinds were.
    case unknown
}

package final class Statistics: Sendable {
    package struct Totals: Equatable, Sendable {
        /// Pull requests for manifests and blobs, each in one class.
        package var requests: [RequestClass: Int64] = [:]
        /// Body bytes handed to the kernel.
        package var toClients: Int64 = 0
        /// Of those, the ones sent by the request that began a fill: all others came from the store.
        package var asTheyCame: Int64 = 0
        /// Body bytes of manifests and blobs received.
        package var fromUpstream: Int64 = 0

        package var total: Int64 { requests.values.reduce(0, +) }

        /// Requests that cost no transfer from an upstream, of all that were answered; 0...1.
        package var hitRatio: Double {
            let answered = total - (requests[.error] ?? 0)
            let saved = [RequestClass.hit, .revalidated, .collapsed, .stale].reduce(0) { $0 + (requests[$1] ?? 0) }
            return answered > 0 ? Double(saved) / Double(answered) : 0
        }

        package var bytesSaved: Int64 { max(0, toClients - fromUpstream) }
        package var byteHitRatio: Double { toClients > 0 ? Double(bytesSaved) / Double(toClients) : 0 }
    }

    package struct Use: Equatable, Sendable {
        package var requests: Int64 = 0
        /// Body bytes to clients.
        package var bytes: Int64 = 0

        package init(requests: Int64 = 0, bytes: Int64 = 0) {
            self.requests = requests
            self.bytes = bytes
        }
    }

    /// What was asked of one upstream's repositories, or of those that are hosted, or of none that is known.
    package struct Share: Equatable, Sendable {
        package struct Key: Hashable, Sendable {
            package let kind: PullKind
            package let answer: RequestClass

            package init(_ kind: PullKind, _ answer: RequestClass) {
                self.kind = kind
                self.answer = answer
            }
        }

        package var requests: [Key: Int64] = [:]
        /// Body bytes handed to the kernel; of those, the ones sent by the request that began a fill.
        package var toClients: Int64 = 0
        package var asTheyCame: Int64 = 0
    }

    /// Repositories beyond so many are not counted one by one; so many are remembered over a restart.
    private static let mostRepositories = 10_000
    private static let mostRemembered = 1000

    /// What one event loop counts: a counter that others want costs more than what is counted.
    fileprivate final class Lane: Sendable {
        let sheets = Mutex<[String: Sheet]>([:])
        /// Of repositories of which something was answered: what is merely asked for may be any name at all.
        let tallies = Mutex<[Repository: Tally]>([:])

        func sheet(_ owner: String) -> Sheet {
            sheets.withLock { sheets in
                if let sheet = sheets[owner] { return sheet }
                let sheet = Sheet()
                sheets[owner] = sheet
                return sheet
            }
        }
    }

    /// A repository that was in the lane's table of tallies not yet when it was asked for.
    fileprivate struct Newcomer: Sendable {
        let repository: Repository
        let lane: Int
        let statistics: Statistics

        /// Its tally in the table, where it comes to with its first answer. What was refused counts where something
        /// was answered to whomever; else nil.
        func tally(_ sheet: Sheet, isAnswered: Bool) -> Tally? {
            statistics.tally(of: repository, lane: lane, sheet, isAnswered: isAnswered)
        }
    }

    /// What one event loop counts of one owner.
    fileprivate final class Sheet: Sendable {
        let requests = (0..<PullKind.allCases.count * RequestClass.allCases.count).map { _ in Counter() }
        let toClients = Counter()
        let asTheyCame = Counter()

        subscript(kind: PullKind, answer: RequestClass) -> Counter {
            requests[kind.place * RequestClass.allCases.count + answer.place]
        }
    }

    private let lanes = (0..<16).map { _ in Lane() }
    private let fromUpstream = Counter()
    package let fills = FillFigures()

    /// - Parameters:
    ///   - saved: what `named` gave in an earlier run.
    ///   - uses: what `mostUsed` gave, by what repositories are called.
    package init(saved: [String: Int64] = [:], uses: [String: Use] = [:]) {
        earlier = Mutex(uses)
        for (name, value) in saved { restore(name, value) }
    }

    /// Of earlier runs. The first tally of a repository takes it and goes on from it.
    private let earlier: Mutex<[String: Use]>

    /// Whose repositories are counted together; configured names, and these two.
    private static func owner(_ repository: Repository?) -> String {
        repository.map { $0.isHosted ? hosted : $0.upstream } ?? nobody
    }
    private static let hosted = "hosted", nobody = ""

    private func restore(_ name: String, _ value: Int64) {
        let words = name.split(separator: ".", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
        switch (words.first, words.count > 1 ? words[1] : "") {
        case ("requests", let answer):
            guard let answer = RequestClass(rawValue: answer) else { return }
            let kind = words.count > 2 ? PullKind(rawValue: words[2]) ?? .unknown : .unknown
            lanes[0].sheet(words.count > 3 ? words[3] : Self.nobody)[kind, answer].add(value)
        case ("bytes", "from_upstream"): fromUpstream.add(value)
        case ("bytes", "to_clients"): lanes[0].sheet(Self.rest(words)).toClients.add(value)
        case ("bytes", "as_they_came"): lanes[0].sheet(Self.rest(words)).asTheyCame.add(value)
        default: break
        }
    }

    /// Behind the first two words, points and all.
    private static func rest(_ words: [String]) -> String { words.dropFirst(2).joined(separator: ".") }

    /// By owner: an upstream's name, `hosted`, or empty for what names no repository.
    package var shares: [String: Share] {
        lanes.reduce(into: [:]) { shares, lane in
            for (owner, sheet) in lane.sheets.withLock({ $0 }) {
                for kind in PullKind.allCases {
                    for answer in RequestClass.allCases {
                        shares[owner, default: Share()].requests[Share.Key(kind, answer), default: 0] +=
                            sheet[kind, answer].value
                    }
                }
                shares[owner, default: Share()].toClients += sheet.toClients.value
                shares[owner, default: Share()].asTheyCame += sheet.asTheyCame.value
            }
        }
    }

    package var totals: Totals {
        var totals = shares.values.reduce(into: Totals()) { sum, share in
            for (key, count) in share.requests { sum.requests[key.answer, default: 0] += count }
            sum.toClients += share.toClients
            sum.asTheyCame += share.asTheyCame
        }
        totals.fromUpstream = fromUpstream.value
        return totals
    }

    /// For writing down.
    package var named: [String: Int64] {
        var named = ["bytes.from_upstream": fromUpstream.value]
        for (owner, share) in shares {
            for (key, count) in share.requests where count > 0 {
                named["requests.\(key.answer.rawValue).\(key.kind.rawValue).\(owner)"] = count
            }
            named["bytes.to_clients.\(owner)"] = share.toClients
            named["bytes.as_they_came.\(owner)"] = share.asTheyCame
        }
        return named
    }

    /// Where one event loop counts what is asked of a repository, or of none that is known.
    package func tally(of repository: Repository?, lane: Int = 0) -> Tally {
        let place = lane % lanes.count
        let lane = lanes[place]
        guard let repository else { return Tally(lane.sheet(Self.nobody)) }
        if let tally = lane.tallies.withLock({ $0[repository] }) { return tally }
        let newcomer = Newcomer(repository: repository, lane: place, statistics: self)
        return Tally(lane.sheet(Self.owner(repository)), newcomer)
    }

    /// In this order are the locks taken: what was counted earlier is in one place at any time.
    private func tally(of repository: Repository, lane: Int, _ sheet: Sheet, isAnswered: Bool) -> Tally? {
        if !isAnswered {
            guard lanes.contains(where: { lane in lane.tallies.withLock { $0[repository] != nil } }) else { return nil }
        }
        return earlier.withLock { earlier -> Tally? in
            lanes[lane].tallies.withLock { tallies -> Tally? in
                if let tally = tallies[repository] { return tally }
                let tally = Tally(sheet)
                // Beyond the end of the table it counts for nobody, and looks for its place no more.
                guard tallies.count < Self.mostRepositories else { return tally }
                if let use = earlier.removeValue(forKey: "\(repository)") { tally.goOn(from: use) }
                tallies[repository] = tally
                return tally
            }
        }
    }

    package func count(_ answer: RequestClass, _ kind: PullKind, of repository: Repository?) {
        tally(of: repository).count(answer, kind)
    }

    /// What came to nothing, be it our error or that there is none: it makes no repository known.
    package func countRefusal(_ answer: RequestClass, _ kind: PullKind, of repository: Repository?) {
        tally(of: repository).countRefusal(answer, kind)
    }

    func received(_ bytes: Int64) { fromUpstream.add(bytes) }

    /// The most used, by bytes, by what they are called. Only of those names are made.
    package func topRepositories(_ count: Int) -> [(repository: String, use: Use)] {
        guard count > 0 else { return [] }
        let (before, tables) = earlier.withLock { earlier in
            (earlier, lanes.map { lane in lane.tallies.withLock { $0 } })
        }
        var uses: [Repository: Use] = [:]
        for table in tables {
            for (repository, tally) in table {
                uses[repository, default: Use()].requests += tally.requests.value
                uses[repository, default: Use()].bytes += tally.bytes.value
            }
        }
        var top = Top(count)
        for (repository, use) in uses {
            top.take(Top.Entry(upstream: repository.upstream, name: repository.name.description, use: use))
        }
        // Of one that has been taken up since by a lane, nothing is left here.
        for (name, use) in before { top.take(Top.Entry(upstream: "", name: name, use: use)) }
        return top.entries.map { ($0.called, $0.use) }
    }

    /// For writing down.
    package var mostUsed: [(repository: String, use: Use)] { topRepositories(Self.mostRemembered) }
}

/// The first of many, in no more room than twice as many take.
private struct Top {
    struct Entry {
        let upstream, name: String
        let use: Statistics.Use

        var called: String { upstream.isEmpty ? name : "\(upstream)/\(name)" }

        func isBefore(_ other: Entry) -> Bool {
            if use.bytes != other.use.bytes { return use.bytes > other.use.bytes }
            if use.requests != other.use.requests { return use.requests > other.use.requests }
            return (upstream, name) < (other.upstream, other.name)
        }
    }

    private let count: Int
    private var taken: [Entry] = []

    init(_ count: Int) { self.count = count }

    mutating func take(_ entry: Entry) {
        taken.append(entry)
        if taken.count >= 2 * count { taken = entries }
    }

    /// In order.
    var entries: [Entry] { Array(taken.sorted { $0.isBefore($1) }.prefix(count)) }
}

/// What one event loop has counted of one repository. Cheap, and from any thread.
package final class Tally: Sendable {
    fileprivate let requests = Counter()
    fileprivate let bytes = Counter()
    private let sheet: Statistics.Sheet
    /// nil where this one is in the table, or of no repository.
    private let newcomer: Statistics.Newcomer?
    /// The newcomer's, since it was answered: found once, so that a request takes no lock.
    private let known = AtomicLazyReference<Tally>()

    fileprivate init(_ sheet: Statistics.Sheet, _ newcomer: Statistics.Newcomer? = nil) {
        self.sheet = sheet
        self.newcomer = newcomer
    }

    package func count(_ answer: RequestClass, _ kind: PullKind) {
        sheet[kind, answer].add(1)
        named(isAnswered: answer != .error)?.requests.add(1)
    }

    package func countRefusal(_ answer: RequestClass, _ kind: PullKind) {
        sheet[kind, answer].add(1)
        named(isAnswered: false)?.requests.add(1)
    }

    /// - Parameter asTheyCame: the request began the fill whose bytes these are.
    package func sent(_ bytes: Int64, asTheyCame: Bool) {
        sheet.toClients.add(bytes)
        if asTheyCame { sheet.asTheyCame.add(bytes) }
        named(isAnswered: bytes > 0)?.bytes.add(bytes)
    }

    fileprivate func goOn(from use: Statistics.Use) {
        requests.add(use.requests)
        bytes.add(use.bytes)
    }

    /// Where it counts by name; nil: nowhere yet.
    private func named(isAnswered: Bool) -> Tally? {
        guard let newcomer else { return self }
        if let tally = known.load() { return tally }
        guard let tally = newcomer.tally(sheet, isAnswered: isAnswered) else { return nil }
        return known.storeIfNil(tally)
    }
}

/// What became of fills, since the start. From any thread.
package final class FillFigures: Sendable {
    package let begun = Counter()
    /// Whole, verified, and stored or passed on.
    package let finished = Counter()
    /// Given up; what had landed is kept to go on with.
    package let kept = Counter()
    /// There is no such blob, the upstreams say.
    package let unknown = Counter()
    package let failed = Counter()
    /// Requests that followed one, those that began it among them.
    package let followers = Counter()
    /// Connections that ended before they had brought what they were to bring.
    package let brokenConnections = Counter()
    /// Fills that are whole although that happened to them.
    package let repaired = Counter()
    /// Connections given up for being too slow.
    package let replaced = Counter()
}

/// Counts up. Relaxed: nothing is concluded from the order in which counters change.
package final class Counter: Sendable {
    private let count = Atomic<Int64>(0)

    package var value: Int64 { count.load(ordering: .relaxed) }
    func add(_ more: Int64) { count.wrappingAdd(more, ordering: .relaxed) }
}

extension PullKind {
    /// Among all cases.
    package var place: Int {
        switch self {
        case .manifest: 0
        case .blob: 1
        case .unknown: 2
        }
    }
}

extension RequestClass {
    /// Among all cases.
    package var place: Int {
        switch self {
        case .hit: 0
        case .miss: 1
        case .collapsed: 2
        case .revalidated: 3
        case .stale: 4
        case .error: 5
        }
    }
}
