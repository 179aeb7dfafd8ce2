// RFC 9110 §14 (ranges) and §13.1.5 (If-Range).

import HTTPSemantics
import Testing

private let tag = "\"sha256:abc\""

private func parse(_ range: String?, _ size: Int64 = 10_000, ifRange: String? = nil) -> RequestedRange {
    RequestedRange.parse(range: range, ifRange: ifRange, entityTag: tag, size: size)
}

@Suite("Range: RFC 9110 §14.1.2, §14.2") struct RangeTests {
    /// The RFC's own examples, for a representation of 10 000 bytes.
    @Test(arguments: [
        ("bytes=0-499", RequestedRange.part(0..<500, isOpenEnded: false)),
        ("bytes=500-999", .part(500..<1000, isOpenEnded: false)),
        ("bytes=-500", .part(9500..<10_000, isOpenEnded: false)),
        ("bytes=9500-", .part(9500..<10_000, isOpenEnded: true)),
        ("bytes=0-0,-1", .multiple([0..<1, 9999..<10_000])),
        ("bytes= 0-999, 4500-5499, -1000", .multiple([0..<1000, 4500..<5500, 9000..<10_000])),
        ("bytes=500-600,601-999", .multiple([500..<601, 601..<1000])),
        ("bytes=500-700,601-999", .multiple([500..<701, 601..<1000])),
    ])
    func `the RFC's examples`(field: String, expected: RequestedRange) {
        #expect(parse(field) == expected)
    }

    @Test(arguments: [
        ("bytes=0-", RequestedRange.part(0..<10_000, isOpenEnded: true)),
        ("bytes=0-99999", .part(0..<10_000, isOpenEnded: false)),
        ("BYTES=0-0", .part(0..<1, isOpenEnded: false)),
        ("bytes=-99999", .part(0..<10_000, isOpenEnded: false)),
        ("bytes=9999-", .part(9999..<10_000, isOpenEnded: true)),
        ("bytes=0-9223372036854775807", .part(0..<10_000, isOpenEnded: false)),
        ("bytes=1-99999999999999999999999999", .part(1..<10_000, isOpenEnded: false)),
        ("bytes=-99999999999999999999999999", .part(0..<10_000, isOpenEnded: false)),
        ("bytes=,, 5-6 ,,", .part(5..<7, isOpenEnded: false)),
        ("bytes=0-1,10000-", .part(0..<2, isOpenEnded: false)),
        ("bytes=20000-,7-", .part(7..<10_000, isOpenEnded: true)),
        ("bytes=10000-", .unsatisfiable), ("bytes=10000-10001", .unsatisfiable), ("bytes=-0", .unsatisfiable),
        ("bytes=9223372036854775807-", .unsatisfiable), ("bytes=99999999999999999999-", .unsatisfiable),
        ("bytes=10000-,20000-,-0", .unsatisfiable),
    ])
    func `clipped to what exists`(field: String, expected: RequestedRange) {
        #expect(parse(field) == expected)
    }

    @Test(arguments: [
        "", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=1", "bytes=2-1", "bytes=--1", "bytes=1--2",
        "bytes=+1-2", "bytes=1-2-3", "bytes=1 - 2", "bytes=0x1-2", "bytes=1-2;3-4", "bytes=0-1,x", "items=0-1",
        "bytes =0-1", "bytes:0-1", "=0-1", "bytes=١-٢", "bytes=1-2,3-2", "seconds=1-2",
    ])
    func `what is malformed or another unit is ignored`(field: String) {
        #expect(parse(field) == .whole)
    }

    @Test func `a range that ends before it begins can be refused`() {
        for field in ["bytes=2-1", "bytes=1-2,3-2"] {
            let parsed = RequestedRange.parse(
                range: field, ifRange: nil, entityTag: tag, size: 10, refusesInverted: true)
            #expect(parsed == .unsatisfiable)
        }
    }

    @Test func `without a range there is the whole`() { #expect(parse(nil) == .whole) }

    @Test func `ranges by the thousand are ignored`() {
        #expect(parse("bytes=" + (0..<101).map { "\($0)-\($0)" }.joined(separator: ",")) == .whole)
        guard case .multiple(let ranges) = parse("bytes=" + String(repeating: "0-,", count: 100)) else {
            Issue.record("100 are allowed")
            return
        }
        #expect(ranges.count == 100)
    }

    @Test func `of nothing there are no parts`() {
        #expect(parse("bytes=0-", 0) == .unsatisfiable)
        #expect(parse("bytes=0-0", 0) == .unsatisfiable)
        #expect(parse("bytes=-0", 0) == .unsatisfiable)
        #expect(parse("bytes=-1", 0) == .whole)
    }

    @Test func `the largest size there is does not overflow`() {
        #expect(parse("bytes=0-", .max) == .part(0..<Int64.max, isOpenEnded: true))
        #expect(parse("bytes=-1", .max) == .part((Int64.max - 1)..<Int64.max, isOpenEnded: false))
    }
}

@Suite("If-Range: RFC 9110 §13.1.5") struct IfRangeTests {
    @Test func `the same strong tag keeps the range`() {
        #expect(parse("bytes=0-0", ifRange: tag) == .part(0..<1, isOpenEnded: false))
        #expect(parse("bytes=0-0", ifRange: " \(tag) ") == .part(0..<1, isOpenEnded: false))
    }

    @Test(arguments: [
        "", "\"other\"", "W/\"sha256:abc\"", "sha256:abc", "\"sha256:abc", "*", "\"sha256:abc\", \"x\"",
        "Sun, 06 Nov 1994 08:49:37 GMT",
    ])
    func `anything else gives the whole`(ifRange: String) {
        #expect(parse("bytes=0-0", ifRange: ifRange) == .whole)
        #expect(parse("bytes=99999-", ifRange: ifRange) == .whole, "not 416 either")
    }
}

@Suite("Content-Range: RFC 9110 §14.4") struct ContentRangeTests {
    @Test(arguments: [
        "bytes 42-1233/1234", "bytes 42-1233/*", "bytes 0-0/1", "bytes 0-9007199254740991/9007199254740992",
    ])
    func `what is well formed comes back as it was`(field: String) throws {
        let range = try #require(ContentRange(field))
        #expect("\(range)" == field)
        #expect(ContentRange(range.range, size: range.size) == range)
    }

    @Test func `case and blanks do not matter`() throws {
        let range = try #require(ContentRange(" Bytes  1-2/3 "))
        #expect(range.first == 1 && range.last == 2 && range.size == 3)
        #expect(range.range == 1..<3)
    }

    @Test(arguments: [
        "", "bytes", "bytes ", "bytes */1234", "bytes 2-1/10", "bytes 0-10/10", "bytes 0-/10", "bytes -1/10",
        "bytes 0-1", "bytes 0-1/", "bytes 0-1/x", "bytes=0-1/2", "items 0-1/2", "bytes 0-1/2/3", "bytes 0 -1/2",
        "bytes 0-9223372036854775807/*", "bytes 0-9007199254740992/*", "bytes 0-1/9007199254740993",
        "bytes 0-9223372036854775805/9223372036854775806", "bytes 0-1/99999999999999999999", "bytes 99999999999999999999-1/*",
    ])
    func `everything else is refused`(field: String) {
        #expect(ContentRange(field) == nil)
    }

    @Test func `a 416 tells the size`() {
        #expect(ContentRange.unsatisfied(1234) == "bytes */1234")
        #expect(ContentRange.unsatisfiedSize("bytes */1234") == 1234)
        #expect(ContentRange.unsatisfiedSize("bytes 0-1/1234") == nil)
        #expect(ContentRange.unsatisfiedSize("bytes */*") == nil)
    }
}
