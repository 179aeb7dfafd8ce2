// A fill's state with the events of a test spoken short: what happens, and when, in milliseconds since it began.
import HTTPSemantics
import Store
import Testing
import Upstream

@testable import PullThrough

let mebi: Int64 = 1 << 20

struct FillScript {
    typealias Action = FillState.Action

    static let reset = UpstreamError.unreachable(.connectionTerminated, "reset")

    var state: FillState

    /// - Parameter demands: of followers 1 and so on.
    init(
        _ demands: Demand..., size: Int64? = nil, landed: Extents = Extents(), ranges: Int = 1, finishes: Bool = true,
        sources: Int = 1, endpoints: Int = 1
    ) {
        var policy = FillPolicy()
        policy.ranges = ranges
        policy.finishes = finishes
        policy.jitter = { 0.5 }
        state = FillState(policy: policy, size: size, landed: landed)
        for source in 0..<sources { state.addSource(endpoints: endpoints, isFirst: source == 0) }
        for (index, demand) in demands.enumerated() { _ = state.join(index + 1, demand, at: .zero) }
    }

    var deadline: Int64? {
        state.deadline(firstByteBy: .seconds(15)).map { Int64($0 / .milliseconds(1)) }
    }

    mutating func tick(_ now: Int64) -> [Action] { state.tick(firstByteBy: .seconds(15), at: .milliseconds(now)) }

    /// Nil: the answer was refused.
    mutating func answer(
        _ id: Int, _ size: Int64?, _ range: Range<Int64>? = nil, tag: String? = nil, host: String = "cdn",
        at now: Int64 = 0
    ) -> [Action]? {
        try? state.answered(id, head(size, range, tag: tag, host: host), at: .milliseconds(now)).get()
    }

    mutating func open(_ landed: Extents = Extents(), window: Int64? = nil, at now: Int64 = 0) -> [Action] {
        state.opened(landed: landed, window: window, at: .milliseconds(now))
    }

    /// As far as the first bytes' coming: what is wanted is asked for and answered, and the file is there.
    mutating func flow(_ size: Int64, _ range: Range<Int64>? = nil, landed: Extents = Extents(), window: Int64? = nil) {
        #expect(tick(0).count == 1)
        #expect(answer(1, size, range) == [.open(size: size)])
        #expect(open(landed, window: window) == [])
    }

    mutating func bring(_ id: Int, _ offset: Int64, at now: Int64) -> [Action] {
        state.landed(id, upTo: offset, at: .milliseconds(now))
    }

    mutating func finish(_ id: Int, at now: Int64) -> [Action] {
        state.ended(id, .success(()), of: "docker.io", at: .milliseconds(now))
    }

    mutating func fail(_ id: Int, _ error: UpstreamError = reset, at now: Int64) -> [Action] {
        state.ended(id, .failure(error), of: "docker.io", at: .milliseconds(now))
    }

    mutating func move(_ id: Int, _ offset: Int64, at now: Int64) -> [Action] {
        state.moved(id, to: offset, at: .milliseconds(now))
    }

    mutating func leave(_ id: Int, at now: Int64) -> [Action] { state.left(id, at: .milliseconds(now)) }
}

func ask(_ id: Int, _ range: BlobRange? = nil, source: Int = 0, isFirst: Bool = true) -> FillState.Action {
    .ask(FillState.Ask(id: id, range: range, source: source, isFirst: isFirst))
}

func part(_ range: Range<Int64>) -> BlobRange { .part(range.lowerBound...range.upperBound - 1) }
