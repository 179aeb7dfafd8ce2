// Metrics of upstreams and their endpoints: what they were asked, what came of it, and how much may still be pulled.

import HTTPSemantics
import PullThrough

extension MetricsText {
    mutating func upstreams(_ figures: Figures) {
        let endpoints = figures.endpoints
        each("wharf_upstream_up", .gauge, "1 while an endpoint answers.", endpoints) { $0.isHealthy ? 1 : 0 }
        each("wharf_upstream_requests_total", .counter, "Requests sent to an endpoint.", endpoints) {
            Double($0.requests)
        }
        several(
            "wharf_upstream_answers_total", .counter,
            "Answers of an endpoint, and of whom it redirected to, by HTTP status; x00 for statuses that nobody knows.",
            endpoints, "status"
        ) { endpoint in
            endpoint.answers.sorted { $0.key < $1.key }.map { ("\($0.key)", Double($0.value)) }
        }
        several(
            "wharf_upstream_errors_total", .counter, "An endpoint's failures by their type of RFC 9209.", endpoints,
            "type"
        ) { endpoint in
            endpoint.failures.sorted { $0.key.rawValue < $1.key.rawValue }.map { ($0.key.rawValue, Double($0.value)) }
        }
        each(
            "wharf_upstream_failures_total", .counter, "All failures of an endpoint, over restarts.", endpoints
        ) { Double($0.errors) }
        each("wharf_upstream_bytes_total", .counter, "Body bytes that an endpoint brought.", endpoints) {
            Double($0.bytes)
        }
        several(
            "wharf_upstream_breaker", .gauge, "1 for the state that an endpoint's circuit breaker is in.", endpoints,
            "state"
        ) { endpoint in
            ["closed", "open", "half-open"].map { ($0, endpoint.breaker == $0 ? 1 : 0) }
        }
        limits(endpoints)
        family(
            "wharf_upstream_transfers", .gauge, "Connections that blobs are transferred on.",
            figures.budgets.map { (["upstream": $0.upstream], Double($0.inUse)) })
        family(
            "wharf_upstream_transfers_waiting", .gauge, "Transfers that wait for a connection.",
            figures.budgets.map { (["upstream": $0.upstream], Double($0.waiting)) })
        family("wharf_offline", .gauge, "1 while no upstream is asked at all.", figures.isOffline ? 1 : 0)
    }

    private mutating func limits(_ endpoints: [Figures.Endpoint]) {
        each("wharf_upstream_rate_limit", .gauge, "Pulls allowed in a window, as last told.", endpoints) {
            $0.rateLimit?.limit.map(Double.init)
        }
        each("wharf_upstream_rate_limit_remaining", .gauge, "Pulls that remain, as last told.", endpoints) {
            $0.rateLimit?.remaining.map(Double.init)
        }
        each("wharf_upstream_rate_limit_window_seconds", .gauge, "Seconds of the window, as last told.", endpoints) {
            $0.rateLimit?.windowSeconds.map(Double.init)
        }
        each("wharf_upstream_rate_limit_spent", .gauge, "1 while nothing may be pulled.", endpoints) {
            $0.isSpent ? 1 : 0
        }
    }

    private static func labels(_ endpoint: Figures.Endpoint) -> Labels {
        ["upstream": endpoint.upstream, "endpoint": endpoint.url]
    }

    private mutating func each(
        _ name: String, _ kind: Kind, _ help: String, _ endpoints: [Figures.Endpoint],
        _ value: (Figures.Endpoint) -> Double?
    ) {
        family(
            name, kind, help,
            endpoints.compactMap { endpoint in value(endpoint).map { (Self.labels(endpoint), $0) } })
    }

    /// With one more label.
    private mutating func several(
        _ name: String, _ kind: Kind, _ help: String, _ endpoints: [Figures.Endpoint], _ label: String,
        _ values: (Figures.Endpoint) -> [(String, Double)]
    ) {
        family(
            name, kind, help,
            endpoints.flatMap { endpoint in
                values(endpoint).map { (Self.labels(endpoint).merging([label: $0.0]) { $1 }, $0.1) }
            })
    }
}
