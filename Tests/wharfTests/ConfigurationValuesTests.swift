// Durations, sizes, shares, rates, addresses and endpoints: tables of what is accepted and what is refused.

import Testing

@testable import wharf

private typealias Values = ConfigurationValues

@Suite("Configuration: single values") struct ConfigurationValuesTests {
    @Test(arguments: [
        ("0s", Duration.zero), ("250ms", .milliseconds(250)), ("15s", .seconds(15)), ("2m", .seconds(120)),
        ("6h", .seconds(21_600)), ("30d", .seconds(2_592_000)), ("36525d", .seconds(3_155_760_000)),
    ])
    func `durations`(text: String, expected: Duration) throws {
        #expect(try Values.duration(text) == expected)
    }

    @Test(arguments: [
        "", "15", "s", "-1s", "+1s", "1.5s", "1 s", "1S", "1sec", "1h30m", "٣s", "1e3s", "36526d",
        "99999999999999999999s",
        "9223372036854775807d", "nan", "0x1s",
    ])
    func `what is no duration`(text: String) {
        #expect(throws: ValueMistake.self) { try Values.duration(text) }
    }

    @Test func `a timeout of nothing is refused`() {
        #expect(throws: ValueMistake.self) { try Values.timeout("0s") }
    }

    @Test(arguments: [
        ("0B", Int64(0)), ("1B", 1), ("1kB", 1000), ("1KiB", 1024), ("1.5GiB", 1_610_612_736), ("2MB", 2_000_000),
        ("1TB", 1_000_000_000_000), ("0.5KiB", 512), ("4096TiB", 4096 << 40),
    ])
    func `sizes in bytes`(text: String, expected: Int64) throws {
        #expect(try Values.size(text) == expected)
    }

    @Test(arguments: [
        "", "1", "B", "1b", "1KB", "1kb", "1gib", "1 GiB", "-1B", "1..5B", ".5B", "5.B", "1,5B", "1e9B", "infB",
        "99999999TiB", "1%", "1B/s", "1.2.3GB", String(repeating: "9", count: 400) + "B",
    ])
    func `what is no size`(text: String) {
        #expect(throws: ValueMistake.self) { try Values.size(text) }
    }

    @Test func `shares, capacities and rates`() throws {
        #expect(try Values.share("90%") == 0.9)
        #expect(try Values.share("12.5%") == 0.125)
        #expect(try Values.capacity("80%") == .share(0.8))
        #expect(try Values.capacity("10GB") == .bytes(10_000_000_000))
        #expect(try Values.rate("64KiB/s") == 65_536)
        for text in ["101%", "-1%", "90", "%", "0.9", "1e1%"] {
            #expect(throws: ValueMistake.self) { try Values.share(text) }
        }
        for text in ["0%", "0B"] { #expect(throws: ValueMistake.self) { try Values.positiveCapacity(text) } }
        for text in ["64KiB", "64/s", "/s"] { #expect(throws: ValueMistake.self) { try Values.rate(text) } }
    }

    @Test(arguments: [
        ("0.0.0.0:5000", "0.0.0.0", 5000), ("[::]:5000", "::", 5000), ("localhost:0", "localhost", 0),
        ("[fe80::1]:65535", "fe80::1", 65535),
    ])
    func `addresses to listen on`(text: String, host: String, port: Int) throws {
        let address = try Values.listenAddress(text)
        #expect(address == Configuration.ListenAddress(host: host, port: port))
        #expect("\(address)" == text)
    }

    @Test(arguments: [
        "", ":5000", "5000", "localhost", "a:b", "a:65536", "a:-1", "a:+1", "::1:5000", "[::1]", "a b:1", "http://a:1",
    ])
    func `what is no address to listen on`(text: String) {
        #expect(throws: ValueMistake.self) { try Values.listenAddress(text) }
    }

    @Test(arguments: [
        ("https://registry-1.docker.io", "https://registry-1.docker.io"), ("HTTP://Host:80/", "http://host:80"),
        ("https://a/b/c//", "https://a/b/c"), ("http://my_registry:5000", "http://my_registry:5000"),
        ("http://[::1]:5001", "http://[::1]:5001"),
    ])
    func `endpoints`(text: String, printed: String) throws {
        #expect("\(try Values.endpoint(text))" == printed)
    }

    @Test(arguments: [
        "", "docker.io", "https://", "https:///x", "ftp://a", "https://user:pw@a", "https://a?x=1", "https://a#x",
        "https://a:0", "https://a:99999", "https://a b", "https://a/b c", "https://a/%2e", "https://a/é", "https:/a",
    ])
    func `what is no endpoint`(text: String) {
        #expect(throws: ValueMistake.self) { try Values.endpoint(text) }
    }

    @Test(arguments: ["**", "docker.io/library/debian:12", "ghcr.io/acme/**", "*-nightly", "v*"])
    func `patterns`(text: String) throws { #expect(try Values.pattern(text) == text) }

    @Test(arguments: ["", " ", "a b", "a?", "(a|b)", "a\n"])
    func `what is no pattern`(text: String) {
        #expect(throws: ValueMistake.self) { try Values.pattern(text) }
    }

    @Test func `a mistake quotes no more than a line of what it is about`() {
        #expect {
            try Values.duration(String(repeating: "x", count: 10_000))
        } throws: { ($0 as? ValueMistake)?.message.count ?? 1000 < 200 }
    }

    @Test func `the nearest word is that with the fewest changes`() {
        #expect(NearestWord.to("max-sise", among: ["min-free", "max-size", "pin"]) == "max-size")
        #expect(NearestWord.distance("", "abc") == 3)
        #expect(NearestWord.distance("abcd", "abdc") == 1, "neighbours exchanged")
        #expect(NearestWord.distance("kitten", "sitting") == 3)
        #expect(NearestWord.distance("same", "same") == 0)
        #expect(NearestWord.to("x", among: []) == nil)
    }
}
