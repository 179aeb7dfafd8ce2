// end-3 from outside: manifests by tag and by digest, cold, warm and stale.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("end-3: GET and HEAD /v2/<name>/manifests/<reference>") struct ManifestTests {
        private let path = "/v2/library/harbour/manifests/latest"

        @Test func `a manifest by tag comes with its bytes and every field a client needs`() async throws {
            try await withScene { scene in
                let answer = try await scene.mirror.get(path)
                let digest = scene.seed.harbour.manifest.digest
                #expect(answer.status == 200)
                #expect(Digest.of(answer.body).description == digest)
                #expect(answer.fields["Docker-Content-Digest"] == digest)
                #expect(answer.fields["ETag"] == "\"\(digest)\"")
                #expect(answer.fields["Content-Type"] == "application/vnd.oci.image.manifest.v1+json")
                #expect(answer.fields["Content-Length"] == "\(scene.seed.harbour.manifest.size)")
                #expect(answer.fields["Docker-Distribution-Api-Version"] == "registry/2.0")
                #expect(answer.cacheStatus.hasPrefix("wharf; fwd="))
            }
        }

        @Test func `HEAD has the fields of GET and no body`() async throws {
            try await withScene { scene in
                for request in ["cold", "warm"] {
                    let answer = try await scene.mirror.head(path)
                    #expect(answer.status == 200, "\(request)")
                    #expect(answer.fields["Docker-Content-Digest"] == scene.seed.harbour.manifest.digest, "\(request)")
                    #expect(answer.fields["Content-Length"] == "\(scene.seed.harbour.manifest.size)", "\(request)")
                    #expect(answer.fields["Content-Type"] == scene.seed.harbour.manifest.mediaType, "\(request)")
                }
            }
        }

        @Test func `a fresh tag and its digest are answered without asking the upstream`() async throws {
            try await withScene { scene in
                try await scene.mirror.warm(path)
                let seen = try await scene.upstream.during {
                    let byTag = try await scene.mirror.get(path)
                    #expect(byTag.cacheStatus.hasPrefix("wharf; hit"))
                    let digest = scene.seed.harbour.manifest.digest
                    let byDigest = try await scene.mirror.get("/v2/library/harbour/manifests/\(digest)")
                    #expect(byDigest.status == 200)
                    #expect(byDigest.body == byTag.body)
                }
                #expect(seen.isEmpty)
            }
        }

        @Test func `what a client accepts changes nothing: the index is answered as it is`() async throws {
            try await withScene { scene in
                let accepted = [
                    "*/*", "application/vnd.docker.distribution.manifest.v2+json",
                    "application/vnd.oci.image.index.v1+json, */*",
                ]
                for accept in accepted {
                    let answer = try await scene.mirror.get("/v2/library/fleet/manifests/latest", ["Accept": accept])
                    #expect(answer.fields["Docker-Content-Digest"] == scene.seed.fleet.digest, "\(accept)")
                    #expect(answer.fields["Content-Type"] == scene.seed.fleet.mediaType, "\(accept)")
                }
            }
        }

        @Test func `a Docker schema 2 manifest keeps its media type`() async throws {
            try await withScene { scene in
                let answer = try await scene.mirror.get("/v2/library/dinghy/manifests/latest")
                #expect(answer.fields["Content-Type"] == "application/vnd.docker.distribution.manifest.v2+json")
                #expect(answer.fields["Docker-Content-Digest"] == Digest.of(answer.body).description)
            }
        }

        @Test func `a client that has it is answered 304`() async throws {
            try await withScene { scene in
                let etag = try #require(try await scene.mirror.get(path).fields["ETag"])
                let answer = try await scene.mirror.get(path, ["If-None-Match": etag])
                #expect(answer.status == 304)
                #expect(answer.body.isEmpty)
            }
        }

        @Test func `a one-part name is Docker's library, with and without the host in front`() async throws {
            try await withScene { scene in
                let names = ["harbour", "docker.io/harbour", "docker.io/library/harbour"]
                for name in names {
                    let answer = try await scene.mirror.get("/v2/\(name)/manifests/latest")
                    #expect(answer.status == 200, "\(name)")
                    #expect(answer.fields["Docker-Content-Digest"] == scene.seed.harbour.manifest.digest, "\(name)")
                }
            }
        }

        @Test func `knowing a digest is not enough: another repository does not show it`() async throws {
            try await withScene { scene in
                try await scene.mirror.warm(path)
                let digest = scene.seed.harbour.manifest.digest
                let answer = try await scene.mirror.get("/v2/library/stranger/manifests/\(digest)")
                #expect(answer.status == 404)
                #expect(answer.errorCode == "MANIFEST_UNKNOWN")
            }
        }

        @Test func `an unknown tag is 404 MANIFEST_UNKNOWN and remembered for a while`() async throws {
            try await withScene { scene in
                let first = try await scene.mirror.get("/v2/library/harbour/manifests/none")
                #expect(first.status == 404)
                #expect(first.errorCode == "MANIFEST_UNKNOWN")
                #expect(first.cacheStatus.contains("fwd-status=404"))
                let seen = try await scene.upstream.during {
                    let second = try await scene.mirror.get("/v2/library/harbour/manifests/none")
                    #expect(second.status == 404)
                    #expect(second.errorCode == "MANIFEST_UNKNOWN")
                    #expect(second.cacheStatus.hasPrefix("wharf; hit"))
                }
                #expect(seen.isEmpty)
            }
        }
    }

    @Suite("a tag that is no longer fresh") struct StaleTagTests {
        private let path = "/v2/library/harbour/manifests/latest"

        @Test func `one HEAD is all the upstream sees when the tag has not moved`() async throws {
            try await withScene(keys: ["fresh-for: 0s"]) { scene in
                try await scene.mirror.warm(path)
                let seen = try await scene.upstream.during {
                    let answer = try await scene.mirror.get(path)
                    #expect(answer.status == 200)
                    #expect(answer.cacheStatus.contains("fwd=stale"))
                }
                #expect(seen.map(\.description) == ["HEAD \(path) -> 304 0 B"])
            }
        }

        @Test func `a tag that moved is served as it is now`() async throws {
            try await withScene(keys: ["fresh-for: 0s"], ownStorage: true) { scene in
                #expect(try await scene.mirror.get("/v2/acme/tool/manifests/1.0").status == 200)
                let image = "docker://127.0.0.1:\(scene.registry.port)/acme/tool:1.1"
                try await scene.bench.succeed(
                    "skopeo",
                    [
                        "copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false",
                        image, image.replacing("1.1", with: "1.0"),
                    ])
                let answer = try await scene.mirror.get("/v2/acme/tool/manifests/1.0")
                let moved = try #require(scene.seed.fleetImages["amd64"]).manifest.digest
                #expect(answer.fields["Docker-Content-Digest"] == moved)
                #expect(Digest.of(answer.body).description == moved)
            }
        }

        @Test(arguments: [429, 503, 500, 403])
        func `the stored one is served, and marked, when the upstream fails`(status: Int) async throws {
            try await withScene(keys: ["fresh-for: 0s"]) { scene in
                try await scene.mirror.warm(path)
                try scene.upstream.fail(with: status)
                let answer = try await scene.mirror.get(path)
                #expect(answer.status == 200)
                #expect(Digest.of(answer.body).description == scene.seed.harbour.manifest.digest)
                #expect(answer.cacheStatus.contains("fwd=stale"))
                #expect(answer.fields["Warning"]?.hasPrefix("299 - \"") == true)
            }
        }

        @Test func `the stored one is served when nobody listens at the upstream's address`() async throws {
            try await withScene(keys: ["fresh-for: 0s"]) { scene in
                try await scene.mirror.warm(path)
                await scene.upstream.stop()
                let answer = try await scene.mirror.get(path)
                #expect(answer.status == 200)
                #expect(answer.fields["Warning"] != nil)
            }
        }
    }
}
