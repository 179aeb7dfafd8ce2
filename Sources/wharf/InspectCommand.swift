// `wharf inspect`: one image as it is stored, with its manifests and layers and which of them are here.

import ArgumentParser

struct InspectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show one image: its manifests, layers, and which of them are here.",
        discussion: "Only what is known here is shown; no upstream is asked.")

    @OptionGroup var mirror: MirrorOptions

    @Argument(help: "An image such as debian:12 or ghcr.io/acme/app@sha256:…, or a digest.")
    var image: String

    @Flag(help: "Print the mirror's own JSON.")
    var json = false

    func run() async throws {
        try await AdminErrors.telling {
            let text = try mirror.client().get("/api/v1/images/\(AdminDocument.escaped(image))")
            if json { return StandardStreams.say(text) }
            let detail = try AdminDocument.read(ImageDetail.self, text)
            for line in detail.lines(now: unixMilliseconds()) { StandardStreams.say(line) }
        }
    }
}

extension ImageDetail {
    /// - Parameter now: Unix time in milliseconds.
    func lines(now: Int64) -> [String] {
        let marks = [pinned ? "pinned" : nil, hosted ? "hosted" : nil].compactMap { $0 }
        var rows = [
            ["digest", digest], ["type", mediaType ?? "-"],
            ["stored", "\(FigureText.size(storedSize)) of \(FigureText.size(size))"],
            ["last used", AdminDocument.ago(lastUsedAt, now: now)],
            ["checked", AdminDocument.ago(checkedAt, now: now)],
        ]
        if !tags.isEmpty { rows.append(["tags", tags.joined(separator: ", ")]) }
        if let leasedUntilAt { rows.append(["leased", "until \(leasedUntilAt)"]) }
        if !marks.isEmpty { rows.append(["kept", marks.joined(separator: ", ")]) }
        var lines = [name] + ImageTable.columns(rows.map { ["  \($0[0])", $0[1]] })
        for manifest in manifests {
            let what = manifest.platform ?? manifest.artifactType ?? manifest.mediaType ?? "manifest"
            let state = manifest.stored ? FigureText.size(manifest.storedSize) : "not here"
            let isPart = manifest.stored && manifest.storedSize < manifest.size
            let all = isPart ? " of \(FigureText.size(manifest.size))" : ""
            lines += ["", "\(what)  \(manifest.digest)  \(state)\(all)"]
            let parts = (manifest.config.map { [("config", $0)] } ?? []) + manifest.layers.map { ("layer", $0) }
            lines += ImageTable.columns(
                parts.map { ["  \($0)", $1.digest, FigureText.size($1.size), Self.state(of: $1)] })
        }
        if !referrers.isEmpty {
            lines += ["", "referrers"]
            lines += ImageTable.columns(
                referrers.map { ["  \($0.digest)", $0.artifactType ?? "-", FigureText.size($0.size)] })
        }
        return lines.map(FigureText.printable)
    }

    private static func state(of content: Content) -> String {
        if content.stored { return "here" }
        if content.foreign == true { return "foreign" }
        let part = content.storedBytes ?? 0
        return part > 0 ? "\(FigureText.size(part)) here" : "not here"
    }
}
