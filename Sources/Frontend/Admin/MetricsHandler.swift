// `GET /metrics`: the figures in Prometheus' text format. Labels are configured names and fixed words, no client's.

import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough

struct MetricsHandler: Sendable {
    let cache: PullThroughCache
    let version: String
    /// Seconds since the start.
    let uptime: @Sendable () -> Double

    func respond() async -> Response {
        var text = MetricsText()
        write(await cache.figures(), to: &text)
        return Response(
            status: .ok,
            fields: [.contentType: "text/plain; version=0.0.4; charset=utf-8", .cacheControl: "no-store"],
            body: .bytes(Array(text.lines.utf8)))
    }

    private func write(_ figures: Figures, to text: inout MetricsText) {
        text.family("wharf_build_info", .gauge, "The version that runs.", [(["version": version], 1)])
        text.family("wharf_uptime_seconds", .gauge, "Seconds since the start.", [([:], uptime())])

        let totals = figures.totals
        text.family(
            "wharf_requests_total", .counter, "Pull requests for manifests and blobs, by how they were answered.",
            RequestClass.allCases.map { (["class": $0.rawValue], Double(totals.requests[$0] ?? 0)) })
        text.family("wharf_client_bytes_total", .counter, "Body bytes sent to clients.", totals.toClients)
        text.family("wharf_received_bytes_total", .counter, "Body bytes received from upstreams.", totals.fromUpstream)
        text.family("wharf_transfers", .gauge, "Blobs on their way from an upstream.", Int64(figures.inFlight.count))

        let storage = figures.storage
        text.family("wharf_storage_bytes", .gauge, "Bytes on the disk.", storage.used)
        text.family("wharf_storage_limit_bytes", .gauge, "The most that may be stored.", storage.limit)
        text.family("wharf_storage_free_bytes", .gauge, "What the file system has left.", storage.free)
        text.family("wharf_storage_hosted_bytes", .gauge, "Bytes of what was pushed here.", storage.hosted)
        text.family("wharf_storage_blobs", .gauge, "Blobs stored.", Int64(storage.blobs))
        text.family("wharf_storage_manifests", .gauge, "Manifests stored.", Int64(storage.manifests))
        text.family("wharf_evicted_blobs_total", .counter, "Blobs removed to make room.", storage.evictedBlobs)
        text.family("wharf_evicted_bytes_total", .counter, "Their bytes.", storage.evictedBytes)
        text.family(
            "wharf_quarantined_blobs", .gauge, "Files that did not match their digest.", Int64(storage.quarantined))

        write(figures.endpoints, to: &text)
    }

    private func write(_ endpoints: [Figures.Endpoint], to text: inout MetricsText) {
        func family(
            _ name: String, _ kind: MetricsText.Kind, _ help: String, _ value: (Figures.Endpoint) -> Double?
        ) {
            text.family(
                name, kind, help,
                endpoints.compactMap { endpoint in
                    value(endpoint).map { (["upstream": endpoint.upstream, "endpoint": endpoint.url], $0) }
                })
        }
        family("wharf_upstream_requests_total", .counter, "Requests sent to an endpoint.") { Double($0.requests) }
        family("wharf_upstream_errors_total", .counter, "Those that were its failure.") { Double($0.errors) }
        family("wharf_upstream_bytes_total", .counter, "Body bytes it brought.") { Double($0.bytes) }
        text.family(
            "wharf_upstream_breaker", .gauge, "1 for the state that an endpoint's circuit breaker is in.",
            endpoints.flatMap { endpoint in
                ["closed", "open", "half-open"].map { state in
                    (
                        ["upstream": endpoint.upstream, "endpoint": endpoint.url, "state": state],
                        endpoint.breaker == state ? 1 : 0
                    )
                }
            })
        family("wharf_upstream_rate_limit", .gauge, "Pulls allowed in a window, as last told.") {
            $0.rateLimit?.limit.map(Double.init)
        }
        family("wharf_upstream_rate_limit_remaining", .gauge, "Pulls that remain, as last told.") {
            $0.rateLimit?.remaining.map(Double.init)
        }
        family("wharf_upstream_rate_limit_spent", .gauge, "1 while nothing may be pulled.") { $0.isSpent ? 1 : 0 }
    }
}

/// Lines of the text exposition format, version 0.0.4.
struct MetricsText {
    enum Kind: String { case counter, gauge }

    private(set) var lines = ""

    /// A family without samples is left out.
    mutating func family(_ name: String, _ kind: Kind, _ help: String, _ samples: [([String: String], Double)]) {
        guard !samples.isEmpty else { return }
        lines += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
        for (labels, value) in samples {
            let written = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }
            lines += name + (written.isEmpty ? "" : "{\(written.joined(separator: ","))}") + " \(Self.number(value))\n"
        }
    }

    mutating func family(_ name: String, _ kind: Kind, _ help: String, _ value: Int64) {
        family(name, kind, help, [([:], Double(value))])
    }

    /// Whole numbers without a fraction, as people expect them.
    private static func number(_ value: Double) -> String {
        Int64(exactly: value).map { "\($0)" } ?? "\(value)"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
