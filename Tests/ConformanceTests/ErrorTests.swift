// What is refused or cannot be had, and in which words: the OCI error form, RFC 9209 and RFC 9211.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("requests that are wrong") struct BadRequestTests {
        private static let digest = "sha256:" + String(repeating: "0", count: 64)

        @Test(arguments: [
            ("GET", "/v2/library/harbour/manifests/.latest", 404, "MANIFEST_UNKNOWN"),
            ("GET", "/v2/library/harbour/manifests/\(String(repeating: "a", count: 129))", 404, "MANIFEST_UNKNOWN"),
            ("GET", "/v2/library/harbour/manifests/sha256:xyz", 400, "DIGEST_INVALID"),
            ("GET", "/v2/library/harbour/blobs/sha256:xyz", 400, "DIGEST_INVALID"),
            ("GET", "/v2/library/harbour/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"),
            ("GET", "/v2/library/harbour/blobs/latest", 400, "DIGEST_INVALID"),
            ("GET", "/v2/Library/harbour/manifests/latest", 400, "NAME_INVALID"),
            ("GET", "/v2/library//harbour/manifests/latest", 400, "NAME_INVALID"),
            ("GET", "/v2/\(String(repeating: "a", count: 256))/blobs/\(digest)", 400, "NAME_INVALID"),
            ("PUT", "/v2/library/harbour/manifests/latest", 405, "UNSUPPORTED"),
            ("POST", "/v2/library/harbour/blobs/uploads/", 405, "UNSUPPORTED"),
            ("DELETE", "/v2/library/harbour/blobs/\(digest)", 405, "UNSUPPORTED"),
        ])
        func `is refused in the OCI form and the upstream is not asked`(
            method: String, path: String, status: Int, code: String
        ) async throws {
            try await withScene { scene in
                let seen = try await scene.upstream.during {
                    let fields = method == "GET" ? [:] : ["Content-Length": "0"]
                    let answer = try await ask(method, path, port: scene.mirror.port, fields)
                    #expect(answer.status == status, "\(answer.summary)")
                    #expect(answer.errorCode == code, "\(answer.summary)")
                    #expect(answer.fields["Content-Type"]?.hasPrefix("application/json") == true)
                }
                #expect(seen.isEmpty)
            }
        }

        @Test(arguments: [
            "/v2/library/../secret/manifests/latest", "/v2/library%2fharbour/manifests/latest",
            "/v2/library/harbour%00/manifests/latest", "/v2/library/%2e%2e/manifests/latest",
        ])
        func `a path that tries to climb is refused`(path: String) async throws {
            try await withScene { scene in
                let seen = try await scene.upstream.during {
                    let answer = try await scene.mirror.get(path)
                    #expect((400...404).contains(answer.status), "\(answer.summary)")
                }
                #expect(seen.isEmpty)
            }
        }

        @Test func `a host that is no upstream is never contacted`() async throws {
            try await withScene { scene in
                // It reads as a repository of the default upstream, which does not have it.
                let answer = try await scene.mirror.get("/v2/registry.example.test/acme/tool/manifests/1.0")
                #expect(answer.status == 404)
                #expect(answer.errorCode == "MANIFEST_UNKNOWN" || answer.errorCode == "NAME_UNKNOWN")
            }
        }

        @Test func `a request with both lengths is 400`() async throws {
            try await withScene { scene in
                let status = try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    try connection.send(
                        "GET", "/v2/", ["Content-Length": "4", "Transfer-Encoding": "chunked", "Connection": "close"])
                    return try connection.readHead().status
                }
                #expect(status == 400)
            }
        }
    }

    @Suite("an upstream that fails") struct UpstreamFailureTests {
        private let manifest = "/v2/library/harbour/manifests/latest"

        @Test func `a rate limit stays 429 with Retry-After for a manifest, a blob is 404 that says why`() async throws
        {
            try await withScene { scene in
                try scene.upstream.fail(with: 429)
                let answer = try await scene.mirror.get(manifest)
                #expect(answer.status == 429)
                #expect(answer.errorCode == "TOOMANYREQUESTS")
                #expect(answer.fields["Retry-After"] != nil)

                let blob = try await scene.mirror.get("/v2/library/harbour/blobs/\(scene.seed.largeLayer.digest)")
                #expect(blob.status == 404)
                #expect(blob.errorCode == "BLOB_UNKNOWN")
                #expect(blob.fields["Proxy-Status"]?.hasPrefix("wharf; error=") == true)
            }
        }

        @Test(arguments: [500, 503])
        func `an outage is never told as absence`(status: Int) async throws {
            try await withScene { scene in
                try scene.upstream.fail(with: status)
                let answer = try await scene.mirror.get(manifest)
                #expect((502...504).contains(answer.status), "\(answer.summary)")
                #expect(answer.errorCode != nil)
                #expect(answer.fields["Proxy-Status"]?.hasPrefix("wharf; error=") == true)
                // And it is not remembered: once the upstream is back, so is the manifest.
                try scene.upstream.fail(with: nil)
                try await eventually(within: .seconds(5), "the manifest comes again") {
                    try await scene.mirror.get(manifest).status == 200
                }
            }
        }

        @Test func `where it refuses even with a token the client gets 403 DENIED, never 401`() async throws {
            try await withScene { scene in
                try scene.upstream.fail(with: 403)
                let answer = try await scene.mirror.get(manifest)
                #expect(answer.status == 403)
                #expect(answer.errorCode == "DENIED")
            }
        }

        @Test func `nobody listening is told at once: a gateway error for a manifest, 404 for a blob`() async throws {
            try await withScene { scene in
                await scene.upstream.stop()
                let start = ContinuousClock.now
                let answer = try await scene.mirror.get(manifest)
                #expect((502...504).contains(answer.status), "\(answer.summary)")
                #expect(answer.errorCode != nil)
                #expect(answer.fields["Proxy-Status"]?.contains("error=connection_refused") == true)

                let blob = try await scene.mirror.get("/v2/library/harbour/blobs/\(scene.seed.largeLayer.digest)")
                #expect(blob.status == 404)
                #expect(blob.errorCode == "BLOB_UNKNOWN")
                #expect(blob.fields["Proxy-Status"]?.contains("error=connection_refused") == true)
                #expect(ContinuousClock.now - start < .seconds(8))
            }
        }

        @Test func `one that never answers is given up after first-byte-timeout`() async throws {
            let silence = try Silence()
            try await withBench { bench in
                let mirror = try await Mirror.start(
                    on: bench, configuration: Mirror.dockerHub(on: silence.port, ["first-byte-timeout: 1s"]))
                let start = ContinuousClock.now
                let answer = try await mirror.get(manifest)
                #expect(answer.status == 504, "\(answer.summary)")
                #expect(answer.errorCode != nil)
                let blob = try await mirror.get("/v2/library/harbour/blobs/\(Digest.of([]))")
                #expect(blob.status == 404)
                #expect(blob.errorCode == "BLOB_UNKNOWN")
                #expect(ContinuousClock.now - start < .seconds(10))
            }
        }

        @Test func `a token is fetched once for many requests, and none without need`() async throws {
            try await withScene(RecorderManners(asksForToken: true, redirectsBlobs: true)) { scene in
                let seen = try await scene.upstream.during {
                    try await scene.mirror.warm(manifest)
                    for blob in scene.seed.harbour.blobs {
                        try await scene.mirror.warm("/v2/library/harbour/blobs/\(blob.digest)")
                    }
                }
                #expect(seen.filter { $0.uri.hasPrefix("/token") }.count == 1)
                let redirected = seen.filter { $0.port != scene.upstream.port }
                #expect(redirected.filter { $0.method == "GET" }.count == scene.seed.harbour.blobs.count)
                #expect(redirected.allSatisfy { $0.authorization.isEmpty })
            }
        }

        @Test func `every request to it names this mirror and asks for bytes as they are`() async throws {
            try await withScene { scene in
                let seen = try await scene.upstream.during { try await scene.mirror.warm(manifest) }
                #expect(seen.allSatisfy { $0.agent.hasPrefix("wharf/") })
                #expect(seen.allSatisfy { $0.forwarded.hasPrefix("1.1 wharf-") })
                #expect(seen.filter(\.isManifest).allSatisfy { $0.accept.contains("vnd.oci.image.index.v1+json") })
            }
        }
    }
}

/// A port that takes connections and never says a word: the kernel accepts for whoever does not.
private final class Silence: Sendable {
    let port: Int
    private let descriptor: CInt

    init() throws {
        port = try freePort()
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let bound = withLoopback(port) { bind(descriptor, $0, $1) }
        guard bound == 0, listen(descriptor, 64) == 0 else { throw HarnessError("cannot listen on port \(port)") }
    }

    deinit { close(descriptor) }
}
