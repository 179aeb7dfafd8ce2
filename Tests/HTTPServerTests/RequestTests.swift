// Request: its query parameters; the meter that finds a head's end.
import HTTPTypes
import Testing

@testable import HTTPServer

@Suite("Request") struct RequestTests {
    @Test(
        arguments: [
            ("ns=docker.io", "docker.io"), ("n=5&ns=a%3A5000", "a:5000"), ("ns", ""), ("ns=&x", ""),
            ("x=%zz&ns=1", "1"), ("n%73=q+r%2B", "q r+"), ("a=b", nil), ("ns=%f", "%f"), ("ns=%ff", "%ff"), ("", nil),
        ] as [(String, String?)])
    func `a query parameter is found and percent-decoded`(query: String, value: String?) {
        #expect(Request(method: .get, path: "/v2/", query: query).queryValue("ns") == value)
    }
}

@Suite("HeadMeter") struct HeadMeterTests {
    private func measure(_ meter: inout HeadMeter, _ text: String) throws -> Int {
        try Array(text.utf8).withUnsafeBytes { try meter.measure($0) }
    }

    @Test func `a head ends with its empty line, and the next begins`() throws {
        var meter = HeadMeter(limit: 100)
        #expect(try measure(&meter, "GET / HTTP/1.1\r\nA: b\r\n\r\nGET") == 24)
        #expect(!meter.isUnderWay)
        #expect(try measure(&meter, "GET") == 3)
        #expect(meter.isUnderWay)
    }

    @Test func `the empty line is found however the bytes are cut`() throws {
        let head = Array("\r\nGET / HTTP/1.1\r\nA: b\r\n\r\n".utf8)
        for cut in 0..<head.count {
            var meter = HeadMeter(limit: 100)
            let first = try head[..<cut].withUnsafeBytes { try meter.measure($0) }
            let second = try (head[cut...] + [1, 2, 3]).withUnsafeBytes { try meter.measure($0) }
            #expect(first + second == head.count && !meter.isUnderWay, "cut at \(cut)")
        }
    }

    @Test func `one byte beyond the limit is too many, and the line it is in is told`() throws {
        var meter = HeadMeter(limit: 18)
        #expect(try measure(&meter, "GET / HTTP/1.1\r\n\r\n") == 18)
        meter = HeadMeter(limit: 17)
        #expect(throws: HeadMeter.Fault.fieldsTooLarge) { try measure(&meter, "GET / HTTP/1.1\r\n\r\n") }
        meter = HeadMeter(limit: 17)
        #expect(throws: HeadMeter.Fault.requestLineTooLong) { try measure(&meter, "GET /aaaaaaaaaaaaa") }
        meter = HeadMeter(limit: 17)
        #expect(throws: HeadMeter.Fault.requestLineTooLong) { try measure(&meter, String(repeating: "\r\n", count: 9)) }
        meter = HeadMeter(limit: 17)
        #expect(throws: HeadMeter.Fault.requestLineTooLong) { try measure(&meter, "GET /aa HTTP/1.1\r\n\r\n") }
        meter = HeadMeter(limit: 100)
        #expect(throws: HeadMeter.Fault.bareLineFeed) { try measure(&meter, "GET / HTTP/1.1\nA: b\r\n\r\n") }
    }
}

@Suite("Date") struct DateLineTests {
    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
        (1_709_251_200, "Fri, 01 Mar 2024 00:00:00 GMT"), (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"), (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
    ])
    func `a Unix time is an IMF-fixdate`(second: Int64, text: String) {
        var line = DateLine()
        #expect(line.text(at: second) == text)
        #expect(line.text(at: second) == text)
    }
}
