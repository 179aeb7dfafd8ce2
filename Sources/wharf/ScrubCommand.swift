// `wharf scrub`: checks everything that is stored, through the running mirror or, where none runs, by itself.

import ArgumentParser
import FoundationEssentials
import Frontend
import Logging
import PullThrough
import Synchronization

struct ScrubCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scrub",
        abstract: "Read and hash everything that is stored.",
        discussion: "What is damaged goes to quarantine and is not served any more. Works with no mirror running too.")

    @OptionGroup var mirror: MirrorOptions

    @Flag(help: "Fetch again what was damaged or missing.")
    var repair = false

    @Flag(help: "Print one JSON object at the end, and nothing else.")
    var json = false

    func run() async throws {
        let report = ScrubReport(isJSON: json)
        do {
            try await check(report)
        } catch let code as ExitCode {
            throw code
        } catch {
            try AdminErrors.end(with: error)
        }
        try report.end()
    }

    private func check(_ report: ScrubReport) async throws {
        do {
            var refusal = ""
            let status = try mirror.client().post("/api/v1/scrub?repair=\(repair)") { text in
                // Of a refusal it is another document, of which a line says nothing.
                if let line = try? JSONDecoder().decode(ScrubLine.self, from: Data(text.utf8)) { report.take(line) }
                if refusal.utf8.count < 4096 { refusal += text }
            }
            guard status == 200 else {
                throw AdminFailure(AdminErrors.messages(in: refusal, status: status).joined(separator: "; "))
            }
        } catch let failure as AdminFailure where failure.isAbsence && mirror.server == nil {
            try await checkAlone(report)
        }
    }

    /// No mirror runs: the store is opened here, and its lock keeps one from starting meanwhile.
    private func checkAlone(_ report: ScrubReport) async throws {
        let (configuration, _) = try Configuration.loadOrComplain(mirror.source)
        guard FileManager.default.fileExists(atPath: "\(configuration.data)/blobs") else {
            throw AdminFailure("nothing is stored in \(configuration.data): name the mirror's --data or --config")
        }
        let log = Log.begin(Configuration.Log(level: .error, format: configuration.log.format))
        defer { log.writer.flush() }
        let parts = try Parts(configuration, logger: log.logger)
        do throws(PullThroughError) {
            report.take(ScrubLine(try await parts.cache.scrub(isRepairing: repair) { report.take(ScrubLine($0)) }))
        } catch {
            report.take(ScrubLine(error: error.message))
        }
        await parts.close()
    }
}

/// What a scrub has found, told as it comes or, as JSON, all at once.
private final class ScrubReport: Sendable {
    private struct Finding: Encodable {
        let digest, kind: String
        let size: Int64
        var repaired: Bool?
        var error: String?
    }

    /// The keys that `--json` writes: a promise.
    private struct Document: Encodable {
        let blobs: Int
        let bytes: Int64
        let damaged, missing, unreadable, repaired, unrepaired: Int
        let findings: [Finding]
    }

    private struct State {
        var findings: [Finding] = []
        var summary: ScrubLine.Summary?
        var failure: String?
    }

    private let isJSON: Bool
    private let state = Mutex(State())

    init(isJSON: Bool) { self.isJSON = isJSON }

    func take(_ line: ScrubLine) {
        state.withLock { state in
            if let digest = line.digest {
                note(line, digest, &state.findings)
            } else if let summary = line.summary {
                state.summary = summary
            } else if let error = line.error {
                state.failure = error
            }
        }
        if !isJSON, let digest = line.digest { StandardStreams.say(FigureText.printable("\(digest) \(line.words)")) }
    }

    private func note(_ line: ScrubLine, _ digest: String, _ findings: inout [Finding]) {
        if let kind = line.kind {
            if isJSON { findings.append(Finding(digest: digest, kind: kind, size: line.size ?? 0)) }
        } else if let index = findings.lastIndex(where: { $0.digest == digest }) {
            (findings[index].repaired, findings[index].error) = (line.repaired, line.error)
        }
    }

    /// - Throws: 1 where not everything could be checked, or not everything be fetched again that should have been.
    func end() throws {
        let state = state.withLock { $0 }
        guard let summary = state.summary else {
            let words = state.failure ?? "the mirror ended before all was checked: scrub once more"
            StandardStreams.complain(FigureText.printable(words))
            throw ExitCode.failure
        }
        if isJSON {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let document = Document(
                blobs: summary.blobs, bytes: summary.bytes, damaged: summary.damaged, missing: summary.missing,
                unreadable: summary.unreadable, repaired: summary.repaired, unrepaired: summary.unrepaired,
                findings: state.findings)
            StandardStreams.say(String(decoding: try encoder.encode(document), as: UTF8.self))
        } else {
            StandardStreams.say(summary.words)
        }
        if summary.unrepaired > 0 { throw ExitCode.failure }
    }
}

extension ScrubLine {
    /// What stands behind the digest.
    fileprivate var words: String {
        if let kind { return "\(kind) (\(size ?? 0) bytes)" }
        if repaired == true { return "fetched again from \(from ?? "its repository")" }
        return "not fetched again: \(error ?? "nobody has it")"
    }
}

extension ScrubLine.Summary {
    fileprivate var words: String {
        "checked \(blobs) blobs, \(bytes) bytes: \(damaged) damaged, \(missing) missing, \(unreadable) unreadable, "
            + "\(repaired) fetched again, \(unrepaired) not"
    }
}
