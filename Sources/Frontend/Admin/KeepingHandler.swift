// `POST /api/v1/pin`, `unpin`, `invalidate`, `evict`: what is kept, forgotten, or out of the way.

import HTTPServer
import HTTPTypes
import OCI
import PullThrough

/// Which images are meant: one as it is typed, a pattern, or where that is said a digest.
struct ImageWish: ActionWish {
    static let keys: Set<String> = ["image"]

    let image: String
}

struct EvictWish: ActionWish {
    static let keys: Set<String> = ["to"]

    private enum Key: String, CodingKey { case to }

    /// Bytes; nil if what was written is no size.
    let to: Int64?

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        if let text = try? container.decode(String.self, forKey: .to) {
            to = ByteSize.parse(text)
        } else {
            let bytes = try container.decode(Int64.self, forKey: .to)
            to = bytes < 0 ? nil : bytes
        }
    }
}

package struct PinDocument: Codable, Equatable, Sendable {
    private enum CodingKeys: String, CodingKey {
        case images
        case pinnedBytes = "pinned_bytes"
    }

    /// Tags in full.
    package let images: [String]
    /// Of all that is pinned.
    package let pinnedBytes: Int64
}

package struct InvalidateDocument: Codable, Equatable, Sendable {
    package let tags, manifests, blobs: Int
}

package struct EvictDocument: Codable, Equatable, Sendable {
    private enum CodingKeys: String, CodingKey {
        case evictedBlobs = "evicted_blobs"
        case evictedBytes = "evicted_bytes"
        case usedBytes = "used_bytes"
    }

    package let evictedBlobs: Int64
    /// On disk.
    package let evictedBytes, usedBytes: Int64
}

struct KeepingHandler: Sendable {
    let cache: PullThroughCache

    func pin(_ wish: ImageWish) async throws(ActionRefusal) -> Response {
        let image = try pattern(wish.image, ofHosted: "what is hosted here is never evicted, and needs no pin")
        let (images, bytes) = try await said { () async throws(PullThroughError) in try await cache.pin(image) }
        return .json(PinDocument(images: images.map(\.description), pinnedBytes: bytes))
    }

    func unpin(_ wish: ImageWish) async throws(ActionRefusal) -> Response {
        let image = try pattern(wish.image, ofHosted: "what is hosted here is never evicted, pinned or not")
        let (result, bytes) = try await said { () async throws(PullThroughError) in try await cache.unpin(image) }
        switch result {
        case .unpinned(let images):
            return .json(PinDocument(images: images.map(\.description), pinnedBytes: bytes))
        case .configured:
            throw Self.conflict("the configuration pins \(wish.image): take it out of cache.pin and reload")
        case .held(let pin): throw Self.conflict("\(wish.image) is pinned by \(pin): unpin that")
        }
    }

    /// What has no digest is a pattern, as in the configuration: without a tag it means all of them.
    func invalidate(_ wish: ImageWish) async throws(ActionRefusal) -> Response {
        let hosted = "what is hosted here has no upstream to be asked again: delete it instead"
        if let digest = Digest(wish.image) {
            let gone = try await said { () async throws(PullThroughError) in try await cache.invalidate(digest) }
            guard let gone else { throw Self.conflict(hosted) }
            return Self.document(gone)
        }
        if wish.image.contains("@") {
            if cache.directory.hostedName(ofTyped: wish.image) != nil { throw Self.conflict(hosted) }
            guard let image = ImageReference(wish.image), let digest = image.digest else {
                throw Self.noImage(wish.image)
            }
            let repository = Repository(upstream: image.registry, name: image.name)
            let gone = try await said { () async throws(PullThroughError) in
                try await cache.invalidate(digest, in: repository)
            }
            return Self.document(gone)
        }
        let image = try pattern(wish.image, ofHosted: hosted)
        let gone = try await said { () async throws(PullThroughError) in try await cache.invalidate(image) }
        return Self.document(gone)
    }

    func evict(_ wish: EvictWish) async throws(ActionRefusal) -> Response {
        guard let size = wish.to else {
            throw ActionRefusal(
                .badRequest, .sizeInvalid,
                "to is no size; write bytes, or a number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 10GB")
        }
        let (blobs, bytes, used) = await cache.evict(to: size)
        return .json(EvictDocument(evictedBlobs: blobs, evictedBytes: bytes, usedBytes: used))
    }

    // MARK: What is meant

    /// - Parameter refusal: why nothing is done about what is hosted.
    private func pattern(_ text: String, ofHosted refusal: String) throws(ActionRefusal) -> ImagePattern {
        guard NamePattern.isWritten(text), let pattern = ImagePattern(text) else { throw Self.noImage(text) }
        if text.contains("*") { return pattern }
        if cache.directory.hostedName(ofTyped: text) != nil { throw Self.conflict(refusal) }
        // Without stars it must be something that could be there.
        guard ImageReference(text) != nil else { throw Self.noImage(text) }
        return pattern
    }

    private func said<Value: Sendable>(
        _ work: () async throws(PullThroughError) -> Value
    ) async throws(ActionRefusal) -> Value {
        do throws(PullThroughError) {
            return try await work()
        } catch {
            throw ActionRefusal(.internalServerError, .unknown, error.message)
        }
    }

    private static func document(_ gone: Forgotten) -> Response {
        .json(InvalidateDocument(tags: gone.tags, manifests: gone.manifests, blobs: gone.blobs))
    }

    private static func conflict(_ message: String) -> ActionRefusal { ActionRefusal(.conflict, .denied, message) }

    private static func noImage(_ text: String) -> ActionRefusal {
        ActionRefusal(
            .badRequest, .nameInvalid,
            "\(text.prefix(80)) is no image: write it as debian:12, ghcr.io/acme/app:1 or ghcr.io/acme/**")
    }
}
