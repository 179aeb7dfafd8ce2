// Manifests: stored as they came, where what they name is there; tags that may not move; deletes; what is collected.

import Hosting
import OCI
import Synchronization
import TestSupport
import Testing

@testable import Store

@Suite("Manifests that are pushed") struct ManifestPushTests {
    @Test func `a manifest is kept byte for byte, by whatever type it came`() async throws {
        try await HostingScene.run { scene in
            let text = "{ \"schemaVersion\" : 2, \"x\": [1, {}] ,\"y\":\"\\u00e4\"}\n"
            let type = MediaType(rawValue: "application/vnd.example.thing+json")
            let digest = try await scene.push(text, as: "v1", type: type)
            for reference in ["v1", "\(digest)"] {
                let found = try await scene.hosted.manifest(try #require(Reference(reference)), in: scene.acme)
                #expect(found.bytes == Array(text.utf8) && found.mediaType == type)
            }
            let long = Digest.of(Array(text.utf8), .sha512)
            let pushed = try await scene.hosted.push(
                UploadBody([Array(text.utf8)]), as: .digest(long), others: [try #require(OCI.Tag("v2"))], type: type,
                to: scene.acme)
            #expect(pushed.digest == long)
            #expect(try await scene.hosted.manifest(try #require(Reference("v2")), in: scene.acme).digest == long)
        }
    }

    @Test func `what it names must be there first, but for layers that are to be had elsewhere`() async throws {
        try await HostingScene.run { scene in
            let (here, away) = (try await scene.push([1]), Digest.of([2]))
            await #expect(throws: HostingError.blobsMissing([away])) {
                try await scene.push(manifest([(here, .ociLayer), (away, .ociLayer)]), as: "v1")
            }
            await #expect(throws: HostingError.manifestUnknown("v1")) {
                try await scene.hosted.manifest(try #require(Reference("v1")), in: scene.acme)
            }
            let image = try await scene.push(manifest([(here, .ociLayer), (away, .dockerForeignLayer)]))
            await #expect(throws: HostingError.blobsMissing([away])) {
                try await scene.push(manifest([(image, .ociManifest), (away, .ociManifest)], key: "manifests"))
            }
            // An index may name blobs: that is how build caches are pushed.
            try await scene.push(manifest([(image, .ociManifest), (here, .ociLayer)], key: "manifests"))
            // What is here as a manifest alone is no layer.
            await #expect(throws: HostingError.blobsMissing([image])) {
                try await scene.push(manifest([(image, .ociLayer)]))
            }
            // Of another repository they do not count.
            let other = try #require(RepositoryName("acme/other"))
            let bytes = Array(manifest([(here, .ociLayer)]).utf8)
            await #expect(throws: HostingError.blobsMissing([here])) {
                try await scene.hosted.push(
                    UploadBody([bytes]), as: .digest(Digest.of(bytes)), type: nil, to: other)
            }
        }
    }

    @Test func `a subject need not be there, and is told`() async throws {
        try await HostingScene.run { scene in
            let subject = Digest.of([7])
            let more = """
                ,"artifactType":"text/x",\
                "subject":{"mediaType":"\(MediaType.ociManifest)","digest":"\(subject)","size":3}
                """
            let bytes = Array(manifest([], more: more).utf8)
            let pushed = try await scene.hosted.push(
                UploadBody([bytes]), as: .digest(Digest.of(bytes)), type: nil, to: scene.acme)
            #expect(pushed.subject == subject)
            let list = try await scene.hosted.referrers(of: subject, in: scene.acme)
            #expect(list.next == nil && list.list.count == 1)
            #expect(list.list.filtered(by: "text/x").count == 1 && list.list.filtered(by: "text/y").isEmpty)
            try await scene.hosted.delete(.digest(pushed.digest), from: scene.acme)
            #expect(try await scene.hosted.referrers(of: subject, in: scene.acme).list.isEmpty)
        }
    }

    @Test func `referrers that say much of themselves come page by page`() async throws {
        try await HostingScene.run { scene in
            let subject = Digest.of([7])
            var pushed: Set<Digest> = []
            for number in 0..<3 {
                let note = String(repeating: "\(number)", count: 3 << 20)
                let more = """
                    ,"annotations":{"note":"\(note)"},\
                    "subject":{"mediaType":"\(MediaType.ociManifest)","digest":"\(subject)","size":3}
                    """
                pushed.insert(try await scene.push(manifest([], more: more)))
            }
            var (pages, last, found) = (0, Digest?.none, 0)
            repeat {
                let page = try await scene.hosted.referrers(of: subject, after: last, in: scene.acme)
                (pages, last, found) = (pages + 1, page.next, found + page.list.count)
            } while last != nil
            #expect(pages == 2 && found == 3 && pushed.count == 3)
        }
    }

    @Test func `a client that sends its manifest slowly holds up no other`() async throws {
        try await HostingScene.run { scene in
            let (stream, continuation) = AsyncStream.makeStream(of: [UInt8].self)
            let (begun, begin) = AsyncStream.makeStream(of: Void.self)
            let large = [UInt8](repeating: 0x20, count: 1 << 20)
            let left = Mutex([large, large][...])
            let slow = UploadBody(length: nil) { () async throws(UploadBody.Broken) in
                if let piece = left.withLock({ $0.popFirst() }) { return piece }
                begin.yield()
                return await stream.first { _ in true }
            }
            let tag = try #require(Reference("slow"))
            let first = Task { try await scene.hosted.push(slow, as: tag, type: nil, to: scene.acme) }
            _ = await begun.first { _ in true }
            let bytes = Array("{}".utf8) + large
            let other = UploadBody([bytes])
            #expect(
                try await scene.hosted.push(other, as: .digest(Digest.of(bytes)), type: nil, to: scene.acme).digest
                    == Digest.of(bytes))
            continuation.finish()
            await #expect {
                try await first.value
            } throws: { if case .manifestInvalid? = $0 as? HostingError { true } else { false } }
            #expect(scene.store.capacity.snapshot.reserved == 0)
        }
    }

    @Test func `a type is kept as it is spelt, and one that is none is refused`() async throws {
        try await HostingScene.run { scene in
            let spelt = "application/vnd.Acme.Thing.v1+json"
            for (text, type, expected) in [
                ("{\"mediaType\":\"\(spelt)\"}", "application/json", spelt), ("{\"a\":1}", spelt, spelt),
                ("{\"mediaType\":\"\(spelt)\",\"layers\":\"three\",\"config\":{\"a\":1}}", spelt, spelt),
            ] {
                let digest = try await scene.push(text, type: MediaType(rawValue: type))
                let found = try await scene.hosted.manifest(.digest(digest), in: scene.acme)
                #expect(found.mediaType.rawValue == expected && found.bytes == Array(text.utf8))
            }
            for type in ["", "x", "a/b/c", "a b/c", "a/\\u0001", "a/" + String(repeating: "b", count: 300)] {
                await #expect("\(type)") {
                    try await scene.push("{\"mediaType\":\"\(type)\"}")
                } throws: { if case .manifestInvalid? = $0 as? HostingError { true } else { false } }
            }
        }
    }

    @Test func `what is no manifest, or another, or too large is refused`() async throws {
        try await HostingScene.run { scene in
            for text in ["[]", "", "{\"schemaVersion\":1}", "{\"layers\":[],\"manifests\":[]}", "{\"layers\":[{}]}"] {
                await #expect("\(text)") {
                    try await scene.push(text)
                } throws: { if case .manifestInvalid? = $0 as? HostingError { true } else { false } }
            }
            let bytes = Array("{}".utf8)
            let wrong = Digest.of([1])
            await #expect(throws: HostingError.digestMismatch(expected: wrong, actual: Digest.of(bytes))) {
                try await scene.hosted.push(UploadBody([bytes]), as: .digest(wrong), type: nil, to: scene.acme)
            }
            let large = [UInt8](repeating: 0x20, count: 3 << 20)
            for body in [UploadBody([large, large]), UploadBody([], length: 5 << 20)] {
                await #expect(throws: HostingError.manifestTooLarge(limit: 4 << 20)) {
                    try await scene.hosted.push(body, as: .digest(wrong), type: nil, to: scene.acme)
                }
            }
        }
    }

    @Test func `a tag moves, unless it is immutable; then it stays too`() async throws {
        try await HostingScene.run({
            $0.immutableTags = [try #require(HostingPolicy.TagPattern("acme/**:v*"))]
        }) { scene in
            let one = try await scene.push("{\"a\":1}", as: "v1")
            try await scene.push("{\"a\":1}", as: "v1")
            try await scene.push("{\"a\":1}", as: "latest")
            func isDenied(_ body: () async throws -> Void) async -> Bool {
                do {
                    try await body()
                    return false
                } catch HostingError.denied {
                    return true
                } catch {
                    return false
                }
            }
            #expect(await isDenied { try await scene.push("{\"a\":2}", as: "v1") })
            #expect(await isDenied { try await scene.hosted.delete(.digest(one), from: scene.acme) })
            let tag = try #require(Reference("v1"))
            #expect(await isDenied { try await scene.hosted.delete(tag, from: scene.acme) })
            // Nor what it needs, however deep.
            let layer = try await scene.push([1])
            let image = try await scene.push(manifest([(layer, .ociLayer)]))
            let index = manifest([(image, .ociManifest)], key: "manifests")
            try await scene.push(index, as: "v2")
            #expect(await isDenied { try await scene.hosted.delete(blob: layer, from: scene.acme) })
            #expect(await isDenied { try await scene.hosted.delete(.digest(image), from: scene.acme) })
            let two = try await scene.push("{\"a\":2}", as: "latest")
            let latest = try #require(Reference("latest"))
            #expect(try await scene.hosted.manifest(latest, in: scene.acme).digest == two)
            try await scene.hosted.delete(latest, from: scene.acme)
            #expect(try await scene.hosted.tags(of: scene.acme) == ["v1", "v2"])
        }
    }

    @Test func `nothing changes in a repository that is read-only`() async throws {
        try await HostingScene.run { scene in
            let digest = try await scene.push([1])
            var policy = HostingPolicy()
            policy.readOnly = [try pattern("acme/*")]
            scene.hosted.reconfigure(policy)
            for attempt in [
                { try await scene.push([2]) }, { try await scene.push("{}", as: "v1") },
                { try scene.hosted.beginUpload(in: scene.acme).id },
                { try await scene.hosted.mount(digest, from: nil, to: scene.acme) },
                { try await scene.hosted.delete(blob: digest, from: scene.acme) },
            ] as [@Sendable () async throws -> Any] {
                await #expect {
                    _ = try await attempt()
                } throws: { if case .denied? = $0 as? HostingError { true } else { false } }
            }
            #expect(try await scene.hosted.blob(digest, in: scene.acme, isProbe: false).size == 1)
        }
    }
}

@Suite("What is collected") struct CollectionTests {
    @Test func `blobs go when their last manifest has, and pushes under way lose none`() async throws {
        try await HostingScene.run({ $0.abandonedAfter = .seconds(100) }) { scene in
            let hosted = scene.hosted
            let (layer, fresh) = (try await scene.push([1]), try await scene.push([2]))
            let image = try await scene.push(manifest([(layer, .ociLayer)]), as: "v1")
            #expect(try await hosted.collect() == Collected())
            scene.wall.advance(by: .seconds(101))
            // Named, that one is no litter.
            #expect(try await hosted.collect() == Collected(blobs: 1, uploads: 0))
            try await hosted.delete(.digest(image), from: scene.acme)
            // A pusher has just found it here, and may be about to name it.
            _ = try await hosted.blob(layer, in: scene.acme, isProbe: true)
            #expect(try await hosted.collect() == Collected())
            scene.wall.advance(by: .seconds(101))
            #expect(try await hosted.collect() == Collected(blobs: 1, uploads: 0))
            for digest in [layer, fresh] {
                await #expect(throws: HostingError.blobUnknown(digest)) {
                    try await hosted.blob(digest, in: scene.acme, isProbe: false)
                }
            }
            await #expect(throws: HostingError.nameUnknown(scene.acme)) { try await hosted.tags(of: scene.acme) }
        }
    }

    @Test func `manifests that nothing leads to go after their time, and only where one was said`() async throws {
        try await HostingScene.run({ $0.abandonedAfter = .seconds(100) }) { scene in
            let layer = try await scene.push([1])
            let image = try await scene.push(manifest([(layer, .ociLayer)]))
            let index = try await scene.push(manifest([(image, .ociManifest)], key: "manifests"), as: "latest")
            let subject = ",\"subject\":{\"mediaType\":\"\(MediaType.ociIndex)\",\"digest\":\"\(index)\",\"size\":1}"
            let signature = try await scene.push(manifest([], more: subject))
            let next = try await scene.push(manifest([(layer, .ociLayer)], more: ",\"annotations\":{\"n\":\"2\"}"))
            scene.wall.advance(by: .seconds(1000))
            #expect(try await scene.hosted.collect() == Collected())
            var policy = HostingPolicy()
            policy.abandonedAfter = .seconds(100)
            policy.untaggedAfter = .seconds(500)
            scene.hosted.reconfigure(policy)
            // A pusher has just found it, and will name it.
            _ = try await scene.hosted.manifest(.digest(next), in: scene.acme, isProbe: true)
            #expect(try await scene.hosted.collect() == Collected())
            // The tag moves on: index, image and signature are left behind.
            try await scene.push(manifest([(next, .ociManifest)], key: "manifests"), as: "latest")
            scene.wall.advance(by: .seconds(499))
            #expect(try await scene.hosted.collect() == Collected())
            scene.wall.advance(by: .seconds(2))
            #expect(try await scene.hosted.collect() == Collected(manifests: 3))
            for digest in [image, index, signature] {
                await #expect(throws: HostingError.manifestUnknown("\(digest)")) {
                    try await scene.hosted.manifest(.digest(digest), in: scene.acme)
                }
            }
            #expect(try await scene.hosted.blob(layer, in: scene.acme, isProbe: false).size == 1)
        }
    }

    @Test func `what one pusher's manifest has named still waits for another's`() async throws {
        try await HostingScene.run({ $0.abandonedAfter = .seconds(100) }) { scene in
            let layer = try await scene.push([1])
            scene.wall.advance(by: .seconds(90))
            // Another pushes the same, and is slower.
            try await scene.push([1])
            let image = try await scene.push(manifest([(layer, .ociLayer)]), as: "v1")
            try await scene.hosted.delete(.digest(image), from: scene.acme)
            scene.wall.advance(by: .seconds(90))
            #expect(try await scene.hosted.collect() == Collected())
            try await scene.push(manifest([(layer, .ociLayer)]), as: "v2")
        }
    }
}
