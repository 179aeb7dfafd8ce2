// One request as the responder sees it: parsed at the door, its target still undecoded.
package import HTTPTypes
import Synchronization

package struct Request: Sendable {
    let head: JudgedHead
    /// The client's IP address; an IPv4 one in dotted form also on an IPv6 listener.
    package let peer: String
    /// Unique in this process: what the access log calls it, with `RequestID.run`, where the client has no name for it.
    package let id: UInt64
    /// Which of the event loops it came on, counted from 0: for state that each of them has for itself.
    package let lane: Int
    /// It came through the admin socket, which only the owner of the data can open.
    package let isByOwner: Bool
    /// It came to one of the addresses that are for logging in.
    package var isAtLogin: Bool
    /// What the client sends, where the responder takes it and there is any.
    package var body: RequestBodyStream?

    init(
        _ head: JudgedHead, peer: String, id: UInt64, lane: Int, isByOwner: Bool, isAtLogin: Bool = false
    ) {
        self.head = head
        self.peer = peer
        self.id = id
        self.lane = lane
        self.isByOwner = isByOwner
        self.isAtLogin = isAtLogin
    }

    package init(
        method: HTTPRequest.Method, path: String, query: String? = nil, fields: RequestFields = [:],
        peer: String = "127.0.0.1", id: UInt64 = 0, isByOwner: Bool = false
    ) {
        self.init(
            JudgedHead(method: method, path: path, query: query, fields: fields), peer: peer, id: id, lane: 0,
            isByOwner: isByOwner)
    }

    package var method: HTTPRequest.Method { head.method }
    /// The target's path as sent: undecoded, undotted, so that `%2f` and `..` are still to be seen and refused.
    package var path: String { head.path }
    /// What follows the first `?`, undecoded; `nil` if there is none.
    package var query: String? { head.query }
    package var fields: RequestFields { head.fields }
    /// Whether it has a field `Server-Timing`: the client wants to know how long the parts of the answer take.
    package var asksForTiming: Bool { head.asksForTiming }

    /// The responder's own, about a request with exactly this head: whoever sends the same later may find it here. It
    /// may be forgotten at any time.
    package var finding: (any AnyObject & Sendable)? {
        get { head.finding.withLock { $0 } }
        nonmutating set { head.finding.withLock { $0 = newValue } }
    }

    /// The first value of a query parameter, percent-decoded (`+` is a space, as form encoders write it).
    ///
    /// `nil` if it is absent, `""` if it is there without a value. What does not decode to UTF-8 is given as it was
    /// sent: it is there, and must not pass for absent.
    package func queryValue(_ name: String) -> String? { QueryText(query)[name] }

    /// All values of a query parameter that may stand there several times, in their order.
    package func queryValues(_ name: String) -> [String] { QueryText(query).values(name, .max) }

    /// The names of all query parameters in their order, each as often as it stands there.
    package var queryNames: [String] { QueryText(query).names }

    /// What is left of the path behind this beginning, percent-decoded once; nil if it does not begin so, has a `/`, a
    /// NUL or no character in escapes, or does not decode to UTF-8.
    package func pathRest(behind start: String) -> String? {
        guard path.utf8.starts(with: start.utf8) else { return nil }
        let rest = path.utf8.dropFirst(start.utf8.count)
        guard let text = QueryText.decoded(rest, plusIsSpace: false), !text.utf8.contains(0),
            text.utf8.count(where: { $0 == UInt8(ascii: "/") }) == rest.count(where: { $0 == UInt8(ascii: "/") })
        else { return nil }
        return text
    }
}

/// What follows the first `?`.
struct QueryText {
    private let text: String?

    init(_ text: String?) { self.text = text }

    subscript(name: String) -> String? { values(name, 1).first }

    var names: [String] {
        let pairs = text?.utf8.split(separator: UInt8(ascii: "&")) ?? []
        return pairs.map { pair in
            let name = pair.prefix { $0 != UInt8(ascii: "=") }
            return Self.decoded(name) ?? String(Substring(name))
        }
    }

    /// The first `most` of them.
    func values(_ name: String, _ most: Int) -> [String] {
        guard let text else { return [] }
        var values: [String] = []
        for pair in text.utf8.split(separator: UInt8(ascii: "&")) where values.count < most {
            let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
            guard Self.decoded(pair[..<equals]) == name else { continue }
            guard equals != pair.endIndex else {
                values.append("")
                continue
            }
            let value = pair[pair.index(after: equals)...]
            values.append(Self.decoded(value) ?? String(Substring(value)))
        }
        return values
    }

    fileprivate static func decoded(_ text: Substring.UTF8View, plusIsSpace: Bool = true) -> String? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var rest = text[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "+") where plusIsSpace:
                bytes.append(UInt8(ascii: " "))
            case UInt8(ascii: "%"):
                guard let high = rest.popFirst()?.hexValue, let low = rest.popFirst()?.hexValue else { return nil }
                bytes.append(high << 4 | low)
            default:
                bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension UInt8 {
    fileprivate var hexValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
