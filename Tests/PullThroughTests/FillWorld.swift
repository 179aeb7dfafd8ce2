// A made-up world around one `FillState`: upstreams that fail, a file, clients that read; all from one seed.
import Store
import TestSupport
import Upstream

@testable import PullThrough

/// Plays what `Fill` and `FillConnection` do, and watches that the state keeps its laws.
struct FillWorld {
    /// How one upstream behaves.
    struct Upstream {
        var latency = 0.02
        /// Bytes a second, of one connection.
        var rate = 20e6
        var failing = 0.0, cutting = 0.0, crawling = 0.0, ignoringRanges = 0.0
        var tellsSize = true
        /// Every answer ends after little; a connection that is cancelled takes its time.
        var cutsEarly = false, lingers = false
    }

    struct Link {
        enum Step {
            case asking(until: Duration)
            case paused, flowing, held
        }
        let ask: FillState.Ask
        var step: Step
        var triesLeft: Int
        var isWide = false
        var cancelledAt: Duration?
        /// Up to where bytes have been taken, and the state was told; and where the answer ends.
        var position: Int64 = 0, told: Int64 = 0, serverEnd: Int64 = 0
        var rate = 0.0
        var cutAt = Int64.max
    }

    struct Follower {
        var demand: Demand
        var position: Int64
        let end: Int64
        let rate: Double
    }

    let seed: UInt64
    var random: SplitMix
    let size: Int64
    var upstreams: [Upstream] = [Upstream()]
    var endpoints = 1
    var machine: FillState
    /// What the file holds at its opening, and the window if there is no room.
    var resumed: [Range<Int64>] = []
    var window: Int64?
    let limit = Duration.seconds(15)

    private(set) var now = Duration.zero
    var links: [Int: Link] = [:]
    private(set) var followers: [Int: Follower] = [:]
    private(set) var file = Runs()
    private(set) var outcome: FillState.Outcome?
    private(set) var served = 0
    private(set) var asked: [(at: Duration, ask: FillState.Ask)] = []
    private(set) var checkpoints = 0
    private var openAt: Duration?
    private(set) var isOpen = false
    /// The size was taken back: what an earlier fill left is asked for again.
    var mayRepeat = false
    private(set) var hasStopped = false
    private(set) var lastNew = Duration.zero
    var lastMove = Duration.zero
    private(set) var failures = 0
    private(set) var lastFailure = Duration.zero
    private var released: Int64 = 0
    private var lastFollower = 0
    private var turns = 0

    init(seed: UInt64, random: SplitMix, size: Int64, machine: FillState) {
        (self.seed, self.random, self.size, self.machine) = (seed, random, size, machine)
    }

    /// Over, and everybody gone.
    var isQuiet: Bool { outcome != nil && links.isEmpty }

    func broken(_ what: String) -> Broken {
        let segments = machine.plan.segments.map { "\($0.id): \($0.next)..<\($0.end) of \($0.start)..<\($0.reach)" }
        let states = links.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value.step) at \($0.value.position)" }
        let readers = followers.sorted { $0.key < $1.key }.map {
            "\($0.key): \($0.value.demand) at \($0.value.position)"
        }
        return Broken(
            description: "seed \(seed) at \(now): \(what)\n  size \(size), window \(window as Any), landed "
                + "\(machine.plan.landed.ranges)\n  segments \(segments)\n  links \(states)\n  readers \(readers)")
    }

    // MARK: What the state decides

    mutating func perform(_ actions: [FillState.Action]) throws {
        if outcome != nil, !actions.isEmpty { throw broken("\(actions) after the end") }
        for action in actions {
            if outcome != nil { throw broken("something after the end in \(actions)") }
            switch action {
            case .ask(let ask): try begin(ask)
            case .cancel(let id), .replace(let id): if links[id]?.cancelledAt == nil { links[id]?.cancelledAt = now }
            case .open:
                if openAt != nil { throw broken("opened twice") }
                openAt = now + .milliseconds(random.number(0...300))
            case .resume(let id):
                if case .held = links[id]?.step { links[id]?.step = .flowing }
            case .checkpoint: checkpoints += 1
            case .promote(let id): if links[id] == nil { throw broken("\(id) is not there") }
            case .release(let offset):
                if window == nil, !machine.isPassing { throw broken("released though it is to be kept") }
                released = max(released, offset)
                if followers.contains(where: { machine.followers.contains($0.key) && $0.value.position < offset }) {
                    throw broken("released \(offset)")
                }
            case .end(let end): outcome = end
            }
        }
    }

    private mutating func begin(_ ask: FillState.Ask) throws {
        if asked.contains(where: { $0.ask.id == ask.id }) { throw broken("\(ask) has a number that was given") }
        if !upstreams.indices.contains(ask.source) { throw broken("\(ask) of nobody") }
        links[ask.id] = Link(ask: ask, step: .asking(until: answerTime(of: ask.source)), triesLeft: endpoints)
        asked.append((now, ask))
        if links.count > max(1, machine.policy.ranges) { throw broken("\(links.count) connections") }
        if asked.suffix(40).count == 40, now - asked[asked.count - 40].at < .milliseconds(500) {
            throw broken("40 questions within half a second")
        }
    }

    private mutating func answerTime(of source: Int) -> Duration {
        now + .seconds(upstreams[source].latency * Double.random(in: 0.5...2, using: &random))
    }

    // MARK: Clients

    mutating func join(_ demand: Demand, reading rate: Double) throws {
        lastFollower += 1
        guard outcome == nil, machine.join(lastFollower, demand, at: now) else { return }
        let (start, end): (Int64, Int64) =
            switch demand {
            case .part(let range): (range.lowerBound, range.upperBound)
            case .openEnded(let first): (first, random.chance(0.5) ? size : random.number(first...size))
            case .whole, .undecided: (0, size)
            }
        followers[lastFollower] = Follower(demand: demand, position: start, end: end, rate: rate)
        if isOpen { try perform(machine.tick(firstByteBy: limit, at: now)) }
    }

    mutating func leave(_ id: Int) throws {
        followers[id] = nil
        try perform(machine.left(id, at: now))
    }

    private mutating func read(for seconds: Double) throws {
        guard isOpen else { return }
        for (id, follower) in followers.sorted(by: { $0.key < $1.key }) where followers[id] != nil {
            guard machine.followers.contains(id) else {
                // Another's fill that there is no room for.
                followers[id] = nil
                continue
            }
            if follower.position < released { throw broken("\(id) at \(follower.position) lost his bytes") }
            let end = readable(follower)
            let position = min(end, follower.position + Int64(follower.rate * seconds))
            if position > follower.position {
                followers[id]?.position = position
                lastMove = now
                try perform(machine.moved(id, to: position, at: now))
            }
            if position == follower.end {
                served += 1
                try leave(id)
            }
        }
    }

    /// How far he may read now.
    private func readable(_ follower: Follower) -> Int64 {
        let end = file.firstMissing(in: follower.position..<max(follower.position, follower.end))
        if outcome == .whole || isUnverified(follower) { return end }
        let newest = machine.size ?? file.runs.map(\.upperBound).max() ?? 0
        return max(follower.position, min(end, newest - Landing.heldBack))
    }

    /// His last bytes are not held back: they are a piece, or will never be verified.
    private func isUnverified(_ follower: Follower) -> Bool {
        switch follower.demand {
        case .part: true
        case .openEnded: machine.isPassing
        case .whole, .undecided: false
        }
    }

    // MARK: The world goes on

    mutating func stop() throws {
        hasStopped = true
        try perform(machine.stop())
    }

    mutating func giveWay(_ id: Int) throws { try perform(machine.gaveWay(id)) }

    mutating func runOutOfRoom() throws {
        guard isOpen, outcome == nil, window == nil else { return }
        window = 8 << 20
        try perform(machine.ranOutOfRoom(window: 8 << 20, at: now))
    }

    /// A while passes.
    mutating func pass() throws {
        turns += 1
        var seconds = Double.random(in: turns < 300 ? 0.005...0.2 : 0.1...2, using: &random)
        if links.isEmpty, isOpen || openAt == nil, let due = machine.deadline(firstByteBy: limit), due > now {
            seconds = (due - now) / .seconds(1)
        }
        now += .seconds(seconds)
        if let openAt, openAt <= now, !isOpen, outcome == nil {
            isOpen = true
            file = Runs(resumed)
            try perform(machine.opened(landed: Extents(resumed), window: window, at: now))
            for id in links.keys { if case .paused = links[id]?.step { links[id]?.step = .flowing } }
        }
        for id in links.keys.sorted() { try go(on: id, for: seconds) }
        try read(for: seconds)
        var looks = 0
        while let due = machine.deadline(firstByteBy: limit), due <= now {
            looks += 1
            if looks > 4 { throw broken("looks again and again, due at \(due)") }
            try perform(machine.tick(firstByteBy: limit, at: now))
        }
        if outcome == nil, links.isEmpty, openAt == nil || isOpen, machine.deadline(firstByteBy: limit) == nil {
            let isIdle = followers.values.allSatisfy { readable($0) > $0.position || $0.end == $0.position }
            if !isIdle { throw broken("nothing is asked, and nothing is due") }
        }
    }

    mutating func over(_ id: Int, _ result: Result<Void, UpstreamError>) throws {
        links[id] = nil
        if case .failure(let error) = result, error != .cancelled {
            failures += 1
            lastFailure = now
        }
        try perform(machine.ended(id, result, of: "docker.io", at: now))
    }

    mutating func land(_ id: Int) throws {
        guard let link = links[id], link.position > link.told else { return }
        // What is still written for one that made way for another is not counted on: what is staged may come twice.
        guard machine.plan[id] != nil else { return }
        let came = link.told..<link.position
        links[id]?.told = link.position
        let before = file.count
        file.add(came)
        if file.count > before {
            lastNew = now
            lastMove = now
        }
        try perform(machine.landed(id, upTo: link.position, at: now))
    }
}
