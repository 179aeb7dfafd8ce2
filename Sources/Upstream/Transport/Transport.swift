// The seam towards the network: one request out, one head and its bytes back, with back-pressure.
package import HTTPSemantics
package import HTTPTypes

/// Sends requests. The program has one, over libcurl; tests of the rooms above script their own.
package protocol Transport: Sendable {
    /// Begins a transfer and returns at once.
    ///
    /// The receiver is called on one of the transport's own threads, always the same, one call at a time and in order:
    /// the head at most once, its bytes, and `finished` exactly once, also after a cancel. On a transport that was
    /// stopped, `finished(.cancelled)` comes from within this call.
    func begin(_ request: TransferRequest, _ receiver: any TransferReceiver) -> any Transfer
}

/// One request on a transport, held by whoever may resume or cancel it. Dropping it changes nothing.
package protocol Transfer: Sendable {
    /// Undoes a `.pause`: the bytes that were refused come again. Nothing happens if nothing is paused.
    func resume()

    /// Ends the transfer with `.cancelled`, soon; nothing happens if it has ended.
    func cancel()
}

/// What a transfer speaks to. Every call is made on a thread of the transport, so none may block for long.
package protocol TransferReceiver: AnyObject, Sendable {
    /// The final head, after any 1xx and before the first byte.
    func head(_ head: ResponseHead) -> Verdict

    /// The next bytes of the body, 16 KiB at most from libcurl. They are valid during the call only.
    func bytes(_ bytes: UnsafeRawBufferPointer) -> Verdict

    /// Nothing more is at hand just now: what was staged for a larger write should not wait.
    func settle()

    /// The last call, made exactly once.
    func finished(_ end: TransferEnd)
}

/// What a receiver says to a head or to bytes.
package enum Verdict: Sendable {
    /// Taken; go on.
    case took
    /// None of these bytes was taken: stop reading the socket, and offer the same bytes again after `resume`.
    /// In answer to a head: taken, but hold the body back until `resume`.
    case pause
    /// End the transfer with `.aborted`.
    case abort
}

/// How a transfer ended.
package enum TransferEnd: Equatable, Sendable {
    /// The answer is whole by its own framing.
    case complete
    case cancelled
    /// The receiver said `.abort`.
    case aborted
    /// The RFC 9209 token, and libcurl's own words for people. The words never hold a URL's query.
    case failed(ProxyError, String)
}

/// One request, ready to be sent. Redirects are never followed below this seam.
package struct TransferRequest: Sendable {
    /// Which version of HTTP is asked for.
    package enum Version: Sendable {
        /// A connection, and so a congestion window, of its own: blobs.
        case http1
        /// HTTP/2 where TLS negotiates it, several requests a connection: manifests and tokens.
        case http2
    }

    /// GET, HEAD or POST.
    package let method: HTTPRequest.Method
    package let url: UpstreamURL
    package var fields: HTTPFields
    /// What a POST sends: a form, unless `Content-Type` among the fields says otherwise.
    package var body: [UInt8]
    package var version: Version
    /// Bounds name lookup, TCP and TLS handshake together, for all addresses of the host.
    package let connectTimeout: Duration
    /// Ends a transfer that has moved no byte for so long; counted in whole seconds, and not while paused.
    package let stallTimeout: Duration
    package var way: Way

    package init(
        method: HTTPRequest.Method, url: UpstreamURL, fields: HTTPFields, body: [UInt8] = [], version: Version,
        connectTimeout: Duration, stallTimeout: Duration, way: Way = Way()
    ) {
        self.method = method
        self.url = url
        self.fields = fields
        self.body = body
        self.version = version
        self.connectTimeout = connectTimeout
        self.stallTimeout = stallTimeout
        self.way = way
    }
}

/// The head of a final answer.
package struct ResponseHead: Equatable, Sendable {
    package let status: Int
    package let fields: HTTPFields
    /// The body's length in bytes as the framing gives it: `nil` if chunked or ended by the connection's end.
    package let length: Int64?
    /// The literal address of the server that answered; nil through a proxy, which alone knows it.
    package var remoteAddress: String?

    package init(status: Int, fields: HTTPFields, length: Int64?, remoteAddress: String? = nil) {
        self.status = status
        self.fields = fields
        self.length = length
        self.remoteAddress = remoteAddress
    }
}
