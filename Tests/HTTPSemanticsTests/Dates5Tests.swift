// RFC 9110 §5.6.7 (dates) and §10.2.3 (Retry-After).

import HTTPSemantics
import Testing

@Suite("HTTP-date: RFC 9110 §5.6.7") struct HTTPDateTests {
    @Test(arguments: [
        "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
    ])
    func `the RFC's three forms of one instant`(field: String) {
        #expect(HTTPDate.parse(field) == 784_111_777)
    }

    @Test(
        arguments: [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"), (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"), (-62_167_219_200, "Sat, 01 Jan 0000 00:00:00 GMT"),
        ] as [(Int64, String)])
    func `instants are written and read back`(instant: Int64, field: String) {
        #expect(HTTPDate.format(instant) == field)
        #expect(HTTPDate.parse(field) == instant)
    }

    @Test func `beyond four digits of a year the nearest is written`() {
        #expect(HTTPDate.format(.max) == "Fri, 31 Dec 9999 23:59:59 GMT")
        #expect(HTTPDate.format(.min) == "Sat, 01 Jan 0000 00:00:00 GMT")
    }

    @Test func `every day of four centuries survives the way there and back`() {
        for day in stride(from: Int64(-25_567), to: 120_530, by: 1) {
            let instant = day * 86_400 + 86_399
            #expect(HTTPDate.parse(HTTPDate.format(instant)) == instant)
        }
    }

    @Test(arguments: [
        "", "0", "-1", "Sun, 06 Nov 1994", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 29 Feb 2100 00:00:00 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT",
    ])
    func `everything else is refused`(field: String) {
        #expect(HTTPDate.parse(field) == nil)
    }

    @Test func `a leap second is the second after`() {
        #expect(HTTPDate.parse("Sat, 31 Dec 2016 23:59:60 GMT") == HTTPDate.parse("Sun, 01 Jan 2017 00:00:00 GMT"))
    }
}

@Suite("Retry-After: RFC 9110 §10.2.3") struct RetryAfterTests {
    @Test(arguments: [
        ("120", Duration.seconds(120)), ("0", .zero), (" 7 ", .seconds(7)),
        ("99999999999999999999", RetryAfter.longest),
        ("Sun, 06 Nov 1994 08:49:37 GMT", .seconds(37)), ("Sun, 06 Nov 1994 08:48:00 GMT", .zero),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RetryAfter.longest),
    ])
    func `seconds or a date, never in the past, never for ever`(field: String, expected: Duration) {
        #expect(RetryAfter.parse(field, now: 784_111_740) == expected)
    }

    @Test(arguments: ["", "-1", "1.5", "1s", "soon", "1, 2"])
    func `everything else is refused`(field: String) {
        #expect(RetryAfter.parse(field, now: 0) == nil)
    }
}
