// What is kept in memory of what is asked for again and again, and what makes it go.

import OCI
import TestSupport
import Testing

@testable import Store

@Suite("Hot set") struct HotSetTests {
    private let hot = HotSet()
    private let mine: Repository
    private let other: Repository
    private let tag: OCI.Tag

    init() throws {
        mine = try repository("library/mine")
        other = try repository("library/other")
        tag = OCI.Tag("1.0")!  // a literal of the grammar
    }

    private func manifest(_ bytes: [UInt8]) -> ManifestContent {
        ManifestContent(digest: Digest.of(bytes), mediaType: .ociManifest, bytes: bytes)
    }

    private func stored(_ digest: Digest) -> StoredTag { StoredTag(digest: digest, checkedAt: 1, isStored: true) }

    @Test func `it is shown to whom it was shown`() {
        let content = manifest([1])
        hot.keep(content, for: mine)
        #expect(hot.manifest(content.digest, in: mine) === content)
        #expect(hot.manifest(content.digest, in: other) == nil)
        hot.keep(content, for: other)
        #expect(hot.manifest(content.digest, in: mine) === content)
        #expect(hot.manifest(content.digest, in: other) === content)
    }

    @Test func `a digest takes along the tags that name it, for good`() {
        let content = manifest([1])
        hot.keep(content, for: mine)
        hot.keep(stored(content.digest), as: tag, of: mine, since: hot.mark)
        #expect(hot.tag(tag, of: mine)?.digest == content.digest)
        let changes = hot.changes
        hot.drop(content.digest)
        #expect(hot.changes != changes)
        #expect(hot.manifest(content.digest, in: mine) == nil)
        hot.keep(content, for: mine)
        #expect(hot.tag(tag, of: mine) == nil)
    }

    @Test func `a tag that was read before another was written is not kept`() {
        let content = manifest([1])
        hot.keep(content, for: mine)
        let mark = hot.mark
        hot.drop(tag, of: mine)
        hot.keep(stored(content.digest), as: tag, of: mine, since: mark)
        #expect(hot.tag(tag, of: mine) == nil)
        hot.keep(stored(content.digest), as: tag, of: mine, since: hot.mark)
        #expect(hot.tag(tag, of: mine) != nil)
        hot.dropAll()
        #expect(hot.tag(tag, of: mine) == nil && hot.manifest(content.digest, in: mine) == nil)
    }

    @Test func `it has a bound, and keeps what is asked for`() {
        let first = manifest([1])
        hot.keep(first, for: mine)
        var bytes = [UInt8](repeating: 0, count: 200 << 10)
        var kept: [Digest] = []
        for number in 0..<200 {
            bytes[0] = UInt8(number)
            let content = manifest(bytes)
            kept.append(content.digest)
            hot.keep(content, for: mine)
            #expect(hot.manifest(first.digest, in: mine) != nil)
        }
        #expect(kept.count { hot.manifest($0, in: mine) != nil } <= (8 << 20) / bytes.count)
        let huge = manifest([UInt8](repeating: 7, count: 257 << 10))
        hot.keep(huge, for: mine)
        #expect(hot.manifest(huge.digest, in: mine) == nil)
    }

    @Test func `an evicted blob's file is not held open`() async throws {
        let scene = try StoreScene()
        let store = try scene.open()
        let digest = try await store.put([1, 2, 3], linkedTo: [mine])
        let file = try #require(try await store.open(digest, size: 3))
        store.hot.keep(file, for: mine)
        #expect(store.hot.file(digest, in: mine)?.size == 3)
        #expect(store.hot.file(digest, in: other) == nil)
        try await store.invalidate(digest)
        #expect(store.hot.file(digest, in: mine) == nil)
    }
}
