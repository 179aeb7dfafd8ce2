// Manifests and indexes as registries send them, and as those who mean harm do.

import OCI
import Testing

private let a = "sha256:" + String(repeating: "a", count: 64)
private let b = "sha256:" + String(repeating: "b", count: 64)
private let c = "sha256:" + String(repeating: "c", count: 64)

private func descriptor(_ digest: String, _ type: MediaType = .ociLayerGzip, extra: String = "") -> String {
    #"{"mediaType":"\#(type)","digest":"\#(digest)","size":10\#(extra)}"#
}

private func parse(_ json: String, _ type: MediaType? = nil) throws(ManifestError) -> Manifest {
    try Manifest(parsing: Array(json.utf8), declaredType: type)
}

@Suite("Manifest: image-spec v1.1") struct ManifestTests {
    @Test(arguments: [MediaType.ociManifest, .dockerManifest])
    func `an image manifest names its config and layers`(type: MediaType) throws {
        let manifest = try parse(
            #"""
            {"schemaVersion":2,"mediaType":"\#(type)","config":\#(descriptor(a, .ociConfig)),
             "layers":[\#(descriptor(b)),\#(descriptor(c))],"annotations":{"k":"v"}}
            """#, .octetStream)
        #expect(manifest.kind == .manifest)
        #expect(manifest.mediaType == type)
        #expect(manifest.linked.map { "\($0.digest)" } == [a, b, c])
        #expect(manifest.config?.size == 10)
    }

    @Test(arguments: [MediaType.ociIndex, .dockerManifestList])
    func `an index names its children and their platforms`(type: MediaType) throws {
        let platform = #","platform":{"architecture":"arm","os":"linux","variant":"v7","os.features":["x"]}"#
        let index = try parse(
            #"{"schemaVersion":2,"manifests":[\#(descriptor(a, .ociManifest, extra: platform)),\#(descriptor(b))]}"#,
            type)
        #expect(index.kind == .index)
        #expect(index.mediaType == type)
        #expect(index.manifests[0].platform == .init(architecture: "arm", os: "linux", variant: "v7"))
        #expect(index.linked.map { "\($0.digest)" } == [a, b])
    }

    @Test func `without any type the members tell`() throws {
        #expect(try parse(#"{"layers":[]}"#).mediaType == .ociManifest)
        #expect(try parse(#"{"manifests":[]}"#, .json).mediaType == .ociIndex)
        #expect(try parse("{}").kind == .other)
        #expect(try parse("{}", .json).mediaType == .json)
        #expect(try parse("{}", .ociIndex).kind == .index)
    }

    @Test func `types that nobody here knows are kept`() throws {
        let type = MediaType(rawValue: "application/vnd.acme.thing.v9+json")
        let thing = try parse(#"{"mediaType":"\#(type)","layers":[\#(descriptor(a, type))],"thing":[1,{"x":null}]}"#)
        #expect(thing.mediaType == type)
        #expect(thing.kind == .manifest)
        #expect(thing.layers[0].mediaType == type)
        #expect(try parse("{}", type).mediaType == type)
        #expect(try parse(#"{"artifactType":"a/b","subject":\#(descriptor(a))}"#).artifactType?.rawValue == "a/b")
    }

    @Test func `the document's type counts before the declared one`() throws {
        let manifest = try parse(#"{"mediaType":"\#(MediaType.ociManifest)","layers":[]}"#, .dockerManifest)
        #expect(manifest.mediaType == .ociManifest)
    }

    @Test func `foreign layers, layers with urls and the subject are not linked`() throws {
        let odd = MediaType(rawValue: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
        let manifest = try parse(
            #"""
            {"layers":[\#(descriptor(a, .dockerForeignLayer)),\#(descriptor(a, odd)),
                       \#(descriptor(a, extra: #","urls":["http://169.254.169.254/"]"#)),
                       \#(descriptor(b, extra: #","urls":[]"#))],
             "subject":\#(descriptor(c, .ociManifest))}
            """#)
        #expect(manifest.layers.count == 4)
        #expect("\(try #require(manifest.subject).digest)" == c)
        #expect(manifest.linked.map { "\($0.digest)" } == [b])
    }

    @Test func `the blobs of an artefact manifest are its layers`() throws {
        let artefact = try parse(#"{"mediaType":"\#(MediaType.ociArtifact)","blobs":[\#(descriptor(a))]}"#)
        #expect(artefact.linked.map { "\($0.digest)" } == [a])
    }
}

@Suite("Manifest: what is refused") struct ManifestRefusalTests {
    @Test(arguments: [
        "", " ", "null", "[]", "1", "\"x\"", "{", "{}}", "{} x", "{'a':1}", "<html></html>", "{\"a\":}",
        "\u{FEFF}{}", "{\"layers\":[}", "{\u{0}}", "{,}",
    ])
    func `what is no JSON object`(text: String) {
        #expect(throws: ManifestError.notJSONObject) { try parse(text) }
    }

    @Test func `text that is not UTF-8`() {
        #expect(throws: ManifestError.notJSONObject) {
            try Manifest(
                parsing: Array("{\"mediaType\":\"".utf8) + [0xFF, 0xFE] + Array("\"}".utf8), declaredType: nil)
        }
        #expect(throws: ManifestError.notJSONObject) {
            try Manifest(parsing: "{\"a\":1}".utf16.flatMap { [UInt8($0), 0] }, declaredType: nil)
        }
    }

    @Test func `nesting without end`() {
        let depth = 2_000_000
        #expect(throws: ManifestError.notJSONObject) {
            try parse(String(repeating: "{\"a\":", count: depth / 3) + "1" + String(repeating: "}", count: depth / 3))
        }
        #expect(throws: ManifestError.notJSONObject) { try parse("{\"x\":" + String(repeating: "[", count: depth)) }
    }

    @Test func `more than 4 MiB`() {
        let size = Manifest.sizeLimit + 1
        #expect(throws: ManifestError.tooLarge(size)) {
            try Manifest(parsing: [UInt8](repeating: 0x20, count: size), declaredType: nil)
        }
        #expect(throws: ManifestError.notJSONObject) {
            try Manifest(parsing: [UInt8](repeating: 0x20, count: size - 1), declaredType: nil)
        }
    }

    @Test(arguments: [
        #"{"schemaVersion":1}"#, #"{"schemaVersion":1.0,"layers":[]}"#, #"{"schemaVersion":2,"fsLayers":[]}"#,
        #"{"mediaType":"application/vnd.docker.distribution.manifest.v1+prettyjws"}"#,
        #"{"mediaType":"application/vnd.docker.distribution.manifest.v1+json; charset=utf-8"}"#,
        #"{"schemaVersion":1,"manifests":[],"layers":[]}"#,
    ])
    func `schema 1, however it shows`(text: String) {
        #expect(throws: ManifestError.schema1) { try parse(text) }
    }

    @Test func `what is declared as schema 1, whatever it holds`() {
        #expect(throws: ManifestError.schema1) { try parse("{}", .dockerSchema1Signed) }
        #expect(throws: ManifestError.schema1) { try parse("not even JSON", .dockerSchema1) }
    }

    @Test(arguments: [
        (#"{"manifests":[],"layers":[]}"#, MediaType?.none), (#"{"manifests":null,"layers":[]}"#, nil),
        (#"{"layers":null,"manifests":null}"#, nil), (#"{"manifests":[],"blobs":[]}"#, nil),
        (#"{"layers":[]}"#, .ociIndex), (#"{"manifests":[]}"#, .dockerManifest),
        (#"{"mediaType":"\#(MediaType.ociIndex)","layers":[]}"#, nil),
        (#"{"mediaType":"\#(MediaType.ociManifest)","manifests":[]}"#, .ociIndex),
        (#"{"manifests":"no array","layers":7}"#, nil),
    ])
    func `what two clients could read as two things`(text: String, type: MediaType?) {
        #expect(throws: ManifestError.ambiguous) { try parse(text, type) }
    }

    @Test(arguments: [
        (#"{"layers":{}}"#, "layers"), (#"{"layers":[1]}"#, "layers[0]"), (#"{"layers":[null]}"#, "layers[0]"),
        (#"{"layers":[{}]}"#, "layers[0]"), (#"{"mediaType":7}"#, "mediaType"), (#"{"config":[]}"#, "config"),
        (#"{"schemaVersion":"2"}"#, "schemaVersion"), (#"{"schemaVersion":[]}"#, "schemaVersion"),
        (#"{"layers":[{"mediaType":"a","digest":"sha256:x","size":1}]}"#, "layers[0].digest"),
        (#"{"layers":[{"mediaType":"a","digest":"../../etc/passwd","size":1}]}"#, "layers[0].digest"),
        (#"{"layers":[{"mediaType":"a","digest":"\#(a)","size":-1}]}"#, "layers[0].size"),
        (#"{"layers":[{"mediaType":"a","digest":"\#(a)","size":1e999}]}"#, "layers[0].size"),
        (#"{"layers":[{"mediaType":"a","digest":"\#(a)","size":9223372036854775808}]}"#, "layers[0].size"),
        (#"{"layers":[{"mediaType":"a","digest":"\#(a)","size":1.5}]}"#, "layers[0].size"),
        (#"{"layers":[{"mediaType":"a","digest":"\#(a)","size":"1"}]}"#, "layers[0].size"),
        (#"{"layers":[{"mediaType":"a","digest":"\#(a)","size":1,"urls":"x"}]}"#, "layers[0].urls"),
        (#"{"layers":[{"mediaType":"a","digest":"\#(a)"}]}"#, "layers[0]"),
        (#"{"manifests":[{"mediaType":"a","digest":"\#(a)","size":1,"platform":7}]}"#, "manifests[0].platform"),
        (#"{"subject":"\#(a)"}"#, "subject"),
    ])
    func `a member of the wrong kind, and the message says which`(text: String, path: String) {
        #expect {
            try parse(text)
        } throws: { error in
            guard case .malformed(let message) = error as? ManifestError else { return false }
            return message.hasPrefix(path + ":") && message.utf8.count < 250
        }
    }

    @Test func `a number too large for schemaVersion is no crash`() throws {
        for number in ["1e99999", "-1e99999", "1e-99999", String(repeating: "9", count: 100_000)] {
            #expect(try parse(#"{"schemaVersion":\#(number)}"#).kind == .other)
        }
    }

    @Test func `of a key that comes twice one is read, and the other links nothing`() throws {
        let manifest = try parse(#"{"layers":[\#(descriptor(a))],"layers":[\#(descriptor(b))]}"#)
        #expect(manifest.linked.count == 1)
    }
}
