// What a fill keeps to in a world where everything fails now and then: seeded random lives, each to its end.
import Store
import TestSupport
import Testing

@testable import PullThrough

@Suite("FillState: laws") struct FillLawTests {
    @Test(arguments: 1...20)
    func `whoever stays is served or told, nothing is fetched twice, and it comes to an end`(_ seed: Int) throws {
        for run in 0..<100 { try FillLawTests.live(UInt64(seed * 1000 + run)) }
    }

    static func live(_ seed: UInt64) throws {
        var world = made(seed)
        try world.perform(world.machine.tick(firstByteBy: world.limit, at: .zero))
        var turns = 0
        while !world.isQuiet {
            turns += 1
            if turns > 30_000 { throw world.broken("does not end") }
            try disturb(&world)
            try world.pass()
            let isWaitedFor = !world.followers.isEmpty && world.outcome == nil
            if isWaitedFor, world.now - world.lastMove > .seconds(100) { throw world.broken("nothing moves") }
            if world.outcome == nil, world.followers.isEmpty, world.links.isEmpty, isAtRest(world) { return }
        }
        try judge(&world)
    }

    /// Nobody is there, and nothing will happen by itself.
    private static func isAtRest(_ world: FillWorld) -> Bool { world.machine.deadline(firstByteBy: world.limit) == nil }

    private static func judge(_ world: inout FillWorld) throws {
        switch world.outcome {
        case .whole:
            if !world.file.has(all: 0..<world.size) { throw world.broken("whole, says the state") }
        case .kept:
            let isLeft = world.followers.isEmpty && (!world.machine.policy.finishes || world.machine.isPassing)
            if !world.hasStopped, !isLeft { throw world.broken("given up though it is wanted") }
        case .failed(.noSpace, _) where world.window != nil: break  // the last bytes of `N-` are never verified then
        case .failed(_, let isLie):
            if isLie { throw world.broken("\(world.outcome as Any) in an honest world") }
            let isReason =
                world.failures > 0 || world.followers.isEmpty
                || world.upstreams.contains { $0.crawling > 0 || $0.lingers }
            if !isReason { throw world.broken("failed without a failure: \(world.outcome as Any)") }
            let hasHope = world.now - world.lastNew < world.machine.policy.giveUpAfter
            let isPast = world.now - world.lastFailure > .seconds(30)
            if world.machine.isShown, hasHope || isPast {
                throw world.broken("given up too early: \(world.lastNew), \(world.lastFailure)")
            }
        case nil: throw world.broken("quiet without an end")
        }
    }

    private static func disturb(_ world: inout FillWorld) throws {
        if world.random.chance(0.02), world.followers.count < 6 {
            try world.join(
                demand(&world.random, world.machine.size.map { min($0, world.size) }), reading: rate(&world.random))
        }
        if world.random.chance(0.002), let id = world.followers.keys.min() { try world.leave(id) }
        let giving = world.outcome == nil ? 0.002 : 0.2
        if world.random.chance(giving), let id = world.links.keys.max() { try world.giveWay(id) }
        if world.random.chance(0.001) { try world.runOutOfRoom() }
        if world.outcome == nil, world.random.chance(0.0003) { try world.stop() }
    }

    private static func rate(_ random: inout SplitMix) -> Double { [1e6, 5e6, 3e7, 1e9][Int(random.number(0...3))] }

    private static func demand(_ random: inout SplitMix, _ size: Int64?) -> Demand {
        guard let size, size > 0 else { return .whole }
        let start = random.number(0...size - 1)
        switch random.number(0...3) {
        case 0: return .whole
        case 1 where start > 0: return .openEnded(from: start)
        default: return .part(start..<min(size, start + random.number(1...(4 << 20))))
        }
    }

    private static func made(_ seed: UInt64) -> FillWorld {
        var random = SplitMix(state: seed)
        let size =
            switch random.number(0...9) {
            case 0: random.number(0...65536)
            case 1...3: random.number(1...(32 << 20))
            default: random.number(1...(200 << 20))
            }
        var policy = FillPolicy()
        policy.ranges = Int(random.number(1...4))
        policy.finishes = random.chance(0.7)
        let jitter = Double.random(in: 0.2..<1, using: &random)
        policy.jitter = { jitter }
        let isTold = random.chance(0.6)
        var resumed: [Range<Int64>] = []
        if isTold, size > 0, random.chance(0.3) {
            let start = random.chance(0.5) ? 0 : random.number(0...size - 1)
            resumed = [start..<random.number(start...size - 1)].filter { !$0.isEmpty }
        }
        // Now and then what an earlier answer told is wrong, and the kept file is another's.
        let isWrong = isTold && random.chance(0.1)
        let told = isTold ? size + (isWrong ? random.number(1...1000) : 0) : nil
        let machine = FillState(policy: policy, size: told, landed: Extents(resumed))
        var world = FillWorld(seed: seed, random: random, size: size, machine: machine)
        world.resumed = isWrong ? [] : resumed
        furnish(&world, isTold: isTold)
        return world
    }

    private static func furnish(_ world: inout FillWorld, isTold: Bool) {
        let tellsSize = isTold || world.random.chance(0.7)
        world.endpoints = Int(world.random.number(1...2))
        let sources = world.random.chance(0.3) ? 2 : 1
        let hasOtherWays = world.endpoints > 1 || sources > 1
        world.upstreams = (0..<sources).map { _ in
            FillWorld.Upstream(
                latency: [0.002, 0.02, 0.2][Int(world.random.number(0...2))],
                rate: [2e6, 2e7, 2e8][Int(world.random.number(0...2))],
                failing: [0, 0, 0.1, 0.3][Int(world.random.number(0...3))],
                cutting: [0, 0.2, 0.7][Int(world.random.number(0...2))],
                crawling: hasOtherWays && world.random.chance(0.3) ? 0.2 : 0,
                ignoringRanges: [0, 0, 0.3, 1][Int(world.random.number(0...3))], tellsSize: tellsSize,
                cutsEarly: world.size < 32 << 20 && world.random.chance(0.1), lingers: world.random.chance(0.15))
        }
        for index in world.upstreams.indices {
            world.machine.addSource(endpoints: world.endpoints, isFirst: index == 0)
        }
        if world.random.chance(0.15) {
            world.window = world.random.chance(0.5) ? 64 << 20 : 8 << 20
            world.resumed = []
        } else if world.random.chance(0.1) {
            world.resumed = []
        }
        let first = demand(&world.random, isTold ? world.size : nil)
        try? world.join(first, reading: rate(&world.random))
    }
}
