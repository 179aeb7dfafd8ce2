// What a fill's state decides, done; and what the transport and the disk say, told to it.

import HTTPSemantics
import Logging
import OCI
import Store
import Synchronization
import Upstream

extension Fill {
    /// Something happens to the state; what follows is done outside its lock. What is begun has been entered inside it,
    /// so that a cancel which overtakes its beginning finds it.
    func change(_ event: (inout FillState, Duration) -> [FillState.Action]) {
        let now = uptime()
        let actions = state.withLock { state in
            let actions = event(&state.machine, now)
            enter(actions, in: &state, at: now)
            return actions
        }
        for action in actions { perform(action) }
    }

    /// A follower has read up to `offset`: often, and mostly of no consequence.
    func moved(_ id: Int, to offset: Int64) {
        let now = uptime()
        let actions = state.withLock { state in
            let actions = state.machine.moved(id, to: offset, at: now)
            if !actions.isEmpty { enter(actions, in: &state, at: now) }
            return actions
        }
        for action in actions { perform(action) }
    }

    func tick() { change { $0.tick(firstByteBy: firstByteTimeout, at: $1) } }

    /// The program ends: what has landed is kept.
    func cease() { change { machine, _ in machine.stop() } }

    private func enter(_ actions: [FillState.Action], in state: inout State, at now: Duration) {
        for action in actions {
            switch action {
            case .ask(let ask):
                state.connections[ask.id] = FillConnection(
                    ask, from: state.sources[ask.source].repository, of: self)
                state.underWay += 1
            case .open: state.underWay += 1
            case .end(let outcome): state.outcome = outcome
            case .cancel, .promote, .replace, .resume, .checkpoint, .release: break
            }
        }
        guard let due = state.machine.deadline(firstByteBy: firstByteTimeout) else { return }
        // One that rings early does no harm: the next is set then.
        if let alarm = state.alarm, alarm.at <= due { return }
        state.alarm?.task.cancel()
        let task = Task { [weak self, clock = around.clock] in
            do { try await clock.sleep(for: max(.zero, due - now)) } catch { return }
            self?.rang(at: due)
        }
        state.alarm = (task, due)
    }

    private func rang(at due: Duration) {
        state.withLock { if $0.alarm?.at == due { $0.alarm = nil } }
        tick()
    }

    private func perform(_ action: FillState.Action) {
        switch action {
        case .ask(let ask): begin(ask)
        case .cancel(let id): state.withLock { $0.connections[id] }?.cancel()
        case .promote(let id): state.withLock { $0.connections[id] }?.becomeFirst()
        case .replace(let id): replace(id)
        case .open(let size): Task { await open(size) }
        case .resume(let id): state.withLock { $0.connections[id] }?.resume()
        case .checkpoint: Task { await checkpoint() }
        case .release(let offset): state.withLock { $0.writer }?.releaseSoon(upTo: offset)
        case .end: state.withLock { $0.awaitingOutcome.take() }?.resume()
        }
    }

    // MARK: Connections

    private func begin(_ ask: FillState.Ask) {
        let (connection, source, request, claim) = state.withLock { state in
            var request = BlobRequest()
            request.range = ask.range
            request.entityTags = state.machine.witness.entityTags
            request.endpoint = state.onlyEndpoint
            let claim = ConnectionBudget.Claim(
                isFirst: ask.isFirst, isFollowed: !state.machine.followers.isEmpty,
                size: state.machine.size ?? sizeHint)
            return (state.connections[ask.id], state.sources[ask.source], request, claim)
        }
        guard let connection else { return }
        let ticket = source.registry.budget.ticket(claim) { [weak self] in
            self?.change { machine, _ in machine.gaveWay(ask.id) }
        }
        connection.attach(
            Task {
                let result = await connection.run(source, ticket, request)
                over(connection, result, of: source.repository.upstream)
            }, ticket)
        // Who came or left just now found no ticket to tell.
        connection.update(isFollowed: state.withLock { !$0.machine.followers.isEmpty })
    }

    private func over(_ connection: FillConnection, _ result: Result<Void, UpstreamError>, of upstream: String) {
        change { $0.ended(connection.ask.id, result, of: upstream, at: $1) }
        let isBroken = if case .failure(let error) = result { error.mayBeRepaired } else { false }
        if isBroken { around.statistics.fills.brokenConnections.add(1) }
        let waiter = state.withLock { state in
            if isBroken { state.hasBroken = true }
            state.connections[connection.ask.id] = nil
            return leave(&state)
        }
        waiter?.resume()
    }

    private func leave(_ state: inout State) -> CheckedContinuation<Void, Never>? {
        state.underWay -= 1
        return state.underWay == 0 ? state.awaitingRest.take() : nil
    }

    private func replace(_ id: Int) {
        let (connection, sources) = state.withLock { ($0.connections[id], $0.sources) }
        guard let connection else { return }
        around.statistics.fills.replaced.add(1)
        if let contributor = connection.contributor {
            around.logger.warning(
                "a source that is too slow or stands still is replaced",
                metadata: ["digest": "\(digest)", "host": "\(contributor.host)"])
            let error = UpstreamError.unreachable(.connectionTimeout, "\(contributor.host) was too slow")
            for source in sources { source.registry.distrust(contributor.endpoint, error) }
        }
        connection.cancel()
    }

    // MARK: The file

    private func open(_ size: Int64?) async {
        do throws(StoreError) {
            let writer = try await makeFile(size)
            let connections = state.withLock { state in
                state.writer = writer
                return Array(state.connections.values)
            }
            change { $0.opened(landed: writer.resumed, window: writer.window, at: $1) }
            if state.withLock({ $0.machine.isShown }) { decide(.success(writer)) }
            for connection in connections { connection.start(writing: writer) }
        } catch {
            change { machine, _ in machine.broke(PullThroughError(error)) }
        }
        state.withLock { leave(&$0) }?.resume()
    }

    private func makeFile(_ size: Int64?) async throws(StoreError) -> IngestWriter {
        if isAlone { return try await around.store.passing(digest, size: size) }
        do throws(StoreError) {
            return try await around.store.ingest(digest, size: size)
        } catch {
            // No room, or a disk that fails: the store says which, once.
            let writer = try await around.store.passing(digest, size: size)
            // Who comes from here on begins a fill of his own.
            around.retire(self)
            around.logger.info("the blob passes through and is not kept", metadata: ["digest": "\(digest)"])
            return writer
        }
    }

    private func checkpoint() async {
        guard let writer = state.withLock({ $0.writer }) else { return }
        do throws(StoreError) {
            try await around.store.checkpoint(writer)
        } catch {
            around.logger.warning(
                "could not write down how far a blob has come", metadata: ["digest": "\(digest)", "error": "\(error)"])
        }
    }

    // MARK: What connections say, on the transport's thread

    func start(of id: Int) -> Int64 { state.withLock { $0.machine.plan[id]?.start ?? 0 } }

    /// - Returns: where its bytes go, or nil while there is no file; or why they are not wanted.
    func answered(_ connection: FillConnection, _ head: BlobHead) -> Result<IngestWriter?, UpstreamError> {
        let now = uptime()
        let result: Result<([FillState.Action], IngestWriter?), UpstreamError> = state.withLock { state in
            let result = state.machine.answered(connection.ask.id, head, at: now)
            if case .success = result {
                state.answered.insert(connection.repository)
                if isSingleSource { state.onlyEndpoint = head.endpoint }
            }
            return result.map { actions in
                enter(actions, in: &state, at: now)
                return (actions, state.writer)
            }
        }
        switch result {
        case .success(let (actions, writer)):
            for action in actions { perform(action) }
            return .success(writer)
        case .failure(let error): return .failure(error)
        }
    }

    func allowance(_ id: Int, at offset: Int64) -> FillState.Allowance {
        let now = uptime()
        return state.withLock { state in
            state.machine.heard(id, at: now)
            return state.machine.allowance(id, at: offset)
        }
    }

    func paused(_ id: Int) { state.withLock { $0.machine.paused(id) } }

    func received(_ bytes: Int) { around.statistics.received(Int64(bytes)) }

    func landed(_ connection: FillConnection, upTo offset: Int64) {
        let now = uptime()
        let contributor = connection.contributor
        let actions = state.withLock { state in
            let id = connection.ask.id
            if let next = state.machine.plan[id]?.next, next < offset {
                state.rate.add(offset - next, at: now)
                if let contributor { state.contributions.add(next..<offset, by: contributor) }
            }
            let actions = state.machine.landed(id, upTo: offset, at: now)
            if !actions.isEmpty { enter(actions, in: &state, at: now) }
            return actions
        }
        for action in actions { perform(action) }
    }

    /// - Returns: whether room is being made: the connection is resumed then, and its bytes are tried again.
    func couldNotWrite(_ connection: FillConnection, _ error: StoreError) -> Bool {
        let (writer, isPassing) = state.withLock { ($0.writer, $0.machine.isPassing) }
        guard case .noSpace = error, let writer, !isPassing else {
            change { machine, _ in machine.broke(PullThroughError(error)) }
            return false
        }
        Task {
            await makeRoom(for: writer)
            connection.resume()
        }
        return true
    }

    /// A blob whose size nobody said has outgrown its room, or the disk is full all the same.
    private func makeRoom(for writer: IngestWriter) async {
        do throws(StoreError) {
            // Once for what has landed: room that is promised and not there is no room.
            let landed = writer.landing.landed
            let hasGrown = state.withLock { state in
                defer { state.grownAt = landed }
                return state.grownAt == landed
            }
            if writer.announced == nil, !hasGrown { return try await around.store.grow(writer) }
        } catch {
            // Nothing more may be evicted.
        }
        around.retire(self)
        around.logger.warning(
            "no room on the way: the blob passes through and is not kept", metadata: ["digest": "\(digest)"])
        writer.becomePassing(window: Self.passingWindow)
        change { $0.ranOutOfRoom(window: writer.window ?? Self.passingWindow, at: $1) }
    }

    /// Bytes that may stand ahead of the slowest follower when the room has become too little on the way.
    private static let passingWindow: Int64 = 8 << 20
}

extension UpstreamError {
    /// Neither the registry's own word nor ours: another connection may do better.
    fileprivate var mayBeRepaired: Bool {
        switch self {
        case .unknown, .denied, .cancelled: false
        case .credentialsRefused, .rateLimited, .failed, .unreachable, .refused, .contradicted, .unsatisfiable,
            .incomplete:
            true
        }
    }
}
