// What the store promises of content: committed is readable and stays, anything else leaves nothing behind.

import Foundation
import OCI
import TestSupport
import Testing

@testable import Store

@Suite("ContentStore") struct ContentStoreTests {
    let scene: StoreScene

    init() throws { scene = try StoreScene() }

    @Test(arguments: [0, 1, 4096, 70_000, 1_000_003]) func `what is committed can be read, now and after reopening`(
        _ size: Int
    ) async throws {
        let bytes = seeded(7, size)
        let digest = try await scene.life { store in
            #expect(try await store.bytes(of: Digest.of(bytes)) == nil)
            let digest = try await store.put(bytes)
            #expect(try await store.bytes(of: digest) == bytes)
            try await scene.expectLaws(store)
            return digest
        }
        try await scene.life { store in
            #expect(try await store.bytes(of: digest) == bytes)
            try await scene.expectLaws(store)
        }
    }

    @Test func `sha512 content lies beside sha256 content`() async throws {
        let bytes = seeded(8, 5000)
        try await scene.life { store in
            try await store.put(bytes, as: Digest.of(bytes, .sha512))
            try await store.put(bytes)
            #expect(try await store.bytes(of: Digest.of(bytes, .sha512)) == bytes)
            try await scene.expectLaws(store)
            #expect(store.capacity.snapshot.committed == 2 * 8192)
        }
    }

    @Test func `a published file is read-only and has nothing beyond its end`() async throws {
        try await scene.life { store in
            let writer = try await store.ingest(Digest.of([1, 2, 3]), size: nil)
            try [UInt8]([1, 2, 3]).withUnsafeBytes { try writer.append($0) }
            try await store.commit(writer, size: try await writer.verify(), linkedTo: [])
            var status = stat()
            #expect(stat(scene.layout.blob(writer.digest), &status) == 0)
            #expect(status.st_mode & 0o777 == 0o444)
            #expect(status.st_size == 3)
        }
    }

    @Test func `an ingest that is given up leaves no file and gives its room back`() async throws {
        try await scene.life { store in
            do {
                let writer = try await store.ingest(Digest.of([1]), size: 1_000_000)
                #expect(store.capacity.snapshot.reserved > 1_000_000)
                writer.breakOff()
            }
            try await scene.expectLaws(store)
        }
    }

    @Test func `what cannot be committed is given up`() async throws {
        try await scene.life { store in
            let digest = try await store.put([1, 2, 3])
            let writer = try await store.ingest(digest, size: 3)
            _ = writer.takeIngest()
            await #expect(throws: StoreError.ended) { try await store.commit(writer, size: 3, linkedTo: []) }
        }
    }

    @Test func `the same content committed twice counts once, at once, whoever still follows`() async throws {
        try await scene.life { store in
            let bytes = seeded(9, 100_000)
            let digest = try await store.put(bytes)
            let reader = try #require(try await store.opened(digest))
            let again = try await store.ingest(digest, size: 100_000)
            try bytes.withUnsafeBytes { try again.append($0) }
            try await store.commit(again, size: try await again.verify(), linkedTo: [])
            #expect(store.capacity.snapshot.reserved == 0, "its followers hold the writer, not the room")
            #expect(try reader.readAll() == bytes)
            try await scene.expectLaws(store)
            close(try again.duplicate())
        }
    }

    @Test func `a follower's descriptor reads on after the commit`() async throws {
        try await scene.life { store in
            let bytes = seeded(10, 50_000)
            let writer = try await store.ingest(Digest.of(bytes), size: 50_000)
            let descriptor = try writer.duplicate()
            defer { close(descriptor) }
            try bytes.withUnsafeBytes { try writer.append($0) }
            try await store.commit(writer, size: try await writer.verify(), linkedTo: [])
            var read = [UInt8](repeating: 0, count: 50_000)
            #expect(pread(descriptor, &read, 50_000, 0) == 50_000)
            #expect(read == bytes)
        }
    }

    @Test func `a file that is missing is no content, and its row goes`() async throws {
        try await scene.life { store in
            let digest = try await store.put(seeded(11, 9000))
            unlink(scene.layout.blob(digest))
            #expect(try await store.opened(digest) == nil)
            #expect(try await !store.isStored(digest))
            try await scene.expectLaws(store)
            try await store.put(seeded(11, 9000))
            #expect(try await store.bytes(of: digest) == seeded(11, 9000))
            try await scene.expectLaws(store)
        }
    }

    @Test(arguments: [0, 8999, 9001]) func `a file of another size is quarantined, and can be fetched again`(
        _ size: Int64
    ) async throws {
        try await scene.life { store in
            let digest = try await store.put(seeded(11, 9000))
            #expect(truncate(scene.layout.blob(digest), Int(size)) == 0)
            #expect(try await store.opened(digest) == nil)
            #expect(try await !store.isStored(digest))
            #expect(names(in: scene.layout.quarantine).count == 1)
            #expect(store.capacity.snapshot.quarantined == onDisk(size))
            try await scene.expectLaws(store)
            try await store.put(seeded(11, 9000))
            try await scene.expectLaws(store)
        }
    }

    @Test func `looking twice at what is missing takes it out of the figures once`() async throws {
        try await scene.life { store in
            let digest = try await store.put(seeded(12, 9000))
            unlink(scene.layout.blob(digest))
            async let first = store.open(digest, size: 9000)
            async let second = store.open(digest, size: 9000)
            #expect(try await (first == nil, second == nil) == (true, true))
            #expect(store.capacity.snapshot.committed == 0)
        }
    }

    @Test func `a damaged manifest is quarantined, its links stay, and it can be stored again`() async throws {
        try await scene.life { store in
            let repository = try repository("library/debian")
            let digest = try await store.putManifest(naming: [], in: repository, tag: try tag("12"))
            let size = try #require(try await store.storedSize(digest))
            let good = try #require(try await store.manifestBytes(digest, size: size))
            chmod(scene.layout.blob(digest), 0o644)
            try Data(repeating: 0, count: Int(size)).write(to: URL(fileURLWithPath: scene.layout.blob(digest)))
            #expect(try await store.manifestBytes(digest, size: size) == nil)
            #expect(names(in: scene.layout.quarantine).count == 1)
            let knowledge = try await store.knowledge(of: digest, in: repository)
            #expect(knowledge.storedSize == nil)
            #expect(knowledge.isLinked)
            #expect(try await store.tag(try tag("12"), of: repository)?.isStored == false)
            #expect(await store.figures().stored.manifests == 0)
            try await scene.expectLaws(store)

            try await store.putManifest(naming: [], in: repository, tag: try tag("12"))
            #expect(try await store.manifestBytes(digest, size: size) == good)
            #expect(await store.figures().stored.manifests == 1)
            try await scene.expectLaws(store)
        }
    }

    @Test func `wrong bytes lie in quarantine, count there, and are nowhere else`() async throws {
        try await scene.life { store in
            let asked = Digest.of([1, 2, 3])
            let writer = try await store.ingest(asked, size: 3)
            try [UInt8]([4, 5, 6]).withUnsafeBytes { try writer.append($0) }
            await #expect(throws: StoreError.self) { try await writer.verify() }
            await store.quarantine(writer)
            #expect(store.capacity.snapshot.reserved == 0)
            #expect(store.capacity.snapshot.quarantined == 4096)
            #expect(await store.figures().quarantined == 1)
            #expect(try await !store.isStored(asked))
            try await scene.expectLaws(store)
            await #expect(throws: StoreError.ended) { try await store.commit(writer, size: 3, linkedTo: []) }
        }
    }

    @Test func `a second store on the directory is told so, and the first goes on`() async throws {
        try await scene.life { store in
            #expect(throws: StoreError.inUse(root: scene.root)) { _ = try scene.open() }
            #expect(throws: StoreError.inUse(root: scene.root)) { _ = try scene.open() }
            try await store.put([1])
        }
        let isThere = try await scene.life { try await $0.isStored(Digest.of([1])) }
        #expect(isThere)
    }

    @Test func `a client that leaves does not make the database fail`() async throws {
        try await scene.life { store in
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await store.put(seeded(13, 100))
            }
            let digest = try await task.value
            #expect(try await store.isStored(digest))
            try await scene.expectLaws(store)
        }
    }

    @Test func `many commits of few digests at once end as one file each`() async throws {
        try await scene.life { store in
            try await withThrowingTaskGroup { group in
                for number in 0..<120 { group.addTask { _ = try await store.put(seeded(UInt64(number % 6), 20_000)) } }
                try await group.waitForAll()
            }
            #expect(try scene.files().count == 6)
            try await scene.expectLaws(store)
        }
    }
}
