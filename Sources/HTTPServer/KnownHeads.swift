// The heads that came lately: the same bytes are not read and judged again.
import HTTPTypes

/// One event loop's. Clients of one kind send the same head for the same thing, and each asks for the same again: one
/// that is known costs a look at its bytes. Bounded: of those that share a pair the two newest stay, and what is
/// forgotten is read again.
struct KnownHeads {
    private struct Place {
        let hash: Int
        let head: JudgedHead
    }

    /// Pairs of places: a head may lie in either of its pair.
    private static let pairs = 512
    /// Bytes a head may have to be kept. Longer ones carry what is other each time.
    private static let longest = 1024

    private var places = [Place?](repeating: nil, count: 2 * pairs)

    /// The head in these bytes.
    ///
    /// - Throws: what `RequestHead` finds wrong with it.
    mutating func head(_ bytes: UnsafeRawBufferPointer) throws(RequestHead.Fault) -> JudgedHead {
        guard bytes.count <= Self.longest else { return JudgedHead.judged(try RequestHead(bytes)) }
        var hasher = Hasher()
        hasher.combine(bytes: bytes)
        let hash = hasher.finalize()
        let first = 2 * (hash & (Self.pairs - 1))
        if let head = known(first, hash, bytes) ?? known(first + 1, hash, bytes) { return head }
        let head = JudgedHead.judged(try RequestHead(bytes))
        if head.mayBeKept {
            places[first + 1] = places[first]
            places[first] = Place(hash: hash, head: head)
        }
        return head
    }

    private func known(_ index: Int, _ hash: Int, _ bytes: UnsafeRawBufferPointer) -> JudgedHead? {
        guard let place = places[index], place.hash == hash, place.head.fields.isHead(bytes) else { return nil }
        return place.head
    }
}

extension JudgedHead {
    /// Not what ends in a refusal, and no secret longer than its request lives.
    fileprivate var mayBeKept: Bool {
        refusal == nil && bodyLength == 0 && !fields.contains(.authorization) && !fields.contains(.cookie)
            && !fields.contains(.proxyAuthorization)
    }
}
