// What belongs to an image that is wanted before anybody asks: its manifests by platform, and their blobs, each once.

import OCI

/// A value. The documents go in as they come; what is to be fetched next comes out.
struct PrefetchPlan {
    /// An index may name indexes; deeper ones are nobody's image.
    private static let deepest = 4

    private let platforms: [PlatformChoice]
    private var met: Set<PlatformChoice> = []
    private var isIndex = false
    private var offered: [String] = []
    private var seen: Set<Digest> = []
    /// Config and layers of all that was taken, in their order, with their sizes in bytes.
    private(set) var blobs: [(digest: Digest, size: Int64)] = []
    /// Bytes of all that is known to belong to it, manifests too.
    private(set) var size: Int64 = 0
    private(set) var manifests = 0

    /// - Parameter platforms: which children of an index are wanted; none: all.
    init(platforms: [PlatformChoice]) { self.platforms = platforms }

    /// - Parameter depth: 0 of what was asked for itself.
    /// - Returns: the manifests to be fetched too.
    mutating func take(_ content: ManifestContent, depth: Int) throws(PullThroughError) -> [Digest] {
        let manifest: Manifest
        do throws(ManifestError) {
            manifest = try Manifest(parsing: content.bytes, declaredType: content.mediaType)
        } catch {
            throw .unusable("\(content.digest) cannot be read: \(error)")
        }
        if depth == 0 {
            seen.insert(content.digest)
            manifests += 1
            add(Int64(content.bytes.count))
            isIndex = manifest.kind == .index
        }
        for blob in (manifest.config.map { [$0] } ?? []) + manifest.layers where blob.isDistributable {
            guard seen.insert(blob.digest).inserted else { continue }
            blobs.append((blob.digest, blob.size))
            add(blob.size)
        }
        guard depth < Self.deepest else { return [] }
        var children: [Digest] = []
        for child in manifest.manifests where child.isDistributable && isWanted(child) {
            guard seen.insert(child.digest).inserted else { continue }
            children.append(child.digest)
            manifests += 1
            add(child.size)
        }
        return children
    }

    /// A document may say any size of what it names: the sum stays a number.
    private mutating func add(_ bytes: Int64) { size = size.plus(bytes) }

    /// What names no platform cannot be chosen by it.
    private mutating func isWanted(_ child: Descriptor) -> Bool {
        guard !platforms.isEmpty, let platform = child.platform else { return true }
        // So do attestations say that they are for nobody's machine.
        if platform.os != "unknown", !offered.contains(platform.description) { offered.append(platform.description) }
        let meant = platforms.filter { $0.means(platform) }
        met.formUnion(meant)
        return !meant.isEmpty
    }

    /// What was chosen and is not among its children.
    var complaint: String? {
        let missing = platforms.filter { !met.contains($0) }
        guard isIndex, !missing.isEmpty else { return nil }
        let there = offered.isEmpty ? "none" : offered.joined(separator: ", ")
        return "it is not there for \(missing.map(\.description).joined(separator: ", ")), but for \(there)"
    }
}

extension Int64 {
    /// Of numbers that are not negative: as much as there can be where the sum is more.
    func plus(_ other: Int64) -> Int64 {
        let (sum, isTooMuch) = addingReportingOverflow(other)
        return isTooMuch ? .max : sum
    }
}
