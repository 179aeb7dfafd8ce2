// A real dockerd with a registry mirror, pulling through it from an upstream that acts like Docker Hub.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("docker pull through --registry-mirror") struct DockerTests {
        @Test func `a cold pull brings every layer through the mirror, each fetched once`() async throws {
            try await withDocker { scene in
                let (front, upstream) = try await scene.pull("harbour")
                let name = "/v2/library/harbour"
                let manifest = scene.seed.harbour.manifest.digest
                // `GET /v2/` comes first, then the tag by HEAD and its manifest by digest.
                #expect(
                    front.prefix(3).map { "\($0.method) \($0.uri)" } == [
                        "GET /v2/", "HEAD \(name)/manifests/latest", "GET \(name)/manifests/\(manifest)",
                    ])
                let blobs = Set(scene.seed.harbour.blobs.map { "\(name)/blobs/\($0.digest)" })
                #expect(Set(front.filter(\.isBlob).map(\.uri)) == blobs)
                #expect(front.allSatisfy { $0.status == 200 })

                let fetched = upstream.filter { $0.isBlob && $0.method == "GET" && $0.status == 200 }
                #expect(Set(fetched.map(\.uri)) == blobs)
                #expect(fetched.count == blobs.count)
            }
        }

        @Test func `what was redirected is fetched without the token`() async throws {
            try await withDocker { scene in
                let (_, upstream) = try await scene.pull("harbour")
                let elsewhere = upstream.filter { $0.port != scene.upstream.port }
                #expect(elsewhere.count >= scene.seed.harbour.blobs.count)
                #expect(elsewhere.allSatisfy { $0.authorization.isEmpty })
            }
        }

        @Test func `a warm pull asks the upstream nothing while the tag is fresh`() async throws {
            try await withDocker { scene in
                _ = try await scene.pull("harbour")
                try await scene.daemon.forgetImages()
                let (front, upstream) = try await scene.pull("harbour")
                #expect(front.filter(\.isBlob).count == scene.seed.harbour.blobs.count)
                #expect(upstream.isEmpty)
            }
        }

        @Test func `a warm pull costs one HEAD when the tag is no longer fresh`() async throws {
            try await withDocker(keys: ["fresh-for: 0s"]) { scene in
                _ = try await scene.pull("harbour")
                try await scene.daemon.forgetImages()
                let (_, upstream) = try await scene.pull("harbour")
                #expect(upstream.map { "\($0.method) \($0.uri)" } == ["HEAD /v2/library/harbour/manifests/latest"])
            }
        }

        @Test func `a pull works after the upstream has stopped`() async throws {
            try await withDocker(keys: ["fresh-for: 0s"]) { scene in
                _ = try await scene.pull("harbour")
                try await scene.daemon.forgetImages()
                await scene.upstream.stop()
                let before = try scene.hub.requestsForContent().count
                let front = try await scene.front.during { try await scene.daemon.pull("harbour") }
                #expect(front.allSatisfy { $0.status == 200 })
                #expect(try scene.hub.requestsForContent().count == before)
            }
        }

        @Test func `of an index only this machine's platform is fetched`() async throws {
            try await withDocker { scene in
                let (_, upstream) = try await scene.pull("fleet")
                let children = scene.seed.fleetImages.mapValues(\.manifest.digest)
                let asked = children.filter { child in upstream.contains { $0.uri.hasSuffix(child.value) } }
                #expect(asked.count == 1)
            }
        }

        @Test func `an image of Docker's schema 2 is pulled`() async throws {
            try await withDocker { scene in
                let (front, _) = try await scene.pull("dinghy")
                #expect(front.filter(\.isBlob).count == scene.seed.harbour.blobs.count)
            }
        }

        @Test func `an image is pulled by its digest`() async throws {
            try await withDocker { scene in
                let (front, _) = try await scene.pull("harbour@\(scene.seed.harbour.manifest.digest)")
                #expect(front.filter { $0.method == "HEAD" }.isEmpty)
                #expect(front.filter(\.isBlob).count == scene.seed.harbour.blobs.count)
            }
        }

        @Test func `where the mirror is gone dockerd does turn to Docker Hub, and is seen there`() async throws {
            // The counter-proof: without it "saw no request for content" could be true of a hub that nobody finds.
            try await withDocker { scene in
                await scene.front.stop()
                let before = try scene.hub.requestsForContent().count
                let (status, _) = try await scene.daemon.docker("pull", "harbour")
                #expect(status != 0)
                #expect(try scene.hub.requestsForContent().count > before)
            }
        }
    }
}
