// What the upstream holds: a few small, real images, pushed once into the storage that every test's registry reads.

import Foundation
import OCI
import TestSupport

/// | image | what it is |
/// |---|---|
/// | `library/harbour:latest` | OCI manifest, four layers: busybox, text, 3 MiB that do not compress, a few bytes |
/// | `library/fleet:latest` | OCI index of an amd64 and an arm64 image |
/// | `library/dinghy:latest` | the layers of `harbour` with Docker's schema 2 types |
/// | `acme/tool:1.0`, `acme/tool:1.1` | the same two images again in a repository with a host's look |
struct Seed: Sendable {
    /// The root folder of a docker-registry's storage. Read only: a test that changes it takes a copy.
    let storage: String
    let harbour: WrittenImage
    let fleet: Described
    let fleetImages: [String: WrittenImage]

    /// The layer of 3 MiB: large enough to be watched while it is on its way.
    var largeLayer: Described { harbour.layers[2] }
    /// A layer of a few hundred bytes, which is verified before its status line.
    var smallLayer: Described { harbour.layers[3] }

    static func shared() async throws -> Seed { try await making.value }

    /// The bytes of a blob or manifest, from where docker-registry keeps them.
    func bytes(of described: Described) throws -> [UInt8] {
        let hex = described.digest.dropFirst("sha256:".count)
        let path = "\(storage)/docker/registry/v2/blobs/sha256/\(hex.prefix(2))/\(hex)/data"
        return [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    private static let making = Task { try await make() }

    private static func make() async throws -> Seed {
        let storage = try Bench()  // kept for all tests; the undertaker removes it
        return try await withBench { bench in
            let layout = bench.path("layout")
            var images = try ImageLayout(in: layout)
            let base = try busybox()
            let harbour = try await images.addImage(
                tag: "harbour", architecture: "amd64", layers: [base, text(), noise(), trinket("harbour")], with: bench)
            var fleet: [String: WrittenImage] = [:]
            for architecture in ["amd64", "arm64"] {
                fleet[architecture] = try await images.addImage(
                    tag: architecture, architecture: architecture, layers: [base, trinket(architecture)], with: bench)
            }
            let index = try images.addIndex(tag: "fleet", of: ["amd64", "arm64"].compactMap { fleet[$0] })

            let registry = try await DebianRegistry.start(on: bench, storage: storage.path("registry"))
            try await registry.push("oci:\(layout):harbour", to: "library/harbour:latest", as: "oci", with: bench)
            try await registry.push("oci:\(layout):harbour", to: "library/dinghy:latest", as: "v2s2", with: bench)
            try await registry.push("oci:\(layout):harbour", to: "acme/tool:1.0", as: "oci", with: bench)
            try await registry.push("oci:\(layout):amd64", to: "acme/tool:1.1", as: "oci", with: bench)
            try await registry.push("oci:\(layout):fleet", to: "library/fleet:latest", with: bench)
            return Seed(storage: storage.path("registry"), harbour: harbour, fleet: index, fleetImages: fleet)
        }
    }

    private static func busybox() throws -> [UInt8] {
        let path = "/bin/busybox"
        guard let program = FileManager.default.contents(atPath: path) else {
            throw HarnessError("\(path) is missing; `deploy/test` installs busybox-static")
        }
        var archive = TarArchive()
        archive.addFolder("bin/")
        archive.addFile("bin/busybox", [UInt8](program), mode: 0o755)
        for name in ["sh", "ls", "cat", "echo"] { archive.addSymbolicLink("bin/\(name)", to: "busybox") }
        archive.addFolder("etc/")
        archive.addFile("etc/passwd", Array("root:x:0:0:root:/:/bin/sh\n".utf8))
        return archive.finish()
    }

    private static func text() -> [UInt8] {
        var archive = TarArchive()
        archive.addFolder("usr/")
        archive.addFolder("usr/share/")
        let lines = (0..<4000).map { "\($0) ships lie in the harbour\n" }.joined()
        archive.addFile("usr/share/ships.txt", Array(lines.utf8))
        return archive.finish()
    }

    /// Bytes of a fixed seed that do not compress, so that the layer stays as large as it looks.
    private static func noise() -> [UInt8] {
        var builder = ImageBuilder(seed: 0x5EED)
        var archive = TarArchive()
        archive.addFile("cargo.bin", builder.bytes(3 << 20))
        return archive.finish()
    }

    private static func trinket(_ word: String) -> [UInt8] {
        var archive = TarArchive()
        archive.addFile("etc/name", Array("\(word)\n".utf8))
        return archive.finish()
    }
}
