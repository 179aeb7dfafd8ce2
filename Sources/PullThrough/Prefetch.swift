// Bringing an image here before anybody asks: the same decisions and the same fills as a client's pull, and no reader.

import HTTPSemantics
package import OCI
import Store
import Synchronization

/// How far an image has come.
package struct PrefetchProgress: Equatable, Sendable {
    package enum State: String, Sendable { case resolving, fetching, done, failed }

    package var state = State.resolving
    /// Bytes that are here, of manifests, configs and layers; what was stored before counts.
    package var received: Int64 = 0
    /// Bytes of all that belongs to it; nil until its manifests are here.
    package var size: Int64?
    /// How many of those, manifests too.
    package var blobsDone = 0
    package var blobs = 0
    /// Why it failed, or is not what the upstream has now; for people.
    package var message: String?

    package init() {}
}

extension PullThroughCache {
    /// So many blobs of one image at once. How many connections that makes is said elsewhere.
    private static let mostBlobs = 4
    /// Tries for a blob whose transfer breaks off, as clients make them.
    private static let mostTries = 3
    private static let interval = Duration.milliseconds(250)

    /// Returns when all is here or something of it cannot be had. Cancelled, it follows nothing any more: what nobody
    /// else wants goes on or ends as the upstream's policy says.
    ///
    /// - Parameters:
    ///   - platforms: which children of an index; none: all. What is no index is always taken.
    ///   - tell: at first, at the most four times a second while something changes, and last with the end.
    package func prefetch(
        _ reference: Reference, in repository: Repository, platforms: [PlatformChoice],
        tell: @escaping @Sendable (PrefetchProgress) async -> Void
    ) async {
        let tally = PrefetchTally()
        await tell(tally.progress)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in await report(tally, tell) }
            do throws(PullThroughError) {
                let complaint = try await bring(reference, in: repository, platforms, tally)
                tally.end(complaint)
            } catch {
                tally.end(error.message)
            }
            group.cancelAll()
        }
        if !Task.isCancelled { await tell(tally.progress) }
    }

    private func report(
        _ tally: PrefetchTally, _ tell: @Sendable (PrefetchProgress) async -> Void
    ) async {
        var told = tally.progress
        // The sleep fails only when it is cancelled.
        while (try? await clock.sleep(for: Self.interval)) != nil {
            tally.letGoOfPassing()
            let progress = tally.progress
            guard progress != told, progress.state == .fetching else { continue }
            told = progress
            await tell(progress)
        }
    }

    /// - Returns: what is wrong with it though all that was found is here.
    private func bring(
        _ reference: Reference, in repository: Repository, _ platforms: [PlatformChoice], _ tally: PrefetchTally
    ) async throws(PullThroughError) -> String? {
        var plan = PrefetchPlan(platforms: platforms)
        let (root, staleness) = try await document(reference, in: repository)
        var waiting = try plan.take(root, depth: 0).map { (digest: $0, depth: 1) }
        tally.began(note: staleness)
        tally.took(Int64(root.bytes.count), manifests: plan.manifests)
        while let child = waiting.popLast() {
            if Task.isCancelled { return nil }
            let (content, _) = try await document(.digest(child.digest), in: repository)
            waiting += try plan.take(content, depth: child.depth).map { ($0, child.depth + 1) }
            tally.took(Int64(content.bytes.count), manifests: plan.manifests)
        }
        tally.plan(size: plan.size, blobs: plan.manifests + plan.blobs.count)
        try await bring(plan.blobs, in: repository, tally)
        return plan.complaint
    }

    private func document(
        _ reference: Reference, in repository: Repository
    ) async throws(PullThroughError) -> (content: ManifestContent, staleness: String?) {
        do throws(Refusal) {
            let answer = try await manifest(reference, in: repository)
            return (answer.content, answer.staleness)
        } catch {
            throw error.error
        }
    }

    /// Some at once. After the first that cannot be had no other is begun; those that are under way end.
    private func bring(
        _ blobs: [(digest: Digest, size: Int64)], in repository: Repository, _ tally: PrefetchTally
    ) async throws(PullThroughError) {
        let results = await withTaskGroup(of: Result<Void, PullThroughError>.self) { group in
            var (rest, failure) = (blobs[...], PullThroughError?.none)
            func begin() {
                guard failure == nil, !Task.isCancelled, let blob = rest.popFirst() else { return }
                group.addTask { [self] in
                    await Result { () async throws(PullThroughError) in
                        try await bring(blob.digest, size: blob.size, in: repository, tally)
                    }
                }
            }
            for _ in 0..<Self.mostBlobs { begin() }
            while let result = await group.next() {
                if case .failure(let error) = result { failure = failure ?? error }
                begin()
            }
            return failure
        }
        if let results { throw results }
    }

    private func bring(
        _ digest: Digest, size: Int64, in repository: Repository, _ tally: PrefetchTally
    ) async throws(PullThroughError) {
        var failure = PullThroughError.unreachable(
            .proxyInternalError, "the transfer of \(digest) broke off \(Self.mostTries) times: the log says why")
        for _ in 0..<Self.mostTries {
            guard let reader = try await reader(of: digest, in: repository) else { break }
            // Stored: it has been opened, so it is there.
            if !reader.isInFlight { return tally.done(digest, size) }
            if reader.hasNoRoom { throw .noSpace("there is no room for \(digest)") }
            let bell = Bell()
            reader.whenEnded { bell.ring() }
            tally.follow(digest, size, reader, bell)
            await withTaskCancellationHandler {
                await bell.heard()
            } onCancel: {
                bell.ring()
            }
            tally.leave(digest)
            if Task.isCancelled { return }
            if reader.hasNoRoom { throw .noSpace("there is no room for \(digest)") }
            guard reader.isWhole else { continue }
            // Its row is written behind its last byte.
            if let fill = fill(of: digest) { await task(of: fill)?.value }
            if await known(digest, in: repository).storedSize != nil { return tally.done(digest, size) }
            failure = .store("\(digest) came, and could not be stored: the log says why")
            break
        }
        throw failure
    }

    private func reader(
        of digest: Digest, in repository: Repository
    ) async throws(PullThroughError) -> BlobReader? {
        do throws(Refusal) {
            guard case .bytes(let reader, _) = try await blob(digest, in: repository).content else { return nil }
            return reader
        } catch {
            throw error.error
        }
    }
}

/// What one image's transfers come to. A lock: many write, and one reads four times a second.
private final class PrefetchTally: Sendable {
    private struct State {
        var progress = PrefetchProgress()
        var following: [Digest: (reader: BlobReader, size: Int64, bell: Bell)] = [:]
    }

    private let state = Mutex(State())

    var progress: PrefetchProgress {
        state.withLock { state in
            var progress = state.progress
            for (reader, size, _) in state.following.values {
                progress.received = progress.received.plus(min(reader.received, size))
            }
            return progress
        }
    }

    func began(note: String?) {
        state.withLock { ($0.progress.state, $0.progress.message) = (.fetching, note) }
    }

    /// A manifest is here; so many are known to be wanted.
    func took(_ bytes: Int64, manifests: Int) {
        state.withLock { state in
            state.progress.received = state.progress.received.plus(bytes)
            state.progress.blobsDone += 1
            state.progress.blobs = manifests
        }
    }

    func plan(size: Int64, blobs: Int) {
        state.withLock { ($0.progress.size, $0.progress.blobs) = (size, blobs) }
    }

    func follow(_ digest: Digest, _ size: Int64, _ reader: BlobReader, _ bell: Bell) {
        state.withLock { $0.following[digest] = (reader, size, bell) }
    }

    /// The reader is let go of outside the lock: it leaves its fill with that.
    func leave(_ digest: Digest) {
        let left = state.withLock { $0.following.removeValue(forKey: digest) }
        withExtendedLifetime(left) {}
    }

    func done(_ digest: Digest, _ size: Int64) {
        state.withLock { state in
            state.progress.received = state.progress.received.plus(size)
            state.progress.blobsDone += 1
        }
    }

    /// Who reads nothing would hold up all others of a transfer that waits for its readers.
    func letGoOfPassing() {
        let bells = state.withLock { $0.following.values.filter(\.reader.hasNoRoom).map(\.bell) }
        for bell in bells { bell.ring() }
    }

    /// - Parameter failure: nil: all is here. What was noted before stays then.
    func end(_ failure: String?) {
        state.withLock { state in
            state.progress.state = failure == nil ? .done : .failed
            state.progress.message = failure ?? state.progress.message
        }
    }
}

/// Rings once, for one who waits.
private final class Bell: Sendable {
    private let state = Mutex<(isRung: Bool, waiter: CheckedContinuation<Void, Never>?)>((false, nil))

    func ring() {
        let waiter = state.withLock { state in
            state.isRung = true
            return state.waiter.take()
        }
        waiter?.resume()
    }

    func heard() async {
        await withCheckedContinuation { continuation in
            let isRung = state.withLock { state in
                if !state.isRung { state.waiter = continuation }
                return state.isRung
            }
            if isRung { continuation.resume() }
        }
    }
}
