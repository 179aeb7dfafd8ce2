// What the fuzzers have found, made small: each input once broke the law of its target.

import Testing

struct FuzzCase: Sendable, CustomTestStringConvertible {
    let target: String
    /// What went wrong then.
    let what: String
    let input: [UInt8]

    init(_ target: String, _ what: String, _ input: String) {
        self.init(target, what, Array(input.utf8))
    }

    init(_ target: String, _ what: String, _ input: [UInt8]) {
        self.target = target
        self.what = what
        self.input = input
    }

    var testDescription: String { "\(target): \(what)" }

    private static let digest = "sha256:" + String(repeating: "0123456789abcdef", count: 4)

    static let all: [FuzzCase] = [
        FuzzCase(
            "head", "a line feed alone behind a body, taken in one read and refused in two",
            "aPOST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\n"),
        FuzzCase(
            "head", "a head behind a body, measured only where it came by itself",
            "aPOST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nxGET /"
                + String(repeating: "a", count: 600) + " HTTP/1.1\r\nHost: t\r\n\r\n"),
        FuzzCase(
            "head", "line feeds alone in a head behind a body",
            "aPOST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\nHost: t\n\n"),
        FuzzCase(
            "head", "a broken body, refused or left unread by how it was cut",
            "ePUT /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0\r"
                + String(repeating: "TTP/1.1\r", count: 80) + "\r\nT: u\r\n\r\n"),
        FuzzCase("configuration", "a control character, and no line", "a: b\n\u{8}c: d"),
        FuzzCase(
            "configuration", "a few lines that stand for billions",
            "a: &a [x, x, x, x]\n"
                + "bcdefghijklmnop".reduce(into: (before: "a", text: "")) { all, name in
                    let list = Array(repeating: "*\(all.before)", count: 4).joined(separator: ", ")
                    all = ("\(name)", all.text + "\(name): &\(name) [\(list)]\n")
                }.text + "? *p\n: 1\nhosted: *p\n"),
        FuzzCase(
            "configuration", "a list in a list in a list, deeper than any stack",
            "- &a0 [x]\n"
                + (1..<300).map { number in
                    let brackets = [String(repeating: "[", count: 900), String(repeating: "]", count: 900)]
                    return "- &a\(number) \(brackets[0])*a\(number - 1)\(brackets[1])\n"
                }.joined()),
        FuzzCase(
            "configuration", "keys that a terminal would obey", "\"\\e[2J\\n\": 1\nupstreams: {\"\\r\": {\"\\x01\": 1}}"
        ),
        FuzzCase("values", "two ports of an address to listen on", "localhost:5:0"),
        FuzzCase("values", "a password told because of what is combined with its @", "\u{64D}"),
        FuzzCase("urls", "a port that nothing can listen on", "http://h:0/"),
        FuzzCase(
            "manifest", "words that a terminal would obey",
            #"{"layers":[{"mediaType":"a","size":1,"digest":"\#(digest)","annotations":{"\u001b[2J":1}}]}"#),
    ]
}
