// Where the bytes of a blob go, and what is known when they begin.

/// Takes one blob, or a part of one, as it comes in. Every call is made on the transport's thread.
package protocol BlobSink: AnyObject, Sendable {
    /// The first call: a 2xx answer that breaks no rule of this room. A whole may come where a part was asked for.
    func begin(_ head: BlobHead) -> Reception

    /// The next bytes, valid during the call only. On `.pause` the socket is not read any more, and the same bytes
    /// come again after `resume` of `BlobHead.transfer`; now and then earlier, and then `.pause` may be said again.
    func bytes(_ bytes: UnsafeRawBufferPointer) -> Verdict

    /// Bytes are at hand that may not pass yet, for the sake of `maxBandwidth`: they come later.
    func held()

    /// Nothing more is at hand just now: what was staged for a larger write should not wait.
    func settle()

    /// The last call, exactly once, and only after a `begin` that did not refuse.
    func finished(_ end: Result<Void, UpstreamError>)
}

extension BlobSink {
    package func held() {}
}

/// What a sink says to the head of an answer.
package enum Reception: Equatable, Sendable {
    /// Taken; the bytes may come.
    case took
    /// Taken, but hold the body back until `resume` of `BlobHead.transfer`.
    case pause
    /// Not this one, for this reason: the transfer is ended and the next endpoint is asked if the error is one after
    /// which another may do better; else, or if there is none, `blob` throws it. It counts against the endpoint like
    /// one met on the way. The sink gets no `finished` for this answer, and `begin` again if another endpoint answers.
    case refuse(UpstreamError)
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
