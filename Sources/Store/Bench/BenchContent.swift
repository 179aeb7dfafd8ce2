// What the bench fills a database with: images as a mirror of some years holds them, computed and never held in memory.

import OCI

/// Numbered blobs, eight an image, in the order in which a pull brings them: index, manifest, config, five layers. Each
/// manifest names two layers of the image before it too, as a build upon the same base does.
struct BenchContent: Sendable {
    static let blobsPerImage = 8
    static let imagesPerRepository = 20
    private static let sharedLayers = 2

    let blobs: Int

    var images: Int { (blobs + Self.blobsPerImage - 1) / Self.blobsPerImage }

    func blobs(ofImage image: Int) -> Range<Int> {
        image * Self.blobsPerImage..<min(blobs, (image + 1) * Self.blobsPerImage)
    }

    func digest(_ blob: Int) -> Digest? {
        var words = BenchRandom(seed: UInt64(blob))
        let hash = (0..<4).flatMap { _ in withUnsafeBytes(of: words.next()) { Array($0) } }
        return Digest(storedBytes: [Digest.Algorithm.sha256.rawValue] + hash)
    }

    /// Bytes: documents are small, layers of any size up to 16 MiB.
    func size(_ blob: Int) -> Int64 {
        let place = blob % Self.blobsPerImage
        return place < 3 ? 500 + Int64(blob % 4000) : Int64(BenchRandom.word(UInt64(blob)) % (16 << 20))
    }

    func repository(ofBlob blob: Int) -> Repository? {
        repository(blob / Self.blobsPerImage / Self.imagesPerRepository)
    }

    func repository(_ number: Int) -> Repository? {
        RepositoryName("library/app-\(number)").map { Repository(upstream: "docker.io", name: $0) }
    }

    func isManifest(_ blob: Int) -> Bool { blob % Self.blobsPerImage < 2 }

    /// What the manifest or index names.
    func children(of blob: Int) -> [Int] {
        let image = blob / Self.blobsPerImage
        let own = blobs(ofImage: image)
        switch blob % Self.blobsPerImage {
        case 0: return own.count > 1 ? [blob + 1] : []
        case 1:
            let isFirst = image.isMultiple(of: Self.imagesPerRepository)
            let before = isFirst ? [] : (1...Self.sharedLayers).map { blob - 1 - $0 }
            return before + (blob + 1..<max(blob + 1, own.upperBound))
        default: return []
        }
    }

    /// Unix milliseconds of the last use. Images are used in no order that has to do with when they came. Of every
    /// fourth the blobs were asked for after the manifest that names them, of the others they were there already.
    func lastUsed(_ blob: Int) -> Int64 {
        let image = blob / Self.blobsPerImage
        let manifest = Self.start + Int64(BenchRandom.word(UInt64(image) &+ 0x5EED) % UInt64(Self.years))
        if isManifest(blob) { return manifest }
        return image.isMultiple(of: 4) ? manifest + Int64(blob % Self.blobsPerImage) * 500 : manifest - 1
    }

    /// Unix milliseconds when the blob came.
    func storedAt(_ blob: Int) -> Int64 { Self.start - Int64(blobs - blob) * 60_000 }

    private static let start: Int64 = 1_600_000_000_000
    private static let years: Int64 = 3 * 365 * 86_400_000
}

/// Random numbers that are the same in every run.
struct BenchRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = Self.word(seed) }

    static func word(_ seed: UInt64) -> UInt64 {
        var word = seed &* 0x9E37_79B9_7F4A_7C15 &+ 0x9E37_79B9_7F4A_7C15
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    mutating func next() -> UInt64 {
        state &+= 1
        return Self.word(state)
    }
}
