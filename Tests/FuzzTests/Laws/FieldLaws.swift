// The values of fields: what is written reads back, what is read stays within its bounds.

import HTTPSemantics

extension FuzzTarget {
    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    static let challenge = FuzzTarget(
        "challenge",
        seeds: [
            #"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#,
            #"Basic realm="a \"b\" \\c""#, "Negotiate YWJj==, Basic realm=x", "Bearer realm = x , error = y, Digest",
            #"Basic, Bearer a="é",,  ,b=c"#,
        ],
        words: [
            "Bearer ", "Basic ", "realm=", "scope=", "error=", ",", " , ", "=", "==", "\"", "\\\"", "\\", " ", "\t",
            "token68/+",
            "realm=\"\"", "é",
        ]
    ) { bytes in
        let challenges = AuthenticationChallenge.parse(text(bytes))
        for challenge in challenges {
            try hold(challenge.scheme == challenge.scheme.lowercased(), "a scheme in capitals")
            try hold(
                challenge.parameters.keys.allSatisfy { $0 == $0.lowercased() && !$0.isEmpty }, "a name in capitals")
        }
        // Written by the book, they are the same again.
        let written = challenges.map { challenge in
            let parameters = challenge.parameters.sorted { $0.key < $1.key }.map { name, value in
                let quoted = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
                return "\(name)=\"\(quoted)\""
            }
            return challenge.scheme + (parameters.isEmpty ? "" : " ") + parameters.joined(separator: ", ")
        }
        let again = AuthenticationChallenge.parse(written.joined(separator: ", "))
        try hold(again == challenges, "\(challenges) reads back as \(again)")
    }

    static let fields = FuzzTarget(
        "fields",
        seeds: [
            "1.1 wharf-5d1f (comment), 1.0 squid, 1.1 wharf-a", "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "120", "W/\"a\", \"b\", *", "\"sha256:abc\"",
            "hub: \"no\" \\ é", "Thu, 29 Feb 2000 23:59:60 GMT", "text/html; charset=utf-8",
        ],
        words: [
            "wharf-", ", ", "1.1 ", " GMT", "Feb", "31", "29", "2100", "0000", "9999", ":60", "-70", "-69", "\"", "W/",
            "*",
            "99999999999999999999", " ", "\t", ";",
        ]
    ) { bytes in
        let text = text(bytes)
        try lawOfVia(text)
        try lawOfStatus(text)
        try lawOfTags(text)
        let number = bytes.prefix(8).reduce(Int64(0)) { $0 << 8 | Int64($1) }
        for second in [number, number % 253_402_300_800] {
            let inRange = min(max(second, -62_167_219_200), 253_402_300_799)
            let written = HTTPDate.format(second)
            try hold(HTTPDate.parse(written) == inRange, "\(second) is written \(written)")
        }
        if let date = HTTPDate.parse(text) {
            // A leap second may lie beyond the last of the year 9999.
            try hold(
                HTTPDate.parse(HTTPDate.format(date)) == min(date, 253_402_300_799), "\(date) reads back as another")
        }
        if let delay = RetryAfter.parse(text, now: number) {
            try hold(.zero...RetryAfter.longest ~= delay, "a delay of \(delay)")
        }
    }

    private static func lawOfVia(_ text: String) throws {
        let via = Via([text])
        let next = Via([via.adding("wharf-me")])
        try hold(next.names == Array((via.names + ["wharf-me"]).prefix(11)), "\(via.names), then \(next.names)")
        try hold(next.leadsBack(to: "wharf-me"), "a circle that is not seen")
    }

    private static func lawOfStatus(_ text: String) throws {
        let plain = String(decoding: text.utf8.map { 0x20...0x7E ~= $0 ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
        let cache = CacheStatus(forward: .stale, forwardStatus: 504, isStored: true, ttl: -3, detail: text)
        try hold(
            Item(cache.description)
                == Item(
                    name: "wharf",
                    parameters: [
                        "fwd": "stale", "fwd-status": "504", "stored": "?1", "ttl": "-3",
                        "detail": plain,
                    ]), "\(cache)")
        let proxy = ProxyStatus(error: .dnsError, nextHop: text, receivedStatus: 502, details: text)
        try hold(
            Item(proxy.description)
                == Item(
                    name: "wharf",
                    parameters: [
                        "error": "dns_error", "next-hop": plain, "received-status": "502",
                        "details": plain,
                    ]), "\(proxy)")
    }

    private static func lawOfTags(_ text: String) throws {
        let tag = EntityTag(text)
        if let tag {
            try hold(EntityTag("\(tag)") == tag, "\(tag) does not read back")
            try hold(Validators.ifNoneMatch(text, entityTag: "\(tag)"), "\(tag) does not match itself")
            try hold(tag.matchesStrongly(tag) != tag.isWeak, "a weak tag that is strong")
            try hold(
                Validators.ifNoneMatch("\"x y\"z, \(text)", entityTag: "\(tag)") == false, "read past what is wrong")
        }
        _ = Validators.ifNoneMatch(text, entityTag: "\"a\"")
    }

    // MARK: Ranges

    /// The first byte is the size, the second says whether the size is small.
    static let range = FuzzTarget(
        "range",
        seeds: [
            "\u{14}bytes=0-4", "\u{5}bytes=5-", "\u{0}bytes=-3", "\u{30}bytes=0-0,-1, 3-9", "\u{9}Bytes= 1-2 ,, 2-",
            "\u{9}bytes 0-499/1234", "\u{9}bytes 1-2/*", "\u{9}bytes */77", "\u{9}bytes=9223372036854775807-",
        ],
        words: [
            "bytes=", "bytes ", "-", ",", " ", "\t", "0-0", "-0", "-1", "9223372036854775807", "9223372036854775808",
            "18446744073709551616", "00000000000000000000001", "*/", "/*", "/", "9007199254740992",
        ]
    ) { bytes in
        guard let first = bytes.first else { return }
        let text = text(Array(bytes.dropFirst()))
        for size in [Int64(first), Int64.max - Int64(first)] {
            let parsed = RequestedRange.parse(range: text, ifRange: nil, entityTag: "\"a\"", size: size)
            for range in parsed.ranges {
                try hold(!range.isEmpty && range.lowerBound >= 0 && range.upperBound <= size, "\(range) of \(size)")
                let content = ContentRange(range, size: size)
                if size <= ContentRange.mostBytes {
                    try hold(ContentRange("\(content)") == content, "\(content) does not read back")
                }
            }
            try hold(parsed.ranges.count <= RequestedRange.countLimit, "\(parsed.ranges.count) ranges")
            let plain = PlainRange.parse(text, size: size)
            try hold(parsed.ranges == plain, "\(parsed) of \(size), where one would say \(String(describing: plain))")
            let other = RequestedRange.parse(range: text, ifRange: "\"b\"", entityTag: "\"a\"", size: size)
            try hold(other == .whole, "a range of something else")
        }
        if let content = ContentRange(text) {
            try hold(ContentRange("\(content)") == content, "\(content) does not read back")
            try hold(content.range.upperBound <= content.size ?? .max, "\(content) beyond its end")
        }
        if let size = ContentRange.unsatisfiedSize(text) {
            try hold(ContentRange.unsatisfiedSize(ContentRange.unsatisfied(size)) == size, "\(size) does not read back")
        }
    }
}

extension RequestedRange {
    fileprivate var ranges: [Range<Int64>] {
        switch self {
        case .whole, .unsatisfiable: []
        case .part(let range, _): [range]
        case .multiple(let ranges): ranges
        }
    }
}

/// RFC 9110 §14.1.2 as one would say it, slowly.
private enum PlainRange {
    static func parse(_ text: String, size: Int64) -> [Range<Int64>] {
        let parts = text.unicodeScalars.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, String(parts[0]).lowercased() == "bytes" else { return [] }
        let blanks: (Unicode.Scalar) -> Bool = { $0 == " " || $0 == "\t" }
        var ranges: [Range<Int64>] = []
        var count = 0
        for element in parts[1].split(separator: ",") {
            let start = element.drop(while: blanks)
            let trimmed = String(String.UnicodeScalarView(start.reversed().drop(while: blanks).reversed()))
            if trimmed.isEmpty { continue }
            count += 1
            let ends = trimmed.unicodeScalars.split(separator: "-", omittingEmptySubsequences: false)
                .map { String($0) }
            guard count <= 100, ends.count == 2, ends != ["", ""] else { return [] }
            guard ends.allSatisfy({ $0.unicodeScalars.allSatisfy { "0"..."9" ~= $0 } }) else { return [] }
            let (from, to) = (number(ends[0]), number(ends[1]))
            switch (ends[0].isEmpty, ends[1].isEmpty) {
            case (true, _):
                if size == 0, to > 0 { return [] }
                if to > 0 { ranges.append(max(0, size - to)..<size) }
            case (false, true):
                if from < size { ranges.append(from..<size) }
            case (false, false):
                guard from <= to else { return [] }
                if from < size { ranges.append(from..<(to >= size ? size : to + 1)) }
            }
        }
        return ranges
    }

    private static func number(_ digits: String) -> Int64 {
        let digits = digits.drop { $0 == "0" }
        return digits.isEmpty ? 0 : Int64(digits) ?? .max
    }
}

/// An item of RFC 8941 with its parameters: a token, strings, numbers and yes. Nil for anything else.
private struct Item: Equatable {
    var name: String
    var parameters: [String: String]

    init(name: String, parameters: [String: String]) {
        self.name = name
        self.parameters = parameters
    }

    init?(_ text: String) {
        var rest = Array(text.unicodeScalars)[...]
        func word(_ rest: inout ArraySlice<Unicode.Scalar>) -> String {
            let others = Set("!#$%&'*+-.^_`|~:/".unicodeScalars)
            let word = rest.prefix {
                $0.properties.isASCIIHexDigit || "a"..."z" ~= $0 || "A"..."Z" ~= $0 || others.contains($0)
            }
            rest = rest.dropFirst(word.count)
            return String(String.UnicodeScalarView(word))
        }
        self.init(name: word(&rest), parameters: [:])
        while rest.first == ";" {
            rest = rest.dropFirst().drop { $0 == " " }
            let key = word(&rest)
            guard !key.isEmpty, parameters[key] == nil else { return nil }
            guard rest.first == "=" else {
                parameters[key] = "?1"
                continue
            }
            rest = rest.dropFirst()
            guard rest.first == "\"" else {
                parameters[key] = word(&rest)
                continue
            }
            rest = rest.dropFirst()
            var value = ""
            while let scalar = rest.popFirst(), scalar != "\"" {
                if scalar == "\\" {
                    guard let escaped = rest.popFirst(), escaped == "\"" || escaped == "\\" else { return nil }
                    value.unicodeScalars.append(escaped)
                } else {
                    guard " "..."~" ~= scalar else { return nil }
                    value.unicodeScalars.append(scalar)
                }
            }
            parameters[key] = value
        }
        guard rest.isEmpty else { return nil }
    }
}
