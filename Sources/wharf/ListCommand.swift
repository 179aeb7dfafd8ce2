// `wharf ls`: the images that are stored.

import ArgumentParser
import FoundationEssentials

struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls",
        abstract: "List the images that are stored, by tag.",
        discussion: "A pattern may be part of a name, or have * (any run without /) and ** (any run) in it.")

    @OptionGroup var mirror: MirrorOptions

    @Argument(help: "Which of them; all.")
    var pattern: String?

    @Flag(help: "Print one JSON object, and nothing else.")
    var json = false

    func run() async throws {
        try await AdminErrors.telling {
            let images = try all()
            if json {
                let encoder = JSONEncoder()
                encoder.keyEncodingStrategy = .convertToSnakeCase
                encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                return StandardStreams.say(String(decoding: try encoder.encode(["images": images]), as: UTF8.self))
            }
            guard !images.isEmpty else {
                let words = pattern.map { "nothing that is stored matches \($0)" } ?? "nothing is stored yet"
                return StandardStreams.complain(words)
            }
            for line in ImageTable.lines(images, now: unixMilliseconds()) { StandardStreams.say(line) }
        }
    }

    /// Page by page.
    private func all() throws -> [ImagePage.StoredImage] {
        let client = try mirror.client()
        var images: [ImagePage.StoredImage] = []
        var next: String?
        repeat {
            let query = [("q", pattern), ("n", "500"), ("last", next)].compactMap { name, value in
                value.map { "\(name)=\(AdminDocument.escaped($0))" }
            }
            let page = try AdminDocument.read(
                ImagePage.self, try client.get("/api/v1/images?\(query.joined(separator: "&"))"))
            images += page.images
            // One that leads nowhere would lead there for ever.
            next = page.next == next ? nil : page.next
        } while next != nil
        return images
    }
}

enum ImageTable {
    private static let head = ["IMAGE", "DIGEST", "STORED", "PLATFORMS", "LAST USED", ""]

    /// - Parameter now: Unix time in milliseconds.
    static func lines(_ images: [ImagePage.StoredImage], now: Int64) -> [String] {
        let rows = images.map { image in
            let stored = FigureText.size(image.storedSize)
            let marks = [image.pinned ? "pinned" : nil, image.hosted ? "hosted" : nil].compactMap { $0 }
            return [
                image.name, Self.short(image.digest),
                image.storedSize < image.size ? "\(stored) of \(FigureText.size(image.size))" : stored,
                image.platforms.isEmpty ? "-" : image.platforms.joined(separator: ","),
                AdminDocument.ago(image.lastUsedAt, now: now), marks.joined(separator: ","),
            ].map(FigureText.printable)
        }
        return columns([head] + rows)
    }

    /// As `docker` shows them.
    static func short(_ digest: String) -> String {
        String((digest.split(separator: ":").last ?? "").prefix(12))
    }

    /// Each as wide as its widest.
    static func columns(_ rows: [[String]]) -> [String] {
        let widths = rows.reduce(into: [Int]()) { widths, row in
            for (index, text) in row.enumerated() {
                if index == widths.count { widths.append(0) }
                widths[index] = max(widths[index], text.count)
            }
        }
        return rows.map { row in
            var line = zip(row, widths).map { FigureText.padded($0, to: $1) }.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
