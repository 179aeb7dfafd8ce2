// `wharf reload`: has the running mirror read its configuration again.

import ArgumentParser
import FoundationEssentials
import Frontend

struct ReloadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Have the running mirror read its configuration again.",
        discussion: "Prints the keys that have changed. A mistake anywhere, and everything stays as it was.")

    @OptionGroup var mirror: MirrorOptions

    func run() async throws {
        do {
            var answer = ""
            let client = try mirror.client()
            let status = try client.post("/api/v1/reload") { answer += $0 }
            guard status == 200 else {
                for mistake in AdminErrors.messages(in: answer, status: status) { StandardStreams.complain(mistake) }
                throw ExitCode.failure
            }
            let changes = try JSONDecoder().decode(Changes.self, from: Data(answer.utf8))
            let changed = changes.changed.isEmpty ? "nothing has changed" : changes.changed.joined(separator: ", ")
            StandardStreams.say(FigureText.printable("reloaded: \(changed)"))
            guard !changes.restart.isEmpty else { return }
            let restart = changes.restart.joined(separator: ", ")
            StandardStreams.say(FigureText.printable("only a restart changes: \(restart)"))
        } catch let code as ExitCode {
            throw code
        } catch {
            try AdminErrors.end(with: error)
        }
    }

    private struct Changes: Decodable {
        let changed, restart: [String]
    }
}

enum AdminErrors {
    private struct Body: Decodable {
        struct Entry: Decodable { let message: String? }

        let errors: [Entry]
    }

    /// What an answer other than 200 says, a line each, fit for a terminal.
    static func messages(in answer: String, status: Int) -> [String] {
        // What has another form is from somebody else, and only its status is told.
        let body = try? JSONDecoder().decode(Body.self, from: Data(answer.utf8))
        let messages = body?.errors.compactMap(\.message) ?? []
        return messages.isEmpty ? ["the mirror answered \(status)"] : messages.map { FigureText.printable($0) }
    }

    /// Does what a command is for, and says why where it could not.
    static func telling(_ work: () async throws -> Void) async throws {
        do {
            try await work()
        } catch let code as ExitCode {
            throw code
        } catch {
            try end(with: error)
        }
    }

    /// Says why a command could not do what it is for, and ends it.
    static func end(with error: any Error) throws -> Never {
        // What was asked may be no mirror, and its words anything.
        StandardStreams.complain(FigureText.printable("\(error)"))
        throw ExitCode.failure
    }
}

extension AdminFailure {
    /// - Parameter answer: of another status than 200.
    init(answer: String, status: Int) {
        self.init(AdminErrors.messages(in: answer, status: status).joined(separator: "; "))
    }
}
