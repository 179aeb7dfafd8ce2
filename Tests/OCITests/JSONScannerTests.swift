// JSON in one pass: what passes is JSON, and what is JSON passes.

import FoundationEssentials
import Testing

@testable import OCI

@Suite("JSON in one pass") struct JSONScannerTests {
    private struct Anything: Decodable { init(from decoder: any Decoder) {} }

    private static func passes(_ bytes: [UInt8]) -> Bool {
        do throws(JSONScanner.Malformed) {
            try JSONScanner.read(bytes) { (scanner, _) throws(JSONScanner.Malformed) in try scanner.skip() }
            return true
        } catch {
            return false
        }
    }

    private static func passes(value: String) -> Bool { passes(Array("{\"x\":\(value)}".utf8)) }

    @Test(
        arguments: [
            "0", "-0", "10", "-1.50e+07", "1E5", "1e-9", "true", "false", "null", "\"\"", "[]", "{}", "[ ]", "{ }",
            "[1,2]", #"{"a":{"b":[null]}}"#, #""\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00""#, "\"é😀\u{7F}\"", "\t[\n1\r]\n ",
        ]) func `what is JSON passes`(value: String)
    { #expect(Self.passes(value: value)) }

    @Test(
        arguments: [
            "", "01", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "0x1", "NaN", "Infinity", "-Infinity", "tru", "True",
            "nul", "'a'", "\"", "\"\\", #""\x""#, #""\u12""#, #""\u12G4""#, #""\ud800""#, #""\udc00""#, "a",
            #""\ud800\ud800""#, #""\ud800x""#, #""\udc00\udc00""#, "\"\u{0}\"", "\"\u{1F}\"", "\"\t\"", "\"\n\"", "[",
            "]",
            "[1", "[1,", "[1,]", "[,1]", "[,]", "[1 2]", "[1}", "{", "{]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
            "{1:1}", "{,}", "{\"a\" 1}", "1 1", "// c\n1", "/**/1", "\u{A0}1", "\u{FEFF}1", "[1]]", "\u{C}1", "1,",
            "{}}",
        ]) func `what is none does not`(value: String)
    { #expect(!Self.passes(value: value)) }

    @Test(arguments: ["1", "[]", "\"a\"", "null", " ", "{}{}", "{} x", "{}\u{0}", "[{}]"])
    func `a document is one object`(text: String) { #expect(!Self.passes(Array(text.utf8))) }

    @Test func `what is no UTF-8 is none`() {
        for bad: [UInt8] in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xC3], [0xF5, 0x80, 0x80, 0x80]] {
            #expect(!Self.passes(Array("{\"x\":\"".utf8) + bad + Array("\"}".utf8)))
        }
    }

    @Test func `values stand no deeper in one another than decoders take them`() {
        func deep(_ count: Int) -> String {
            String(repeating: "[", count: count) + String(repeating: "]", count: count)
        }
        #expect(Self.passes(value: deep(511)))
        #expect(!Self.passes(value: deep(512)))
        #expect(!Self.passes(value: String(repeating: "[", count: 1 << 20)))
        #expect(!Self.passes(value: String(repeating: "{\"a\":", count: 1 << 18)))
    }

    @Test(arguments: 0..<8) func `nothing passes that the decoder refuses`(seed: UInt64) {
        let document = Array(
            #"{"a":[1,-2.5e+3,"x\u00e9\"\\",null,true],"b":{"c":{},"d":[[]],"é":"\ud83d\ude00"},"e":false, "f" : 0 }"#
                .utf8)
        let pieces = Array("{}[]\",:\\u0 1e-.+tfn".utf8) + [0, 0x1F, 0x80, 0xC3, 0xFF]
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        func random(_ limit: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(limit))
        }
        var passed = 0
        for _ in 0..<3000 {
            var bytes = document
            for _ in 0...random(3) {
                let index = random(bytes.count)
                switch random(3) {
                case 0: bytes.remove(at: index)
                case 1: bytes.insert(pieces[random(pieces.count)], at: index)
                default: bytes[index] = pieces[random(pieces.count)]
                }
            }
            guard Self.passes(bytes) else { continue }
            passed += 1
            let isTaken = (try? JSONDecoder().decode(Anything.self, from: Data(bytes))) != nil
            #expect(isTaken, "\(String(decoding: bytes, as: UTF8.self))")
        }
        #expect(passed > 10)
    }
}
