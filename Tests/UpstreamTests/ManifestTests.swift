// Manifests and tags of an upstream: what is asked, what is read, what is refused.
import HTTPSemantics
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("end-3 and end-8 of an upstream") struct ManifestTests {
    private let name = Laboratory.name
    private let tag = Reference("3")!  // a literal of the grammar

    @Test func `resolve asks by HEAD and tells digest, type and size`() async throws {
        try await Laboratory.run { laboratory in
            var builder = ImageBuilder()
            let image = laboratory.stub.add(builder.image(), to: "\(name)", tag: "3")
            let facts = try await laboratory.upstream().resolve(name, tag)
            #expect(
                facts
                    == ManifestFacts(
                        digest: image.manifest.digest, mediaType: .ociManifest,
                        size: Int64(image.manifest.bytes.count)))
            let request = try #require(laboratory.stub.log.requests.first)
            #expect(request.method == "HEAD")
            #expect(request["Accept"] == MediaType.accepted)
            #expect(request["Accept-Encoding"] == "identity")
            #expect(request["User-Agent"] == "wharf/0.1.0")
            #expect(request["Via"] == "1.1 wharf-test")
        }
    }

    @Test func `a manifest comes byte for byte, by tag and by digest`() async throws {
        try await Laboratory.run { laboratory in
            var builder = ImageBuilder()
            let index = laboratory.stub.add(builder.index(isDocker: true), to: "\(name)", tag: "3")
            let upstream = laboratory.upstream()
            for reference in [tag, .digest(index.manifest.digest)] {
                let fetched = try await upstream.manifest(name, reference)
                #expect(fetched.bytes == index.manifest.bytes)
                #expect(fetched.mediaType == .dockerManifestList)
                #expect(fetched.digest == index.manifest.digest)
            }
            let requests = laboratory.stub.log.requests
            #expect(requests.allSatisfy { $0.method == "GET" && $0["Accept"] == MediaType.accepted })
            #expect(upstream.figures.first?.bytes == Int64(2 * index.manifest.bytes.count))
        }
    }

    @Test func `a digest field that is none is no digest`() async throws {
        try await Laboratory.run { laboratory in
            var builder = ImageBuilder()
            laboratory.stub.add(builder.image(), to: "\(name)", tag: "3")
            laboratory.stub.inject(.fields([("Docker-Content-Digest", "sha256:xyz")]), into: "manifests")
            let facts = try await laboratory.upstream().resolve(name, tag)
            #expect(facts.digest == nil)
        }
    }

    @Test func `a 404 is unknown, told in the registry's words`() async throws {
        try await Laboratory.run { laboratory in
            let upstream = laboratory.upstream()
            let error = await failure { () async throws(UpstreamError) in try await upstream.manifest(name, tag) }
            guard case .unknown(let message) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(message.contains("MANIFEST_UNKNOWN"))
            #expect(upstream.figures.first?.errors == 0)
            #expect(upstream.figures.first?.isHealthy == true)
        }
    }

    @Test func `a rate limit is told with its delay, and the figures keep what remains`() async throws {
        try await Laboratory.run(StubOptions(rateLimit: (100, 76))) { laboratory in
            var builder = ImageBuilder()
            laboratory.stub.add(builder.image(), to: "\(name)", tag: "3")
            let upstream = laboratory.upstream()
            _ = try await upstream.resolve(name, tag)
            let seen = RateLimit(limit: 100, remaining: 76, windowSeconds: 21600, source: "127.0.0.1")
            #expect(upstream.figures.first?.rateLimit == seen)
            laboratory.stub.inject(.status(429, body: "slow down", fields: [("Retry-After", "7")]), into: "manifests")
            let error = await failure { () async throws(UpstreamError) in try await upstream.manifest(name, tag) }
            guard case .rateLimited(.seconds(7), let message) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(message.contains("slow down"))
            #expect(upstream.figures.first?.errors == 1)
        }
    }

    @Test func `an HTML page is refused`() async throws {
        try await Laboratory.run { laboratory in
            laboratory.stub.inject(.html, into: "manifests")
            let upstream = laboratory.upstream()
            let error = await failure { () async throws(UpstreamError) in try await upstream.manifest(name, tag) }
            guard case .refused = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
    }

    @Test(arguments: [true, false])
    func `more than 4 MiB is refused, announced or not`(_ isAnnounced: Bool) async throws {
        try await Laboratory.run { laboratory in
            let digest = laboratory.stub.add(
                manifest: TestBlob([UInt8](repeating: 32, count: Manifest.sizeLimit + 1), .ociManifest), to: "\(name)"
            ).digest
            if !isAnnounced { laboratory.stub.inject(.chunked, into: "manifests") }
            let upstream = laboratory.upstream()
            let error = await failure { () async throws(UpstreamError) in
                try await upstream.manifest(name, .digest(digest))
            }
            guard case .refused = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
    }

    @Test func `4 MiB exactly are taken`() async throws {
        try await Laboratory.run { laboratory in
            let digest = laboratory.stub.add(
                manifest: TestBlob([UInt8](repeating: 32, count: Manifest.sizeLimit), .ociManifest), to: "\(name)"
            ).digest
            laboratory.stub.inject(.chunked, into: "manifests")
            let fetched = try await laboratory.upstream().manifest(name, .digest(digest))
            #expect(fetched.bytes.count == Manifest.sizeLimit)
        }
    }

    @Test func `a manifest that is cut is incomplete`() async throws {
        try await Laboratory.run { laboratory in
            var builder = ImageBuilder()
            let image = laboratory.stub.add(builder.image(), to: "\(name)", tag: "3")
            laboratory.stub.inject(.cut(at: 10, reset: false), into: "manifests")
            let upstream = laboratory.upstream()
            let error = await failure { () async throws(UpstreamError) in try await upstream.manifest(name, tag) }
            #expect(error == .incomplete(received: 10, expected: Int64(image.manifest.bytes.count)))
            #expect(upstream.figures.first?.isHealthy == false)
        }
    }

    @Test func `our own Via on an answer is a loop`() async throws {
        try await Laboratory.run { laboratory in
            laboratory.stub.inject(.fields([("Via", "1.1 wharf-test")]), into: "manifests")
            let upstream = laboratory.upstream()
            let error = await failure { () async throws(UpstreamError) in try await upstream.resolve(name, tag) }
            #expect(error?.proxyError == .proxyLoopDetected)
        }
    }

    @Test func `tags hand on the query, the body and the link`() async throws {
        try await Laboratory.run { laboratory in
            var builder = ImageBuilder()
            let manifest = builder.image().manifest
            for tag in ["a", "b", "c"] { laboratory.stub.add(manifest: manifest, to: "\(name)", tag: tag) }
            let page = try await laboratory.upstream().tags(name, query: "n=1&last=a")
            #expect(String(decoding: page.bytes, as: UTF8.self) == "{\"name\":\"\(name)\",\"tags\":[\"b\"]}")
            #expect(page.link == "</v2/\(name)/tags/list?last=b&n=1>; rel=\"next\"")
            #expect(try await laboratory.upstream().tags(name, query: "last=b").link == nil)
        }
    }
}
