// The figures as lines of text: what they say, that they fit, and that nothing in them moves a cursor.

import Testing

@testable import wharf

@Suite("The view of the figures") struct StatsViewTests {
    private static let gib: Int64 = 1 << 30

    private func figures(
        inFlight: [StatsFigures.Transfer] = [], upstreams: [StatsFigures.Upstream] = []
    ) -> StatsFigures {
        var figures = try! StatsFigures(parsing: Self.document)  // it is written below
        figures.inFlight = inFlight
        figures.upstreams += upstreams
        return figures
    }

    private static let document = """
        {"version":"0.1.0","uptime_seconds":93784.2,"ready":true,"storage":{"bytes":300000000000,
        "max_bytes":400000000000,"free_bytes":120000000000,"blobs":12345,"manifests":640,"tags":420,
        "pinned_bytes":10000000000,"hosted_bytes":0,"partial_bytes":0,"evicted_blobs":77,"evicted_bytes":1,
        "quarantined":0},"requests":{"total":12105,"hit":11000,"miss":200,"collapsed":100,"revalidated":800,
        "stale":0,"error":5},"bytes":{"to_clients":1230000000000,"from_store":1,"from_upstream":45000000000},
        "hit_ratio":0.9834,"byte_hit_ratio":0.9634,"bytes_saved":1185000000000,"in_flight":[],
        "upstreams":[{"name":"docker.io","endpoint":"https://registry-1.docker.io","healthy":true,
        "breaker":"closed","spent":false,"requests":900,"errors":2,"bytes":45000000000,"last_error":null,
        "rate_limit":{"limit":100,"remaining":76,"window_seconds":21600,"source":"x"}},
        {"name":"ghcr.io","endpoint":"https://ghcr.io","healthy":true,"breaker":"closed","spent":false,
        "requests":0,"errors":0,"bytes":0,"last_error":null,"rate_limit":null}],
        "top_repositories":[],"some_later_key":{"a":[1]}}
        """

    private func transfer(_ received: Int64, of size: Int64?, speed: Double? = nil) -> StatsFigures.Transfer {
        StatsFigures.Transfer(
            digest: "sha256:0123456789abcdef", upstream: "docker.io", repository: "library/debian", received: received,
            size: size, followers: 3, seconds: 10, bytesPerSecond: speed)
    }

    @Test func `says whether it works, what it saved, and what it does now`() {
        var view = StatsView(figures: figures(inFlight: [transfer(50_000_000, of: 100_000_000, speed: 5_000_000)]))
        view.earlier = (figures(inFlight: [transfer(40_000_000, of: 100_000_000)]), 2)
        view.earlier?.figures.bytes.toClients -= 20_000_000
        view.earlier?.figures.requests.total -= 6
        #expect(
            view.lines(width: 100)
                == [
                    "wharf 0.1.0  ready, up 1 d 2 h",
                    "hit ratio    [============================> ]  98.3 %  12,105 requests",
                    "             hit 11,000, revalidated 800, collapsed 100, miss 200, error 5",
                    "saved        [===========================>  ]  96.3 %  1.19 TB of 1.23 TB to clients",
                    "             45.0 GB came from upstreams",
                    "disk         [=====================>        ]    75 %  300 GB of 400 GB",
                    "             12,345 blobs, 640 manifests, 420 tags, 120 GB free, 10.0 GB pinned, 77 evicted",
                    "now          10.0 MB/s to clients, 0 B/s from upstreams, 3 requests/s",
                    "",
                    "upstreams",
                    "  docker.io    ok, 900 requests, 45.0 GB, 76 of 100 pulls left, 2 errors",
                    "  1 more not asked yet",
                    "",
                    "transfers in flight: 1",
                    "  docker.io/library/debian 01234567        [==>    ]  50 % 50.0 MB of 100 MB, 5.00 MB/s, 3 followers",
                ])
        // In a narrow one the bar stays.
        let narrow = [60: "  docke..bian 01234567 [====>      ]  50 % 100 MB, 5.00 MB/s"]
        for (width, line) in narrow { #expect(view.lines(width: width).last == line) }
        #expect(view.lines(width: 80).last?.contains("] ") == true)
    }

    @Test(arguments: [1, 20, 40, 60, 80, 100, 132, 200, 1000])
    func `fits into any width and height`(width: Int) {
        let transfers = (0..<50).map { transfer(Int64($0) * 1_000_000_000, of: $0.isMultiple(of: 7) ? nil : 1 << 40) }
        let view = StatsView(figures: figures(inFlight: transfers))
        for height in [1, 2, 10, 24, 60] {
            let lines = view.lines(width: width, height: height)
            #expect(lines.count <= height)
            #expect(lines.allSatisfy { $0.count <= max(40, width) })
        }
        #expect(view.lines(width: width, height: 24).last?.hasPrefix("... and ") == true)
        #expect(view.lines(width: width).count > 60)
    }

    @Test func `what comes from outside cannot move the cursor`() {
        let evil = StatsFigures.Upstream(
            name: "evil\u{1B}[2J.example", endpoint: "x", healthy: false, spent: nil, requests: 1, errors: 1, bytes: 0,
            lastError: "no\r\n\u{9B}31m\u{202E}", rateLimit: nil, offline: nil)
        let text = StatsView(figures: figures(upstreams: [evil]), trouble: "\u{7}").lines(width: 200).joined()
        #expect(text.unicodeScalars.allSatisfy { (0x20...0x7E).contains($0.value) })
        #expect(text.contains("evil?[2J.example") && text.contains("FAILS"))
    }

    @Test func `a bar has its width whatever its share`() {
        for width in [0, 1, 5, 30] {
            for share in [-1, 0, 0.001, 0.5, 0.999, 1, 7] {
                #expect(FigureText.bar(share, width: width).count == width + 2)
            }
        }
        #expect(FigureText.bar(0, width: 4) == "[    ]" && FigureText.bar(1, width: 4) == "[====]")
        #expect(FigureText.bar(0.5, width: 4) == "[=>  ]")
    }

    @Test(arguments: [
        (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (12_345, "12.3 kB"), (999_499, "999 kB"), (999_500, "1.00 MB"),
        (9_995_000, "10.0 MB"), (123_456_789, "123 MB"), (5_000_000_000_000, "5.00 TB"), (-5, "0 B"),
        (.max, "9223 PB"),
    ])
    func `a size has three digits`(bytes: Int64, text: String) { #expect(FigureText.size(bytes) == text) }

    @Test func `shares, counts and times are as people say them`() {
        #expect(FigureText.share(0) == "0 %" && FigureText.share(1) == "100 %" && FigureText.share(0.99999) == "99.9 %")
        #expect(FigureText.share(0.00001) == "0.1 %" && FigureText.share(0.5) == "50 %")
        #expect(FigureText.count(1_234_567) == "1,234,567" && FigureText.count(-12) == "-12")
        #expect(FigureText.duration(0.9) == "0 s" && FigureText.duration(60) == "1 min")
        #expect(FigureText.duration(3_601) == "1 h" && FigureText.duration(90_061) == "1 d 1 h")
        #expect(FigureText.shortened("docker.io/library/debian", to: 12) == "docke..ebian")
        let time = "2026-11-25T21:00:00.500Z"
        #expect(AdminDocument.ago(time, now: 1_795_640_400_500 + 7_261_000) == "2 h ago")
        #expect(AdminDocument.ago(nil, now: 0) == "-")
        #expect(AdminDocument.escaped("acme/a*b:1@sha256:0?&") == "acme/a%2Ab:1@sha256:0%3F%26")
    }
}
