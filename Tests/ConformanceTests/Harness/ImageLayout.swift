// An OCI image layout on disk, written by hand: blobs under their digests, manifests, an index, and the tags.

import Foundation
import OCI

/// What a manifest says about one blob or manifest; the tests know what they seeded by it.
struct Described: Codable, Sendable {
    struct Platform: Codable, Sendable {
        let architecture: String
        let os: String
    }

    let mediaType: String
    let digest: String
    let size: Int
    var platform: Platform?
    var annotations: [String: String]?
}

/// An image as it was written.
struct WrittenImage: Sendable {
    let manifest: Described
    let config: Described
    let layers: [Described]
    /// Every blob that a pull of it fetches.
    var blobs: [Described] { [config] + layers }
}

/// - Source: image-spec v1.1 "Image Layout".
struct ImageLayout {
    let folder: String
    private var tagged: [Described] = []

    init(in folder: String) throws {
        self.folder = folder
        try FileManager.default.createDirectory(atPath: "\(folder)/blobs/sha256", withIntermediateDirectories: true)
        try Data(#"{"imageLayoutVersion":"1.0.0"}"#.utf8).write(to: URL(fileURLWithPath: "\(folder)/oci-layout"))
    }

    /// Writes an image of these layers (tar archives, compressed here) under `tag`.
    mutating func addImage(
        tag: String, architecture: String, layers archives: [[UInt8]], with bench: Bench
    ) async throws -> WrittenImage {
        var layers: [Described] = []
        for archive in archives {
            layers.append(
                try addBlob(try await gzip(archive, with: bench), "application/vnd.oci.image.layer.v1.tar+gzip"))
        }
        let identifiers = archives.map { Digest.of($0).description }
        let config = try addBlob(
            try json(Config(architecture: architecture, rootfs: Config.Layers(diffIdentifiers: identifiers))),
            "application/vnd.oci.image.config.v1+json")
        var manifest = try addBlob(
            try json(Manifest(config: config, layers: layers)), "application/vnd.oci.image.manifest.v1+json")
        manifest.platform = Described.Platform(architecture: architecture, os: "linux")
        try name(manifest, tag)
        return WrittenImage(manifest: manifest, config: config, layers: layers)
    }

    /// Writes an index of these images under `tag`.
    mutating func addIndex(tag: String, of images: [WrittenImage]) throws -> Described {
        let index = try addBlob(
            try json(Index(manifests: images.map(\.manifest))), "application/vnd.oci.image.index.v1+json")
        try name(index, tag)
        return index
    }

    private mutating func name(_ described: Described, _ tag: String) throws {
        var described = described
        described.platform = nil
        described.annotations = ["org.opencontainers.image.ref.name": tag]
        tagged.append(described)
        let index = try json(Index(manifests: tagged))
        try Data(index).write(to: URL(fileURLWithPath: "\(folder)/index.json"))
    }

    private func addBlob(_ bytes: [UInt8], _ mediaType: String) throws -> Described {
        let digest = Digest.of(bytes)
        try Data(bytes).write(to: URL(fileURLWithPath: "\(folder)/blobs/sha256/\(digest.hex)"))
        return Described(mediaType: mediaType, digest: digest.description, size: bytes.count)
    }

    private func gzip(_ bytes: [UInt8], with bench: Bench) async throws -> [UInt8] {
        let path = bench.path("layer.tar")
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        // Without name and time in its head, so that the digest is the same in every run.
        try await bench.succeed("gzip", ["-n", "-f", path])
        return [UInt8](try Data(contentsOf: URL(fileURLWithPath: path + ".gz")))
    }

    private func json(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(value))
    }

    private struct Manifest: Encodable {
        var schemaVersion = 2
        var mediaType = "application/vnd.oci.image.manifest.v1+json"
        let config: Described
        let layers: [Described]
    }

    private struct Index: Encodable {
        var schemaVersion = 2
        var mediaType = "application/vnd.oci.image.index.v1+json"
        let manifests: [Described]
    }

    private struct Config: Encodable {
        struct Layers: Encodable {
            var type = "layers"
            let diffIdentifiers: [String]
            enum CodingKeys: String, CodingKey {
                case type
                case diffIdentifiers = "diff_ids"
            }
        }

        let architecture: String
        var os = "linux"
        var created = "2026-01-01T00:00:00Z"
        var config = ["Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]]
        let rootfs: Layers
    }
}
