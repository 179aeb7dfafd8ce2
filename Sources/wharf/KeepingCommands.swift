// `wharf pin`, `unpin`, `invalidate`, `evict`: what the running mirror keeps, forgets, or takes out of the way.

import ArgumentParser
import FoundationEssentials
import Frontend
import OCI

private struct ImageBody: Encodable {
    let image: String
}

struct PinCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin",
        abstract: "Never evict these images, whether they are stored yet or not.",
        discussion: "Beside cache.pin of the configuration, and over restarts. Without a tag every tag is meant.")

    @OptionGroup var mirror: MirrorOptions

    @Argument(help: "An image, or a pattern with * (any run without /) and ** (any run).")
    var image: String

    @Flag(help: "Print one JSON object, and nothing else.")
    var json = false

    func run() async throws {
        try await AdminErrors.telling {
            let answer = try mirror.client().order("/api/v1/pin", ImageBody(image: image))
            if json { return StandardStreams.say(answer) }
            let document = try JSONDecoder().decode(PinDocument.self, from: Data(answer.utf8))
            for image in document.images { StandardStreams.say("pinned \(FigureText.printable(image))") }
            if document.images.isEmpty {
                StandardStreams.say("pinned \(image), of which nothing is stored yet: wharf prefetch brings it here")
            }
            StandardStreams.say("\(FigureText.size(document.pinnedBytes)) are pinned")
        }
    }
}

struct UnpinCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unpin",
        abstract: "Take back pins, so that what they kept may be evicted again.",
        discussion: "A pattern takes back the pins of all images that it means.")

    @OptionGroup var mirror: MirrorOptions

    @Argument(help: "What was pinned, or a pattern that means it.")
    var image: String

    @Flag(help: "Print one JSON object, and nothing else.")
    var json = false

    func run() async throws {
        try await AdminErrors.telling {
            let answer = try mirror.client().order("/api/v1/unpin", ImageBody(image: image))
            if json { return StandardStreams.say(answer) }
            let document = try JSONDecoder().decode(PinDocument.self, from: Data(answer.utf8))
            for image in document.images { StandardStreams.say("unpinned \(FigureText.printable(image))") }
            if document.images.isEmpty { StandardStreams.say("nothing that is stored was pinned by \(image)") }
            StandardStreams.say("\(FigureText.size(document.pinnedBytes)) are pinned")
        }
    }
}

struct InvalidateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invalidate",
        abstract: "Forget now what is known of images, so that the next pull asks the upstream.",
        discussion: """
            Of an image or a pattern the tags are forgotten, and their right to what they name; the bytes stay, since \
            others may use them. A digest by itself goes with its bytes, wherever it is shown. Without a tag every tag \
            is meant.
            """)

    @OptionGroup var mirror: MirrorOptions

    @Argument(help: "An image, a digest, or a pattern with * (any run without /) and ** (any run).")
    var image: String

    @Flag(help: "Print one JSON object, and nothing else.")
    var json = false

    func run() async throws {
        try await AdminErrors.telling {
            let answer = try mirror.client().order("/api/v1/invalidate", ImageBody(image: image))
            if json { return StandardStreams.say(answer) }
            let gone = try JSONDecoder().decode(InvalidateDocument.self, from: Data(answer.utf8))
            StandardStreams.say("forgot \(gone.tags) tags, \(gone.manifests) manifests and \(gone.blobs) blobs")
        }
    }
}

struct EvictCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evict",
        abstract: "Make room: evict what was used least recently until no more than SIZE is used.",
        discussion: "Leases are no obstacle; what is pinned or hosted stays, and then more may be left than SIZE.")

    @OptionGroup var mirror: MirrorOptions

    @Option(help: ArgumentHelp("What may stay used, such as 10GB.", valueName: "size"))
    var to: String

    @Flag(help: "Print one JSON object, and nothing else.")
    var json = false

    private struct Body: Encodable {
        let to: Int64
    }

    func validate() throws {
        do throws(ValueMistake) { _ = try ConfigurationValues.size(to) } catch {
            throw ValidationError("--to: \(error.message)")
        }
    }

    func run() async throws {
        try await AdminErrors.telling {
            let size = try ConfigurationValues.size(to)
            let answer = try mirror.client().order("/api/v1/evict", Body(to: size))
            if json { return StandardStreams.say(answer) }
            let document = try JSONDecoder().decode(EvictDocument.self, from: Data(answer.utf8))
            let left = document.usedBytes > size ? ": nothing more may go" : ""
            StandardStreams.say(
                "evicted \(document.evictedBlobs) blobs, \(FigureText.size(document.evictedBytes)); "
                    + "\(FigureText.size(document.usedBytes)) are used\(left)")
        }
    }
}
