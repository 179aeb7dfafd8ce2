// What keeps content from being evicted: leases, pins, and the order between a manifest and what only it names.

import OCI
import TestSupport
import Testing

@testable import Store

@Suite("Leases, pins and manifests") struct HoldTests {
    let scene: StoreScene
    let mine: Repository

    init() throws {
        scene = try StoreScene()
        mine = try repository("library/mine")
    }

    private func open(lease: Duration = .seconds(900), pinned: String? = nil) throws -> ContentStore {
        try scene.open {
            $0.lease = lease
            if let pinned { $0.isPinned = { _, tag in tag == pinned } }
        }
    }

    /// The digests that may go, first first, as a pass now would take them.
    private func candidates(_ store: ContentStore, limit: Int = 1000) async throws -> [Digest] {
        try await store.database.record(store.uses.takeAll())
        while true {
            let order = try await store.database.leastRecentlyUsed(
                limit, at: scene.clock.now, lease: store.configuration.lease)
            guard order.candidates.isEmpty, !order.places.isEmpty else { return order.candidates.map(\.digest) }
            // All that were looked at have their places further behind: once that is written down, others are first.
            try await store.database.forget([], places: order.places, chosenIn: store.database.life)
        }
    }

    private func put(_ store: ContentStore, _ number: UInt8) async throws -> Digest {
        scene.clock.turn(by: .seconds(1))
        return try await store.put([number])
    }

    private func putManifest(
        _ store: ContentStore, naming linked: [Digest], tag name: String? = nil, isIndex: Bool = false,
        note: String = ""
    ) async throws -> Digest {
        scene.clock.turn(by: .seconds(1))
        return try await store.putManifest(
            naming: linked, in: mine, tag: try name.map { try tag($0) }, isIndex: isIndex, note: note)
    }

    @Test func `what a served manifest names is leased with it, until the lease ends`() async throws {
        let store = try open()
        let named = try await put(store, 1)
        let stranger = try await put(store, 2)
        let manifest = try await putManifest(store, naming: [named, Digest.of([9])])
        store.recordUse(manifest, lease: true)
        #expect(try await candidates(store) == [stranger])
        // What it names comes after it was served, as it does in a pull.
        let late = try await put(store, 9)
        #expect(try await candidates(store) == [stranger])
        scene.clock.turn(by: .seconds(901))
        #expect(Set(try await candidates(store)) == [stranger, named, late, manifest])
    }

    @Test func `an index served leases its children and their layers, a child served only its own`() async throws {
        let store = try open()
        let layer = try await put(store, 1)
        let elsewhere = try await put(store, 2)
        let child = try await putManifest(store, naming: [layer])
        let otherChild = try await putManifest(store, naming: [elsewhere])
        let index = try await putManifest(store, naming: [child, otherChild], isIndex: true)
        store.recordUse(child, lease: true)
        #expect(Set(try await candidates(store)) == [elsewhere, otherChild, index])
        store.recordUse(index, lease: true)
        #expect(try await candidates(store).isEmpty)
    }

    @Test func `with leases off nothing is leased`() async throws {
        let store = try open(lease: .zero)
        let manifest = try await putManifest(store, naming: [])
        store.recordUse(manifest, lease: true)
        #expect(try await candidates(store) == [manifest])
    }

    @Test func `a lease given by a clock that ran ahead is void once the clock is set back`() async throws {
        let store = try open()
        scene.clock.turn(by: .seconds(86_400 * 365))
        let manifest = try await putManifest(store, naming: [])
        store.recordUse(manifest, lease: true)
        #expect(try await candidates(store).isEmpty)
        scene.clock.turn(by: .seconds(-86_400 * 365))
        #expect(try await candidates(store) == [manifest])
    }

    @Test func `a lease is never shortened by a later use`() async throws {
        let store = try open()
        let manifest = try await putManifest(store, naming: [])
        store.recordUse(manifest, lease: true)
        store.recordUse(manifest, lease: false)
        #expect(try await candidates(store).isEmpty)
        store.recordUse(manifest, lease: false)
        #expect(try await candidates(store).isEmpty)
    }

    @Test func `a use of a manifest is one of its layers, a use of an index of itself only`() async throws {
        let store = try open(lease: .zero)
        let layer = try await put(store, 1)
        let child = try await putManifest(store, naming: [layer])
        let index = try await putManifest(store, naming: [child], isIndex: true)
        let later = try await put(store, 2)
        scene.clock.turn(by: .seconds(1))
        store.recordUse(index, lease: false)
        #expect(try await candidates(store) == [layer, child, later, index])
        scene.clock.turn(by: .seconds(1))
        store.recordUse(child, lease: false)
        let order = try await candidates(store)
        #expect(order.prefix(2) == [later, index])
        #expect(order.last == child, "behind its layer")
    }

    @Test func `a manifest goes after the blobs only it names, even where only few are looked at`() async throws {
        let store = try open(lease: .zero)
        var manifests: [Digest] = []
        for number in 1...6 as ClosedRange<UInt8> {
            manifests.append(try await putManifest(store, naming: [Digest.of([number])]))
        }
        var layers: [Digest] = []
        for number in 1...6 as ClosedRange<UInt8> { layers.append(try await put(store, number)) }
        for limit in [1, 2, 3, 12] {
            let order = try await candidates(store, limit: limit)
            #expect(limit < 12 ? !order.isEmpty : order.count == limit)
            for (layer, manifest) in zip(layers, manifests) {
                guard let place = order.firstIndex(of: manifest) else { continue }
                #expect(order.prefix(place).contains(layer))
            }
        }
    }

    @Test func `a layer that a later image shares does not keep the older manifest`() async throws {
        let store = try open(lease: .zero)
        let old = try await putManifest(store, naming: [Digest.of([1])])
        let shared = try await put(store, 1)
        let new = try await putManifest(store, naming: [shared], note: "new")
        #expect(try await candidates(store) == [old, shared, new])
        scene.clock.turn(by: .seconds(1))
        store.recordUse(new, lease: false)
        let order = try await candidates(store)
        #expect(order.first == old)
        #expect(Set(order.dropFirst()) == [shared, new])
    }

    @Test func `a pinned tag holds the index, its manifests and their layers, whenever they come`() async throws {
        let store = try open(pinned: "keep")
        let early = try await put(store, 1)
        let stranger = try await put(store, 3)
        let child = try await putManifest(store, naming: [early, Digest.of([2])])
        let index = try await putManifest(store, naming: [child, Digest.of([7])], tag: "keep", isIndex: true)
        #expect(try await candidates(store) == [stranger])
        let late = try await put(store, 2)
        #expect(try await candidates(store) == [stranger])
        #expect(
            try await store.figures().stored.pinnedBytes
                == [early, late, child, index].asyncSum { try await store.storedSize($0) ?? 0 })
    }

    @Test func `a manifest that comes after its pinned index pins the layers that were here before it`() async throws {
        let store = try open(pinned: "keep")
        let layer = try await put(store, 1)
        let childBytes = Array("false\([layer.description])".utf8)
        let index = try await putManifest(store, naming: [Digest.of(childBytes)], tag: "keep", isIndex: true)
        #expect(try await candidates(store) == [layer])
        let child = try await putManifest(store, naming: [layer])
        #expect(child == Digest.of(childBytes))
        #expect(try await candidates(store).isEmpty)
        #expect(try await store.isStored(index))
    }

    @Test func `a pinned tag that moves, or is forgotten, frees what it held`() async throws {
        let store = try open(pinned: "keep")
        let first = try await putManifest(store, naming: [], tag: "keep", note: "1")
        let second = try await putManifest(store, naming: [], tag: "keep", note: "2")
        #expect(try await candidates(store) == [first])
        try await store.set(try tag("keep"), of: mine, to: first)
        #expect(try await candidates(store) == [second])
        try await store.forget(try tag("keep"), of: mine, ifNaming: first)
        #expect(try await candidates(store) == [first, second])
    }

    @Test func `pins follow the configuration at the next start`() async throws {
        let digests = try await scene.life { store in
            let layer = try await put(store, 1)
            return [layer, try await putManifest(store, naming: [layer], tag: "keep")]
        }
        let store = try open(pinned: "keep")
        #expect(try await candidates(store) == digests)
        try await store.applyPins()
        #expect(try await candidates(store).isEmpty)
    }
}

extension Array where Element: Sendable {
    fileprivate func asyncSum(_ value: (Element) async throws -> Int64) async rethrows -> Int64 {
        var sum: Int64 = 0
        for element in self { sum += try await value(element) }
        return sum
    }
}
