// What a StubRegistry can be told to do wrong, and the gate it can be told to wait at.
import Synchronization

/// Which of the stub's ports a request came to.
package enum StubDoor: Sendable {
    case registry, blobs, tokens
}

/// One misbehaviour. Offsets are bytes of the body sent, a range's own.
package enum StubFault: Sendable {
    /// This answer instead of the right one; "{}" bodies are JSON, others plain text. A 416 may tell a size:
    /// `fields: [("Content-Range", "bytes */5")]`.
    case status(Int, body: String = "", fields: [(name: String, value: String)] = [])
    /// A 200 that is an HTML page, as of a captive portal.
    case html
    /// 307 to wherever.
    case redirect(to: String)
    /// More fields on the right answer; an empty value takes the field away.
    case fields([(name: String, value: String)])
    /// Nothing is answered until the gate opens. At the registry's door alone, with `redirectsBlobs`, it is the
    /// redirect that comes late.
    case hold(StubGate)
    /// The body stands after so many bytes until the gate opens; several of them may be ordered.
    case holdBody(at: Int, StubGate)
    /// Nothing comes after so many bytes, until the client leaves.
    case stall(at: Int)
    /// The connection ends after so many bytes: with a RST, or with a FIN.
    case cut(at: Int, reset: Bool)
    /// One `cut` a request, in this order; what comes after the last is left alone.
    case cuts(at: [Int], reset: Bool)
    /// One byte is another.
    case corrupt(at: Int)
    /// `Content-Length` tells so many bytes more than come; then the connection ends.
    case overstate(by: Int)
    /// No `Content-Length`: a chunked body.
    case chunked
    /// Bytes a second of this one answer, and so of its connection; in real time, so for measuring by hand.
    case pace(Int)
    /// `Range` is not understood: 200 with the whole.
    case ignoreRange
    /// 206 with a `Content-Range`, whatever was asked.
    case partialUnasked
    /// A 206 tells this as the whole's size: a number that lies, or "*".
    case rangeTotal(String)
    /// The answer's entity tag, quotes included. `If-Range` is judged by it: another tag there gets 200 and the whole.
    case entityTag(String)
    /// Another entity tag in every answer, so that no `If-Range` ever holds: "1", "2", …
    case changingEntityTag
    /// `If-Range` is not understood: 206 whatever it says.
    case ignoreIfRange
}

/// Opened once, by a test; whoever comes to it waits until then.
package final class StubGate: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [@Sendable () -> Void] = []
    }

    private let state = Mutex(State())

    package init() {}

    package func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for call in waiting { call() }
    }

    package func opened() async {
        await withCheckedContinuation { continuation in whenOpen { continuation.resume() } }
    }

    func whenOpen(_ call: @escaping @Sendable () -> Void) {
        let isOpen = state.withLock { state in
            if !state.isOpen { state.waiting.append(call) }
            return state.isOpen
        }
        if isOpen { call() }
    }
}

/// A fault and the requests it befalls.
struct StubRule: Sendable {
    var fault: StubFault
    /// Part of the path: a digest, a tag, a repository.
    let part: String
    let method: String?
    let door: StubDoor?
    /// Nil: always.
    var remaining: Int?

    func befalls(_ request: StubRequest) -> Bool {
        remaining != 0 && (method == nil || method == request.method) && (door == nil || door == request.door)
            && request.path.contains(part)
    }
}
