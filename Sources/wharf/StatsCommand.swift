// `wharf stats`: the figures of the running mirror, once or as they change.

import ArgumentParser

struct StatsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Show what the running mirror has done, and does now.",
        discussion: "With --watch it is shown anew each second until Ctrl-C: in its place on a terminal, else below.")

    @OptionGroup var mirror: MirrorOptions

    @Flag(help: "Go on, once a second.")
    var watch = false

    @Flag(help: "Print the mirror's own JSON, one document a line.")
    var json = false

    func run() async throws {
        try await AdminErrors.telling {
            let client = try mirror.client()
            if watch {
                try await follow(client)
            } else {
                let text = try client.get("/stats")
                if json { return StandardStreams.say(text) }
                let view = StatsView(figures: try StatsFigures(parsing: text))
                for line in view.lines(width: Terminal.extent.width) { StandardStreams.say(line) }
            }
        }
    }

    /// What fails at first is an error; later it is shown, and tried again.
    private func follow(_ client: AdminClient) async throws {
        let clock = ContinuousClock()
        var terminal = Terminal()
        var view: (shown: StatsView, at: ContinuousClock.Instant)?
        while true {
            let began = clock.now
            do {
                let text = try client.get("/stats")
                if json {
                    guard Terminal.write(text + "\n") else { return }
                    try await clock.sleep(until: began + .seconds(1))
                    continue
                }
                var next = StatsView(figures: try StatsFigures(parsing: text))
                if let view { next.earlier = (view.shown.figures, (began - view.at) / .seconds(1)) }
                if view == nil { await Terminal.hideCursor() }
                view = (next, began)
            } catch let failure as AdminFailure {
                guard view != nil else { throw failure }
                view?.shown.trouble = failure.description
            }
            let (width, height) = Terminal.extent
            var lines = view?.shown.lines(width: width, height: height - 1) ?? []
            if !Terminal.isOne { lines.append("") }
            guard terminal.draw(lines) else { return }
            try await clock.sleep(until: began + .seconds(1))
        }
    }
}
