// `POST /api/v1/prefetch`: images are brought here before anybody asks, and how far they have come is told, in lines.

import HTTPServer
import HTTPTypes
import Hosting
import OCI
import PullThrough

struct PrefetchWish: ActionWish {
    static let keys: Set<String> = ["images", "platforms"]

    let images: [String]
    let platforms: [String]?
}

/// One line of the answer, which is one JSON object. Every key is always there.
package struct PrefetchLine: Codable, Equatable, Sendable {
    private enum CodingKeys: String, CodingKey {
        case image, state, received, size, blobs, message
        case blobsDone = "blobs_done"
    }

    /// In full; what is no image, as it was typed.
    package let image: String
    /// resolving, fetching, done or failed.
    package let state: String
    /// Bytes.
    package let received: Int64
    package let size: Int64?
    package let blobsDone, blobs: Int
    package let message: String?

    init(_ image: String, _ progress: PrefetchProgress) {
        self.image = image
        state = progress.state.rawValue
        (received, size) = (progress.received, progress.size)
        (blobsDone, blobs) = (progress.blobsDone, progress.blobs)
        message = progress.message
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(image, forKey: .image)
        try container.encode(state, forKey: .state)
        try container.encode(received, forKey: .received)
        try container.encode(size, forKey: .size)
        try container.encode(blobsDone, forKey: .blobsDone)
        try container.encode(blobs, forKey: .blobs)
        try container.encode(message, forKey: .message)
    }
}

struct PrefetchHandler: Sendable {
    let cache: PullThroughCache
    let hosted: HostedRepositories

    /// Images at once. With four blobs each they take half of an upstream's connections as it is configured by default:
    /// clients find one free.
    private static let mostImages = 2

    /// An empty line, which readers skip: so that one that left is noticed though nothing changes.
    private static let heartbeat = LiveBody.Heartbeat(Array("\n".utf8), every: .seconds(15))

    /// The prefetch ends with its reader.
    func respond(to wish: PrefetchWish) throws(ActionRefusal) -> Response {
        guard !wish.images.isEmpty else { throw ActionRefusal(.badRequest, .nameInvalid, "images names none") }
        var platforms: [PlatformChoice] = []
        for text in wish.platforms ?? [] {
            guard let platform = PlatformChoice(text) else {
                throw ActionRefusal(
                    .badRequest, .unsupported, "\(text.prefix(80)) is no platform: write it as linux/amd64")
            }
            platforms.append(platform)
        }
        let body = LiveBody(heartbeat: Self.heartbeat) { [self, platforms] writer in
            let task = Task {
                await bring(wish.images, platforms, writer)
                writer.end()
            }
            writer.onClose { task.cancel() }
        }
        return Response(
            status: .ok, fields: [.contentType: "application/x-ndjson", .cacheControl: "no-store"], body: .live(body))
    }

    private func bring(_ images: [String], _ platforms: [PlatformChoice], _ writer: LiveWriter) async {
        var seen: Set<String> = []
        var rest = images.filter { seen.insert($0).inserted }[...]
        await withTaskGroup(of: Void.self) { group in
            func begin() {
                guard !Task.isCancelled, let image = rest.popFirst() else { return }
                group.addTask { await bring(image, platforms, writer) }
            }
            for _ in 0..<Self.mostImages { begin() }
            while await group.next() != nil { begin() }
        }
    }

    private func bring(_ text: String, _ platforms: [PlatformChoice], _ writer: LiveWriter) async {
        guard let image = ImageReference(text) else {
            return await tell(writer, text, failed: "this is no image: write it as debian:12 or ghcr.io/acme/app:1")
        }
        if let name = cache.directory.hostedName(ofTyped: text) {
            return await find(image.reference, in: name, writer)
        }
        do throws(PullThroughError) {
            let repository = try cache.directory.repository(of: image)
            let name = image.reference.named(in: repository)
            await cache.prefetch(image.reference, in: repository, platforms: platforms) { progress in
                writer.write(JSONAnswer.line(PrefetchLine(name, progress)))
                // A reader that is slow makes it slow.
                await writer.caughtUp()
            }
        } catch {
            await tell(writer, "\(image)", failed: error.message)
        }
    }

    /// What is hosted here is here already, or nowhere.
    private func find(_ reference: Reference, in name: RepositoryName, _ writer: LiveWriter) async {
        let image = reference.named(in: Repository(hosted: name))
        do throws(HostingError) {
            let manifest = try await hosted.manifest(reference, in: name)
            var progress = PrefetchProgress()
            (progress.state, progress.message) = (.done, "it is hosted here")
            (progress.blobs, progress.blobsDone) = (1, 1)
            (progress.received, progress.size) = (Int64(manifest.bytes.count), Int64(manifest.bytes.count))
            await tell(writer, image, progress)
        } catch {
            await tell(writer, image, failed: error.message)
        }
    }

    private func tell(_ writer: LiveWriter, _ image: String, failed message: String) async {
        var progress = PrefetchProgress()
        (progress.state, progress.message) = (.failed, message)
        await tell(writer, image, progress)
    }

    private func tell(_ writer: LiveWriter, _ image: String, _ progress: PrefetchProgress) async {
        writer.write(JSONAnswer.line(PrefetchLine(image, progress)))
        await writer.caughtUp()
    }
}

extension Reference {
    /// An image's name in full.
    func named(in repository: Repository) -> String {
        switch self {
        case .tag(let tag): "\(repository):\(tag)"
        case .digest(let digest): "\(repository)@\(digest)"
        }
    }
}
