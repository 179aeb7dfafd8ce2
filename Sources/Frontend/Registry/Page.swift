// Pages of a list, as `n`, `last` and `Link` name them: distribution-spec v1.1 "Listing Tags".

import HTTPServer
import HTTPTypes

/// Where in a list of tags: after `last`, at most `count`.
struct Page: Sendable {
    var count: Int?
    private let last: String?
    /// Every parameter but `n=` and `ns=`, as it was written: `last=`, or whatever else an upstream goes on by.
    private let cursor: [String]

    init(count: Int?, last: String) {
        self.count = count
        self.last = last
        cursor = ["last=\(Self.encoded(last))"]
    }

    /// - Parameter query: undecoded, so that a token with `+` in it stays what it is.
    init(query: String?) {
        let request = Request(method: .get, path: "", query: query)
        count = request.queryValue("n").flatMap { Int($0) }
        last = request.queryValue("last")
        cursor = (query ?? "").split(separator: "&").map(String.init).filter { pair in
            !["n", "ns"].contains(pair.prefix { $0 != "=" })
                && pair.utf8.allSatisfy { 0x21...0x7E ~= $0 && $0 != UInt8(ascii: "#") }
        }
    }

    /// The next page as an upstream names it; nil if that says nothing of where to go on.
    init?(next query: String) {
        self.init(query: query)
        if cursor.isEmpty { return nil }
    }

    /// Whether a registry that sent this list knows no pages: it is longer than asked for, or goes back to the tag
    /// after which it was to begin. What a registry did page is left in that registry's order.
    func isIgnored(in tags: [String]) -> Bool {
        tags.count > count ?? .max || last.map { tags.contains($0) } ?? false
    }

    var query: String? {
        let parts = (count.map { ["n=\($0)"] } ?? []) + cursor
        return parts.isEmpty ? nil : parts.joined(separator: "&")
    }

    /// Relative to this mirror (RFC 8288, as the spec asks), and to the same upstream.
    func link(_ path: String, namespace: String?) -> String {
        let parts = [query, namespace.map { "ns=\(Self.encoded($0))" }].compactMap { $0 }
        return "<\(path)?\(parts.joined(separator: "&"))>; rel=\"next\""
    }

    /// This page of a sorted list, and the page after it if there is one.
    func cut(_ tags: [String]) -> (shown: [String], next: Page?) {
        let rest = last.map { last in tags.drop { $0 <= last } } ?? tags[...]
        guard let count, rest.count > count else { return (Array(rest), nil) }
        let shown = Array(rest.prefix(count))
        return (shown, shown.last.map { Page(count: count, last: $0) })
    }

    /// Percent-encoded but for what RFC 3986 §2.3 leaves alone.
    private static func encoded(_ text: String) -> String {
        text.utf8.reduce(into: "") { result, byte in
            let scalar = Unicode.Scalar(byte)
            if scalar.properties.isAlphabetic && byte < 128 || ("0"..."9").contains(scalar)
                || "-._~".unicodeScalars.contains(scalar)
            {
                result.unicodeScalars.append(scalar)
            } else {
                let hex = String(byte, radix: 16, uppercase: true)
                result += "%" + (hex.count == 1 ? "0" : "") + hex
            }
        }
    }
}
