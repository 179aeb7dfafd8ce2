// A request's head, judged: what may be asked of the responder, what is refused at the door, and what is found out.
import HTTPTypes
import Synchronization

/// What a head says. It is the same each time the same bytes arrive, and so is kept: `KnownHeads`.
final class JudgedHead: Sendable {
    let method: HTTPRequest.Method
    let path: String
    let query: String?
    let fields: RequestFields
    let isHTTP10: Bool
    /// Whether the client wants, and we can serve, another request on this connection.
    let isPersistent: Bool
    /// RFC 9110 §10.1.1: the client waits for a 100 before it sends the body.
    let expectsContinue: Bool
    /// The announced length of the body in bytes; `nil` if chunked.
    let bodyLength: Int64?
    /// Answered with this, without asking the responder; the connection ends with it.
    let refusal: Refusal?
    /// As the access log has them: the path with the one parameter that changes what is asked for.
    let loggedPath: String
    let agent: String
    /// What the client calls the request, if it does: `RequestID`.
    let givenID: String?
    /// Whether the client asks how long the parts of the answer take.
    let asksForTiming: Bool
    /// See `Request.finding`.
    let finding = Mutex<(any AnyObject & Sendable)?>(nil)

    init(
        method: HTTPRequest.Method, path: String, query: String? = nil, fields: RequestFields = [:],
        isHTTP10: Bool = false, isPersistent: Bool = false, expectsContinue: Bool = false, bodyLength: Int64? = 0,
        refusal: Refusal? = nil
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.fields = fields
        self.isHTTP10 = isHTTP10
        self.isPersistent = isPersistent
        self.expectsContinue = expectsContinue
        self.bodyLength = bodyLength
        self.refusal = refusal
        loggedPath = QueryText(query)["ns"].map { "\(path)?ns=\($0)" } ?? path
        agent = fields[.userAgent] ?? "-"
        givenID = RequestID.given(fields)
        asksForTiming = Self.serverTiming.map { fields.contains($0) } ?? false
    }

    private static let serverTiming = HTTPField.Name("Server-Timing")

    /// One that could not be read, or not be taken.
    convenience init(refusal: Refusal) {
        self.init(method: .get, path: "-", refusal: refusal)
    }

    /// Judges a head; what is wrong with it becomes its refusal.
    static func judged(_ head: RequestHead) -> JudgedHead {
        do throws(Refusal) {
            return try judge(head)
        } catch {
            return JudgedHead(refusal: error)
        }
    }

    private static func judge(_ head: RequestHead) throws(Refusal) -> JudgedHead {
        let (fields, isHTTP10) = (head.fields, head.isHTTP10)
        let (path, query) = try target(head)
        let bodyLength = try framing(fields, isHTTP10: isHTTP10)
        try checkHost(fields, isHTTP10: isHTTP10)
        return JudgedHead(
            method: head.method, path: path, query: query, fields: fields, isHTTP10: isHTTP10,
            // What follows an upgrade, or a CONNECT, may be another protocol; and we never upgrade.
            isPersistent: isKeptAlive(fields, isHTTP10: isHTTP10) && !fields.contains(.upgrade)
                && head.method != .connect,
            expectsContinue: try expectation(fields, isHTTP10: isHTTP10), bodyLength: bodyLength)
    }

    struct Refusal: Error {
        var status: HTTPResponse.Status
        var reason: String
        var retryAfter: Int?

        init(_ reason: String, status: HTTPResponse.Status = .badRequest, retryAfter: Int? = nil) {
            self.status = status
            self.reason = reason
            self.retryAfter = retryAfter
        }
    }

    /// RFC 9112 §9.3.
    private static func isKeptAlive(_ fields: RequestFields, isHTTP10: Bool) -> Bool {
        let options = fields[.connection]?.lowercased().split { $0 == "," || $0 == " " || $0 == "\t" } ?? []
        return isHTTP10 ? options.contains("keep-alive") && !options.contains("close") : !options.contains("close")
    }

    /// RFC 9112 §3.2: origin-form, absolute-form (of which the path counts), or `*` for OPTIONS.
    private static func target(_ head: RequestHead) throws(Refusal) -> (path: String, query: String?) {
        var target = Substring(head.target)
        if target.utf8.first != UInt8(ascii: "/") {
            if head.target == "*", head.method == .options { return ("*", nil) }
            let scheme = target.prefix { $0 != ":" }
            guard ["http", "https"].contains(scheme.lowercased()), target.dropFirst(scheme.count).hasPrefix("://")
            else {
                throw Refusal("malformed request target")
            }
            target = target.dropFirst(scheme.count + 3).drop { $0 != "/" && $0 != "?" }
        }
        guard let mark = target.utf8.firstIndex(of: UInt8(ascii: "?")) else {
            return (target.isEmpty ? "/" : String(target), nil)
        }
        let path = target[..<mark]
        return (path.isEmpty ? "/" : String(path), String(target[target.utf8.index(after: mark)...]))
    }

    /// RFC 9112 §6.1, §6.3: whatever two readers could understand differently is refused.
    private static func framing(_ fields: RequestFields, isHTTP10: Bool) throws(Refusal) -> Int64? {
        let lengths = fields[values: .contentLength]
        let codings = fields[values: .transferEncoding]
        guard codings.isEmpty else {
            guard lengths.isEmpty else { throw Refusal("both Content-Length and Transfer-Encoding") }
            guard !isHTTP10 else { throw Refusal("Transfer-Encoding in HTTP/1.0") }
            let names = codings.joined(separator: ",").lowercased().split { ", \t".contains($0) }
            if names == ["chunked"] { return nil }
            // Where it is not the last, or not once, nobody can say where the body ends.
            guard !names.dropLast().contains("chunked") else { throw Refusal("chunked is not the last coding") }
            throw Refusal("transfer coding not understood", status: .notImplemented)
        }
        guard let first = lengths.first else { return 0 }
        guard lengths.count == 1, first.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int64(first)
        else {
            throw Refusal("malformed Content-Length")
        }
        return length
    }

    /// HTTPTypes keeps its own for itself.
    private static let hostName = HTTPField.Name("Host")

    /// RFC 9112 §3.2: HTTP/1.1 has exactly one Host, and it looks like one.
    private static func checkHost(_ fields: RequestFields, isHTTP10: Bool) throws(Refusal) {
        let hosts = hostName.map { fields[values: $0] } ?? []
        guard hosts.count == 1 || (isHTTP10 && hosts.isEmpty) else {
            throw Refusal(hosts.isEmpty ? "missing Host" : "more than one Host")
        }
        guard hosts.first?.utf8.allSatisfy(mayBeInHost) != false else { throw Refusal("malformed Host") }
    }

    private static func mayBeInHost(_ byte: UInt8) -> Bool {
        switch byte {
        case 0...0x20, 0x7f, UInt8(ascii: "/"), UInt8(ascii: "\\"), UInt8(ascii: "?"), UInt8(ascii: "#"),
            UInt8(ascii: "@"), UInt8(ascii: ","), UInt8(ascii: "\""), UInt8(ascii: "<"), UInt8(ascii: ">"):
            false
        default: true
        }
    }

    private static func expectation(_ fields: RequestFields, isHTTP10: Bool) throws(Refusal) -> Bool {
        guard !isHTTP10, let expectation = fields[.expect] else { return false }
        guard expectation.lowercased() == "100-continue" else {
            throw Refusal("expectation not understood", status: .expectationFailed)
        }
        return true
    }
}

extension JudgedHead.Refusal {
    /// What cannot be read.
    init(_ fault: any Error) {
        switch fault {
        case HeadMeter.Fault.requestLineTooLong: self.init("request line too long", status: .uriTooLong)
        case HeadMeter.Fault.fieldsTooLarge, RequestHead.Fault.tooManyFields, RequestBody.Fault.trailersTooLarge:
            self.init("header fields too large", status: .requestHeaderFieldsTooLarge)
        case RequestHead.Fault.versionNotSupported:
            self.init("only versions 1.0 and 1.1 are spoken here", status: .httpVersionNotSupported)
        default: self.init("malformed request")
        }
    }
}
