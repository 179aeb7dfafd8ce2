// end-2: a blob from the store, from a fill in flight, or from a new one.

package import HTTPSemantics
package import OCI
import Store
import Upstream

package struct BlobAnswer: Sendable {
    package enum Content: Sendable {
        /// What to send of it.
        case bytes(BlobReader, RequestedRange)
        /// Nothing of what was asked for exists; bytes of the whole.
        case unsatisfiable(size: Int64)
        /// Several ranges, too far apart to be had as one: ask for them one by one.
        case scattered
    }

    package let content: Content
    package let status: CacheStatus
    /// This request began the transfer: its bytes are counted as sent as they came.
    package let beganFill: Bool
}

extension PullThroughCache {
    /// What a request asks for of a blob of so many bytes.
    package typealias RangeReading = @Sendable (_ size: Int64) -> RequestedRange

    /// Several ranges of what is not wholly here are had as one that covers them, if it is no larger than this.
    static let largestCover: Int64 = 8 << 20

    /// - Parameter range: nil where the request has none.
    /// - Throws: a refusal; the blob was not sent in part.
    package func blob(
        _ digest: Digest, in repository: Repository, range: RangeReading? = nil
    ) async throws(Refusal) -> BlobAnswer {
        let key = NegativeCache.Key(repository: repository, reference: .digest(digest), isBlob: true)
        var asked: CacheStatus?
        var confirmed: Confirmed?
        var range = range
        var isAlone = false
        while true {
            switch try await step(key, digest, in: repository, range, confirmed, isAlone: isAlone) {
            case .stored(let file): return answer(file, range, asked ?? .hit)
            case .answered(let wish): return answer(wish, asked ?? .hit, beganFill: false) { nil }
            case .follow(let fill, let id, let isMine, let hasRight):
                switch try await follow(fill, as: id, isMine: isMine, hasRight: hasRight, key, range) {
                case .answer(let answer): return answer
                case .again: break
                case .alone: isAlone = true
                }
            case .again(after: let task): await task?.value
            case .askForLink:
                confirmed = Confirmed(size: try await confirmLink(key).size)
                asked = .confirmed
            case .askForSize:
                // Where the upstream tells no size there is no telling what a range means: then all of it is sent.
                let size = try await confirmLink(key).size
                confirmed = Confirmed(size: size)
                if size == nil { range = nil }
            case .refused(let refusal): throw refusal
            }
        }
    }

    /// From a stored file.
    func answer(_ file: BlobFile, _ range: RangeReading?, _ status: CacheStatus) -> BlobAnswer {
        store.recordUse(file.digest, lease: false)
        let wish = Wish(range, size: file.size, isStored: true)
        store.noteServed(file.digest, size: file.size, bytes: wish.bytes(of: file.size))
        return answer(wish, status, beganFill: false) { BlobReader(stored: file, in: store) }
    }

    /// What an upstream has just said to this request, whether or not it could be written down.
    private struct Confirmed {
        /// Bytes, if it told.
        let size: Int64?
    }

    private enum Outcome {
        case answer(BlobAnswer)
        /// It was another's fill and came to nothing, or to nothing that this repository may see: ask for oneself.
        case again
        /// There is no room, and that fill serves another.
        case alone
    }

    /// - Parameter hasRight: whether the repository may see the digest whatever this fill's upstreams say.
    private func follow(
        _ fill: Fill, as id: Int, isMine: Bool, hasRight: Bool, _ key: NegativeCache.Key, _ range: RangeReading?
    ) async throws(Refusal) -> Outcome {
        do throws(PullThroughError) {
            let opening = try await ServerTiming.measure(.upstream, uptime) { () async throws(PullThroughError) in
                try await fill.opened(for: id)
            }
            guard case .shown(let writer) = opening else {
                fill.leave(id)
                return .alone
            }
            // It may be another's upstream that has answered.
            guard hasRight || fill.hasAnswered(for: key.repository) else {
                fill.leave(id)
                return .again
            }
            store.recordUse(fill.digest, lease: false)
            let reader = BlobReader(following: fill, as: id, through: writer)
            // Only now is the size an upstream's word.
            let wish = writer.announced.map { Wish(range, size: $0, isStored: false) } ?? .send(.whole)
            fill.want(id, wish.demand)
            let status = CacheStatus.miss(200, isStored: !reader.isPassing, isCollapsed: !isMine)
            return .answer(answer(wish, status, beganFill: isMine) { reader })
        } catch {
            fill.leave(id)
            // Another repository's failure says nothing about this one: ask for ourselves.
            if fill.source != key.repository { return .again }
            // Of several sources the last one's word may be what it is.
            if fill.hasOneSource { remember(error, for: key) }
            throw .missed(error, isCollapsed: !isMine)
        }
    }

    private func answer(
        _ wish: Wish, _ status: CacheStatus, beganFill: Bool, _ reader: () -> BlobReader?
    ) -> BlobAnswer {
        let content: BlobAnswer.Content =
            switch (wish, reader()) {
            case (.send(let range), let reader?): .bytes(reader, range)
            case (.nothing(let size), _): .unsatisfiable(size: size)
            case (.tooScattered, _), (.send, nil): .scattered
            }
        return BlobAnswer(content: content, status: status, beganFill: beganFill)
    }

    /// `HEAD`: never a transfer. Answered here if it is stored, in flight, or was answered before; else the upstream
    /// is asked by HEAD, since a manifest's word alone does not say that the blob is there.
    package func blobFacts(
        _ digest: Digest, in repository: Repository
    ) async throws(Refusal) -> (size: Int64?, status: CacheStatus) {
        let key = NegativeCache.Key(repository: repository, reference: .digest(digest), isBlob: true)
        let knowledge = await known(digest, in: repository)
        if knowledge.isLinked, let size = knowledge.storedSize { return (size, .hit) }
        if let size = knowledge.answeredSize { return (size, .hit) }
        if let fill = fill(of: digest), isShown(fill, in: repository, knowledge), let size = fill.confirmedSize {
            return (size, .miss(200, isCollapsed: true))
        }
        try remembered(key)
        let (size, isCollapsed) = try await confirmLink(key)
        let isHere = knowledge.storedSize != nil && !isCollapsed
        return (size, isHere ? .confirmed : .miss(200, isCollapsed: isCollapsed))
    }

    private enum Step {
        case stored(BlobFile)
        case follow(Fill, as: Int, isMine: Bool, hasRight: Bool)
        /// Nothing needs to be sent.
        case answered(Wish)
        /// A fill is on its way out, and another cannot begin before; or it has gone just now.
        case again(after: Task<Void, Never>?)
        /// The content is here or on its way, but this repository has not been shown to have it.
        case askForLink
        /// What a range means depends on it.
        case askForSize
        case refused(Refusal)
    }

    /// Lookup, join and start are one turn of the digest, so it has at most one fill. No upstream is waited for in it.
    private func step(
        _ key: NegativeCache.Key, _ digest: Digest, in repository: Repository, _ range: RangeReading?,
        _ confirmed: Confirmed?, isAlone: Bool
    ) async throws(Refusal) -> Step {
        do throws(PullThroughError) {
            return try await store.gate.turn(digest) { () async throws(PullThroughError) in
                var knowledge = await known(digest, in: repository)
                if let confirmed {
                    (knowledge.isLinked, knowledge.isAnswered) = (true, true)
                    knowledge.answeredSize = confirmed.size ?? knowledge.answeredSize
                }
                if !isAlone, let fill = fill(of: digest) {
                    if isShown(fill, in: repository, knowledge) || fill.source == repository && !fill.isDecided {
                        let hasRight = isShown(fill, in: repository, knowledge)
                        return try join(fill, from: repository, hasRight: hasRight, range)
                    }
                    return refusal(for: key).map(Step.refused) ?? .askForLink
                }
                if let size = knowledge.storedSize {
                    guard knowledge.isLinked else {
                        return refusal(for: key).map(Step.refused) ?? .askForLink
                    }
                    let file = try await restated { () async throws(StoreError) in
                        try await ServerTiming.measure(.store, uptime) { () async throws(StoreError) in
                            try await store.open(digest, size: size)
                        }
                    }
                    if let file {
                        if knowledge.hasOwnLink { store.hot.keep(file, for: repository) }
                        return .stored(file)
                    }
                }
                if let refusal = refusal(for: key) { return .refused(refusal) }
                return try start(digest, from: repository, knowledge, range, isAlone: isAlone)
            }
        } catch {
            throw .missed(error)
        }
    }

    /// Whether a fill's bytes may be seen through a repository. What takes credentials is not shown elsewhere because a
    /// manifest names it.
    private func isShown(_ fill: Fill, in repository: Repository, _ knowledge: BlobKnowledge) -> Bool {
        if knowledge.isAnswered || fill.hasAnswered(for: repository) { return true }
        let isPrivate = fill.takesCredentials && fill.source.upstream != repository.upstream
        return knowledge.isLinked && !isPrivate
    }

    private func join(
        _ fill: Fill, from repository: Repository, hasRight: Bool, _ range: RangeReading?
    ) throws(PullThroughError) -> Step {
        var demand = Demand.whole
        if let range {
            // What somebody else was told of the size decides nothing for this one.
            let wish = fill.confirmedSize.map { Wish(range, size: $0, isStored: false) }
            if hasRight, let wish, !wish.needsBytes { return .answered(wish) }
            demand = wish?.demand ?? .undecided
        }
        let source = Fill.Source(registry: try registry(of: repository), repository: repository)
        if let id = fill.join(source, demand) { return .follow(fill, as: id, isMine: false, hasRight: hasRight) }
        return .again(after: fill === self.fill(of: fill.digest) ? task(of: fill) : nil)
    }

    private func start(
        _ digest: Digest, from repository: Repository, _ knowledge: BlobKnowledge, _ range: RangeReading?, isAlone: Bool
    ) throws(PullThroughError) -> Step {
        let source = Fill.Source(registry: try registry(of: repository), repository: repository)
        var demand = Demand.whole
        // `0-` is the whole in other words, whatever the size.
        if let range, range(.max) != .part(0..<Int64.max, isOpenEnded: true) {
            guard let answeredSize = knowledge.answeredSize else { return .askForSize }
            let wish = Wish(range, size: answeredSize, isStored: false)
            if !wish.needsBytes { return .answered(wish) }
            demand = wish.demand
        }
        let fill = Fill(
            digest, from: source, size: demand == .whole ? nil : knowledge.answeredSize,
            sizeHint: knowledge.answeredSize ?? knowledge.namedSize,
            policy: directory[repository.upstream]?.fills ?? FillPolicy(), isSingleSource: isSuspect(digest),
            isAlone: isAlone, at: now(),
            Fill.Surroundings(
                store: store, clock: clock, statistics: statistics, logger: logger,
                retire: { [weak self] in self?.retire($0) }, suspect: { [weak self] in self?.suspect($0, $1) }))
        guard let id = fill.join(source, demand) else { return .again(after: nil) }  // a new one takes everybody
        begin(fill, isOpen: !isAlone)
        return .follow(fill, as: id, isMine: true, hasRight: false)
    }

    /// Asks the upstream by HEAD whether the repository has the blob, and links it if so.
    @discardableResult
    private func confirmLink(_ key: NegativeCache.Key) async throws(Refusal) -> (size: Int64?, isCollapsed: Bool) {
        guard case .digest(let digest) = key.reference else { return (nil, false) }
        let (result, isCollapsed) = await ServerTiming.measure(.upstream, uptime) {
            await linkFlights.run(key) { [self] in
                await Result { () async throws(PullThroughError) in
                    let size = try await asking(key.repository) { registry, name throws(UpstreamError) in
                        try await registry.blobSize(name, digest)
                    }
                    await note(digest, size: size, linkedTo: key.repository, isNamed: false)
                    return size
                }
            }
        }
        do throws(PullThroughError) {
            return (try result.get(), isCollapsed)
        } catch {
            remember(error, for: key)
            throw .missed(error, isCollapsed: isCollapsed)
        }
    }
}

/// What is to be sent, now that the size is known.
private enum Wish {
    case send(RequestedRange)
    case nothing(size: Int64)
    case tooScattered

    /// - Parameter isStored: all of it is here: several ranges are answered with the whole then.
    init(_ range: PullThroughCache.RangeReading?, size: Int64, isStored: Bool) {
        switch range?(size) ?? .whole {
        case .unsatisfiable: self = .nothing(size: size)
        case .multiple where isStored: self = .send(.whole)
        case .multiple(let ranges):
            let cover = (ranges.map(\.lowerBound).min() ?? 0)..<(ranges.map(\.upperBound).max() ?? 0)
            let isSmall = cover.count <= PullThroughCache.largestCover
            self = isSmall ? .send(.part(cover, isOpenEnded: false)) : .tooScattered
        case let requested: self = .send(requested)
        }
    }

    /// How many bytes are sent of a blob of so many.
    func bytes(of size: Int64) -> Int64 {
        switch self {
        case .send(.part(let range, _)): Int64(range.count)
        case .send: size
        case .nothing, .tooScattered: 0
        }
    }

    var needsBytes: Bool { if case .send = self { true } else { false } }

    var demand: Demand {
        switch self {
        case .send(.part(let range, isOpenEnded: true)) where range.lowerBound > 0: .openEnded(from: range.lowerBound)
        case .send(.part(let range, isOpenEnded: false)): .part(range)
        case .send: .whole
        case .nothing, .tooScattered: .undecided
        }
    }
}

extension Result {
    init(_ body: () async throws(Failure) -> Success) async {
        do throws(Failure) { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
