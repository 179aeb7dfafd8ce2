// Who may see what: by the upstream's word for this repository, or because a manifest linked there names it. And tags.

import OCI
import TestSupport
import Testing

@testable import Store

@Suite("Links and tags") struct LinkTests {
    let scene: StoreScene
    let store: ContentStore
    let mine: Repository
    let other: Repository

    init() throws {
        scene = try StoreScene()
        store = try scene.open()
        mine = try repository("library/mine")
        other = try repository("library/mine", of: "quay.io")
    }

    @Test func `content is shared, the right to see it is not`() async throws {
        let digest = try await store.put([1], linkedTo: [mine])
        #expect(try await store.knowledge(of: digest, in: mine).isLinked)
        let elsewhere = try await store.knowledge(of: digest, in: other)
        #expect(elsewhere.storedSize == 1)
        #expect(!elsewhere.isLinked)
    }

    @Test func `what nobody knows is known to nobody`() async throws {
        #expect(try await store.knowledge(of: Digest.of([1]), in: mine) == BlobKnowledge())
    }

    @Test func `the upstream's word is a link without content`() async throws {
        try await store.link(Digest.of([1]), size: 77, to: mine, isNamed: false)
        let knowledge = try await store.knowledge(of: Digest.of([1]), in: mine)
        #expect(knowledge.storedSize == nil)
        #expect(knowledge.isLinked && knowledge.hasOwnLink)
        #expect(knowledge.answeredSize == 77)
    }

    @Test func `a manifest linked here links what it names here and nowhere else`() async throws {
        let layer = try await store.put([1, 1])
        #expect(try await !store.knowledge(of: layer, in: mine).isLinked)
        try await store.putManifest(naming: [layer], in: mine)
        let knowledge = try await store.knowledge(of: layer, in: mine)
        #expect(knowledge.isLinked)
        #expect(!knowledge.hasOwnLink)
        #expect(knowledge.answeredSize == nil)
        #expect(try await !store.knowledge(of: layer, in: other).isLinked)
    }

    @Test func `a manifest names what is not here yet`() async throws {
        let layer = Digest.of([2, 2])
        try await store.putManifest(naming: [layer], in: mine)
        #expect(try await store.knowledge(of: layer, in: mine).isLinked)
        #expect(try await store.knowledge(of: layer, in: mine).storedSize == nil)
    }

    @Test func `a child manifest named by a linked index is seen, and its layers once it is linked itself`()
        async throws
    {
        let layer = Digest.of([3])
        let child = try await store.putManifest(naming: [layer], in: other)
        try await store.putManifest(naming: [child], in: mine, isIndex: true)
        let knowledge = try await store.knowledge(of: child, in: mine)
        #expect(knowledge.isLinked && !knowledge.hasOwnLink)
        #expect(knowledge.mediaType == .ociManifest)
        #expect(try await !store.knowledge(of: layer, in: mine).isLinked)
        try await store.link(child, size: knowledge.storedSize, to: mine, isNamed: true)
        #expect(try await store.knowledge(of: child, in: mine).hasOwnLink)
        #expect(try await store.knowledge(of: layer, in: mine).isLinked)
    }

    @Test func `the word on what was not kept is forgotten, on what is stored or named it is not`() async throws {
        let asked = (0..<25).map { Digest.of([7, $0]) }
        for digest in asked { try await store.link(digest, size: 1, to: mine, isNamed: false) }
        let stored = try await store.put([1], linkedTo: [mine, other])
        let named = Digest.of([8])
        let manifest = try await store.putManifest(naming: [named], in: mine)
        try await store.link(named, size: 1, to: other, isNamed: false)
        var place: Int64? = 0
        while let last = place { place = try await store.database.sweep(behind: last, limit: 3) }
        for digest in asked { #expect(try await !store.knowledge(of: digest, in: mine).isLinked) }
        for digest in [stored, named, manifest] { #expect(try await store.knowledge(of: digest, in: mine).isLinked) }
        for digest in [stored, named] { #expect(try await store.knowledge(of: digest, in: other).hasOwnLink) }
    }

    /// What was said, in order (size, by a naming manifest), and the size the upstream is taken to have said.
    @Test(
        "a manifest's word on a size never passes for the upstream's",
        arguments: [
            ([(5, true)], nil), ([(5, false)], 5), ([(5, false), (9, true)], 5), ([(9, true), (5, false)], 5),
            ([(9, true), (nil, false)], nil), ([(nil, false), (9, true)], nil), ([(nil, false), (5, false)], 5),
            ([(5, false), (nil, false)], 5),
        ] as [([(Int64?, Bool)], Int64?)])
    func sizes(said: [(Int64?, Bool)], answered: Int64?) async throws {
        for (size, isNamed) in said { try await store.link(Digest.of([4]), size: size, to: mine, isNamed: isNamed) }
        let knowledge = try await store.knowledge(of: Digest.of([4]), in: mine)
        #expect(knowledge.isLinked)
        #expect(knowledge.answeredSize == answered)
    }

    @Test func `a tag is what the upstream last said, and when`() async throws {
        let latest = try tag("latest")
        #expect(try await store.tag(latest, of: mine) == nil)
        let first = try await store.putManifest(naming: [], in: mine, tag: latest)
        let learnt = scene.clock.now
        #expect(
            try await store.tag(latest, of: mine) == StoredTag(digest: first, checkedAt: learnt, isStored: true))
        #expect(try await store.tag(latest, of: other) == nil)
        scene.clock.turn(by: .seconds(60))
        try await store.set(latest, of: mine, to: first)
        #expect(try await store.tag(latest, of: mine)?.checkedAt == learnt + 60_000)
        let second = Digest.of([9])
        try await store.set(latest, of: mine, to: second)
        #expect(
            try await store.tag(latest, of: mine)
                == StoredTag(digest: second, checkedAt: learnt + 60_000, isStored: false))
        // What has moved since is not what was to be forgotten.
        try await store.forget(latest, of: mine, ifNaming: first)
        #expect(try await store.tag(latest, of: mine)?.digest == second)
        try await store.forget(latest, of: mine, ifNaming: second)
        #expect(try await store.tag(latest, of: mine) == nil)
    }

    @Test func `tags are listed in order, a repository's own`() async throws {
        #expect(try await store.tags(of: mine).isEmpty)
        for name in ["b", "a", "C", "10", "9"] { try await store.set(try tag(name), of: mine, to: Digest.of([1])) }
        try await store.set(try tag("elsewhere"), of: other, to: Digest.of([1]))
        #expect(try await store.tags(of: mine) == ["10", "9", "C", "a", "b"])
    }

    @Test func `links and tags survive reopening`() async throws {
        let scene = try StoreScene()
        let digest = try await scene.life { store in
            try await store.putManifest(naming: [Digest.of([5])], in: mine, tag: try tag("v1"))
        }
        try await scene.life { store in
            #expect(try await store.tag(try tag("v1"), of: mine)?.digest == digest)
            #expect(try await store.knowledge(of: Digest.of([5]), in: mine).isLinked)
            let knowledge = try await store.knowledge(of: digest, in: mine)
            #expect(knowledge.mediaType == .ociManifest && knowledge.hasOwnLink)
        }
    }
}
