// `GET /metrics`: the figures in Prometheus' text format. Labels are configured names and fixed words, no client's.

import HTTPSemantics
import HTTPServer
import HTTPTypes
import PullThrough

/// What is told is in the `MetricsOf…` files. Counters of requests and bytes go on over a restart, as those of `/stats`
/// do; all others begin with the program.
struct MetricsHandler: Sendable {
    let cache: PullThroughCache
    let access: Access
    let version: String
    let vitals: Vitals
    /// Seconds since the start.
    let uptime: @Sendable () -> Double

    func respond() async -> Response {
        let figures = await cache.figures()
        var text = MetricsText()
        program(&text)
        text.pulls(figures, vitals.server().times)
        text.fills(figures)
        text.upstreams(figures)
        text.storage(figures)
        queues(figures, &text)
        return Response(
            status: .ok,
            fields: [.contentType: "text/plain; version=0.0.4; charset=utf-8", .cacheControl: "no-store"],
            body: .bytes(Array(text.lines.utf8)))
    }

    private func program(_ text: inout MetricsText) {
        text.family("wharf_build_info", .gauge, "1, with the version that runs.", [(["version": version], 1)])
        text.family("wharf_uptime_seconds", .gauge, "Seconds since the start.", [([:], uptime())])
        let server = vitals.server()
        text.family("wharf_connections", .gauge, "Client connections that are open.", Int64(server.connections))
        text.family(
            "wharf_connections_limit", .gauge, "Client connections that may be open.", Int64(server.mostConnections))
        guard let process = vitals.process() else { return }
        text.family(
            "wharf_process_resident_memory_bytes", .gauge, "Bytes of memory that are resident.", process.residentBytes)
        text.family(
            "wharf_process_virtual_memory_bytes", .gauge, "Bytes of address space, most of which is no memory.",
            process.virtualBytes)
        text.family("wharf_process_open_fds", .gauge, "File descriptors that are open.", process.openDescriptors)
        text.family("wharf_process_max_fds", .gauge, "File descriptors that may be open.", process.mostDescriptors)
        text.family(
            "wharf_process_cpu_seconds_total", .counter, "Seconds of processor time, user and system.",
            [([:], process.cpuSeconds)])
        text.family(
            "wharf_process_start_time_seconds", .gauge, "Start of the process, in seconds since 1970 (UTC).",
            [([:], Double(vitals.startedAt) / 1000)])
    }

    /// What waits for what.
    private func queues(_ figures: Figures, _ text: inout MetricsText) {
        let log = vitals.log()
        text.family(
            "wharf_queue_waiting", .gauge,
            "Jobs that wait or are being done: hashing of blobs, waits for the disk, passwords being compared.",
            [
                (["queue": "hash"], Double(figures.storage.hashing)),
                (["queue": "disk"], Double(figures.storage.diskWaits)),
                (["queue": "passwords"], Double(access.waitingLogins)),
            ])
        text.family("wharf_log_waiting_bytes", .gauge, "Bytes of log lines that nobody has read yet.", log.waitingBytes)
        text.family(
            "wharf_log_dropped_lines_total", .counter, "Log lines dropped because nobody read them.", log.droppedLines)
    }
}
