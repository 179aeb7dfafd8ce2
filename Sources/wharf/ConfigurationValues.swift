// The forms of single values: durations, sizes, shares, rates, patterns, addresses. Text in, value or reason out.

import FoundationEssentials
import OCI
import Upstream

/// Why a text is not the value that it should be, and what would be.
struct ValueMistake: Error, Equatable {
    let message: String

    init(_ text: String, _ whatItIsNot: String) {
        message = "\"\(text.prefix(80))\" is \(whatItIsNot)"
    }

    /// Of a text that may be secret.
    init(secret whatItIsNot: String) { message = "what is there is \(whatItIsNot)" }
}

enum ConfigurationValues {
    static func duration(_ text: String) throws(ValueMistake) -> Duration {
        let mistake = ValueMistake(text, "no duration; write a whole number and ms, s, m, h or d, such as 15s")
        let (digits, unit) = numberAndUnit(text)
        guard !digits.contains("."), let count = Int64(digits) else { throw mistake }
        let milliseconds: Int64? =
            switch unit {
            case "ms": 1
            case "s": 1000
            case "m": 60_000
            case "h": 3_600_000
            case "d": 86_400_000
            default: nil
            }
        guard let milliseconds else { throw mistake }
        // A century is as good as for ever, and no instant computed from it leaves the clock's range.
        guard count <= 36_525 * 86_400_000 / milliseconds else { throw ValueMistake(text, "over a century") }
        return .milliseconds(count * milliseconds)
    }

    /// A duration after which something is given up; at once would be never.
    static func timeout(_ text: String) throws(ValueMistake) -> Duration {
        let duration = try duration(text)
        guard duration > .zero else { throw ValueMistake(text, "too short; nothing would ever be in time") }
        return duration
    }

    /// Bytes.
    static func size(_ text: String) throws(ValueMistake) -> Int64 {
        let mistake = ValueMistake(
            text, "no size; write a number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 64GiB")
        guard ByteSize.isWritten(text) else { throw mistake }
        guard let bytes = ByteSize.parse(text) else { throw ValueMistake(text, "more than any disk holds") }
        return bytes
    }

    static func positiveSize(_ text: String) throws(ValueMistake) -> Int64 {
        let size = try size(text)
        guard size > 0 else { throw ValueMistake(text, "no room at all") }
        return size
    }

    /// A percentage as a share from 0 to 1.
    static func share(_ text: String) throws(ValueMistake) -> Double {
        let (digits, unit) = numberAndUnit(text)
        guard unit == "%", let number = decimal(digits), number <= 100 else {
            throw ValueMistake(text, "no percentage; write a number from 0 to 100 and %, such as 90%")
        }
        return number / 100
    }

    static func positiveShare(_ text: String) throws(ValueMistake) -> Double {
        let share = try share(text)
        guard share > 0 else { throw ValueMistake(text, "nothing at all") }
        return share
    }

    /// A size or a share of the file system.
    static func capacity(_ text: String) throws(ValueMistake) -> Configuration.Capacity {
        text.hasSuffix("%") ? .share(try share(text)) : .bytes(try size(text))
    }

    static func positiveCapacity(_ text: String) throws(ValueMistake) -> Configuration.Capacity {
        text.hasSuffix("%") ? .share(try positiveShare(text)) : .bytes(try positiveSize(text))
    }

    /// Bytes a second.
    static func rate(_ text: String) throws(ValueMistake) -> Int64 {
        guard text.hasSuffix("/s") else { throw ValueMistake(text, "no rate; write a size and /s, such as 64KiB/s") }
        return try size(String(text.dropLast(2)))
    }

    static func positiveRate(_ text: String) throws(ValueMistake) -> Int64 {
        let rate = try rate(text)
        guard rate > 0 else { throw ValueMistake(text, "nothing would ever come; leave it out for no limit") }
        return rate
    }

    static func bool(_ text: String) throws(ValueMistake) -> Bool {
        switch text {
        case "true": true
        case "false": false
        default: throw ValueMistake(text, "neither true nor false")
        }
    }

    static func count(_ text: String) throws(ValueMistake) -> Int {
        guard text.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let count = Int(text), (1...1_000_000_000).contains(count)
        else {
            throw ValueMistake(text, "no whole number from 1 on")
        }
        return count
    }

    static func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ text: String
    ) throws(ValueMistake) -> Choice {
        guard let choice = Choice(rawValue: text) else {
            throw ValueMistake(text, "none of " + Choice.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return choice
    }

    static func words(_ choices: String...) -> (String) throws(ValueMistake) -> String {
        { text throws(ValueMistake) in
            guard choices.contains(text) else { throw ValueMistake(text, "none of " + choices.joined(separator: ", ")) }
            return text
        }
    }

    static func text(_ text: String) throws(ValueMistake) -> String {
        guard !text.isEmpty else { throw ValueMistake(text, "empty") }
        return text
    }

    /// `*` for any run without `/`, `**` for any run: of repositories, tags or images.
    static func pattern(_ text: String) throws(ValueMistake) -> String {
        guard NamePattern.isWritten(text) else {
            throw ValueMistake(text, "no pattern; write a name with * for any run without /, ** for any run")
        }
        return text
    }

    static func imagePattern(_ text: String) throws(ValueMistake) -> ImagePattern {
        guard let pattern = ImagePattern(try pattern(text)) else {
            throw ValueMistake(text, "no image pattern; write it as docker.io/library/debian:12 or ghcr.io/acme/**")
        }
        return pattern
    }

    /// What is said of the tags of one upstream.
    static func tagPattern(_ text: String, of upstream: String) throws(ValueMistake) -> TagPattern {
        if let pattern = TagPattern(try pattern(text), upstream: upstream) {
            if mayMatch(text) { return pattern }
            throw ValueMistake(
                text, "a pattern that no tag matches; names are in small letters, and only * and ** stand for others")
        }
        guard ImagePattern(text) == nil else {
            throw ValueMistake(
                text, "a pattern that names another upstream; of this one write it as \(upstream)/acme/app:v*")
        }
        throw ValueMistake(text, "no pattern of tags; write it as v* or as acme/app:v*")
    }

    /// Whether each part could be one of a tag or a repository. The first of several may be a host.
    private static func mayMatch(_ text: String) -> Bool {
        func isMade(_ part: Substring, of others: String) -> Bool {
            let others = Set("0123456789._-*\(others)".utf8)
            return !part.isEmpty && part.utf8.allSatisfy { $0 &- 0x61 < 26 || others.contains($0) }
        }
        let capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        var parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let last = parts.popLast() else { return false }
        let pieces = last.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.isEmpty, pieces.count == 1 { return isMade(last, of: capitals) }
        let isHost = parts.first?.contains { $0 == "." || $0 == ":" } == true || parts.first == "localhost"
        let name = (isHost ? parts.dropFirst() : parts[...]) + [pieces[0]]
        guard name.allSatisfy({ isMade($0, of: "") }) else { return false }
        return pieces.count == 1 || isMade(pieces[1], of: capitals)
    }

    /// The host by which images name a registry.
    static func registryHost(_ text: String) throws(ValueMistake) -> String {
        guard ImageReference.isHost(text) else {
            throw ValueMistake(text, "no registry's host; write it as images are named by it, such as ghcr.io")
        }
        guard text == text.lowercased() else {
            throw ValueMistake(text, "a host in capitals; write \(text.lowercased())")
        }
        return text
    }

    /// `host` or `host:port`.
    static func authHost(_ text: String) throws(ValueMistake) -> String {
        guard ImageReference.isHost(text) else { throw ValueMistake(text, "no host; write host or host:port") }
        return text.lowercased()
    }

    static func listenAddress(_ text: String) throws(ValueMistake) -> Configuration.ListenAddress {
        let mistake = ValueMistake(
            text, "no address to listen on; write HOST:PORT, such as 0.0.0.0:5000 or \"[::]:5000\"")
        guard let colon = text.lastIndex(of: ":"), colon != text.startIndex else { throw mistake }
        let digits = text[text.index(after: colon)...]
        guard digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let port = Int(digits), port <= 65535 else { throw mistake }
        var host = text[..<colon]
        // What may be a registry's host may have a port of its own.
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        guard ImageReference.isHost(host), isBracketed || !host.contains(":") else { throw mistake }
        if isBracketed { host = host.dropFirst().dropLast() }
        return Configuration.ListenAddress(host: String(host), port: port)
    }

    static func endpoint(_ text: String) throws(ValueMistake) -> EndpointURL {
        guard let url = EndpointURL(text) else {
            let what = "no endpoint; write http:// or https://, a host, and perhaps a port and a path"
            // Where a password or a token would be, nothing is repeated. By bytes: what is combined with a sign hides
            // it.
            let mayHoldSecret = text.utf8.contains { "@?#".utf8.contains($0) }
            throw mayHoldSecret ? ValueMistake(secret: what) : ValueMistake(text, what)
        }
        return url
    }

    /// The text may hold a password, so no mistake repeats it.
    static func proxy(_ text: String) throws(ValueMistake) -> Configuration.Proxy {
        if text == "none" { return .direct }
        guard ProxyURL(text) != nil else {
            throw ValueMistake(secret: "no proxy; write http://, https:// or socks5h:// and a host, or none")
        }
        return .url(Secret(text))
    }

    static func readableFile(_ text: String) throws(ValueMistake) -> String {
        guard !text.isEmpty, FileManager.default.isReadableFile(atPath: text) else {
            throw ValueMistake(text, "no file that can be read")
        }
        return text
    }

    /// The password that a file holds, without the line end that editors leave there.
    static func password(file: String) throws(ValueMistake) -> Secret {
        Secret(try line(of: file, what: "password"))
    }

    /// The token that a file holds: it must fit into a header field.
    static func adminToken(file: String) throws(ValueMistake) -> Secret {
        let token = try line(of: file, what: "token")
        guard token.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw ValueMistake(
                file, "a file whose token has blanks or other than ASCII in it; make one with: openssl rand -hex 32")
        }
        return Secret(token)
    }

    /// The only line of a file. What is in it is repeated in no mistake.
    private static func line(of file: String, what: String) throws(ValueMistake) -> String {
        guard let bytes = FileManager.default.contents(atPath: file),
            var text = String(validating: bytes, as: UTF8.self)
        else { throw ValueMistake(file, "no file that can be read, with a \(what) in UTF-8") }
        while let last = text.last, last.isNewline { text.removeLast() }
        guard !text.isEmpty else { throw ValueMistake(file, "a file without a \(what)") }
        guard !text.contains(where: \.isNewline) else {
            throw ValueMistake(file, "a file of several lines, not of a \(what)")
        }
        return text
    }

    static func namePattern(_ text: String) throws(ValueMistake) -> NamePattern {
        guard let pattern = NamePattern(try pattern(text)) else { throw ValueMistake(text, "no pattern") }
        return pattern
    }

    private static func numberAndUnit(_ text: String) -> (digits: String, unit: String) {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        return (String(digits), String(text[digits.endIndex...]))
    }

    /// Digits, perhaps with a point among them; no sign, no exponent.
    private static func decimal(_ text: String) -> Double? {
        guard let first = text.utf8.first, let last = text.utf8.last, text.utf8.count <= 30 else { return nil }
        guard first != UInt8(ascii: "."), last != UInt8(ascii: ".") else { return nil }
        return Double(text)
    }
}

/// The base URL of an upstream's endpoint: scheme, host and perhaps port and path; no user, no query.
package struct EndpointURL: Hashable, Sendable {
    static let dockerHubHost = "registry-1.docker.io"

    package let isSecure: Bool
    /// In lower case, with the port if one was written.
    package let authority: String
    /// Empty, or a path that begins with `/` and does not end with one.
    package let path: String

    init(secureHost: String) {
        isSecure = true
        authority = secureHost
        path = ""
    }

    package init?(_ text: String) {
        let lowercase = text.prefix(8).lowercased()
        let isSecure = lowercase == "https://"
        guard isSecure || lowercase.hasPrefix("http://") else { return nil }
        let rest = text.dropFirst(isSecure ? 8 : 7)
        let authority = rest.prefix { $0 != "/" }.lowercased()
        // Container networks know names with `_`, which registries that images are named by may not have.
        guard ImageReference.isHost(authority.replacing("_", with: "-")) else { return nil }
        var path = rest.dropFirst(authority.count)
        while path.last == "/" { path.removeLast() }
        let others = Set("/-._~".utf8)
        guard path.utf8.allSatisfy({ ($0 | 0x20) &- 0x61 < 26 || $0 &- 0x30 < 10 || others.contains($0) }) else {
            return nil
        }
        self.isSecure = isSecure
        self.authority = authority
        self.path = String(path)
    }
}

extension EndpointURL: CustomStringConvertible {
    package var description: String { (isSecure ? "https://" : "http://") + authority + path }
}
