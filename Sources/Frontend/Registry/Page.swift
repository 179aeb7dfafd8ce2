// Pages of a list, as `n`, `last` and `Link` name them: distribution-spec v1.1 "Listing Tags".

import HTTPServer
import HTTPTypes

/// Where in a list of tags: after `last`, at most `count`.
///
///     upstream's Link             | our Link                     | asked for by it
///     ----------------------------+------------------------------+--------------------------
///     ?n=2&last=b                 | ?n=2&last=b                  | ?n=2&last=b
///     ?next_page=a+b&n=2&ns=x     | ?n=2&next=next_page%3Da%2Bb  | ?n=2&next_page=a+b
///
/// Registries go on by parameters of their own, which nobody can list; so what is not `last=` alone comes back in our
/// `next`, and nothing else that a client writes reaches an upstream or the name that its answer is kept under.
struct Page: Sendable {
    var count: Int?
    /// By what the upstream goes on: `last=`, or whatever it says; empty on the first page. It can stand in a URL and
    /// between the brackets of a `Link`.
    private let cursor: String
    private let last: String?

    /// - Parameter query: undecoded, so that a token with `+` in it stays what it is.
    init(query: String?) {
        let request = Request(method: .get, path: "", query: query)
        let last = Self.parameters(of: query ?? "").first { $0.hasPrefix("last=") }.map(String.init)
        self.init(
            count: request.queryValue("n").flatMap { Int($0) }, cursor: request.queryValue("next") ?? last ?? "")
    }

    /// The next page as an upstream names it; nil if that says nothing of where to go on.
    init?(next query: String) {
        let count = Request(method: .get, path: "", query: query).queryValue("n").flatMap { Int($0) }
        self.init(count: count.flatMap { $0 > 0 ? $0 : nil }, cursor: query)
        if cursor.isEmpty { return nil }
    }

    private init(count: Int?, last: String) {
        self.init(count: count, cursor: "last=\(Self.encoded(last))")
    }

    /// - Parameter cursor: a query, of which what says how much and of which upstream is left out.
    private init(count: Int?, cursor: String) {
        self.count = count
        self.cursor = Self.parameters(of: cursor).filter { !["n", "ns"].contains($0.prefix { $0 != "=" }) }
            .map { Self.encoded($0, leaving: Self.harmless) }.joined(separator: "&")
        last = Request(method: .get, path: "", query: self.cursor).queryValue("last")
    }

    private static func parameters(of query: String) -> [Substring] { query.split(separator: "&") }

    /// Whether a registry that sent this list knows no pages: it is longer than asked for, or goes back to the tag
    /// after which it was to begin. What a registry did page is left in that registry's order.
    ///
    /// - Parameter tags: sorted.
    func isIgnored(in tags: [String]) -> Bool {
        if tags.count > count ?? .max { return true }
        guard let last else { return false }
        let end = Self.end(of: last, in: tags)
        return end > 0 && tags[end - 1] == last
    }

    var query: String? {
        let parts = (count.map { ["n=\($0)"] } ?? []) + (cursor.isEmpty ? [] : [cursor])
        return parts.isEmpty ? nil : parts.joined(separator: "&")
    }

    /// Relative to this mirror (RFC 8288, as the spec asks), and to the same upstream.
    func link(_ path: String, namespace: String?) -> String {
        let isPlain = cursor.hasPrefix("last=") && !cursor.contains("&")
        let parts = [
            count.map { "n=\($0)" }, isPlain ? cursor : "next=\(Self.encoded(cursor))",
            namespace.map { "ns=\(Self.encoded($0))" },
        ].compactMap { $0 }
        return "<\(path)?\(parts.joined(separator: "&"))>; rel=\"next\""
    }

    /// This page of a sorted list, and the page after it if there is one.
    func cut(_ tags: [String]) -> (shown: ArraySlice<String>, next: Page?) {
        let rest = tags[(last.map { Self.end(of: $0, in: tags) } ?? 0)...]
        guard let count, rest.count > count else { return (rest, nil) }
        let shown = rest.prefix(count)
        return (shown, shown.last.map { Page(count: count, last: $0) })
    }

    /// How many of the sorted tags come no later than this one.
    private static func end(of last: String, in tags: [String]) -> Int {
        var (low, high) = (0, tags.count)
        while low < high {
            let middle = low + (high - low) / 2
            if tags[middle] <= last { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// RFC 3986 §2.3.
    private static let unreserved = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~".utf8)
    /// What a query may hold as it is, escapes included (RFC 3986 §3.4).
    private static let harmless = unreserved.union("%!$&'()*+,;=:@/?".utf8)

    /// For the value of a parameter.
    static func escaped(_ text: String) -> String { encoded(text) }

    /// Percent-encoded but for what may be left alone.
    private static func encoded(_ text: some StringProtocol, leaving kept: Set<UInt8> = unreserved) -> String {
        text.utf8.reduce(into: "") { result, byte in
            if kept.contains(byte) {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let hex = String(byte, radix: 16, uppercase: true)
                result += "%" + (hex.count == 1 ? "0" : "") + hex
            }
        }
    }
}
