// What is pushed here: it stays, it is shown by its repository alone, and it goes when it is deleted.

import Foundation
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("What is pushed here") struct HostedTests {
    let scene: StoreScene
    let acme: RepositoryName
    let other: RepositoryName

    init() throws {
        scene = try StoreScene()
        acme = try name("acme/app")
        other = try name("acme/app/tags")
    }

    @Test(arguments: Digest.Algorithm.allCases)
    func `a blob is read again by its repository, and by no other`(algorithm: Digest.Algorithm) async throws {
        try await scene.life { store in
            let bytes = seeded(1, 100_000)
            let digest = try await store.push(bytes, to: acme, algorithm)
            #expect(try await store.hostedBlob(digest, in: acme)?.readAll() == bytes)
            #expect(try await store.hostedBlob(digest, in: other) == nil)
            #expect(try await store.hostedManifest(digest, in: acme) == nil)
            let cached = try repository("library/debian")
            #expect(try await store.knowledge(of: digest, in: cached).isLinked == false)
            #expect(await store.figures().stored.hostedBytes == 100_000)
            try await scene.expectLaws(store)
        }
    }

    @Test func `a repository may be called as a part of another is`() async throws {
        try await scene.life { store in
            let (one, two) = (try await store.push([1], to: acme), try await store.push([2], to: other))
            try await store.pushManifest(naming: [one], to: acme, tags: ["v1"])
            try await store.pushManifest(naming: [two], to: other, tags: ["v1", "v2"])
            #expect(try await store.hostedTags(of: acme) == ["v1"])
            #expect(try await store.hostedTags(of: other) == ["v1", "v2"])
            #expect(try await store.hostedRepositories() == [acme, other])
        }
    }

    @Test func `an empty blob is one, and what is not what it is said to be is none`() async throws {
        try await scene.life { store in
            let empty = try await store.push([], to: acme)
            #expect(try await store.hostedBlob(empty, in: acme)?.size == 0)
            let upload = try await store.beginUpload(size: 3, algorithm: .sha256)
            try await store.append([1, 2, 3], to: upload)
            let wrong = Digest.of([1, 2])
            await #expect(throws: StoreError.digestMismatch(expected: wrong, actual: Digest.of([1, 2, 3]))) {
                try await store.seal(upload, as: wrong)
            }
            upload.discard()
            #expect(try await store.hostedBlob(wrong, in: acme) == nil)
            #expect(names(in: scene.layout.uploads).isEmpty)
            try await scene.expectLaws(store)
        }
    }

    @Test func `bytes taken back are hashed no more`() async throws {
        try await scene.life { store in
            let upload = try await store.beginUpload(size: nil, algorithm: .sha256)
            try await store.append([1, 2, 3], to: upload)
            upload.cut(to: 2)
            try await store.append([9], to: upload)
            try await store.seal(upload, as: Digest.of([1, 2, 9]))
            upload.discard()
        }
    }

    @Test func `eviction takes what is cached, and never what was pushed`() async throws {
        try await scene.life({ $0.maxSize = .bytes(8 << 20) }) { store in
            let pushed = try await store.push(seeded(1, 3_200_000), to: acme)
            let cached = try await store.put(seeded(2, 2_400_000))
            scene.clock.turn(by: .seconds(3600))
            let second = try await store.push(seeded(3, 3_200_000), to: acme)
            #expect(try await store.isStored(cached) == false)
            #expect(try await store.hostedBlob(pushed, in: acme) != nil)
            #expect(try await store.hostedBlob(second, in: acme) != nil)
            await #expect(throws: StoreError.noSpace(needed: 3_200_000)) {
                try await store.beginUpload(size: 3_200_000, algorithm: .sha256)
            }
        }
    }

    @Test func `what was pushed since it was chosen to be evicted is found in time`() async throws {
        try await scene.life { store in
            let cached = [try await store.put([1]), try await store.put([2])]
            scene.clock.turn(by: .seconds(3600))
            let chosen = try await store.database.leastRecentlyUsed(10, at: scene.clock.now, lease: .zero).candidates
            #expect(Set(chosen.map(\.digest)) == Set(cached))
            try await store.push([2], to: acme)
            let pushed = try await store.database.held(among: chosen, at: scene.clock.now, lease: .zero)
            #expect(chosen.filter { pushed.contains($0.number) }.map(\.digest) == [cached[1]])
        }
    }

    @Test func `what is deleted is gone at once though it was just read, and from the disk`() async throws {
        try await scene.life { store in
            let layer = try await store.push(seeded(1, 5000), to: acme)
            let manifest = try await store.pushManifest(naming: [layer], to: acme, tags: ["v1", "v2"])
            for _ in 0..<2 {
                #expect(try await store.hostedBlob(layer, in: acme) != nil)
                #expect(try await store.hosted("v1", in: acme) == manifest)
                #expect(try await store.hostedManifest(manifest, in: acme) != nil)
            }
            #expect(try await store.hostedGate.turn(acme) { try await store.unhost(try tag("v1"), of: acme) })
            #expect(try await store.hosted("v1", in: acme) == nil)
            #expect(try await store.delete(manifest, asManifest: true, in: acme))
            #expect(try await store.hosted("v2", in: acme) == nil)
            #expect(try await store.hostedManifest(manifest, in: acme) == nil)
            #expect(try await store.delete(layer, asManifest: false, in: acme))
            #expect(try await store.delete(layer, asManifest: false, in: acme) == false)
            #expect(try await store.hostedBlob(layer, in: acme) == nil)
            #expect(try scene.files().isEmpty)
            #expect(try await store.hostedTags(of: acme) == nil)
            try await scene.expectLaws(store)
        }
    }

    @Test func `what somebody else has stays when it is deleted`() async throws {
        try await scene.life { store in
            let cached = try repository("library/debian")
            let shared = try await store.push([1], to: acme)
            try await store.push([1], to: other)
            let pulled = try await store.put([2], linkedTo: [cached])
            try await store.push([2], to: acme)
            for digest in [shared, pulled] {
                #expect(try await store.delete(digest, asManifest: false, in: acme))
                #expect(try await store.hostedBlob(digest, in: acme) == nil)
            }
            #expect(try await store.hostedBlob(shared, in: other) != nil)
            #expect(try await store.knowledge(of: pulled, in: cached).storedSize == 1)
            #expect(await store.figures().stored.hostedBytes == 1)
        }
    }

    @Test func `one digest may be a blob and a manifest, and be deleted as one of them`() async throws {
        try await scene.life { store in
            let manifest = try await store.pushManifest(naming: [], to: acme)
            let bytes = try #require(try await store.hostedManifest(manifest, in: acme)).bytes
            #expect(try await store.push(bytes, to: acme) == manifest)
            #expect(try await store.delete(manifest, asManifest: true, in: acme))
            #expect(try await store.hostedManifest(manifest, in: acme) == nil)
            #expect(try await store.hostedBlob(manifest, in: acme)?.readAll() == bytes)
        }
    }

    @Test func `what is a blob in one repository and a manifest in another is shown as neither in the wrong one`()
        async throws
    {
        try await scene.life { store in
            let digest = try await store.pushManifest(naming: [], to: acme)
            let bytes = try #require(try await store.hostedManifest(digest, in: acme)).bytes
            try await store.push(bytes, to: other)
            for _ in 0..<2 {
                #expect(try await store.hostedBlob(digest, in: other) != nil)
                #expect(try await store.hostedManifest(digest, in: acme) != nil)
                #expect(try await store.hostedBlob(digest, in: acme) == nil)
                #expect(try await store.hostedManifest(digest, in: other) == nil)
            }
        }
    }

    @Test func `what a pusher calls a manifest changes nothing for who pulls it through the cache`() async throws {
        try await scene.life { store in
            let bytes = Array("{\"schemaVersion\":2,\"layers\":[]}".utf8)
            let digest = Digest.of(bytes)
            let odd = MediaType(rawValue: "application/vnd.acme.odd")
            let parsed = try Manifest(parsing: bytes, declaredType: odd)
            let upload = try await store.beginUpload(size: nil, algorithm: .sha256)
            try await store.append(bytes, to: upload)
            try await store.seal(upload, as: digest)
            let pushed = HostedManifest(bytes, digest: digest, mediaType: odd, parsed)
            try await store.hostedGate.turn(acme) { () async throws(StoreError) in
                try await store.host(pushed, upload, in: acme, tags: [], within: [])
            }
            let cached = try repository("library/debian")
            try await store.link(digest, size: nil, to: cached, isNamed: false)
            #expect(try await store.knowledge(of: digest, in: cached).mediaType == .ociManifest)
            #expect(try await store.hostedManifest(digest, in: acme)?.mediaType == odd)
        }
    }

    @Test func `whoever collects lets go of what has been asked for meanwhile`() async throws {
        try await scene.life { store in
            let digest = try await store.push([1], to: acme)
            let isGone = try await store.hostedGate.turn(acme) { () async throws(StoreError) in
                try await store.unhost(digest, asManifest: false, in: acme) { true }
            }
            #expect(!isGone)
            #expect(try await store.hostedBlob(digest, in: acme) != nil)
        }
    }

    @Test func `what was pushed and is damaged is kept, however large, and can be pushed again`() async throws {
        // Larger than the quarantine keeps.
        let bytes = seeded(1, 3_000_000)
        let digest = Digest.of(bytes)
        try await scene.life({ $0.maxSize = .bytes(16 << 20) }) { store in
            try await store.push(bytes, to: acme)
            let path = scene.layout.blob(digest)
            chmod(path, 0o644)
            let file = try #require(FileHandle(forUpdatingAtPath: path))
            try file.seek(toOffset: 1000)
            try file.write(contentsOf: Data([bytes[1000] ^ 1]))
            try file.close()
            #expect(await store.check(digest, size: Int64(bytes.count)) == .damaged)
            #expect(try await store.hostedBlob(digest, in: acme) == nil)
            let kept = try Data(contentsOf: URL(fileURLWithPath: store.tree.damaged(digest)))
            #expect(kept.count == bytes.count)
            #expect(store.capacity.snapshot.quarantined >= Int64(bytes.count))
            try await store.push(bytes, to: acme)
            #expect(try await store.hostedBlob(digest, in: acme)?.readAll() == bytes)
        }
    }

    @Test func `what another repository has may be mounted, and only what it may show`() async throws {
        try await scene.life { store in
            let cached = try repository("library/debian")
            let linked = try await store.put([1], linkedTo: [cached])
            let unlinked = try await store.put([2])
            let pushed = try await store.push([3], to: other)
            func mount(_ digest: Digest, _ source: Repository) async throws -> Bool {
                try await store.hostedGate.turn(acme) { () async throws(StoreError) in
                    try await store.mount(digest, from: source, to: acme, within: [])
                }
            }
            #expect(try await mount(linked, cached))
            #expect(try await mount(unlinked, cached) == false)
            #expect(try await mount(pushed, Repository(hosted: other)))
            #expect(try await mount(pushed, Repository(hosted: acme)))
            #expect(try await store.hostedBlob(linked, in: acme)?.readAll() == [1])
            #expect(try await store.hostedBlob(pushed, in: acme)?.readAll() == [3])
            #expect(try await store.hostedBlob(unlinked, in: acme) == nil)
            #expect(await store.figures().stored.hostedBytes == 2)
        }
    }

    @Test func `beyond a quota nothing changes, and each digest counts once`() async throws {
        try await scene.life { store in
            let quotas = [HostedQuota(label: "acme/**", bytes: 10) { "\($0)".hasPrefix("acme/") }]
            try await store.push([1, 2, 3, 4, 5, 6], to: acme, within: quotas)
            try await store.push([1, 2, 3, 4, 5, 6], to: other, within: quotas)
            await #expect {
                try await store.push([7, 7, 7, 7, 7], to: other, within: quotas)
            } throws: { error in
                if case .overQuota(let text)? = error as? StoreError { text.contains("acme/**") } else { false }
            }
            let refused = Digest.of([7, 7, 7, 7, 7])
            #expect(try await store.hostedBlob(refused, in: other) == nil)
            #expect(try scene.files()[refused] == nil)
            #expect(try store.tree.content(of: other).links == [Digest.of([1, 2, 3, 4, 5, 6])])
            try await store.push([7, 7, 7, 7], to: other, within: quotas)
            try await store.push([9, 9, 9, 9, 9], to: try name("else/where"), within: quotas)
            try await scene.expectLaws(store)
        }
    }

    @Test func `litter is what no manifest names, and what has not waited long for one is none`() async throws {
        try await scene.life { store in
            let (named, unnamed) = (try await store.push([1], to: acme), try await store.push([2], to: acme))
            let foreign = try await store.push([3], to: acme)
            let elsewhere = try await store.push([4], to: other)
            try await store.pushManifest(naming: [elsewhere], to: other)
            let manifest = try await store.pushManifest(naming: [named], to: acme, foreign: foreign)
            #expect(try await store.litter(in: acme, before: scene.clock.now) == [])
            scene.clock.turn(by: .seconds(1))
            #expect(try await store.litter(in: acme, before: scene.clock.now) == [unnamed])
            #expect(try await store.delete(manifest, asManifest: true, in: acme))
            #expect(Set(try await store.litter(in: acme, before: scene.clock.now)) == [named, unnamed, foreign])
            try await store.push([1], to: acme)
            #expect(Set(try await store.litter(in: acme, before: scene.clock.now)) == [unnamed, foreign])
        }
    }

    @Test func `referrers are those that the repository has itself`() async throws {
        try await scene.life { store in
            let image = try await store.pushManifest(naming: [], to: acme)
            let signature = try await store.pushManifest(naming: [], to: acme, subject: image, note: "one")
            try await store.pushManifest(naming: [], to: other, subject: image, note: "two")
            #expect(try await store.hostedReferrers(of: image, in: acme).map(\.digest) == [signature])
            #expect(try await store.delete(signature, asManifest: true, in: acme))
            #expect(try await store.hostedReferrers(of: image, in: acme).isEmpty)
        }
    }

    @Test func `what is invalidated is the cache's, not what was pushed`() async throws {
        try await scene.life { store in
            let digest = try await store.push([1], to: acme)
            #expect(try await store.invalidate(digest) == false)
            #expect(try await store.hostedBlob(digest, in: acme) != nil)
        }
    }

    @Test func `two pushes of one tag at once leave one of the two, in rows and files alike`() async throws {
        try await scene.life { store in
            let manifests = try await withThrowingTaskGroup(of: Digest.self) { group in
                for number in 0..<8 {
                    group.addTask {
                        try await store.pushManifest(naming: [], to: acme, tags: ["v1"], note: "\(number)")
                    }
                }
                return try await group.reduce(into: Set<Digest>()) { $0.insert($1) }
            }
            let named = try #require(try await store.hosted("v1", in: acme))
            #expect(manifests.contains(named))
            #expect(try store.tree.content(of: acme).tags == [try tag("v1"): named])
        }
    }
}
