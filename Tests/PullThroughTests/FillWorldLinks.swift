// The connections of the made-up world: what upstreams answer, and how bytes go on from there.
import HTTPSemantics
import TestSupport
import Upstream

@testable import PullThrough

final class NoTransfer: Transfer {
    func resume() {}
    func cancel() {}
}

func head(_ size: Int64?, _ range: Range<Int64>? = nil, tag: String? = nil, host: String = "cdn") -> BlobHead {
    BlobHead(
        size: size, range: range, entityTag: tag, host: host, remoteAddress: nil, endpoint: "https://\(host)",
        transfer: NoTransfer())
}

extension FillWorld {
    mutating func go(on id: Int, for seconds: Double) throws {
        guard let link = links[id] else { return }
        let isLingering = upstreams[link.ask.source].lingers && now - (link.cancelledAt ?? now) < .seconds(12)
        if link.cancelledAt != nil, random.chance(isLingering ? 0.02 : 0.7) {
            return try over(id, .failure(.cancelled))
        }
        switch link.step {
        case .asking(let until):
            if until <= now, link.cancelledAt == nil { try answer(id) }
        case .paused:
            // It breaks while the file is being made.
            if random.chance(upstreams[link.ask.source].failing) { try over(id, .failure(anyFailure())) }
        case .held: break
        case .flowing: try flow(id, for: seconds)
        }
    }

    private mutating func answer(_ id: Int) throws {
        guard let link = links[id] else { return }
        let upstream = upstreams[link.ask.source]
        if random.chance(upstream.failing) { return try over(id, .failure(anyFailure())) }
        let isIgnored = random.chance(upstream.ignoringRanges)
        let range: Range<Int64>? =
            switch link.ask.range {
            case nil: nil
            case .from(let first): first..<size
            case .part(let part): part.lowerBound..<min(size, part.upperBound + 1)
            }
        if let range, range.lowerBound >= size, !isIgnored { return try over(id, .failure(.unsatisfiable(size: size))) }
        let sent = isIgnored ? nil : range
        switch machine.answered(id, head(upstream.tellsSize ? size : nil, sent), at: now) {
        case .failure(let error):
            links[id]?.triesLeft -= 1
            if error == .cancelled || link.triesLeft <= 1 { return try over(id, .failure(error)) }
            links[id]?.step = .asking(until: now + .milliseconds(20))
        case .success(let actions):
            let start = machine.plan[id]?.start ?? -1
            if start != sent?.lowerBound ?? 0 { throw broken("bytes from \(sent as Any) go to \(start)") }
            links[id]?.isWide = range != nil && sent == nil
            links[id]?.position = start
            links[id]?.told = start
            links[id]?.serverEnd = sent?.upperBound ?? size
            links[id]?.rate =
                random.chance(upstream.crawling) ? 2000 : upstream.rate * Double.random(in: 0.3...1.5, using: &random)
            if upstream.cutsEarly {
                links[id]?.cutAt = start + random.number(0...100_000)
            } else if random.chance(upstream.cutting) {
                links[id]?.cutAt = start + random.number(0...(random.chance(0.5) ? 100_000 : 20 << 20))
            }
            links[id]?.step = isOpen ? .flowing : .paused
            try perform(actions)
        }
    }

    private mutating func anyFailure() -> UpstreamError {
        switch random.number(0...4) {
        case 0: .unreachable(.connectionTerminated, "reset")
        case 1: .failed(status: 503, message: "busy")
        case 2: .rateLimited(retryAfter: .seconds(1), message: "slowly")
        case 3: .incomplete(received: 0, expected: 1)
        default: .unreachable(.connectionTimeout, "nobody")
        }
    }

    /// As `FillConnection.bytes`: as far as is allowed, told in pieces of 256 KiB, and settled now and then.
    private mutating func flow(_ id: Int, for seconds: Double) throws {
        guard let link = links[id] else { return }
        let serverEnd = min(link.serverEnd, link.cutAt)
        var rest = min(serverEnd - link.position, Int64(link.rate * seconds))
        if link.rate == 0 { rest = 0 }
        while rest > 0, let link = links[id] {
            let end: Int64
            machine.heard(id, at: now)
            switch machine.allowance(id, at: link.position) {
            case .upTo(let offset): end = min(offset, link.position + rest, link.told + (256 << 10))
            case .hold:
                machine.paused(id)
                links[id]?.step = .held
                return try land(id)
            case .done:
                try land(id)
                return try over(id, .success(()))
            }
            let taken = link.position..<end
            if !link.isWide, file.overlaps(taken), !mayRepeat { throw broken("\(id) brings \(taken), which is here") }
            let reach = machine.followers.slowest + (machine.isPassing ? window ?? .max / 2 : .max / 2)
            if taken.upperBound > reach + (256 << 10) { throw broken("\(id) goes beyond the window, to \(end)") }
            links[id]?.position = end
            rest -= end - link.position
            lastMove = now
            if end - link.told >= 256 << 10 || end == machine.plan[id]?.end { try land(id) }
        }
        if random.chance(0.8) { try land(id) }
        guard let link = links[id], link.position >= serverEnd else { return }
        try land(id)
        if links[id] == nil { return }
        let isWhole = serverEnd == link.serverEnd
        try over(id, isWhole ? .success(()) : .failure(.incomplete(received: link.position, expected: link.serverEnd)))
    }
}
