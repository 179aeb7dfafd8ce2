// end-3 by tag: what one client gets, as `Decision` says. The question that may be behind it is in TagQuestion.swift.

import HTTPSemantics
import Logging
import OCI
import Store
import Upstream

/// One tag as it stood when somebody asked for it.
struct TagPull: Sendable {
    let tag: Tag
    let repository: Repository
    let policy: FreshnessPolicy
    let known: KnownTag?
    /// The upstream is asked however fresh the tag is, and however often it has failed.
    let mustAsk: Bool

    var key: TagMemory.Key { TagMemory.Key(repository: repository, tag: tag) }
    var unknownKey: NegativeCache.Key {
        NegativeCache.Key(repository: repository, reference: .tag(tag), isBlob: false)
    }
    var image: Logger.MetadataValue { "\(repository):\(tag)" }

    func decide(_ upstream: Decision.Upstream) -> Decision {
        Decision(known: known, policy: policy, upstream: upstream)
    }

    func decide(after error: PullThroughError) -> Decision {
        if case .unknown = error { decide(.absent) } else { decide(.fails) }
    }

    /// Why the upstream is asked: RFC 9211 §2.2.
    var forward: CacheStatus.Forward {
        if known == nil { return .miss }
        return decide(.notAsked(must: false)) == .ask ? .stale : .request
    }
}

extension PullThroughCache {
    /// - Parameter mustAsk: the upstream is asked however fresh the tag is.
    func manifest(_ tag: Tag, in repository: Repository, mustAsk: Bool) async throws(Refusal) -> ManifestAnswer {
        let pull = try await pull(tag, in: repository, mustAsk: mustAsk)
        // Looked up only where a question is due: most tags are fresh.
        var pause: PullThroughError? { mustAsk ? nil : tagMemory.pause(pull.key) }
        switch pull.decide(isOffline ? .nobody : .notAsked(must: mustAsk)) {
        case .serve(let digest):
            if let hit = try await hit(digest, pull) { return hit }
        case .serveAndAsk(let digest):
            if let hit = try await hit(digest, pull) {
                if pause == nil { _ = ask(pull) }
                return hit
            }
        case .ask:
            if let pause, let answer = try await stale(pull, pull.decide(after: pause), pause) { return answer }
        case .refuse: throw .missed(.offline)
        case .serveConfirmed, .serveStale, .fetch, .wait, .forget: break
        }
        if pull.known == nil, !mustAsk { try remembered(pull.unknownKey) }
        return try await asked(pull)
    }

    /// What is known of it, in the policy that it has.
    private func pull(_ tag: Tag, in repository: Repository, mustAsk: Bool) async throws(Refusal) -> TagPull {
        guard let policy = directory.policy(of: tag, in: repository) else {
            throw .missed(.noSuchUpstream(repository.upstream))
        }
        let mark = store.hot.mark
        // Where the database does not answer it is not known.
        let stored = await ServerTiming.measure(.store, uptime) {
            (try? await store.tag(tag, of: repository)).flatMap { $0 }
        }
        if let stored { store.hot.keep(stored, as: tag, of: repository, since: mark) }
        let known = tagMemory.known(TagMemory.Key(repository: repository, tag: tag), stored, at: now())
        return TagPull(tag: tag, repository: repository, policy: policy, known: known, mustAsk: mustAsk)
    }

    /// The same tag asked for twice at once is one question.
    private func ask(_ pull: TagPull) -> (flight: Flight<Result<Resolution, PullThroughError>>, isCollapsed: Bool) {
        tagFlights.join(pull.key, late: patience.lateness(of: pull.repository.upstream, clock)) { [self] in
            await Result { () async throws(PullThroughError) in try await resolve(pull) }
        }
    }

    private func asked(_ pull: TagPull) async throws(Refusal) -> ManifestAnswer {
        let (flight, isCollapsed) = ask(pull)
        let late = PullThroughError.late(pull.repository.upstream)
        let isLate = await ServerTiming.measure(.upstream, uptime) { await flight.isLate }
        if isLate, let answer = try await stale(pull, pull.decide(.late), late) { return answer }
        do throws(PullThroughError) {
            let result = await ServerTiming.measure(.upstream, uptime) { await flight.value }
            return try await answer(try result.get(), pull, isCollapsed: isCollapsed)
        } catch {
            if let answer = try await stale(pull, pull.decide(after: error), error) { return answer }
            throw .missed(error, isCollapsed: isCollapsed)
        }
    }

    private func answer(
        _ resolution: Resolution, _ pull: TagPull, isCollapsed: Bool
    ) async throws(PullThroughError) -> ManifestAnswer {
        switch resolution {
        case .fetched(let fetched):
            var status = fetched.status(pull.forward)
            if isCollapsed { status.isCollapsed = true }
            return ManifestAnswer(content: fetched.content, status: status)
        case .confirmed(let digest, let status):
            guard let content = await storedManifest(digest, in: pull.repository) else {
                // Gone since: as if the tag had not been known.
                let fetched = try await fetch(digest, in: pull.repository, isNamed: true)
                return ManifestAnswer(content: fetched.content, status: fetched.status(.miss))
            }
            return ManifestAnswer(
                content: content,
                status: CacheStatus(
                    forward: pull.forward, forwardStatus: status, isCollapsed: isCollapsed, isUnchanged: true))
        }
    }

    /// What is stored, without a question; nil if it is gone after all.
    private func hit(_ digest: Digest, _ pull: TagPull) async throws(Refusal) -> ManifestAnswer? {
        await storedManifest(digest, in: pull.repository).map { hit($0, pull) }
    }

    func hit(_ content: ManifestContent, _ pull: TagPull) -> ManifestAnswer {
        var answer = ManifestAnswer(content: content, status: .hit, age: pull.age)
        if isOffline {
            answer.status.detail = "offline"
            if !pull.isFresh { answer.staleness = "this mirror is offline" }
        } else if !pull.isFresh {
            answer.status.detail = "stale-while-revalidate"
        }
        return answer
    }

    /// What is stored, in place of the answer that there is not; nil if the decision is another.
    private func stale(
        _ pull: TagPull, _ decision: Decision, _ error: PullThroughError
    ) async throws(Refusal) -> ManifestAnswer? {
        guard case .serveStale(let digest) = decision,
            let content = await storedManifest(digest, in: pull.repository)
        else { return nil }
        // Once a tag: an outage may last for as long as people go on pulling.
        logger.log(
            level: tagMemory.servedStale(pull.key) ? .warning : .debug, "serving stale until the upstream answers",
            metadata: ["image": pull.image, "error": "\(error.message)"])
        let status = CacheStatus(
            forward: .stale, forwardStatus: error.upstreamStatus, isStale: true, detail: "stale-if-error")
        return ManifestAnswer(
            content: content, status: status, age: pull.age, staleness: error.message, failure: error)
    }
}

extension TagPull {
    fileprivate var isFresh: Bool {
        policy.isImmutable || known?.age.map { $0 < policy.freshFor } == true
    }

    /// How much longer it is served without asking; nil where that is not for being fresh.
    var freshFor: Duration? {
        if policy.isImmutable { return .seconds(60) }
        guard let known, let age = known.age else { return nil }
        let left = policy.freshFor - Int64(Double(policy.freshFor) * known.jitter) - age
        return left > 0 ? .milliseconds(left) : nil
    }

    /// Seconds since the upstream confirmed it, as far as the clocks can say.
    fileprivate var age: Int64 { (known?.age ?? 0) / 1000 }
}
