// What upstreams have said of one blob during one fill, and who contradicts that.

import HTTPSemantics
import Upstream

/// A value. A validator belongs to the final host that gave it: each of several CDNs behind one registry has its own,
/// so entity tags are compared within one host only; across hosts the size and, in the end, the digest are the check.
struct Witness: Sendable {
    enum Judgement: Equatable, Sendable {
        case fit
        /// Not fit, and why.
        case unfit(UpstreamError)
        /// It sends from the first byte on although it was asked for a part that is far away. Others are asked first.
        case tooFarToSkip(UpstreamError)
    }

    /// A 200 where a range was asked for is passed over up to so many bytes at once.
    static let longestSkip: Int64 = 8 << 20

    /// Bytes of the whole; nil while nobody has said.
    private(set) var size: Int64?
    /// Whether an upstream has confirmed the size in this fill; before, it is an earlier answer's word or a partial
    /// file's.
    private(set) var isConfirmed = false
    private var tags: [String: EntityTag] = [:]

    init(size: Int64?) { self.size = size }

    /// For `If-Range`: the strong entity tag that each host has given, as it stands in the field.
    var entityTags: [String: String] { tags.filter { !$0.value.isWeak }.mapValues { "\($0)" } }

    /// Judges an answer, and remembers it if it is fit.
    ///
    /// - Parameter wanted: the first byte that was asked for.
    mutating func judge(_ head: BlobHead, wanted: Int64, maySkip: Bool) -> Judgement {
        if let size, let said = head.size, said != size {
            return .unfit(.contradicted("\(head.host) says that the blob is \(said) bytes, not \(size) as was said"))
        }
        let tag = head.entityTag.flatMap { EntityTag($0) }
        if let tag, let earlier = tags[head.host], !tag.matchesWeakly(earlier) {
            return .unfit(
                .contradicted("\(head.host) gave the entity tag \(earlier) before and \(tag) now: other content"))
        }
        if head.range == nil, wanted > Self.longestSkip, !maySkip {
            return .tooFarToSkip(.refused("\(head.host) ignores Range"))
        }
        if let tag, tags[head.host] == nil { tags[head.host] = tag }
        if let said = head.size {
            size = said
            isConfirmed = true
        }
        return .fit
    }
}
