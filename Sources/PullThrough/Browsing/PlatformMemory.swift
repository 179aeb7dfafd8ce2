// Which machines an image is for: read once from its documents, and remembered, since a digest says the same for ever.

import OCI
import Store
import Synchronization

final class PlatformMemory: Sendable {
    private let known = Mutex(RecentlyUsed<Digest, [String]>(limit: 10_000))

    subscript(digest: Digest) -> [String]? {
        get { known.withLock { $0[digest] } }
        set { known.withLock { $0[digest] = newValue } }
    }
}

extension PullThroughCache {
    /// Documents that are read at once.
    private static let batch = 64
    /// Bytes: what is larger is not read for a line in a list.
    private static let documentLimit = 256 << 10
    /// So many of one image are told.
    private static let mostPlatforms = 64

    /// The platforms of images, as far as documents that are here say: an index names them, an image's configuration
    /// does. What cannot be had now is not remembered.
    func platforms(of images: [(digest: Digest, mediaType: MediaType)]) async -> [Digest: [String]] {
        var (found, unknown) = ([Digest: [String]](), [Digest: MediaType]())
        for (digest, type) in images {
            if let known = platforms[digest] { found[digest] = known } else { unknown[digest] = type }
        }
        var rest = Array(unknown)[...]
        while !rest.isEmpty {
            let new = await read(Dictionary(uniqueKeysWithValues: rest.prefix(Self.batch).map { ($0.key, $0.value) }))
            rest = rest.dropFirst(Self.batch)
            for (digest, platforms) in new { self.platforms[digest] = platforms }
            found.merge(new) { first, _ in first }
        }
        return found
    }

    private func read(_ images: [Digest: MediaType]) async -> [Digest: [String]] {
        let documents = await store.documents(Array(images.keys), limit: Self.documentLimit)
        var found: [Digest: [String]] = [:]
        var configs: [Digest: Digest] = [:]
        for (digest, bytes) in documents {
            // What is no manifest any more names no platform.
            guard let manifest = try? Manifest(parsing: bytes, declaredType: images[digest]) else { continue }
            if manifest.kind == .index {
                found[digest] = Self.distinct(manifest.manifests.compactMap(\.platform))
            } else if let config = manifest.config {
                configs[digest] = config.digest
            } else {
                found[digest] = []
            }
        }
        let texts = await store.documents(Array(Set(configs.values)), limit: Self.documentLimit)
        for (digest, config) in configs {
            guard let text = texts[config] else { continue }
            found[digest] = Descriptor.Platform(configuration: text).map { Self.distinct([$0]) } ?? []
        }
        return found
    }

    /// Without what is for no machine, such as an attestation beside an image.
    private static func distinct(_ platforms: [Descriptor.Platform]) -> [String] {
        var seen: Set<String> = []
        let texts = platforms.filter { $0.os != "unknown" }.map { "\($0)" }.filter { seen.insert($0).inserted }
        return Array(texts.prefix(mostPlatforms))
    }
}
