// The reading API's answers, in its words; `convertToSnakeCase` spells them.

import OCI
import PullThrough

/// Names as people read them.
enum ImageText {
    static func name(_ repository: Repository, _ reference: Reference) -> String {
        switch reference {
        case .tag(let tag): "\(repository):\(tag)"
        case .digest(let digest): "\(repository)@\(digest)"
        }
    }

    static func instant(_ milliseconds: Int64?) -> String? { milliseconds.map { EventText.instant($0) } }
}

struct RepositoriesDocument: Encodable {
    struct Entry: Encodable {
        let name: String
        @Nullable var upstream: String?
        let hosted: Bool
        let tags: Int
        let bytes: Int64
        @Nullable var lastUsedAt: String?
    }

    let repositories: [Entry]
    @Nullable var next: String?

    init(_ list: NameList<RepositoryEntry>) {
        repositories = list.entries.map { entry in
            Entry(
                name: "\(entry.repository)", upstream: entry.repository.isHosted ? nil : entry.repository.upstream,
                hosted: entry.repository.isHosted, tags: entry.tags, bytes: entry.bytes,
                lastUsedAt: ImageText.instant(entry.lastUsed))
        }
        next = list.next
    }
}

struct ImagesDocument: Encodable {
    struct Entry: Encodable {
        let name, repository, tag, digest, mediaType: String
        let isIndex: Bool
        let size, storedSize: Int64
        let platforms: [String]
        let pinned, hosted: Bool
        @Nullable var checkedAt: String?
        @Nullable var lastUsedAt: String?
    }

    let images: [Entry]
    @Nullable var next: String?

    init(_ list: NameList<ImageEntry>) {
        images = list.entries.map { image in
            Entry(
                name: image.name, repository: "\(image.repository)", tag: image.tag, digest: "\(image.digest)",
                mediaType: "\(image.mediaType)", isIndex: image.isIndex, size: image.size,
                storedSize: image.storedSize, platforms: image.platforms, pinned: image.isPinned,
                hosted: image.repository.isHosted, checkedAt: ImageText.instant(image.checkedAt),
                lastUsedAt: ImageText.instant(image.lastUsed))
        }
        next = list.next
    }
}

struct TransfersDocument: Encodable {
    let transfers: [StatisticsDocument.Transfer]
}

struct EvictionsDocument: Encodable {
    struct Candidate: Encodable {
        let digest: String
        let size: Int64
        @Nullable var lastUsedAt: String?
        let kind: String
        let images: [String]
        /// What is leased would not go: so nothing here is.
        @Nullable var leasedUntilAt: String?
    }

    let usedBytes, limitBytes, lowWatermarkBytes: Int64
    let candidates: [Candidate]

    init(_ order: EvictionOrder) {
        usedBytes = order.used
        limitBytes = order.limit
        lowWatermarkBytes = order.lowWatermark
        candidates = order.entries.map { entry in
            Candidate(
                digest: "\(entry.digest)", size: entry.size, lastUsedAt: ImageText.instant(entry.lastUsed),
                kind: entry.kind, images: entry.images, leasedUntilAt: nil)
        }
    }
}

struct ImageDocument: Encodable {
    struct Config: Encodable {
        let digest, mediaType: String
        let size: Int64
        let stored: Bool
    }

    struct Layer: Encodable {
        let digest, mediaType: String
        let size: Int64
        let stored: Bool
        let storedBytes: Int64
        @Nullable var lastUsedAt: String?
        let foreign: Bool
    }

    struct Manifest: Encodable {
        let digest, mediaType: String
        @Nullable var platform: String?
        @Nullable var artifactType: String?
        let stored: Bool
        let size, storedSize: Int64
        @Nullable var lastUsedAt: String?
        @Nullable var config: Config?
        let layers: [Layer]
    }

    struct Referrer: Encodable {
        let digest: String
        @Nullable var artifactType: String?
        let size: Int64
    }

    let name, repository: String
    @Nullable var tag: String?
    let digest, mediaType: String
    let isIndex: Bool
    let size, storedSize: Int64
    let stored = true
    let pinned, hosted: Bool
    @Nullable var storedAt: String?
    @Nullable var lastUsedAt: String?
    @Nullable var checkedAt: String?
    @Nullable var leasedUntilAt: String?
    let tags: [String]
    let manifests: [Manifest]
    let referrers: [Referrer]

    init(_ look: ImageLook) {
        name = ImageText.name(look.repository, look.tag.map { .tag($0) } ?? .digest(look.digest))
        repository = "\(look.repository)"
        tag = look.tag.map { "\($0)" }
        digest = "\(look.digest)"
        mediaType = "\(look.mediaType)"
        isIndex = look.isIndex
        (size, storedSize) = (look.size, look.storedSize)
        (pinned, hosted) = (look.isPinned, look.repository.isHosted)
        storedAt = ImageText.instant(look.storedAt)
        lastUsedAt = ImageText.instant(look.lastUsed)
        checkedAt = ImageText.instant(look.checkedAt)
        leasedUntilAt = ImageText.instant(look.leasedUntil)
        tags = look.tags
        manifests = look.documents.map { Manifest($0) }
        referrers = look.referrers.map {
            Referrer(digest: "\($0.digest)", artifactType: $0.artifactType.map { "\($0)" }, size: $0.size)
        }
    }
}

extension ImageDocument.Manifest {
    fileprivate init(_ document: ImageLook.Document) {
        self.init(
            digest: "\(document.digest)", mediaType: "\(document.mediaType)", platform: document.platform,
            artifactType: document.artifactType.map { "\($0)" }, stored: document.isStored, size: document.size,
            storedSize: document.storedSize, lastUsedAt: ImageText.instant(document.lastUsed),
            config: document.config.map {
                .init(digest: "\($0.digest)", mediaType: "\($0.mediaType)", size: $0.size, stored: $0.isStored)
            },
            layers: document.layers.map {
                .init(
                    digest: "\($0.digest)", mediaType: "\($0.mediaType)", size: $0.size, stored: $0.isStored,
                    storedBytes: $0.storedBytes, lastUsedAt: ImageText.instant($0.lastUsed), foreign: $0.isForeign)
            })
    }
}
