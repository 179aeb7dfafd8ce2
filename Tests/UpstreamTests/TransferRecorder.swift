// A receiver that writes down what a transport calls, and pauses where it is told to.
import HTTPSemantics
import HTTPTypes
import TestSupport
import Testing

@testable import Upstream

final class TransferRecorder: TransferReceiver {
    struct State {
        var heads: [ResponseHead] = []
        var count = 0
        /// The first 64 KiB.
        var body: [UInt8] = []
        var ends: [TransferEnd] = []
        var pauseAt: Int?
        var pauses = 0

        var text: String { String(decoding: body, as: UTF8.self) }
        /// The token and the words of a failure.
        var failure: (error: ProxyError, words: String)? {
            if case .failed(let error, let words) = ends.first { (error, words) } else { nil }
        }
    }

    private let state: Watched<State>

    init(pauseAt: Int? = nil) { state = Watched(State(pauseAt: pauseAt)) }

    var now: State { state.value }

    func letPass() { state.change { $0.pauseAt = nil } }

    func head(_ head: ResponseHead) -> Verdict {
        state.change { $0.heads.append(head) }
        return .took
    }

    func bytes(_ bytes: UnsafeRawBufferPointer) -> Verdict {
        state.change { state in
            if let limit = state.pauseAt, state.count >= limit {
                state.pauses += 1
                return .pause
            }
            state.count += bytes.count
            state.body.append(contentsOf: bytes.prefix(65536 - state.body.count))
            return .took
        }
    }

    func settle() {}

    func finished(_ end: TransferEnd) { state.change { $0.ends.append(end) } }

    func wait(until isThere: @escaping @Sendable (State) -> Bool) async { await state.wait(until: isThere) }

    func end() async -> TransferEnd? {
        await wait { !$0.ends.isEmpty }
        return now.ends.first
    }
}

extension CurlTransport {
    /// One request from its beginning to its end.
    func fetch(
        _ url: String, _ method: HTTPRequest.Method = .get, _ way: Way = Way(), fields: HTTPFields = [:],
        body: [UInt8] = [], version: TransferRequest.Version = .http1
    ) async throws -> TransferRecorder.State {
        let request = TransferRequest(
            method: method, url: try #require(UpstreamURL(url)), fields: fields, body: body, version: version,
            connectTimeout: .seconds(20), stallTimeout: .seconds(20), way: way)
        let recorder = TransferRecorder()
        _ = begin(request, recorder)
        _ = await recorder.end()
        return recorder.now
    }

    /// Runs the body with a transport that is stopped after it.
    static func run(_ body: (CurlTransport) async throws -> Void) async throws {
        let transport = CurlTransport()
        do {
            try await body(transport)
        } catch {
            await transport.stop()
            throw error
        }
        await transport.stop()
    }
}
