// What the tests of this room share: a stub registry, the real transport, and receivers that write everything down.
import HTTPSemantics
import HTTPTypes
import Logging
import OCI
import Synchronization
import TestSupport

@testable import Upstream

/// A stub registry and an upstream that asks it over libcurl, with time standing still.
struct Laboratory {
    static let name = RepositoryName("library/alpine")!  // a literal of the grammar
    let stub: StubRegistry
    let transport = CurlTransport()
    let clock = ManualClock()

    /// Runs the body against a fresh stub, and stops both ends after it.
    static func run(
        _ options: StubOptions = StubOptions(), _ body: (Laboratory) async throws -> Void
    ) async throws {
        let laboratory = Laboratory(stub: try await StubRegistry.start(options))
        do {
            try await body(laboratory)
        } catch {
            await laboratory.stop()
            throw error
        }
        await laboratory.stop()
    }

    func upstream(
        endpoints: [String]? = nil, authHosts: [String] = [], credentials: Credentials? = nil, allowHTTP: Bool = true,
        stallTimeout: Duration = .seconds(20), maxBandwidth: Int64? = nil, clock: (any Clock<Duration>)? = nil
    ) -> UpstreamRegistry {
        let configuration = UpstreamConfiguration(
            name: "docker.io", endpoints: (endpoints ?? [stub.url]).compactMap { UpstreamEndpoint($0) },
            authHosts: authHosts, credentials: credentials.map { .login($0) } ?? .anonymous, allowHTTP: allowHTTP,
            firstByteTimeout: .seconds(15), stallTimeout: stallTimeout, maxBandwidth: maxBandwidth)
        return UpstreamRegistry(
            configuration, transport: transport, clock: clock ?? self.clock, now: { 1_700_000_000 },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, instance: "test")
    }

    private func stop() async {
        await transport.stop()
        await stub.stop()
    }
}

/// What an upstream call throws; nil if it does not.
func failure<Value>(_ work: () async throws(UpstreamError) -> Value) async -> UpstreamError? {
    do throws(UpstreamError) {
        _ = try await work()
        return nil
    } catch {
        return error
    }
}

/// Counts calls from anywhere.
final class Counter: Sendable {
    private let calls = Atomic(0)
    var count: Int { calls.load(ordering: .relaxed) }
    @discardableResult func increment() -> Int { calls.add(1, ordering: .relaxed).newValue }
}

/// Takes a blob, and pauses where it is told to.
final class RecordingSink: BlobSink {
    struct State {
        var head: BlobHead?
        var bytes: [UInt8] = []
        var heads = 0
        var settles = 0
        var ends: [Result<Void, UpstreamError>] = []
        var pauseAt: Int?
        var isPaused = false
    }

    private let state: Watched<State>
    private let reception: @Sendable (BlobHead) -> Reception
    private let bytesVerdict: Verdict

    init(
        bytesVerdict: Verdict = .took, pauseAt: Int? = nil,
        reception: @escaping @Sendable (BlobHead) -> Reception = { _ in .took }
    ) {
        self.reception = reception
        self.bytesVerdict = bytesVerdict
        state = Watched(State(pauseAt: pauseAt))
    }

    var now: State { state.value }

    func begin(_ head: BlobHead) -> Reception {
        state.change { state in
            state.head = head
            state.heads += 1
        }
        return reception(head)
    }

    func bytes(_ bytes: UnsafeRawBufferPointer) -> Verdict {
        guard bytesVerdict == .took else { return bytesVerdict }
        return state.change { state in
            if let limit = state.pauseAt, state.bytes.count + bytes.count > limit {
                state.isPaused = true
                return .pause
            }
            state.bytes.append(contentsOf: bytes)
            return .took
        }
    }

    func settle() { state.change { $0.settles += 1 } }

    func finished(_ end: Result<Void, UpstreamError>) { state.change { $0.ends.append(end) } }

    /// Lets everything pass from now on.
    func unpause() {
        let transfer = state.change { state in
            state.pauseAt = nil
            state.isPaused = false
            return state.head?.transfer
        }
        transfer?.resume()
    }

    func wait(until isThere: @escaping @Sendable (State) -> Bool) async { await state.wait(until: isThere) }

    func end() async -> Result<Void, UpstreamError>? {
        await wait { !$0.ends.isEmpty }
        return now.ends.first
    }
}

extension Result where Success == Void, Failure == UpstreamError {
    var error: UpstreamError? { if case .failure(let error) = self { error } else { nil } }
}
