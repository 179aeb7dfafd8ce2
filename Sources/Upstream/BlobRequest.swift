// What of a blob is asked for, of whom, and on which condition.
import HTTPSemantics

/// One wish for a blob, or for a part of it.
package struct BlobRequest: Equatable, Sendable {
    /// Nil: the whole.
    package var range: BlobRange?
    /// What was got before, by who sent it: host, as in `BlobHead.host`, to its entity tag. A range is asked of that
    /// very host on the condition that the tag is still its own (RFC 9110 §13.1.5); another host is never told, and a
    /// weak tag says nothing about bytes, so it is never sent.
    package var entityTags: [String: String]
    /// Asks this endpoint only, named as in `BlobHead.endpoint`. One that is not of this registry counts as nil.
    package var endpoint: String?
    /// These endpoints are asked after all others, those that failed of late included.
    package var avoiding: Set<String>

    package init(
        range: BlobRange? = nil, entityTags: [String: String] = [:], endpoint: String? = nil,
        avoiding: Set<String> = []
    ) {
        self.range = range
        self.entityTags = entityTags
        self.endpoint = endpoint
        self.avoiding = avoiding
    }

    /// The value of `If-Range` for a host; nil if there is none for it.
    func condition(for host: String) -> String? {
        guard range != nil, let tag = entityTags[host], EntityTag(tag)?.isWeak == false else { return nil }
        return tag
    }
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
