// `wharf prefetch`: has the running mirror bring images here before anybody asks.

import ArgumentParser
import FoundationEssentials
import Frontend
import OCI

struct PrefetchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prefetch",
        abstract: "Bring images here before anybody asks for them.",
        discussion: """
            What is stored already costs nothing but a question about each tag. Without --platform an index comes with \
            all its children; what is no index is always taken. Exits 1 if any image could not be fetched whole.
            """)

    @OptionGroup var mirror: MirrorOptions

    @Argument(help: "Images such as debian:12 or ghcr.io/acme/app:1.")
    var images: [String] = []

    @Option(help: ArgumentHelp("Of an index only this one, such as linux/amd64; repeatable.", valueName: "os/arch"))
    var platform: [String] = []

    @Option(
        help: ArgumentHelp("A file with an image on each line, # for comments; - is standard input.", valueName: "list")
    )
    var file: String?

    @Flag(help: "Print the mirror's own JSON lines.")
    var json = false

    /// Bytes of names in one request; the mirror takes 64 KiB.
    private static let batch = 32 << 10

    private struct Body: Encodable {
        let images, platforms: [String]
    }

    func validate() throws {
        guard !images.isEmpty || file != nil else { throw ValidationError("name an image, or a --file with some") }
        if let stranger = platform.first(where: { PlatformChoice($0) == nil }) {
            throw ValidationError("--platform \(stranger): write it as linux/amd64")
        }
    }

    func run() async throws {
        try await AdminErrors.telling {
            let all = try images + listed()
            guard !all.isEmpty else { throw AdminFailure("\(file ?? "") names no image: write one on each line") }
            let client = try mirror.client()
            var board = PrefetchBoard()
            var terminal = Terminal()
            for images in Self.batches(all) { try fetch(images, client, &board, &terminal) }
            if board.done + board.failed > 1, !json {
                StandardStreams.say("\(board.done) of \(board.done + board.failed) images are here")
            }
            if board.failed > 0 { throw ExitCode.failure }
        }
    }

    private func fetch(
        _ images: [String], _ client: AdminClient, _ board: inout PrefetchBoard, _ terminal: inout Terminal
    ) throws {
        let before = board.done + board.failed
        var refusal = ""
        let body = Body(images: images, platforms: platform)
        let status = try client.post("/api/v1/prefetch", body) { text in
            guard let line = try? JSONDecoder().decode(PrefetchLine.self, from: Data(text.utf8)) else {
                // Of a refusal it is another document.
                if refusal.utf8.count < 4096 { refusal += text }
                return
            }
            show(line, text, &board, &terminal)
        }
        guard status == 200 else { throw AdminFailure(answer: refusal, status: status) }
        guard board.done + board.failed - before == Set(images).count else {
            throw AdminFailure("\(client) ended before all was fetched: run this again, and it goes on from there")
        }
    }

    private func show(
        _ line: PrefetchLine, _ text: String, _ board: inout PrefetchBoard, _ terminal: inout Terminal
    ) {
        let isWatched = Terminal.isOne && !json
        let note = board.take(line, isWatched: isWatched)
        if json { return StandardStreams.say(text) }
        switch (note, isWatched) {
        case (.said(let words)?, true): terminal.draw(board.bars(width: Terminal.extent.width), above: [words])
        case (.said(let words)?, false): StandardStreams.say(words)
        case (.complained(let words)?, _):
            // Out of its way, which is another stream.
            if isWatched { terminal.draw([]) }
            StandardStreams.complain(words)
            if isWatched { terminal.draw(board.bars(width: Terminal.extent.width)) }
        case (nil, true): terminal.draw(board.bars(width: Terminal.extent.width))
        case (nil, false): break
        }
    }

    // MARK: What is wanted

    private func listed() throws -> [String] {
        guard let file else { return [] }
        let path = file == "-" ? "/dev/stdin" : file
        guard let data = FileManager.default.contents(atPath: path), let text = String(validating: data, as: UTF8.self)
        else { throw AdminFailure("--file \(file): no file that can be read") }
        return Self.images(in: text)
    }

    static func images(in list: String) -> [String] {
        list.split(whereSeparator: \.isNewline).compactMap { line in
            let image = line.prefix { $0 != "#" }.trimming { $0.isWhitespace }
            return image.isEmpty ? nil : String(image)
        }
    }

    /// Each once, in their order, no more in one than a request may name.
    static func batches(_ images: [String]) -> [[String]] {
        var seen: Set<String> = []
        var batches: [[String]] = []
        var room = 0
        for image in images where seen.insert(image).inserted {
            room -= image.utf8.count + 3
            if room < 0 {
                batches.append([])
                room = batch - image.utf8.count
            }
            batches[batches.count - 1].append(image)
        }
        return batches
    }
}

extension Substring {
    fileprivate func trimming(_ isBlank: (Character) -> Bool) -> Substring {
        var rest = drop(while: isBlank)
        while let last = rest.last, isBlank(last) { rest.removeLast() }
        return rest
    }
}
