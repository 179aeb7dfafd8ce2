// The figures of a mirror as lines of text, for a look and for a watch.

/// A value. The lines fit into a terminal of any width and hold nothing that could move its cursor.
struct StatsView {
    /// The narrowest that makes sense; in narrower ones lines are cut.
    private static let narrowest = 40
    private static let labels = 13
    /// From so many columns on more is told of a transfer.
    private static let roomy = 72, wide = 100

    let figures: StatsFigures
    /// An earlier look, and how many seconds ago it was: what has moved since is shown as speed.
    var earlier: (figures: StatsFigures, secondsAgo: Double)?
    /// Why there is nothing newer.
    var trouble: String?

    /// - Parameters:
    ///   - width: columns.
    ///   - height: lines, at most; the last says how many there would be more.
    func lines(width: Int, height: Int = .max) -> [String] {
        let width = max(Self.narrowest, width)
        var lines = [title] + totals(width) + [""] + upstreams(width) + [""] + transfers(width)
        if let trouble { lines.insert("! \(trouble)", at: 1) }
        lines = lines.map { String(FigureText.printable($0).prefix(width)) }
        guard lines.count > height, height > 1 else { return Array(lines.prefix(max(1, height))) }
        return lines.prefix(height - 1) + ["... and \(lines.count - height + 1) lines more"]
    }

    private var title: String {
        let state = figures.ready ? figures.offline == true ? "offline" : "ready" : "not ready"
        return "wharf \(figures.version)  \(state), up \(FigureText.duration(figures.uptimeSeconds))"
    }

    private func row(_ label: String, _ text: String) -> String { FigureText.padded(label, to: Self.labels) + text }

    // MARK: Totals

    private func totals(_ width: Int) -> [String] {
        let (requests, bytes, storage) = (figures.requests, figures.bytes, figures.storage)
        let classes = [
            ("hit", requests.hit), ("revalidated", requests.revalidated), ("collapsed", requests.collapsed),
            ("stale", requests.stale), ("miss", requests.miss), ("error", requests.error),
        ].filter { $0.1 > 0 }.map { "\($0.0) \(FigureText.count($0.1))" }.joined(separator: ", ")
        var lines = [
            row("hit ratio", gauge(figures.hitRatio, width, "\(FigureText.count(requests.total)) requests"))
        ]
        if !classes.isEmpty { lines.append(row("", classes)) }
        lines.append(
            row(
                "saved",
                gauge(
                    figures.byteHitRatio, width,
                    "\(FigureText.size(figures.bytesSaved)) of \(FigureText.size(bytes.toClients)) to clients")))
        lines.append(row("", "\(FigureText.size(bytes.fromUpstream)) came from upstreams"))
        let used = storage.maxBytes > 0 ? Double(storage.bytes) / Double(storage.maxBytes) : 0
        lines.append(
            row(
                "disk",
                gauge(used, width, "\(FigureText.size(storage.bytes)) of \(FigureText.size(storage.maxBytes))")))
        let content = [
            "\(FigureText.count(storage.blobs)) blobs", "\(FigureText.count(storage.manifests)) manifests",
            "\(FigureText.count(storage.tags)) tags", "\(FigureText.size(storage.freeBytes)) free",
            storage.pinnedBytes > 0 ? "\(FigureText.size(storage.pinnedBytes)) pinned" : nil,
            storage.hostedBytes > 0 ? "\(FigureText.size(storage.hostedBytes)) hosted" : nil,
            storage.evictedBlobs > 0 ? "\(FigureText.count(storage.evictedBlobs)) evicted" : nil,
            storage.quarantined > 0 ? "\(storage.quarantined) in quarantine" : nil,
        ].compactMap { $0 }
        lines.append(row("", content.joined(separator: ", ")))
        if let now = speeds { lines.append(row("now", now)) }
        return lines
    }

    /// A bar that takes what the words leave of the width, then the share, then the words.
    private func gauge(_ share: Double, _ width: Int, _ words: String) -> String {
        let text = "\(FigureText.paddedLeft(FigureText.share(share), to: 7))  \(words)"
        let room = width - Self.labels - text.count - 3
        return room < 5 ? text : "\(FigureText.bar(share, width: min(30, room))) \(text)"
    }

    private var speeds: String? {
        guard let (earlier, seconds) = earlier, seconds > 0 else { return nil }
        func speed(_ value: (StatsFigures) -> Int64) -> Double {
            // A mirror that has begun anew counts from what it had written down.
            Double(max(0, value(figures) - value(earlier))) / seconds
        }
        let requests = Int64(speed { $0.requests.total }.rounded())
        return "\(FigureText.rate(speed { $0.bytes.toClients })) to clients, "
            + "\(FigureText.rate(speed { $0.bytes.fromUpstream })) from upstreams, "
            + "\(FigureText.count(requests)) requests/s"
    }

    // MARK: Upstreams

    private func upstreams(_ width: Int) -> [String] {
        let shown = figures.upstreams.filter { $0.requests > 0 || $0.errors > 0 || !$0.healthy }
        let silent = figures.upstreams.count - shown.count
        let names = min(28, max(12, shown.map(\.name.count).max() ?? 0))
        let lines = shown.map { upstream in
            let name = FigureText.padded(FigureText.shortened(upstream.name, to: names), to: names)
            var words = [
                !upstream.healthy ? "FAILS" : upstream.spent == true ? "LIMITED" : "ok",
                "\(FigureText.count(upstream.requests)) requests", FigureText.size(upstream.bytes),
            ]
            if let limit = upstream.rateLimit, let remaining = limit.remaining {
                words.append("\(remaining)" + (limit.limit.map { " of \($0)" } ?? "") + " pulls left")
            }
            if upstream.errors > 0 { words.append("\(FigureText.count(upstream.errors)) errors") }
            if !upstream.healthy, let error = upstream.lastError { words.append(error) }
            return "  \(name) \(words.joined(separator: ", "))"
        }
        let rest = silent > 0 ? ["  \(silent) \(shown.isEmpty ? "" : "more ")not asked yet"] : []
        return ["upstreams"] + lines + rest
    }

    // MARK: Transfers

    private func transfers(_ width: Int) -> [String] {
        guard !figures.inFlight.isEmpty else { return ["no transfers in flight"] }
        let before = earlier.map { earlier in
            Dictionary(earlier.figures.inFlight.map { ($0.digest, $0.received) }) { max($0, $1) }
        }
        return ["transfers in flight: \(figures.inFlight.count)"]
            + figures.inFlight.map { line($0, width, before?[$0.digest]) }
    }

    private func line(_ transfer: StatsFigures.Transfer, _ width: Int, _ before: Int64?) -> String {
        var speed = transfer.bytesPerSecond
        if speed == nil, let before, let seconds = earlier?.secondsAgo, seconds > 0 {
            speed = Double(transfer.received - before) / seconds
        }
        let average = transfer.seconds > 0 ? Double(transfer.received) / transfer.seconds : 0
        let rate = FigureText.rate(speed ?? average)
        // The bar comes first: what of the words there is no room for is left out.
        var words = FigureText.size(transfer.size ?? transfer.received)
        if width >= Self.roomy, let size = transfer.size {
            words = "\(FigureText.size(transfer.received)) of \(FigureText.size(size))"
        }
        words += ", \(rate)"
        if width >= Self.wide { words += ", \(transfer.followers) follower" + (transfer.followers == 1 ? "" : "s") }
        let share = transfer.size.map { $0 > 0 ? Double(transfer.received) / Double($0) : 1 }
        let percent = share.map { FigureText.paddedLeft("\(Int(min(1, max(0, $0)) * 100)) %", to: 5) } ?? "    ?"
        let names = min(40, max(14, width >= Self.wide ? width * 2 / 5 : width / 3))
        let hash = transfer.digest.split(separator: ":").last.map { String($0.prefix(8)) } ?? ""
        let name = FigureText.shortened(
            "\(transfer.upstream)/\(transfer.repository)", to: max(4, names - hash.count - 1))
        let label = FigureText.padded("\(name) \(hash)", to: names)
        let room = width - names - words.count - 12
        let bar = room < 5 ? "" : FigureText.bar(share ?? 0, width: min(30, room)) + " "
        return "  \(label) \(bar)\(percent) \(words)"
    }
}
