// The program: its commands.

import ArgumentParser

@main
struct Wharf: AsyncParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "wharf",
        abstract: "A pull-through caching mirror for container images.",
        version: "wharf \(version)",
        subcommands: [
            ServeCommand.self, StatsCommand.self, ListCommand.self, InspectCommand.self, PrefetchCommand.self,
            PinCommand.self, UnpinCommand.self, InvalidateCommand.self, EvictCommand.self, ReloadCommand.self,
            ScrubCommand.self, CollectCommand.self, BenchCommand.self,
        ])

    static func main() async {
        StandardStreams.ensure()
        await main(nil)
    }
}
