// One transfer's state machine, from header lines to its end: event → action, with no C in it and no clock.
import HTTPSemantics
import HTTPTypes

/// What has happened to a transfer so far, and what follows from the next event.
///
/// ```
///                    head took                    bytes: pause
/// awaitingHead ──────────────────▶ flowing ◀──────────────────────▶ paused
///   │  │    head pause                │              resume           │
///   │  └──────────────────────────────┼──────────────────────────────▶│
///   │ refused, abort                  │ abort                         │
///   └─────────────▶ aborting ◀────────┘                               │
///                      │      cancel, or libcurl's own end, anywhere  │
///                      └──────────▶ finished ◀────────────────────────┘
/// ```
struct TransferState {
    /// What the owner is to do. `finish` comes exactly once in a transfer's life.
    enum Action: Equatable {
        case nothing
        case head(ResponseHead)
        /// Show the bytes at hand to the receiver.
        case deliver
        /// Tell libcurl that the bytes were taken, that they are to come again, or that all is over.
        case take, pause, abort
        /// Call `curl_easy_pause(CONT)`.
        case unpause
        case finish(TransferEnd)
    }

    private enum Phase {
        case awaitingHead, flowing, paused
        case aborting(TransferEnd)
        case finished
    }

    /// Bytes of header lines in one answer, all its blocks together.
    static let headLimit = 64 * 1024

    private var phase = Phase.awaitingHead
    private var status: Int?
    private var fields = HTTPFields()
    private var headBytes = 0

    /// One header line as libcurl hands it out, with its line end; the empty one closes a block.
    ///
    /// A block begins with its status line. 1xx blocks are dropped (RFC 9110 §15.2); what comes after the final
    /// head is a trailer (§6.5) and dropped too.
    mutating func headerLine(_ line: Substring) -> Action {
        guard case .awaitingHead = phase else { return .nothing }
        headBytes += line.utf8.count
        guard headBytes <= Self.headLimit else {
            return refuse(.httpResponseHeaderSectionSize, "more than \(Self.headLimit) bytes of header fields")
        }
        let line = line.trimmingLineEnd()
        if line.hasPrefix("HTTP/") {
            fields = HTTPFields()
            status = line.split(separator: " ", maxSplits: 2).dropFirst().first.flatMap { Int($0) }
            return status == nil ? refuse(.httpProtocolError, "a status line without a status") : .nothing
        }
        if !line.isEmpty {
            note(line)
            return .nothing
        }
        guard let status else { return .nothing }
        guard status >= 200 else {
            self.status = nil
            return .nothing
        }
        switch bodyLength() {
        case .known(let bytes): return .head(ResponseHead(status: status, fields: fields, length: bytes))
        case .unknown: return .head(ResponseHead(status: status, fields: fields, length: nil))
        case .malformed: return refuse(.httpProtocolError, "a Content-Length that is no length, or two that differ")
        }
    }

    /// The receiver has judged the head.
    mutating func headJudged(_ verdict: Verdict) -> Action {
        guard case .awaitingHead = phase else { return .nothing }
        switch verdict {
        case .took: phase = .flowing
        case .pause: phase = .paused
        case .abort: phase = .aborting(.aborted)
        }
        return verdict == .abort ? .abort : .nothing
    }

    /// libcurl offers bytes. While paused it may do so again (a resumed transfer does it from inside the resume).
    mutating func bytesOffered() -> Action {
        switch phase {
        case .flowing: .deliver
        case .paused: .pause
        case .aborting, .finished: .abort
        case .awaitingHead: refuse(.httpProtocolError, "a body without a head")
        }
    }

    /// The receiver has judged the bytes that were delivered.
    mutating func bytesJudged(_ verdict: Verdict) -> Action {
        guard case .flowing = phase else { return .abort }
        switch verdict {
        case .took: return .take
        case .pause:
            phase = .paused
            return .pause
        case .abort:
            phase = .aborting(.aborted)
            return .abort
        }
    }

    mutating func resumed() -> Action {
        guard case .paused = phase else { return .nothing }
        phase = .flowing
        return .unpause
    }

    mutating func cancelled() -> Action {
        if case .finished = phase { return .nothing }
        phase = .finished
        return .finish(.cancelled)
    }

    /// libcurl says that the transfer is over. What we ended ourselves keeps our own reason.
    mutating func ended(_ end: TransferEnd) -> Action {
        defer { phase = .finished }
        return switch phase {
        case .finished: .nothing
        case .aborting(let reason): .finish(reason)
        case .awaitingHead where end == .complete: .finish(.failed(.httpProtocolError, "an end without a head"))
        case .awaitingHead, .flowing, .paused: .finish(end)
        }
    }

    private mutating func refuse(_ error: ProxyError, _ words: String) -> Action {
        phase = .aborting(.failed(error, words))
        return .abort
    }

    private mutating func note(_ line: Substring) {
        guard let colon = line.firstIndex(of: ":"), let name = HTTPField.Name(String(line[..<colon])) else { return }
        let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
        fields.append(HTTPField(name: name, value: String(value)))
    }

    private enum BodyLength {
        case known(Int64)
        case unknown, malformed
    }

    /// RFC 9112 §6.3: a transfer coding outweighs a length; equal lengths may repeat, also in one field.
    private func bodyLength() -> BodyLength {
        guard fields[.transferEncoding] == nil else { return .unknown }
        let texts = fields[values: .contentLength].joined(separator: ",").split { $0 == "," || $0 == " " }
        guard let first = texts.first else { return .unknown }
        guard first.utf8.allSatisfy({ (48...57).contains($0) }), let length = Int64(first),
            length <= ContentRange.mostBytes, texts.allSatisfy({ $0 == first })
        else { return .malformed }
        return .known(length)
    }
}

extension Substring {
    fileprivate func trimmingLineEnd() -> Substring {
        var line = self
        while let last = line.unicodeScalars.last, last == "\n" || last == "\r" || last == " " || last == "\t" {
            line.unicodeScalars.removeLast()
        }
        return line
    }
}
