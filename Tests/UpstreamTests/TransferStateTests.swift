// The transfer's state machine, by replayed events.
import HTTPSemantics
import HTTPTypes
import Testing

@testable import Upstream

@Suite("TransferState: event → action") struct TransferStateTests {
    private func replay(_ lines: [String], on state: inout TransferState) -> [TransferState.Action] {
        lines.map { state.headerLine($0[...]) }
    }

    private func flowing() -> TransferState {
        var state = TransferState()
        _ = replay(["HTTP/1.1 200 OK\r\n", "\r\n"], on: &state)
        _ = state.headJudged(.took)
        return state
    }

    @Test func `the head comes with the empty line and is complete`() {
        var state = TransferState()
        let actions = replay(
            ["HTTP/1.1 200 OK\r\n", "Content-Length: 12\r\n", "ETag:\"a\"\r\n", "X-Empty:\r\n", "\r\n"], on: &state)
        var fields = HTTPFields()
        fields[.contentLength] = "12"
        fields[.eTag] = "\"a\""
        fields[HTTPField.Name("X-Empty")!] = ""  // a token
        #expect(actions.dropLast().allSatisfy { $0 == .nothing })
        #expect(actions.last == .head(ResponseHead(status: 200, fields: fields, length: 12)))
    }

    @Test func `blocks of 1xx are dropped with their fields`() {
        var state = TransferState()
        let actions = replay(
            [
                "HTTP/1.1 100 Continue\r\n", "\r\n", "HTTP/1.1 103 Early Hints\r\n", "Link: </a>\r\n", "\r\n",
                "HTTP/2 404 \r\n", "\r\n",
            ], on: &state)
        #expect(actions.last == .head(ResponseHead(status: 404, fields: [:], length: nil)))
        #expect(actions.dropLast().allSatisfy { $0 == .nothing })
    }

    @Test func `a status line begins a new block and forgets the last one's fields`() {
        var state = TransferState()
        let actions = replay(["HTTP/1.1 200 OK\r\n", "ETag: a\r\n", "HTTP/1.1 201 Created\r\n", "\r\n"], on: &state)
        #expect(actions.last == .head(ResponseHead(status: 201, fields: [:], length: nil)))
    }

    @Test func `there is one head, and trailers are dropped`() {
        var state = flowing()
        let actions = replay(["X-Checksum: 1\r\n", "\r\n", "HTTP/1.1 500 No\r\n", "\r\n"], on: &state)
        #expect(actions.allSatisfy { $0 == .nothing })
    }

    @Test(arguments: ["12x", "-1", "+5", "1, 2", "99999999999999999999", "9223372036854775807", "9007199254740993"])
    func `a Content-Length that is no length is refused`(_ length: String) {
        var state = TransferState()
        let actions = replay(["HTTP/1.1 200 OK\r\n", "Content-Length: \(length)\r\n", "\r\n"], on: &state)
        #expect(actions.last == .abort)
        guard case .finish(.failed(.httpProtocolError, _)) = state.ended(.aborted) else {
            Issue.record("expected a protocol error")
            return
        }
    }

    @Test func `equal lengths may repeat, and a transfer coding outweighs them`() {
        var twice = TransferState()
        let equal = replay(["HTTP/1.1 200 OK\r\n", "Content-Length: 5, 5\r\n", "\r\n"], on: &twice)
        var coded = TransferState()
        let chunked = replay(
            ["HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "\r\n"], on: &coded)
        guard case .head(let first) = equal.last, case .head(let second) = chunked.last else {
            Issue.record("expected heads")
            return
        }
        #expect(first.length == 5)
        #expect(second.length == nil)
    }

    @Test func `a head of more than 64 KiB is refused`() {
        var state = TransferState()
        let line = "X-Long: " + String(repeating: "x", count: 8000) + "\r\n"
        let actions = replay(["HTTP/1.1 200 OK\r\n"] + Array(repeating: line, count: 9), on: &state)
        #expect(actions.last == .abort)
        guard case .finish(.failed(.httpResponseHeaderSectionSize, _)) = state.ended(.aborted) else {
            Issue.record("expected the size as the reason")
            return
        }
    }

    @Test func `a pause makes the same bytes come again, and may follow itself`() {
        var state = flowing()
        #expect(state.bytesOffered() == .deliver)
        #expect(state.bytesJudged(.pause) == .pause)
        #expect(state.bytesOffered() == .pause)  // libcurl may insist; nothing is delivered
        #expect(state.resumed() == .unpause)
        #expect(state.bytesOffered() == .deliver)  // from inside the resume
        #expect(state.bytesJudged(.pause) == .pause)
        #expect(state.resumed() == .unpause)
        #expect(state.bytesOffered() == .deliver)
        #expect(state.bytesJudged(.took) == .take)
    }

    @Test func `a resume of what is not paused does nothing`() {
        var state = flowing()
        #expect(state.resumed() == .nothing)
        var new = TransferState()
        #expect(new.resumed() == .nothing)
    }

    @Test func `a head judged pause holds the body back until resumed`() {
        var state = TransferState()
        _ = replay(["HTTP/1.1 200 OK\r\n", "\r\n"], on: &state)
        #expect(state.headJudged(.pause) == .nothing)
        #expect(state.bytesOffered() == .pause)
        #expect(state.resumed() == .unpause)
        #expect(state.bytesOffered() == .deliver)
    }

    @Test func `a cancel while paused finishes at once, and nothing follows`() {
        var state = flowing()
        _ = state.bytesOffered()
        _ = state.bytesJudged(.pause)
        #expect(state.cancelled() == .finish(.cancelled))
        #expect(state.cancelled() == .nothing)
        #expect(state.resumed() == .nothing)
        #expect(state.bytesOffered() == .abort)
        #expect(state.ended(.complete) == .nothing)
    }

    @Test func `an abort keeps its reason whatever libcurl says of it`() {
        var state = flowing()
        _ = state.bytesOffered()
        #expect(state.bytesJudged(.abort) == .abort)
        #expect(state.ended(.failed(.proxyInternalError, "write error")) == .finish(.aborted))
        #expect(state.ended(.complete) == .nothing)
    }

    @Test func `an end is told once`() {
        var state = flowing()
        #expect(state.ended(.complete) == .finish(.complete))
        #expect(state.ended(.complete) == .nothing)
        #expect(state.cancelled() == .nothing)
    }

    @Test func `a completion without a head is a protocol error`() {
        var state = TransferState()
        guard case .finish(.failed(.httpProtocolError, _)) = state.ended(.complete) else {
            Issue.record("expected a protocol error")
            return
        }
    }

    @Test func `bytes before a head are refused`() {
        var state = TransferState()
        #expect(state.bytesOffered() == .abort)
    }
}
