// Metrics of what clients ask and get, how long that takes, and the transfers that it leads to.

import HTTPSemantics
import HTTPServer
import PullThrough

extension MetricsText {
    mutating func pulls(_ figures: Figures, _ times: [ServerFigures.Times]) {
        let shares = figures.shares.sorted { $0.key < $1.key }
        // Kinds that nothing was counted of say nothing; where something was, all classes are told, also with 0.
        let kinds = shares.flatMap { owner, share in
            PullKind.allCases.filter { kind in
                kind != .unknown || share.requests.contains { $0.key.kind == kind && $0.value > 0 }
            }.map { (owner, $0, share) }
        }
        family(
            "wharf_requests_total", .counter,
            "Pull requests by upstream, kind and how they were answered; upstream is hosted for what was pushed here, "
                + "and empty for what names no repository.",
            kinds.flatMap { owner, kind, share in
                RequestClass.allCases.map { answer in
                    (
                        ["upstream": owner, "kind": kind.rawValue, "class": answer.rawValue],
                        Double(share.requests[Statistics.Share.Key(kind, answer)] ?? 0)
                    )
                }
            })
        family(
            "wharf_client_bytes_total", .counter, "Body bytes sent to clients.",
            shares.map { (["upstream": $0.key], Double($0.value.toClients)) })
        family(
            "wharf_client_bytes_as_they_came_total", .counter,
            "Of the body bytes sent to clients, those sent by the request that began the transfer from upstream.",
            shares.map { (["upstream": $0.key], Double($0.value.asTheyCame)) })
        family(
            "wharf_received_bytes_total", .counter, "Body bytes of manifests and blobs received from upstreams.",
            figures.totals.fromUpstream)
        waits(times)
    }

    private mutating func waits(_ times: [ServerFigures.Times]) {
        let series: [(labels: Labels, times: ServerFigures.Times)] = Series.all.map { series in
            (["kind": series.kind, "class": series.answer], times[series.place])
        }
        histogram(
            "wharf_request_seconds",
            "Seconds from a request's arrival to the last byte of its answer, by kind and how it was answered.",
            series.map { ($0.labels, $0.times.whole) })
        histogram(
            "wharf_first_byte_seconds", "Seconds from a request's arrival to the head of its answer.",
            series.map { ($0.labels, $0.times.firstByte) })
    }

    mutating func fills(_ figures: Figures) {
        let fills = figures.fills
        family("wharf_fills_in_flight", .gauge, "Transfers from upstreams under way.", Int64(figures.inFlight.count))
        family(
            "wharf_followers", .gauge, "Clients that read a transfer as it lands.",
            Int64(figures.inFlight.reduce(0) { $0 + $1.followers }))
        family("wharf_fills_begun_total", .counter, "Transfers of blobs that were begun.", fills.begun.value)
        family(
            "wharf_fills_ended_total", .counter,
            "Transfers of blobs that ended: whole, given up and kept to go on with, unknown upstream, or failed.",
            [
                (["outcome": "finished"], Double(fills.finished.value)),
                (["outcome": "kept"], Double(fills.kept.value)),
                (["outcome": "unknown"], Double(fills.unknown.value)),
                (["outcome": "failed"], Double(fills.failed.value)),
            ])
        family(
            "wharf_fill_followers_total", .counter, "Requests that read a transfer as it landed.",
            fills.followers.value)
        family(
            "wharf_fill_retries_total", .counter,
            "Connections of transfers that failed or ended early, so that what was missing was asked for again.",
            fills.brokenConnections.value)
        family(
            "wharf_fills_repaired_total", .counter, "Transfers that are whole although a connection had failed.",
            fills.repaired.value)
        family(
            "wharf_fill_replacements_total", .counter, "Connections of transfers given up for being too slow.",
            fills.replaced.value)
    }
}

/// Which requests' times are counted together: `Response.series`.
struct Series {
    let kind: String
    let answer: String
    let place: Int

    /// What is neither a manifest nor a blob comes first.
    static let all =
        [Series(kind: "other", answer: "none", place: 0)]
        + [PullKind.manifest, .blob].flatMap { kind in
            RequestClass.allCases.map { Series(kind: kind.rawValue, answer: $0.rawValue, place: place(kind, $0)) }
        }

    static func place(_ kind: PullKind, _ answer: RequestClass) -> Int {
        1 + kind.place * RequestClass.allCases.count + answer.place
    }
}

extension Response {
    /// Timed with others like it.
    func timed(_ kind: PullKind, _ answer: RequestClass) -> Response {
        var response = self
        response.series = Series.place(kind, answer)
        return response
    }
}
