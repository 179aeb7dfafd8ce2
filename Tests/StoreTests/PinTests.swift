// Pins that were set while the program ran: they unite with the configuration's, and outlive the program.

import OCI
import TestSupport
import Testing

@testable import Store

@Suite("Pins set while running") struct PinTests {
    let scene: StoreScene
    let mine: Repository

    init() throws {
        scene = try StoreScene()
        mine = try repository("library/mine")
    }

    private func pattern(_ text: String) throws -> ImagePattern { try #require(ImagePattern(text)) }

    private func images(_ tags: String...) throws -> [TaggedImage] {
        try tags.map { TaggedImage(repository: mine, tag: try tag($0)) }
    }

    @Test func `a pin holds over restarts and for tags that come later, until it is taken back`() async throws {
        try await scene.life { store in
            let first = try await store.putManifest(naming: [], in: mine, tag: try tag("v1"), note: "1")
            #expect(try await store.pin(try pattern("mine:v*")) == images("v1"))
            #expect(try await store.pinnedBytes() > 0)
            _ = await store.evict(to: 0)
            #expect(try await store.knowledge(of: first, in: mine).storedSize != nil)
        }
        try await scene.life { store in
            let second = try await store.putManifest(naming: [], in: mine, tag: try tag("v2"), note: "2")
            _ = await store.evict(to: 0)
            #expect(try await store.knowledge(of: second, in: mine).storedSize != nil)
            #expect(try await store.unpin(try pattern("docker.io/library/mine:v*")) == .unpinned(images("v1", "v2")))
            #expect(try await store.pinnedBytes() == 0)
        }
        try await scene.life { store in
            _ = await store.evict(to: 0)
            #expect(await store.figures().stored.blobs == 0)
        }
    }

    @Test func `the configuration's pins stay, whoever unpins`() async throws {
        try await scene.life { store in
            var configuration = store.configuration
            configuration.isPinned = { _, tag in tag == "v1" }
            try await store.reconfigure(configuration)
            _ = try await store.putManifest(naming: [], in: mine, tag: try tag("v1"), note: "1")
            _ = try await store.putManifest(naming: [], in: mine, tag: try tag("v2"), note: "2")
            #expect(try await store.unpin(try pattern("mine:v1")) == .configured)
            #expect(try await store.unpin(try pattern("mine:*")) == .configured)
            #expect(try await store.unpin(try pattern("mine:v9")) == .unpinned([]))
            _ = try await store.pin(try pattern("mine:v2"))
            _ = try await store.pin(try pattern("mine:v1"))
            #expect(try await store.unpin(try pattern("mine:*")) == .unpinned(images("v2")))
            // A reload reads the configuration's anew and leaves the others.
            _ = try await store.pin(try pattern("mine:v2"))
            configuration.isPinned = { _, _ in false }
            try await store.reconfigure(configuration)
            #expect(try await store.unpin(try pattern("mine:v1")) == .unpinned([]))
            #expect(try await store.unpin(try pattern("mine:v2")) == .unpinned(images("v2")))
        }
    }

    @Test func `one pin among several that mean the same is named`() async throws {
        try await scene.life { store in
            _ = try await store.putManifest(naming: [], in: mine, tag: try tag("v1"), note: "1")
            _ = try await store.pin(try pattern("mine:*"))
            #expect(try await store.unpin(try pattern("mine:v1")) == .held(by: "docker.io/library/mine:*"))
        }
    }

    @Test func `a pinned tag that is invalidated keeps nothing, and what it names next is kept`() async throws {
        try await scene.life { store in
            _ = try await store.pin(try pattern("mine:v1"))
            let first = try await store.putManifest(naming: [], in: mine, tag: try tag("v1"), note: "1")
            let gone = try await store.invalidate { $0 == mine && $1 == "v1" }
            #expect(gone == Invalidated(tags: try images("v1"), manifests: 1, blobs: 0))
            _ = await store.evict(to: 0)
            #expect(try await store.knowledge(of: first, in: mine).storedSize == nil)
            let second = try await store.putManifest(naming: [], in: mine, tag: try tag("v1"), note: "2")
            _ = await store.evict(to: 0)
            #expect(try await store.knowledge(of: second, in: mine).storedSize != nil)
        }
    }

    @Test func `what a pinned manifest names is let go of when its digest is invalidated`() async throws {
        try await scene.life { store in
            _ = try await store.pin(try pattern("mine:v1"))
            let layer = try await store.put(seeded(1, 1000))
            let first = try await store.putManifest(naming: [layer], in: mine, tag: try tag("v1"), note: "1")
            #expect(try await store.invalidateEverywhere(first)?.manifests == 1)
            try await store.putManifest(naming: [], in: mine, tag: try tag("v1"), note: "2")
            _ = await store.evict(to: 0)
            #expect(try await store.isStored(layer) == false)
        }
    }

    @Test func `a tag that moves lets go of what it named, unless another names it`() async throws {
        try await scene.life { store in
            _ = try await store.pin(try pattern("mine:*"))
            let first = try await store.putManifest(naming: [], in: mine, tag: try tag("v1"), note: "1")
            let second = try await store.putManifest(naming: [], in: mine, tag: try tag("v2"), note: "2")
            let third = try await store.putManifest(naming: [], in: mine, tag: try tag("v1"), note: "3")
            // A new tag of what is there already.
            try await store.set(try tag("v3"), of: mine, to: second)
            try await store.set(try tag("v2"), of: mine, to: third)
            _ = await store.evict(to: 0)
            #expect(try await store.knowledge(of: first, in: mine).storedSize == nil)
            #expect(try await store.knowledge(of: second, in: mine).storedSize != nil)
            #expect(try await store.knowledge(of: third, in: mine).storedSize != nil)
        }
    }

    @Test func `a tag that is invalidated leaves the right that another of the same digest has`() async throws {
        try await scene.life { store in
            let digest = try await store.putManifest(naming: [], in: mine, tag: try tag("v1"))
            try await store.putManifest(naming: [], in: mine, tag: try tag("v2"))
            let gone = try await store.invalidate { $0 == mine && $1 == "v1" }
            #expect(gone == Invalidated(tags: try images("v1"), manifests: 0, blobs: 0))
            #expect(try await store.knowledge(of: digest, in: mine).hasOwnLink)
            let rest = try await store.invalidate { $0 == mine && $1 == "v2" }
            #expect(rest == Invalidated(tags: try images("v2"), manifests: 1, blobs: 0))
            #expect(try await store.knowledge(of: digest, in: mine).isLinked == false)
        }
    }

    @Test func `what is pinned after it was chosen to go is found in time`() async throws {
        try await scene.life { store in
            let digest = try await store.putManifest(naming: [], in: mine, tag: try tag("v1"))
            scene.clock.turn(by: .seconds(7200))
            let order = try await store.database.leastRecentlyUsed(10, at: scene.clock.now, lease: .zero)
            #expect(order.candidates.map(\.digest) == [digest])
            _ = try await store.pin(try pattern("mine:v1"))
            let held = try await store.database.held(among: order.candidates, at: scene.clock.now, lease: .zero)
            #expect(held == Set(order.candidates.map(\.number)))
        }
    }
}
