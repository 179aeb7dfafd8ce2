// Where the bytes of a blob go, and what is known when they begin.

/// Takes one blob, or a part of one, as it comes in. Every call is made on the transport's thread.
package protocol BlobSink: AnyObject, Sendable {
    /// The first call: a 2xx answer that may be used. `.abort` is followed by `finished(.failure(.cancelled))`.
    func begin(_ head: BlobHead) -> Verdict

    /// The next bytes, valid during the call only. On `.pause` the socket is not read any more, and the same bytes
    /// come again after `resume` of `BlobHead.transfer`.
    func bytes(_ bytes: UnsafeRawBufferPointer) -> Verdict

    /// Nothing more is at hand just now: what was staged for a larger write should not wait.
    func settle()

    /// The last call, exactly once, and only after `begin`.
    func finished(_ end: Result<Void, UpstreamError>)
}

/// Which bytes of a blob are asked for: offsets in bytes, the last one included.
package enum BlobRange: Equatable, Sendable {
    case from(Int64)
    case part(ClosedRange<Int64>)

    var first: Int64 {
        switch self {
        case .from(let first): first
        case .part(let range): range.lowerBound
        }
    }

    /// The value of a `Range` field: RFC 9110 §14.1.2.
    var fieldValue: String {
        switch self {
        case .from(let first): "bytes=\(first)-"
        case .part(let range): "bytes=\(range.lowerBound)-\(range.upperBound)"
        }
    }
}

/// The head of a blob's answer.
package struct BlobHead: Sendable {
    /// Bytes of the whole blob; nil if the upstream told none.
    package let size: Int64?
    /// The bytes that come, of a 206; nil when the whole comes, also when a range was asked for and ignored.
    package let range: Range<Int64>?
    package let entityTag: String?
    /// Host, and port where it is not the scheme's own, of the server that sends the bytes.
    package let host: String
    package let remoteAddress: String?
    /// The endpoint that was asked, as in its figures.
    package let endpoint: String
    /// Resumes or cancels; usable at once, on any thread.
    package let transfer: any Transfer

    package init(
        size: Int64?, range: Range<Int64>?, entityTag: String?, host: String, remoteAddress: String?,
        endpoint: String, transfer: any Transfer
    ) {
        self.size = size
        self.range = range
        self.entityTag = entityTag
        self.host = host
        self.remoteAddress = remoteAddress
        self.endpoint = endpoint
        self.transfer = transfer
    }
}
