// A request's head as it arrived, judged: what may be asked of the responder, and what is refused at the door.
import HTTPTypes
import NIOCore
import NIOHTTP1

struct Arrival {
    let request: Request
    let began: NIODeadline
    /// Answered with this, without asking the responder; the connection ends with it.
    let refusal: Response?
    let isHTTP10: Bool
    /// Whether the client wants, and we can serve, another request on this connection.
    var isPersistent: Bool
    /// RFC 9110 §10.1.1: the client waits for a 100 before it sends the body.
    let expectsContinue: Bool
    /// The announced length of the body in bytes; `nil` if chunked.
    let bodyLength: Int64?

    /// Judges a head; what is wrong with it becomes its refusal.
    init(_ head: HTTPRequestHead, peer: String, id: UInt64, began: NIODeadline) {
        do throws(Refusal) {
            self = try Self.judge(head, peer: peer, id: id, began: began)
        } catch {
            self.init(refusal: error, peer: peer, id: id, began: began)
        }
    }

    /// A request that could not be read, or not be taken.
    init(refusal: Refusal, peer: String, id: UInt64, began: NIODeadline) {
        self.init(
            request: Request(method: .get, path: "-", peer: peer, id: id), began: began,
            refusal: .plain(refusal.status, refusal.reason, retryAfter: refusal.retryAfter),
            isHTTP10: false, isPersistent: false, expectsContinue: false, bodyLength: 0)
    }

    private init(
        request: Request, began: NIODeadline, refusal: Response?, isHTTP10: Bool, isPersistent: Bool,
        expectsContinue: Bool, bodyLength: Int64?
    ) {
        self.request = request
        self.began = began
        self.refusal = refusal
        self.isHTTP10 = isHTTP10
        self.isPersistent = isPersistent
        self.expectsContinue = expectsContinue
        self.bodyLength = bodyLength
    }

    private static func judge(
        _ head: HTTPRequestHead, peer: String, id: UInt64, began: NIODeadline
    ) throws(Refusal) -> Arrival {
        let isHTTP10 = head.version.minor == 0
        let fields = try fields(head.headers)
        let (path, query) = try target(head)
        let bodyLength = try framing(fields, isHTTP10: isHTTP10)
        try checkHost(head.headers, isHTTP10: isHTTP10)
        guard let method = HTTPRequest.Method(head.method.rawValue) else { throw Refusal("malformed method") }
        return Arrival(
            request: Request(method: method, path: path, query: query, fields: fields, peer: peer, id: id),
            began: began, refusal: nil, isHTTP10: isHTTP10,
            // After an upgrade the decoder parses no more, and we never upgrade.
            isPersistent: head.isKeepAlive && !fields.contains(.upgrade) && head.method != .CONNECT,
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

    private static func fields(_ headers: HTTPHeaders) throws(Refusal) -> HTTPFields {
        var fields = HTTPFields()
        fields.reserveCapacity(headers.count)
        for (name, value) in headers {
            guard let name = HTTPField.Name(name) else { throw Refusal("malformed field name") }
            fields.append(HTTPField(name: name, value: value))
        }
        return fields
    }

    /// RFC 9112 §3.2: origin-form, absolute-form (of which the path counts), or `*` for OPTIONS.
    private static func target(_ head: HTTPRequestHead) throws(Refusal) -> (path: String, query: String?) {
        var target = Substring(head.uri)
        if !target.hasPrefix("/") {
            if head.uri == "*", head.method == .OPTIONS { return ("*", nil) }
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
    private static func framing(_ fields: HTTPFields, isHTTP10: Bool) throws(Refusal) -> Int64? {
        let lengths = fields[values: .contentLength]
        let codings = fields[values: .transferEncoding]
        guard codings.isEmpty else {
            guard lengths.isEmpty else { throw Refusal("both Content-Length and Transfer-Encoding") }
            guard !isHTTP10 else { throw Refusal("Transfer-Encoding in HTTP/1.0") }
            guard codings.count == 1, codings[0].lowercased() == "chunked" else {
                throw Refusal("transfer coding not understood", status: .notImplemented)
            }
            return nil
        }
        guard let first = lengths.first else { return 0 }
        guard lengths.count == 1, first.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int64(first)
        else {
            throw Refusal("malformed Content-Length")
        }
        return length
    }

    /// RFC 9112 §3.2: HTTP/1.1 has exactly one Host, and it looks like one.
    private static func checkHost(_ headers: HTTPHeaders, isHTTP10: Bool) throws(Refusal) {
        let hosts = headers["host"]
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

    private static func expectation(_ fields: HTTPFields, isHTTP10: Bool) throws(Refusal) -> Bool {
        guard !isHTTP10, let expectation = fields[.expect] else { return false }
        guard expectation.lowercased() == "100-continue" else {
            throw Refusal("expectation not understood", status: .expectationFailed)
        }
        return true
    }
}
