// One answer: status, fields, body, and who wants to know how it went.
package import HTTPTypes

package struct Response: Sendable {
    package var status: HTTPResponse.Status
    /// Framing is the server's: `Transfer-Encoding` is dropped, and `Content-Length` is the body's own (an answer to
    /// HEAD may name another). `Connection: close` is obeyed.
    package var fields: HTTPFields
    package var body: ResponseBody
    package var observer: (any ResponseObserver)?
    /// Status and fields, rendered before; there are no others then.
    package let prepared: PreparedHead?
    /// Seconds, of an answer whose head was made before: the one field that is other each time.
    let age: Int64?
    /// Further keys for the access line, in this order.
    package var logged: [(key: String, value: String)]
    /// With which others its times are counted: 0...15, whatever the responder means by it.
    package var series = 0

    package init(
        status: HTTPResponse.Status, fields: HTTPFields = [:], body: ResponseBody = .empty,
        observer: (any ResponseObserver)? = nil, logged: [(key: String, value: String)] = []
    ) {
        self.status = status
        self.fields = fields
        self.body = body
        self.observer = observer
        self.logged = logged
        prepared = nil
        age = nil
    }

    /// An answer whose head was made before.
    ///
    /// - Parameters:
    ///   - age: seconds (RFC 9111 §5.1).
    ///   - body: of the same length as the one that the head was made for.
    package init(
        _ prepared: PreparedHead, age: Int64, body: ResponseBody, observer: (any ResponseObserver)? = nil
    ) {
        status = prepared.status
        fields = [:]
        self.age = age
        self.body = body
        self.observer = observer
        logged = prepared.logged
        self.prepared = prepared
    }

    private static let cacheStatusName = HTTPField.Name("Cache-Status")

    /// How the cache came to it (RFC 9211).
    var cacheStatus: String? { prepared?.cacheStatus ?? Self.cacheStatusName.flatMap { fields[$0] } }

    var endsConnection: Bool { prepared == nil && fields[.connection]?.lowercased() == "close" }

    /// A few words in plain text: what the server says on its own behalf.
    static func plain(_ status: HTTPResponse.Status, _ text: String, retryAfter seconds: Int? = nil) -> Response {
        var fields: HTTPFields = [.contentType: "text/plain; charset=utf-8"]
        if let seconds { fields[.retryAfter] = "\(seconds)" }
        return Response(status: status, fields: fields, body: .bytes(Array("\(text)\n".utf8)))
    }

    static func plain(_ refusal: JudgedHead.Refusal) -> Response {
        plain(refusal.status, refusal.reason, retryAfter: refusal.retryAfter)
    }
}

/// Told how a response fares, on its connection's event loop: be quick, never block.
package protocol ResponseObserver: AnyObject, Sendable {
    /// So many more bytes of the body were handed to the kernel.
    func sent(_ bytes: Int64)
    /// Called exactly once for each response the responder made, also when there was nobody left to send it to.
    func ended(_ ending: ResponseEnding)
}

package enum ResponseEnding: Sendable, Equatable {
    /// Everything was handed to the kernel.
    case complete
    /// The client went away, or took no byte for the stall timeout.
    case clientLeft
    /// The body broke, or the server stopped before its end; the client saw a reset, not an end.
    case broken
}
