// Tiny images, indexes and blobs, the same for the same seed.
package import OCI

/// Bytes with their digest and type, as a registry keeps them.
package struct TestBlob: Hashable, Sendable {
    package let bytes: [UInt8]
    package let mediaType: MediaType
    package let digest: Digest

    package init(_ bytes: [UInt8], _ mediaType: MediaType = .octetStream, _ algorithm: Digest.Algorithm = .sha256) {
        self.bytes = bytes
        self.mediaType = mediaType
        digest = Digest.of(bytes, algorithm)
    }

    /// Its descriptor as JSON, with more members if given: `"platform":{…}`.
    package func descriptor(_ more: String? = nil) -> String {
        let rest = more.map { ",\($0)" } ?? ""
        return "{\"mediaType\":\"\(mediaType)\",\"digest\":\"\(digest)\",\"size\":\(bytes.count)\(rest)}"
    }
}

/// A manifest with what it names.
package struct TestImage: Sendable {
    package let manifest: TestBlob
    package let config: TestBlob
    package let layers: [TestBlob]
    package let architecture: String

    /// Config and layers.
    package var blobs: [TestBlob] { [config] + layers }
}

/// An image index with its images.
package struct TestIndex: Sendable {
    package let manifest: TestBlob
    package let images: [TestImage]
}

/// Builds from a seed. A value: two builders of one seed build the same things in the same order.
package struct ImageBuilder: Sendable {
    private var state: UInt64

    package init(seed: UInt64 = 1) { state = seed }

    /// Random bytes (SplitMix64): nothing compresses them, and no two runs are alike. Quick in debug builds too.
    package mutating func bytes(_ count: Int) -> [UInt8] {
        let words = UnsafeMutablePointer<UInt64>.allocate(capacity: count / 8 + 1)
        defer { words.deallocate() }
        for index in 0...count / 8 { words[index] = next().littleEndian }
        return [UInt8](UnsafeRawBufferPointer(start: words, count: count))
    }

    package mutating func blob(_ count: Int, _ mediaType: MediaType = .octetStream) -> TestBlob {
        TestBlob(bytes(count), mediaType)
    }

    /// An image with layers of these sizes in bytes.
    package mutating func image(
        layers: [Int] = [1000, 2000], architecture: String = "amd64", isDocker: Bool = false, annotation: String? = nil
    ) -> TestImage {
        let layers = layers.map { blob($0, isDocker ? .dockerLayer : .ociLayerGzip) }
        let ids = layers.map { "\"\($0.digest)\"" }.joined(separator: ",")
        let configuration = """
            {"architecture":"\(architecture)","os":"linux","config":{},"created":"2024-01-01T00:00:00Z",\
            "wharf":"\(next())","rootfs":{"type":"layers","diff_ids":[\(ids)]}}
            """
        let config = TestBlob(Array(configuration.utf8), isDocker ? .dockerConfig : .ociConfig)
        let type = isDocker ? MediaType.dockerManifest : .ociManifest
        let annotations = annotation.map { ",\"annotations\":{\"note\":\"\($0)\"}" } ?? ""
        let manifest = """
            {"schemaVersion":2,"mediaType":"\(type)","config":\(config.descriptor()),\
            "layers":[\(layers.map { $0.descriptor() }.joined(separator: ","))]\(annotations)}
            """
        return TestImage(
            manifest: TestBlob(Array(manifest.utf8), type), config: config, layers: layers, architecture: architecture)
    }

    /// An index of one image an architecture.
    package mutating func index(
        architectures: [String] = ["amd64", "arm64"], layers: [Int] = [1000], isDocker: Bool = false
    ) -> TestIndex {
        let images = architectures.map { image(layers: layers, architecture: $0, isDocker: isDocker) }
        let type = isDocker ? MediaType.dockerManifestList : .ociIndex
        let children = images.map {
            $0.manifest.descriptor("\"platform\":{\"architecture\":\"\($0.architecture)\",\"os\":\"linux\"}")
        }
        let text = """
            {"schemaVersion":2,"mediaType":"\(type)","manifests":[\(children.joined(separator: ","))]}
            """
        return TestIndex(manifest: TestBlob(Array(text.utf8), type), images: images)
    }

    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}
