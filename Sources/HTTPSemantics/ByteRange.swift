// Ranges of bytes: what a client asks for (`Range`, `If-Range`) and what an answer holds (`Content-Range`).

/// What of a representation is to be sent.
package enum RequestedRange: Equatable, Sendable {
    /// All of it, with 200: no range was asked for, or one that is to be ignored.
    case whole
    /// One range, clipped to the size, with 206. Open-ended is `N-`, which says nothing of how much is wanted.
    case part(Range<Int64>, isOpenEnded: Bool)
    /// 416: nothing of what was asked for exists.
    case unsatisfiable
    /// Two ranges or more, as asked, each clipped; those that do not exist left out.
    case multiple([Range<Int64>])

    /// More ranges than this in one request are ignored: who sends them wants to hurt (RFC 9110 §17.15).
    package static let countLimit = 100

    /// Reads `Range` and `If-Range` for a representation whose size is known.
    ///
    /// Ignored, which gives `.whole`: a unit other than bytes, anything malformed, too many ranges, an `If-Range`
    /// that is not this very entity tag, by strong comparison. Dates there never match, as nothing here has one.
    ///
    /// - Parameters:
    ///   - entityTag: the tag of what would be sent, in quotes.
    ///   - size: bytes.
    ///   - refusesInverted: whether a range that ends before it begins is told of with 416, which is as right as
    ///     ignoring it (RFC 9110 §14.2).
    /// - Source: RFC 9110 §14.1.2, §14.2, §13.1.5.
    package static func parse(
        range: String?, ifRange: String?, entityTag: String, size: Int64, refusesInverted: Bool = false
    ) -> RequestedRange {
        guard let range, let specifications = specifications(range) else { return .whole }
        if let ifRange {
            guard let asked = EntityTag(ifRange), let current = EntityTag(entityTag) else { return .whole }
            guard asked.matchesStrongly(current) else { return .whole }
        }
        if specifications.contains(where: \.isInverted) { return refusesInverted ? .unsatisfiable : .whole }
        // No Content-Range can tell of a part of nothing; who asks for the end of nothing gets it whole.
        if size == 0, specifications.contains(where: { $0.first == nil && $0.last > 0 }) { return .whole }

        let satisfiable = specifications.compactMap { $0.clipped(to: size) }
        switch satisfiable.count {
        case 0: return .unsatisfiable
        case 1: return .part(satisfiable[0].range, isOpenEnded: satisfiable[0].isOpenEnded)
        default: return .multiple(satisfiable.map(\.range))
        }
    }

    /// `first-last`, `first-` (`last` is the greatest number) or `-last` (`first` is `nil`).
    private struct Specification {
        var first: Int64?
        var last: Int64
        var isOpenEnded = false

        var isInverted: Bool { first.map { $0 > last } ?? false }

        func clipped(to size: Int64) -> (range: Range<Int64>, isOpenEnded: Bool)? {
            guard let first else {
                return last == 0 || size == 0 ? nil : (max(0, size - last)..<size, false)
            }
            return first >= size ? nil : (first..<min(last, size - 1) + 1, isOpenEnded)
        }
    }

    /// `nil` if the field is not to be understood as byte ranges.
    private static func specifications(_ field: String) -> [Specification]? {
        guard let equals = field.utf8.firstIndex(of: UInt8(ascii: "=")) else { return nil }
        guard field[..<equals].lowercased() == "bytes" else { return nil }
        var found: [Specification] = []
        for element in field.utf8[equals...].dropFirst().split(separator: UInt8(ascii: ",")) {
            let element = element.trimmed
            if element.isEmpty { continue }  // RFC 9110 §5.6.1.2
            guard let specification = specification(element), found.count < countLimit else { return nil }
            found.append(specification)
        }
        return found.isEmpty ? nil : found
    }

    private static func specification(_ text: Substring.UTF8View) -> Specification? {
        guard let dash = text.firstIndex(of: UInt8(ascii: "-")) else { return nil }
        let (before, after) = (text[..<dash], text[text.index(after: dash)...])
        if before.isEmpty { return after.saturatingNumber.map { Specification(first: nil, last: $0) } }
        guard let first = before.saturatingNumber else { return nil }
        if after.isEmpty { return Specification(first: first, last: .max, isOpenEnded: true) }
        return after.saturatingNumber.map { Specification(first: first, last: $0) }
    }
}

/// `bytes 0-499/1234`, or `bytes 0-499/*` where the size is not known: RFC 9110 §14.4.
package struct ContentRange: Hashable, Sendable {
    /// Offset of the first byte.
    package let first: Int64
    /// Offset of the last byte; it is sent too.
    package let last: Int64
    /// Bytes of the whole representation.
    package let size: Int64?

    /// - Parameter range: not empty.
    package init(_ range: Range<Int64>, size: Int64?) {
        precondition(!range.isEmpty, "Content-Range cannot name an empty range")
        first = range.lowerBound
        last = range.upperBound - 1
        self.size = size
    }

    package init?(_ field: some StringProtocol) {
        guard let (range, size) = Self.parts(field), let dash = range.firstIndex(of: UInt8(ascii: "-")) else {
            return nil
        }
        guard let first = range[..<dash].number, let last = range[range.index(after: dash)...].number else {
            return nil
        }
        guard first <= last, last < Self.mostBytes else { return nil }
        if size.elementsEqual("*".utf8) {
            self.size = nil
        } else {
            guard let size = size.number, last < size, size <= Self.mostBytes else { return nil }
            self.size = size
        }
        self.first = first
        self.last = last
    }

    /// No content is larger: 8 PiB, which leaves room to calculate with sums of sizes.
    package static let mostBytes: Int64 = 1 << 53

    package var range: Range<Int64> { first..<last + 1 }

    /// `bytes */1234`: what a 416 says.
    package static func unsatisfied(_ size: Int64) -> String { "bytes */\(size)" }

    /// The size in bytes that a 416 tells; `nil` if the field is not of that form.
    package static func unsatisfiedSize(_ field: some StringProtocol) -> Int64? {
        guard let (range, size) = parts(field), range.elementsEqual("*".utf8) else { return nil }
        return size.number.flatMap { $0 <= mostBytes ? $0 : nil }
    }

    private static func parts(_ field: some StringProtocol) -> (range: Substring.UTF8View, size: Substring.UTF8View)? {
        let text = Substring(field).utf8.trimmed
        guard text.count > 6, Substring(text.prefix(6)).lowercased() == "bytes " else { return nil }
        let rest = text.dropFirst(6).trimmed
        guard let slash = rest.firstIndex(of: UInt8(ascii: "/")) else { return nil }
        return (rest[..<slash], rest[rest.index(after: slash)...])
    }
}

extension ContentRange: CustomStringConvertible {
    /// The field's value.
    package var description: String { "bytes \(first)-\(last)/" + (size.map { "\($0)" } ?? "*") }
}
