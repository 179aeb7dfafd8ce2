// `wharf gc`: has the running mirror collect what its hosted repositories no longer reach.

import ArgumentParser
import FoundationEssentials
import Frontend

struct CollectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc",
        abstract: "Collect what hosted repositories no longer reach.",
        discussion: "Safe beside pushes: what was pushed lately, and no manifest has named yet, stays.")

    @OptionGroup var mirror: MirrorOptions

    @Flag(help: "Print one JSON object, and nothing else.")
    var json = false

    func run() async throws {
        do {
            var answer = ""
            let status = try mirror.client().post("/api/v1/gc") { answer += $0 }
            guard status == 200 else {
                for mistake in AdminErrors.messages(in: answer, status: status) { StandardStreams.complain(mistake) }
                throw ExitCode.failure
            }
            if json { return StandardStreams.say(answer) }
            let collected = try JSONDecoder().decode(CollectDocument.self, from: Data(answer.utf8))
            StandardStreams.say(
                "collected \(collected.manifests) manifests, \(collected.blobs) blobs and \(collected.uploads) "
                    + "abandoned uploads")
        } catch let code as ExitCode {
            throw code
        } catch {
            try AdminErrors.end(with: error)
        }
    }
}
