// Error bodies, error codes and media types.

import OCI
import Testing

@Suite("ErrorCode") struct ErrorCodeTests {
    @Test func `the spec's 14 codes are all there`() {
        let spec: Set = [
            "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
            "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED",
            "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
        ]
        #expect(spec.isSubset(of: Set(ErrorCode.allCases.map(\.rawValue))))
        #expect(ErrorCode.allCases.allSatisfy { (400...599).contains($0.status) && !$0.message.isEmpty })
    }

    @Test func `a body is what the spec shows`() {
        let body = String(decoding: ErrorBody.json(.manifestUnknown, "no such tag", detail: "x"), as: UTF8.self)
        #expect(body == #"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such tag","detail":"x"}]}"# + "\n")
        let short = String(decoding: ErrorBody.json(.denied), as: UTF8.self)
        #expect(short.contains(ErrorCode.denied.message))
    }

    @Test(arguments: [
        "\"\\\n\r\t\u{0}\u{1F}\u{7F}", "é 🐳 \u{2028}", "</script>", "", "\"}]}", String(repeating: "\\", count: 999),
    ])
    func `any message survives, whatever it is made of`(message: String) {
        let body = ErrorBody(parsing: ErrorBody.json(.unknown, message))
        #expect(body?.message == message)
        #expect(body?.code == "UNKNOWN")
    }

    @Test(arguments: [
        "", "{}", "{\"errors\":[]}", "{\"errors\":{}}", "Too Many Requests (HAP429).", "[]", "{\"errors\":[1]}",
    ])
    func `a body of another form has no message`(text: String) {
        #expect(ErrorBody(parsing: Array(text.utf8)) == nil)
    }

    @Test func `an upstream's body may lack a message and have any detail`() {
        let body = ErrorBody(parsing: Array(#"{"errors":[{"code":"X","detail":[{"a":1}]},{"code":"Y"}]}"#.utf8))
        #expect(body?.code == "X")
        #expect(body?.message == "")
    }
}

@Suite("MediaType") struct MediaTypeTests {
    @Test(arguments: [
        ("application/json", "application/json"), ("Application/JSON; charset=utf-8", "application/json"),
        (" text/html ;q=1", "text/html"), ("a/b", "a/b"),
    ])
    func `of a field the type alone is kept`(field: String, type: String) {
        #expect(MediaType(field: field)?.rawValue == type)
    }

    @Test(arguments: ["", " ", ";", "; charset=utf-8"])
    func `an empty field is no type`(field: String) {
        #expect(MediaType(field: field) == nil)
    }

    @Test func `upstreams are asked for every manifest but schema 1`() {
        for type in [MediaType.ociManifest, .ociIndex, .dockerManifest, .dockerManifestList] {
            #expect(MediaType.accepted.contains(type.rawValue))
        }
        #expect(!MediaType.accepted.contains("docker.distribution.manifest.v1"))
    }
}
