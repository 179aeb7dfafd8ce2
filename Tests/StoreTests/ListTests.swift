// Pages of lists as an upstream wrote them: given back unchanged, each under its key, never more than the bounds allow.

import OCI
import TestSupport
import Testing

@testable import Store

private let mebi = 1 << 20

private func page(_ text: String, at time: Int64 = 0) -> KeptList {
    KeptList(bytes: Array(text.utf8), mediaType: nil, link: nil, fetchedAt: time)
}

private func page(bytes: Int, link: String? = nil) -> KeptList {
    KeptList(bytes: [UInt8](repeating: 7, count: bytes), mediaType: nil, link: link, fetchedAt: 0)
}

/// A key that brings no bytes of its own.
private func key(_ number: Int) -> ListKey { ListKey(kind: .referrers(Digest.of(Array("\(number)".utf8))), query: "") }

@Suite("Kept lists") struct ListTests {
    let scene: StoreScene
    let mine: Repository
    let tags = ListKey(kind: .tags, query: "")

    init() throws {
        scene = try StoreScene()
        mine = try repository("library/mine")
    }

    @Test(arguments: [
        KeptList(
            bytes: Array(#"{"tags":["é"]}"#.utf8), mediaType: "application/json",
            link: #"</v2/a/tags/list?last=b&n=2>; rel="next""#, fetchedAt: 1_700_000_000_123),
        KeptList(bytes: [0, 255, 0xC3, 0x28], mediaType: nil, link: nil, fetchedAt: .max),
        KeptList(bytes: [], mediaType: "", link: "", fetchedAt: -1),
    ]) func `a page comes back as it came, over a restart too`(_ list: KeptList) async throws {
        try await scene.life { store in
            #expect(try await store.list(tags, of: mine) == nil)
            try await store.keep(list, as: tags, of: mine)
            #expect(try await store.list(tags, of: mine) == list)
        }
        let store = try scene.open()
        #expect(try await store.list(tags, of: mine) == list)
        #expect(try await store.lists(.tags, of: mine) == [list])
    }

    @Test func `each key has a page of its own: repository, upstream, kind, subject, query`() async throws {
        let store = try scene.open()
        let others = [mine, try repository("library/mine", of: "quay.io"), try repository("library/min")]
        let kinds: [ListKey.Kind] = [.tags, .referrers(Digest.of([1])), .referrers(Digest.of([2]))]
        let queries = ["", "n=1", "n=10", "N=1", "n=%", "n=_", "n=1'; DROP TABLE list; --"]
        var kept: [(ListKey, Repository, KeptList)] = []
        for repository in others {
            for kind in kinds {
                for query in queries {
                    let list = page("\(repository) \(kind) \(query)")
                    kept.append((ListKey(kind: kind, query: query), repository, list))
                    try await store.keep(list, as: ListKey(kind: kind, query: query), of: repository)
                }
            }
        }
        for (key, repository, list) in kept { #expect(try await store.list(key, of: repository) == list) }
        for repository in others {
            for kind in kinds {
                let all = try await store.lists(kind, of: repository)
                #expect(Set(all.map(\.bytes)) == Set(queries.map { page("\(repository) \(kind) \($0)").bytes }))
                #expect(all.count == queries.count)
            }
        }
        #expect(try await store.lists(.referrers(Digest.of([3])), of: mine).isEmpty)
        #expect(try await store.lists(.tags, of: try repository("nobody/asked")).isEmpty)
    }

    @Test func `a page takes the place of the one before`() async throws {
        let store = try scene.open()
        try await store.keep(
            KeptList(bytes: [1], mediaType: "a/b", link: "next", fetchedAt: 1), as: tags, of: mine)
        try await store.keep(page("new", at: 2), as: tags, of: mine)
        #expect(try await store.lists(.tags, of: mine) == [page("new", at: 2)])
    }

    @Test func `what the upstream has no more is forgotten, all pages of it, and nothing else`() async throws {
        let store = try scene.open()
        let (other, subject) = (try repository("other"), ListKey(kind: .referrers(Digest.of([1])), query: ""))
        try await store.forget(.tags, of: mine)
        for key in [tags, ListKey(kind: .tags, query: "last=a"), subject] {
            for repository in [mine, other] { try await store.keep(page(key.query), as: key, of: repository) }
        }
        try await store.forget(.tags, of: mine)
        #expect(try await store.lists(.tags, of: mine).isEmpty)
        #expect(try await store.list(subject, of: mine) != nil)
        #expect(try await store.lists(.tags, of: other).count == 2)
        try await store.forget(subject.kind, of: mine)
        #expect(try await store.list(subject, of: mine) == nil)
        #expect(try await store.list(subject, of: other) != nil)
    }

    @Test func `4096 pages and 64 MiB are kept, in a small store a tenth of it`() {
        #expect(ListBound(limit: 1 << 40) == ListBound(pages: 4096, bytes: 64 << 20))
        #expect(ListBound(limit: 100 << 20) == ListBound(pages: 4096, bytes: 10 << 20))
    }

    @Test func `so many pages are kept, the least recently kept going first, whoever's they are`() async throws {
        let database = try scene.open().database
        let bound = ListBound(pages: 8, bytes: 1000)
        let other = try repository("other", of: "quay.io")
        func keep(_ text: String, _ number: Int, of repository: Repository) async throws {
            try await database.keep(page(text), as: key(number), of: repository, within: bound)
        }
        for number in 0..<8 { try await keep("\(number)", number, of: mine) }
        // Kept again, it is the newest; read, it is not.
        try await keep("again", 0, of: mine)
        _ = try await database.list(key(1), of: mine)
        for number in 0..<8 { #expect(try await database.list(key(number), of: mine) != nil) }
        for number in 0..<2 { try await keep("\(number)", number, of: other) }
        #expect(try await database.list(key(0), of: mine) == page("again"))
        for number in 1..<8 {
            #expect(try await (database.list(key(number), of: mine) != nil) == (number > 2), "\(number)")
        }
        for number in 0..<2 { #expect(try await database.list(key(number), of: other) != nil) }
    }

    @Test func `so many bytes are kept, to the byte, the least recently kept going first`() async throws {
        let database = try scene.open().database
        let bound = ListBound(pages: 100, bytes: 64_000)
        func keep(_ bytes: Int, _ number: Int) async throws {
            try await database.keep(page(bytes: bytes), as: key(number), of: mine, within: bound)
        }
        func kept() async throws -> [Int] {
            var kept: [Int] = []
            for number in 0..<20 where try await database.list(key(number), of: mine) != nil { kept.append(number) }
            return kept
        }
        for number in 0..<16 { try await keep(4000, number) }
        #expect(try await kept() == Array(0..<16))
        try await keep(1, 16)
        #expect(try await kept() == Array(1..<17))
        try await keep(9000, 17)
        #expect(try await kept() == Array(3..<18))
        try await keep(64_000, 18)
        #expect(try await kept() == [18])
    }

    @Test func `a page that grows in its place counts once`() async throws {
        let database = try scene.open().database
        let bound = ListBound(pages: 2, bytes: 64)
        for size in [30, 40, 50, 64] {
            try await database.keep(page(bytes: size), as: key(0), of: mine, within: bound)
            #expect(try await database.list(key(0), of: mine)?.bytes.count == size)
        }
        try await database.keep(page(bytes: 0), as: key(1), of: mine, within: bound)
        #expect(try await database.list(key(0), of: mine) != nil)
    }

    @Test func `of a small store they take a tenth`() async throws {
        let store = try scene.open { $0.maxSize = .bytes(20 << 20) }
        for number in 0..<3 { try await store.keep(page(bytes: mebi), as: key(number), of: mine) }
        #expect(try await store.rows(in: "list") == 2)
        #expect(try await store.list(key(0), of: mine) == nil)
    }

    @Test func `what comes beside the bytes counts too`() async throws {
        let store = try scene.open { $0.maxSize = .bytes(20 << 20) }
        let long = String(repeating: "x", count: mebi)
        let kept = [
            (page(bytes: 0, link: long), ""), (page(bytes: 0), long),
            (KeptList(bytes: [], mediaType: long, link: nil, fetchedAt: 0), ""),
        ]
        for (number, (list, query)) in kept.enumerated() {
            try await store.keep(list, as: ListKey(kind: key(number).kind, query: query), of: mine)
            #expect(try await store.rows(in: "list") == min(2, number + 1))
        }
        try await store.keep(page(bytes: 1), as: key(9), of: mine)
        #expect(try await store.rows(in: "list") == 2)
    }

    @Test func `what alone is over the bound is not kept, drives nothing out, and leaves nothing older in its place`()
        async throws
    {
        let store = try scene.open { $0.maxSize = .bytes(20 << 20) }
        for number in 0..<2 { try await store.keep(page("\(number)"), as: key(number), of: mine) }
        try await store.keep(page(bytes: 2 * mebi + 1), as: key(1), of: mine)
        #expect(try await store.list(key(1), of: mine) == nil)
        #expect(try await store.list(key(0), of: mine) == page("0"))
    }

    @Test func `a bound that is smaller since a restart is kept with the next page`() async throws {
        try await scene.life { store in
            for number in 0..<8 { try await store.keep(page(bytes: mebi), as: key(number), of: mine) }
        }
        let store = try scene.open { $0.maxSize = .bytes(20 << 20) }
        try await store.keep(page(bytes: mebi), as: key(8), of: mine)
        #expect(try await store.rows(in: "list") == 2)
        #expect(try await store.list(key(7), of: mine) != nil)
    }

    @Test func `their bytes are counted where they lie, in the database`() async throws {
        let store = try scene.open()
        try await store.writeDown(totals: [:])
        let before = store.capacity.snapshot
        try await store.keep(page(bytes: 8 * mebi), as: tags, of: mine)
        try await store.writeDown(totals: [:])
        let grown = store.capacity.snapshot.overhead - before.overhead
        #expect(grown >= 8 << 20)
        #expect(store.capacity.snapshot.used == before.used + grown)
    }

    @Test func `pages kept by many at once stay within the bounds`() async throws {
        let store = try scene.open { $0.maxSize = .bytes(20 << 20) }
        await withThrowingTaskGroup { group in
            for number in 0..<64 {
                group.addTask { try await store.keep(page(bytes: 100_000), as: key(number), of: mine) }
            }
        }
        #expect(try await store.rows(in: "list") == 20)
    }
}
