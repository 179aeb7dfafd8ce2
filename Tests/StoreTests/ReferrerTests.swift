// Who refers to a digest, as far as a repository may show it: by the same rule as everything else that is stored.

import Foundation
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("Referrers") struct ReferrerTests {
    let scene: StoreScene
    let store: ContentStore
    let mine: Repository
    let other: Repository
    let subject = Digest.of([1])

    init() throws {
        scene = try StoreScene()
        store = try scene.open()
        mine = try repository("library/mine")
        other = try repository("library/mine", of: "quay.io")
    }

    private func shown(in repository: Repository) async throws -> [Digest] {
        try await store.referrers(of: subject, in: repository).map(\.digest)
    }

    @Test func `stored manifests that name the subject are listed in order, with what a descriptor needs`()
        async throws
    {
        var stored: [Digest: MediaType] = [:]
        for number in 0..<5 {
            let isIndex = number == 0
            let digest = try await store.putManifest(
                naming: [], in: mine, isIndex: isIndex, note: "\(number)", subject: subject)
            stored[digest] = isIndex ? .ociIndex : .ociManifest
        }
        try await store.putManifest(naming: [subject], in: mine, note: "names it, and does not refer to it")
        try await store.putManifest(naming: [], in: mine, subject: Digest.of([2]))
        let listed = try await store.referrers(of: subject, in: mine)
        #expect(listed.map(\.digest) == stored.keys.sorted { $0.description < $1.description })
        for (digest, size, mediaType) in listed {
            #expect(mediaType == stored[digest])
            #expect(try await size == store.storedSize(digest))
        }
    }

    @Test func `another repository's are not shown, of the same upstream neither`() async throws {
        try await store.putManifest(naming: [], in: other, subject: subject)
        try await store.putManifest(naming: [], in: try repository("library/evil"), note: "x", subject: subject)
        try await store.putManifest(naming: [], in: mine, note: "mine is known", subject: nil)
        #expect(try await shown(in: mine) == [])
        #expect(try await shown(in: other).count == 1)
        #expect(try await store.referrers(of: subject, in: try repository("nobody/asked")).isEmpty)
    }

    @Test func `it is shown where the upstream answered for it, or a manifest linked there names it`() async throws {
        let signature = try await store.putManifest(naming: [], in: other, subject: subject)
        try await store.link(signature, size: nil, to: mine, isNamed: false)
        #expect(try await shown(in: mine) == [signature])
        let third = try repository("third")
        try await store.putManifest(naming: [signature], in: third, isIndex: true)
        #expect(try await shown(in: third) == [signature])
    }

    @Test func `what took credentials is not shown elsewhere because a manifest there names it`() async throws {
        let secret = try await store.putManifest(naming: [], in: other, subject: subject, broughtBy: other.upstream)
        try await store.putManifest(naming: [secret], in: mine, isIndex: true)
        try await store.link(secret, size: nil, to: mine, isNamed: true)
        #expect(try await shown(in: mine) == [])
        #expect(try await shown(in: other) == [secret])
        let sister = try repository("sister", of: other.upstream)
        try await store.putManifest(naming: [secret], in: sister, isIndex: true)
        #expect(try await shown(in: sister) == [secret], "the same upstream's credentials")
        try await store.link(secret, size: nil, to: mine, isNamed: false)
        #expect(try await shown(in: mine) == [secret], "its own upstream has answered for it")
    }

    @Test func `naming a subject gives no right to see it`() async throws {
        let secret = try await store.put([1], linkedTo: [other])
        try await store.putManifest(naming: [], in: mine, subject: secret)
        #expect(try await !store.knowledge(of: secret, in: mine).isLinked)
    }

    @Test func `a lease and a pin of a referrer are none of its subject`() async throws {
        let image = try await store.put([1])
        let signature = try await store.putManifest(naming: [], in: mine, subject: image)
        store.recordUse(signature, lease: true)
        try await store.database.record(store.uses.takeAll())
        let idle = try await store.database.leastRecentlyUsed(10, at: scene.clock.now, lease: .seconds(900))
        #expect(idle.candidates.map(\.digest) == [image])
    }

    @Test func `where the content is lost it is not listed, and is again once it is here again`() async throws {
        let signature = try await store.putManifest(naming: [], in: mine, subject: subject)
        truncate(scene.layout.blob(signature), 1)
        #expect(try await store.opened(signature) == nil)
        #expect(try await shown(in: mine) == [])
        try await store.putManifest(naming: [], in: mine, subject: subject)
        #expect(try await shown(in: mine) == [signature])
        #expect(try await store.rows(in: "referrer") == 1)
    }

    @Test func `a blob of the same bytes is no referrer`() async throws {
        let text = Array(#"{"subject":{"digest":"\#(subject)"}}"#.utf8)
        try await store.put(text, linkedTo: [mine])
        #expect(try await shown(in: mine) == [])
    }

    @Test func `evicted, it leaves no row; those that stay are listed on`() async throws {
        let pinned = try tag("pinned")
        let scene = try StoreScene()
        func configure(_ configuration: inout StoreConfiguration) {
            configuration.isPinned = { _, tag in tag == "pinned" }
        }
        let kept = try await scene.life(configure) { store in
            for number in 0..<4 {
                try await store.putManifest(naming: [], in: mine, note: "\(number)", subject: subject)
            }
            let kept = try await store.putManifest(naming: [], in: mine, tag: pinned, note: "kept", subject: subject)
            #expect(try await store.rows(in: "referrer") == 5)
            return kept
        }
        let store = try scene.open {
            configure(&$0)
            $0.minFree = .bytes(.max / 4)
        }
        await store.evictor.settle()
        #expect(try await store.referrers(of: subject, in: mine).map(\.digest) == [kept])
        #expect(try await store.rows(in: "referrer") == 1)
    }

    @Test func `they are known over a restart`() async throws {
        let scene = try StoreScene()
        let signature = try await scene.life { store in
            try await store.putManifest(naming: [], in: mine, subject: subject)
        }
        let listed = try await scene.life { store in try await store.referrers(of: subject, in: mine).map(\.digest) }
        #expect(listed == [signature])
    }
}

@Suite("Repositories by name") struct RepositorySearchTests {
    let scene: StoreScene
    let store: ContentStore

    init() throws {
        scene = try StoreScene()
        store = try scene.open()
    }

    private func found(_ text: String, limit: Int = 100) async throws -> [String] {
        try await store.repositories(matching: text, limit: limit).map { "\($0.upstream)/\($0.name)" }
    }

    private func stock(_ names: String..., of upstream: String = "docker.io") async throws {
        for name in names { try await store.put([1], as: Digest.of([1]), linkedTo: [repository(name, of: upstream)]) }
    }

    @Test func `the shortest come first, then by the alphabet, then by upstream`() async throws {
        try await stock("library/debian", "debian-b/x", "debian-a/x", "zz/debian", "debian", "ubuntu")
        try await stock("debian", of: "a.example")
        let all = [
            "a.example/debian", "docker.io/debian", "docker.io/zz/debian", "docker.io/debian-a/x",
            "docker.io/debian-b/x", "docker.io/library/debian",
        ]
        #expect(try await found("debian") == all)
        for limit in 0..<8 { #expect(try await found("debian", limit: limit) == Array(all.prefix(limit))) }
        #expect(try await found("debian", limit: -1) == [])
    }

    @Test(arguments: [
        ("DebIan", ["docker.io/my_debian"]), ("", ["docker.io/a.b", "docker.io/axb/c", "docker.io/my_debian"]),
        ("a.b", ["docker.io/a.b"]), ("a_b", []), ("y_d", ["docker.io/my_debian"]), ("_", ["docker.io/my_debian"]),
        ("%", []), ("a%b", []), ("*", []), ("docker.io", []), ("' OR 1=1 --", []), ("\\", []),
        ("/C", ["docker.io/axb/c"]), ("é", []), (String(repeating: "a", count: 100_000), []),
    ]) func `every character means itself, in either case`(text: String, names: [String]) async throws {
        try await stock("a.b", "axb/c", "my_debian")
        #expect(try await found(text) == names)
    }

    @Test func `one that has nothing stored is not found`() async throws {
        let digest = Digest.of([9])
        try await store.link(digest, size: 1, to: try repository("asked"), isNamed: false)
        try await store.set(try tag("latest"), of: try repository("tagged"), to: digest)
        try await store.keep(
            KeptList(bytes: [1], mediaType: nil, link: nil, fetchedAt: 0), as: ListKey(kind: .tags, query: ""),
            of: try repository("listed"))
        #expect(try await found("") == [])
        // Brought by another repository, it is stored all the same.
        try await store.put([9], linkedTo: [try repository("brought")])
        #expect(try await found("") == ["docker.io/asked", "docker.io/tagged", "docker.io/brought"])
        unlink(scene.layout.blob(digest))
        #expect(try await store.opened(digest) == nil)
        #expect(try await found("") == [])
    }
}
