// distribution-spec v1.1 for a hosted repository, over the wire: every answer's status, code and fields.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("A hosted repository, by the spec") struct HostingSpecTests {
        private static let ours = "/v2/acme/team/app"
        private static let uploads = ours + "/blobs/uploads/"

        /// What holds of every answer: a type where there is a body, and a list of errors where it is one.
        private func check(_ answer: Answer, _ status: Int, _ code: String? = nil, what: String) {
            #expect(answer.status == status, "\(what): \(answer.summary)")
            if let code { #expect(answer.errorCode == code, "\(what): \(answer.summary)") }
            if answer.status != 204 { #expect(answer.fields["Content-Type"] != nil, "\(what)") }
            if answer.status >= 400 { #expect(answer.fields["Content-Type"] == "application/json", "\(what)") }
            #expect(answer.fields["Docker-Distribution-Api-Version"] == "registry/2.0", "\(what)")
        }

        @Test func `what goes wrong is told in the spec's words`() async throws {
            try await withHosting { scene in
                let (blob, digest) = ([1, 2, 3] as [UInt8], Digest.of([1, 2, 3]))
                let location = try #require(try await scene.send("POST", Self.uploads).fields["Location"])
                let type = ["Content-Type": "\(MediaType.ociManifest)"]
                let named = HostedScene.manifest(of: [digest])
                let cases: [(String, String, [String: String], [UInt8], Int, String)] = [
                    ("GET", "/blobs/\(digest)", [:], [], 404, "BLOB_UNKNOWN"),
                    ("DELETE", "/blobs/\(digest)", [:], [], 404, "BLOB_UNKNOWN"),
                    ("GET", "/blobs/sha256:bad", [:], [], 400, "DIGEST_INVALID"),
                    ("PUT", "/blobs/\(digest)", [:], blob, 405, "UNSUPPORTED"),
                    ("GET", "/manifests/v1", [:], [], 404, "MANIFEST_UNKNOWN"),
                    ("DELETE", "/manifests/v1", [:], [], 404, "MANIFEST_UNKNOWN"),
                    ("DELETE", "/manifests/\(digest)", [:], [], 404, "MANIFEST_UNKNOWN"),
                    ("PUT", "/manifests/v1", type, named, 404, "MANIFEST_BLOB_UNKNOWN"),
                    ("PUT", "/manifests/v1", type, [0x5b, 0x5d], 400, "MANIFEST_INVALID"),
                    ("PUT", "/manifests/\(digest)", type, Array("{}".utf8), 400, "DIGEST_INVALID"),
                    ("PUT", "/manifests/sha256:bad", type, Array("{}".utf8), 400, "DIGEST_INVALID"),
                    ("POST", "/manifests/v1", type, Array("{}".utf8), 405, "UNSUPPORTED"),
                    ("GET", "/tags/list", [:], [], 404, "NAME_UNKNOWN"),
                    ("DELETE", "/tags/list", [:], [], 405, "UNSUPPORTED"),
                    ("POST", "/blobs/uploads/?digest=\(Digest.of([9]))", [:], blob, 400, "DIGEST_INVALID"),
                    ("POST", "/blobs/uploads/?digest=sha256:bad", [:], blob, 400, "DIGEST_INVALID"),
                    ("GET", "/blobs/uploads/none", [:], [], 404, "BLOB_UPLOAD_UNKNOWN"),
                    ("PATCH", "/blobs/uploads/none", [:], blob, 404, "BLOB_UPLOAD_UNKNOWN"),
                    ("PUT", "/blobs/uploads/none?digest=\(digest)", [:], blob, 404, "BLOB_UPLOAD_UNKNOWN"),
                    ("DELETE", "/blobs/uploads/none", [:], [], 404, "BLOB_UPLOAD_UNKNOWN"),
                ]
                for (method, path, fields, body, status, code) in cases {
                    check(
                        try await scene.send(method, Self.ours + path, fields, body: body), status, code,
                        what: "\(method) \(path)")
                }
                let chunk = try await scene.send("PATCH", location, ["Content-Range": "5-7"], body: blob)
                check(chunk, 416, "BLOB_UPLOAD_INVALID", what: "out of order")
                #expect(chunk.fields["Location"] == location && chunk.fields["Range"] == "0-0")
                let short = try await scene.send("PATCH", location, ["Content-Range": "0-9"], body: blob)
                check(short, 400, "SIZE_INVALID", what: "another length")
                let unnamed = try await scene.send("PUT", location, body: blob)
                check(unnamed, 400, "DIGEST_INVALID", what: "no digest")
                #expect(try await scene.send("HEAD", Self.ours + "/blobs/\(digest)").status == 404)
            }
        }

        @Test(arguments: Digest.Algorithm.allCases)
        func `a blob comes in chunks, is told how far, and is gone at once`(algorithm: Digest.Algorithm) async throws {
            try await withHosting { scene in
                let bytes = (0..<3000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
                let digest = Digest.of(bytes, algorithm)
                let begun = try await scene.send("POST", Self.uploads)
                check(begun, 202, what: "begun")
                #expect(begun.fields["Range"] == "0-0" && begun.fields["OCI-Chunk-Min-Length"] == "1")
                var location = try #require(begun.fields["Location"])
                for start in [0, 1000, 2000] {
                    let sent = try await scene.send(
                        "PATCH", location, ["Content-Range": "\(start)-\(start + 999)"],
                        body: Array(bytes[start..<start + 1000]))
                    check(sent, 202, what: "from \(start)")
                    #expect(sent.fields["Range"] == "0-\(start + 999)")
                    location = try #require(sent.fields["Location"])
                    let status = try await scene.send("GET", location)
                    check(status, 204, what: "how far")
                    #expect(status.fields["Range"] == "0-\(start + 999)" && status.fields["Location"] == location)
                }
                let done = try await scene.send("PUT", location + "?digest=\(digest)")
                check(done, 201, what: "done")
                #expect(done.fields["Docker-Content-Digest"] == "\(digest)")
                let place = try #require(done.fields["Location"])
                let read = try await scene.send("GET", place)
                check(read, 200, what: "read")
                #expect(read.body == bytes)
                check(try await scene.send("DELETE", place), 202, what: "deleted")
                for port in [scene.login, scene.mirror.port] {
                    #expect(try await push("GET", place, port: port).errorCode == "BLOB_UNKNOWN")
                }
            }
        }

        @Test func `an artifact and what refers to it, as oras pushes them`() async throws {
            try await withHosting { scene in
                try await scene.pushImage([7], to: "acme/team/app", tag: "v1")
                let image = HostedScene.manifest(of: [Digest.of([7])])
                let empty = Array("{}".utf8)
                let report = Array("no holes\n".utf8)
                for blob in [empty, report] {
                    let place = Self.ours + "/blobs/\(Digest.of(blob))"
                    #expect(try await scene.send("HEAD", place).status == 404)
                    let location = try #require(try await scene.send("POST", Self.uploads).fields["Location"])
                    let put = try await scene.send("PUT", location + "?digest=\(Digest.of(blob))", body: blob)
                    check(put, 201, what: "blob")
                    #expect(try await scene.send("HEAD", place).status == 200)
                }
                func descriptor(_ bytes: [UInt8], _ type: String) -> String {
                    #"{"mediaType":"\#(type)","digest":"\#(Digest.of(bytes))","size":\#(bytes.count)}"#
                }
                let text = """
                    {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","artifactType":"text/report",\
                    "config":\(descriptor(empty, "\(MediaType.ociEmpty)")),"layers":[\(descriptor(report, "text/plain"))],\
                    "subject":\(descriptor(image, "\(MediaType.ociManifest)")),"annotations":{"by":"hand"}}
                    """
                let bytes = Array(text.utf8)
                let put = try await scene.send(
                    "PUT", Self.ours + "/manifests/\(Digest.of(bytes))", ["Content-Type": "\(MediaType.ociManifest)"],
                    body: bytes)
                check(put, 201, what: "artifact")
                #expect(put.fields["OCI-Subject"] == "\(Digest.of(image))")
                let list = try await scene.mirror.get(
                    Self.ours + "/referrers/\(Digest.of(image))?artifactType=text%2Freport")
                check(list, 200, what: "referrers")
                #expect(list.fields["OCI-Filters-Applied"] == "artifactType")
                #expect(list.text.contains("\(Digest.of(bytes))") && list.text.contains(#""by":"hand""#))
                let read = try await scene.mirror.get(Self.ours + "/manifests/\(Digest.of(bytes))")
                #expect(read.body == bytes)
                #expect(try await scene.mirror.get(Self.ours + "/blobs/\(Digest.of(report))").body == report)
            }
        }
    }
}
