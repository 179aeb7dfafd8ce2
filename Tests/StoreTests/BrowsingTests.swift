// Looking around: pages by name, sizes, uses that are only in memory, and the order in which an eviction goes.

import Foundation
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("Browsing", .timeLimit(.minutes(5))) struct BrowsingTests {
    let scene: StoreScene
    let debian: Repository
    let ours: RepositoryName

    init() throws {
        scene = try StoreScene()
        debian = try repository("library/debian")
        ours = try name("acme/app")
    }

    private func image(
        _ store: ContentStore, _ tagged: String, in repository: Repository, naming linked: [Digest] = []
    ) async throws -> Digest {
        try await store.putManifest(
            naming: linked, in: repository, tag: try tag(tagged), note: "\(repository)\(tagged)")
    }

    /// All names, by pages of so many.
    private func names(_ store: ContentStore, by count: Int, _ search: String? = nil) async throws -> [String] {
        var (all, last): ([String], String?) = ([], nil)
        repeat {
            let page = try await store.images(NamePage(count: count, last: last, search: search))
            #expect(page.entries.count == count || page.next == nil)
            #expect(page.next == nil || page.next == page.entries.last?.name)
            all += page.entries.map(\.name)
            last = page.next
        } while last != nil
        return all
    }

    @Test func `images come in the order of their names, pushed ones among the others, page by page`() async throws {
        try await scene.life { store in
            // A colon sorts behind a dash, and a name before what goes on from it.
            let repositories = [
                debian, try repository("library/debian-x"), try repository("acme/app", of: "ghcr.io"),
                try repository("b/c", of: "localhost:5000"),
            ]
            for repository in repositories {
                for tagged in ["12", "10", "a"] { _ = try await image(store, tagged, in: repository) }
            }
            let layer = try await store.push([1], to: ours)
            _ = try await store.pushManifest(naming: [layer], to: ours, tags: ["2", "1"])
            let other = try name("zebra/app")
            let mine = try await store.push([1], to: other)
            _ = try await store.pushManifest(naming: [mine], to: other, tags: ["1"])
            let all =
                ["acme/app:1", "acme/app:2"]
                + ["docker.io/library/debian", "docker.io/library/debian-x", "ghcr.io/acme/app", "localhost:5000/b/c"]
                .flatMap { name in ["10", "12", "a"].map { "\(name):\($0)" } } + ["zebra/app:1"]
            for count in [1, 2, 3, 4, 5, 100] { #expect(try await names(store, by: count) == all) }
            let from = NamePage(count: 1, last: "docker.io/library/debian:11")
            #expect(try await store.images(from).entries.map(\.name) == ["docker.io/library/debian:12"])
            let behind = NamePage(count: 1, last: "docker.io/library/debian:zzz")
            #expect(try await store.images(behind).entries.map(\.name) == ["docker.io/library/debian-x:10"])
        }
    }

    @Test func `the images of one repository are its own, page by page, not those of names that contain its name`()
        async throws
    {
        try await scene.life { store in
            let hub = "docker.io/library/debian"
            for repository in [debian, try repository("library/debian-x"), try repository("x/\(hub)", of: "ghcr.io")] {
                for tagged in ["12", "10", "a"] { _ = try await image(store, tagged, in: repository) }
            }
            let layer = try await store.push([1], to: ours)
            _ = try await store.pushManifest(naming: [layer], to: ours, tags: ["1"])
            func tags(
                _ name: String, _ count: Int, last: String? = nil, _ search: String? = nil
            ) async throws -> [String] {
                let page = try await store.images(NamePage(count: count, last: last, search: search), of: name)
                #expect(page.entries.allSatisfy { "\($0.repository)" == name })
                #expect((page.next != nil) == (count < 3 && page.entries.count == count))
                return page.entries.map(\.tag)
            }
            #expect(try await tags(hub, 9) == ["10", "12", "a"])
            #expect(try await tags(hub, 2) == ["10", "12"])
            #expect(try await tags(hub, 9, last: "\(hub):12") == ["a"])
            #expect(try await tags(hub, 9, last: "docker.io/library/debian-x:10") == [])
            #expect(try await tags(hub, 9, last: "a:1") == ["10", "12", "a"])
            #expect(try await tags(hub, 9, "12") == ["12"])
            #expect(try await tags("acme/app", 9) == ["1"])
            for name in ["library/debian", "DOCKER.io/library/debian", "docker.io/library/debi", "%", ""] {
                #expect(try await tags(name, 9) == [], "\(name)")
            }
        }
    }

    @Test func `a part finds names and tags in any case, a pattern what an operator would mean by it`() async throws {
        try await scene.life { store in
            for tagged in ["12", "bookworm-Slim", "1.12"] { _ = try await image(store, tagged, in: debian) }
            _ = try await image(store, "12", in: try repository("acme/debian", of: "ghcr.io"))
            let layer = try await store.push([1], to: ours)
            _ = try await store.pushManifest(naming: [layer], to: ours, tags: ["12"])
            let hub = "docker.io/library/debian"
            let expected: [(String, [String])] = [
                ("DEBIAN:12", ["\(hub):12", "ghcr.io/acme/debian:12"]),
                ("slim", ["\(hub):bookworm-Slim"]), ("ian:1.", ["\(hub):1.12"]),
                ("acme", ["acme/app:12", "ghcr.io/acme/debian:12"]), ("%", []), ("_", []), ("\\", []), ("a%", []),
                ("1_12", []), ("\0", []), ("debian\0x", []), ("*\0*", []),
                ("debian:*", ["\(hub):1.12", "\(hub):12", "\(hub):bookworm-Slim"]),
                ("debian:1*", ["\(hub):1.12", "\(hub):12"]),
                ("acme/*", ["acme/app:12"]), ("**/debian:12", ["\(hub):12", "ghcr.io/acme/debian:12"]),
                ("ghcr.io/**", ["ghcr.io/acme/debian:12"]),
                // As an operator means it: Docker's own images.
                ("*", ["\(hub):1.12", "\(hub):12", "\(hub):bookworm-Slim"]),
                ("**:12", ["acme/app:12", "\(hub):12", "ghcr.io/acme/debian:12"]),
                ("", ["acme/app:12", "\(hub):1.12", "\(hub):12", "\(hub):bookworm-Slim", "ghcr.io/acme/debian:12"]),
            ]
            for (search, found) in expected {
                #expect(try await names(store, by: 1, search) == found, "\(search)")
                #expect(try await names(store, by: 100, search) == found, "\(search)")
            }
            let patterns = [("debian", 2), ("acme/*", 1), ("debian*", 1), ("ghcr.io/**", 1), ("12", 0), ("", 3)]
            for (search, count) in patterns {
                let page = try await store.repositories(NamePage(count: 9, search: search))
                #expect(page.entries.count == count, "\(search)")
            }
        }
    }

    @Test func `a repository counts what it links and what that names, each once`() async throws {
        try await scene.life { store in
            let (own, named) = ([UInt8](repeating: 1, count: 5000), [UInt8](repeating: 2, count: 700))
            let linked = try await store.put(own, linkedTo: [debian])
            // It came another way, and is shown here because a manifest names it.
            let other = try await store.put(named)
            let manifest = try await image(store, "12", in: debian, naming: [linked, other])
            _ = try await store.set(try tag("stable"), of: debian, to: manifest)
            scene.clock.turn(by: .seconds(60))
            store.recordUse(other, lease: false)
            let size = try #require(try await store.storedSize(manifest))
            let layer = try await store.push(own, to: ours)
            _ = try await store.pushManifest(naming: [layer], to: ours, tags: ["1"])
            let page = try await store.repositories(NamePage(count: 2))
            #expect(page.entries.map { "\($0.repository)" } == ["acme/app", "docker.io/library/debian"])
            #expect(page.entries.map(\.tags) == [1, 2] && page.next == nil)
            #expect(page.entries[1].bytes == size + 5700)
            #expect(page.entries[1].lastUsed == scene.clock.now)
            let first = try await store.repositories(NamePage(count: 1))
            #expect(first.next == "acme/app")
            let rest = try await store.repositories(NamePage(count: 1, last: "acme/app"))
            #expect(rest.entries.map { "\($0.repository)" } == ["docker.io/library/debian"] && rest.next == nil)
        }
    }

    @Test func `an image's size is what it names, an index's what its stored children name, each digest once`()
        async throws
    {
        try await scene.life { store in
            let shared = try await store.put(seeded(1, 3000), linkedTo: [debian])
            let absent = Digest.of([9])
            // Descriptors say one byte of each.
            let child = try await image(store, "amd64", in: debian, naming: [shared, absent])
            let second = try await image(store, "arm64", in: debian, naming: [shared])
            let index = try await store.putManifest(
                naming: [child, second, Digest.of([8])], in: debian, tag: try tag("all"), isIndex: true)
            let page = try await store.images(NamePage(count: 9))
            var own: [Int64] = []
            for digest in [index, child, second] { own.append(try #require(try await store.storedSize(digest))) }
            #expect(page.entries.map(\.tag) == ["all", "amd64", "arm64"])
            #expect(page.entries.map(\.isIndex) == [true, false, false])
            #expect(page.entries.map(\.size) == [own.reduce(0, +) + 2, own[1] + 2, own[2] + 1])
            #expect(page.entries.map(\.storedSize) == [own.reduce(0, +) + 3000, own[1] + 3000, own[2] + 3000])
            let stored = try #require(try await store.image(.tag(try tag("all")), in: debian))
            #expect(stored.size == page.entries[0].size && stored.storedSize == page.entries[0].storedSize)
            #expect(stored.digest == index && stored.tags == ["all"] && stored.checkedAt == scene.clock.now)
        }
    }

    @Test func `a use that is not written down counts, and so does a lease`() async throws {
        try await scene.life { store in
            let manifest = try await image(store, "12", in: debian)
            scene.clock.turn(by: .seconds(30))
            store.recordUse(manifest, lease: true)
            #expect(try await store.images(NamePage(count: 1)).entries.first?.lastUsed == scene.clock.now)
            let stored = try #require(try await store.image(.digest(manifest), in: debian))
            #expect(stored.lastUsed == scene.clock.now && stored.checkedAt == nil)
            #expect(stored.leasedUntil == scene.clock.now + store.configuration.lease.milliseconds)
            scene.clock.turn(by: store.configuration.lease + .seconds(1))
            #expect(try await store.image(.digest(manifest), in: debian)?.leasedUntil == nil)
        }
    }

    @Test func `an image is shown through who may show it alone, and not once its content is lost`() async throws {
        try await scene.life { store in
            let manifest = try await image(store, "12", in: debian)
            let other = try repository("library/other")
            _ = try await image(store, "1", in: other)
            #expect(try await store.image(.digest(manifest), in: other) == nil)
            #expect(try await store.image(.digest(manifest), in: Repository(hosted: ours)) == nil)
            #expect(try await store.image(.tag(try tag("13")), in: debian) == nil)
            let layer = try await store.push([1], to: ours)
            let pushed = try await store.pushManifest(naming: [layer], to: ours, tags: ["1", "2"])
            let stored = try #require(
                try await store.image(.tag(try tag("1")), in: Repository(hosted: ours)))
            #expect(stored.digest == pushed && stored.tags == ["1", "2"] && stored.checkedAt == nil)
            #expect(try await store.image(.digest(pushed), in: debian) == nil)
            await store.drop(manifest, .missing)
            #expect(try await store.image(.tag(try tag("12")), in: debian) == nil)
            #expect(try await names(store, by: 9) == ["acme/app:1", "acme/app:2", "docker.io/library/other:1"])
        }
    }

    @Test func `documents are told that are what they are called`() async throws {
        try await scene.life { store in
            let (whole, damaged, large) = (
                try await store.put([1, 2]), try await store.put([3, 4]), try await store.put(seeded(1, 2000))
            )
            try Data([5, 6]).write(to: URL(fileURLWithPath: scene.layout.blob(damaged)))
            let found = await store.documents([whole, damaged, large, Digest.of([7])], limit: 1000)
            #expect(found == [whole: [1, 2]])
            // It was a look: who serves it finds out.
            #expect(try await store.isStored(damaged))
        }
    }

    // MARK: Eviction

    @Test func `the order is the one in which an eviction takes, with the images that need it`() async throws {
        try await scene.life({ $0.lowWatermark = 1 }) { store in
            let base = try await store.put(seeded(1, 9000), linkedTo: [debian])
            for number in 0..<6 {
                scene.clock.turn(by: .seconds(1))
                let layer = try await store.put(seeded(UInt64(number) + 10, 20_000), linkedTo: [debian])
                _ = try await image(store, "\(number)", in: debian, naming: [base, layer])
            }
            let pinned = try await store.push(seeded(99, 5000), to: ours)
            let lone = try await store.put(seeded(50, 4096))
            scene.clock.turn(by: .seconds(1))
            // A pull that leases: nothing of it is told of.
            let third = try #require(try await store.tag(try tag("3"), of: debian))
            store.recordUse(third.digest, lease: true)
            let order = try await store.evictionOrder(100)
            #expect(!order.contains { $0.digest == pinned || $0.digest == third.digest || $0.digest == base })
            #expect(order.contains { $0.digest == lone && $0.images == [] && $0.kind == .blob })
            #expect(order.filter { $0.kind == .manifest }.count == 5)
            #expect(
                order.first { $0.kind == .manifest }?.images.allSatisfy { $0.hasPrefix("docker.io/library/debian:") }
                    == true)
            #expect(order.count == 11)
            #expect(try await store.evictionOrder(3) == Array(order.prefix(3)))
            // One after the other goes, and each time it is the next.
            for (place, candidate) in order.enumerated() {
                #expect(try await store.evictionOrder(1).map(\.digest) == [candidate.digest])
                let used = store.capacity.snapshot.used
                store.capacity.change { $0.limit = used - 1 }
                await store.evictor.settle()
                store.capacity.change { $0.limit = 1 << 30 }
                let known = try await store.database.known(order.map(\.digest))
                #expect(order.map { known.contains($0.digest) } == order.indices.map { $0 > place })
            }
            #expect(try await store.evictionOrder(1).isEmpty)
        }
    }

    @Test func `what an unfinished transfer has left goes before`() async throws {
        try await scene.life { store in
            let whole = try await store.put(seeded(1, 5000))
            let bytes = seeded(2, 4 << 20)
            let writer = try await store.ingest(Digest.of(bytes), size: Int64(bytes.count))
            try writer.write(0..<2 << 20, of: bytes)
            await store.keep(writer)
            let order = try await store.evictionOrder(9)
            #expect(order.map(\.digest) == [Digest.of(bytes), whole])
            #expect(order.map(\.kind) == [.partial, .blob])
            #expect(order[0].size == 2 << 20 && order[0].lastUsed == scene.clock.now)
            #expect(try await store.evictionOrder(1) == [order[0]])
        }
    }

    @Test func `nothing would go while it is not known what was pushed here`() async throws {
        try await scene.life { store in
            _ = try await store.put([1])
            store.hosted.set(false)
            #expect(try await store.evictionOrder(9).isEmpty)
        }
    }
}
