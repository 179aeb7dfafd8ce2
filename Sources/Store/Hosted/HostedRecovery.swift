// Files and rows of what was pushed here, made to agree: the files are right.

import Glibc
import Logging
import OCI
import Synchronization

/// Whether the rows know what was pushed here.
final class HostedState: Sendable {
    private let known = Atomic<Bool>(false)

    var isKnown: Bool { known.load(ordering: .acquiring) }
    func set(_ isKnown: Bool) { known.store(isKnown, ordering: .releasing) }

    private let told = Atomic<Bool>(false)

    /// Whether it has not been told yet that it cannot be read.
    func tell() -> Bool { !told.exchange(true, ordering: .relaxed) }
    func isRead() { told.store(false, ordering: .relaxed) }
}

extension ContentStore {
    /// At each start, since a kill may have come between files and rows, and after the rows were lost: before files
    /// that no row knows are taken for a cache's.
    ///
    /// - Throws: `.io` if not all of the files can be read.
    func readHosted() async throws(StoreError) {
        do throws(StoreError) {
            let life = database.life
            let known = try await database.hostedRepositories()
            if tree.isEmpty { try await writeTree(of: known) }
            let names = try await DiskQueue.run { [tree] () throws(StoreError) in try tree.repositories() }
            for name in names + Set(known).subtracting(names) {
                // Without its turn, which pushes wait for: nearly always they agree.
                if try await agrees(name) { continue }
                try await hostedGate.turn(name) { () async throws(StoreError) in try await readHosted(name) }
            }
            if try !database.isHostedKnown() { try await database.noteHostedKnown(since: life) }
            hosted.set(true)
            // One that was lost meanwhile knows nothing of what was read before.
            guard database.life == life else {
                hosted.set(tree.isEmpty)
                throw .hostedUnread
            }
            hosted.isRead()
        } catch {
            if case .io = error, hosted.tell() {
                logger.error(
                    hosted.isKnown
                        ? "what the folder hosted/ says cannot be compared with the database"
                        : "what was pushed here cannot be read: it is not served, and nothing is evicted",
                    metadata: ["error": "\(error)"])
            }
            throw error
        }
    }

    /// The folder is gone, as from a copy of the rest, and nobody has deleted what the rows say: they tell the same.
    private func writeTree(of names: [RepositoryName]) async throws(StoreError) {
        guard !names.isEmpty else { return }
        logger.warning("the folder hosted/ is gone: it is written again", metadata: ["repositories": "\(names.count)"])
        for name in names {
            try await hostedGate.turn(name) { () async throws(StoreError) in
                let content = try await database.hostedContent(of: name).content
                try await DiskQueue.run { [tree] () throws(StoreError) in try tree.write(content, of: name) }
            }
        }
    }

    private func agrees(_ name: RepositoryName) async throws(StoreError) -> Bool {
        let (rows, isLost) = try await database.hostedContent(of: name)
        let content = try await DiskQueue.run { [tree] () throws(StoreError) in try tree.content(of: name) }
        return content == rows && !isLost
    }

    private func readHosted(_ name: RepositoryName) async throws(StoreError) {
        let (rows, isLost) = try await database.hostedContent(of: name)
        let content = try await DiskQueue.run { [tree] () throws(StoreError) in try tree.content(of: name) }
        guard content != rows || isLost else { return }
        let found = try await DiskQueue.run { [layout] () throws(StoreError) in
            Self.found(content, insteadOf: rows, layout)
        }
        if found.missing > 0 {
            logger.error(
                "content that was pushed here is missing: push it again",
                metadata: ["repository": "\(name)", "blobs": "\(found.missing)"])
        }
        let added = try await database.agree(
            with: content, blobs: found.blobs, described: found.described, in: name, at: uses.stamp(now()))
        capacity.change {
            $0.committed += added
            $0.unknown = max(0, $0.unknown - added)
        }
        for tag in Set(content.tags.keys).union(rows.tags.keys) { hot.drop(tag, of: Repository(hosted: name)) }
    }

    private struct Found {
        var blobs: [Digest: Int64] = [:]
        var described: [HostedManifest] = []
        var missing = 0
    }

    /// Sizes of the files there are, and the manifests that the rows do not know, read.
    private static func found(
        _ content: HostedTree.Content, insteadOf rows: HostedTree.Content, _ layout: DiskLayout
    ) -> Found {
        var found = Found()
        for digest in content.links.union(content.manifests.keys) {
            var status = stat()
            if stat(layout.blob(digest), &status) == 0 {
                found.blobs[digest] = Int64(status.st_size)
            } else {
                found.missing += 1
            }
        }
        for (digest, type) in content.manifests where rows.manifests[digest] == nil {
            // What cannot be read or is damaged is found out by who asks for it; here it only names nothing.
            guard let file = try? BlobFile(opening: layout.blob(digest), digest: digest),
                let bytes = try? file.readAll(), Digest.of(bytes, digest.algorithm) == digest,
                let manifest = try? Manifest(parsing: bytes, declaredType: type)
            else { continue }
            found.described.append(HostedManifest(bytes, digest: digest, mediaType: type, manifest))
        }
        return found
    }

    /// The digests of all that was pushed here, by the files alone; nil if they cannot be read.
    func hostedDigests() -> Set<Digest>? {
        guard let names = try? tree.repositories() else { return nil }
        var digests: Set<Digest> = []
        for name in names {
            guard let content = try? tree.content(of: name) else { return nil }
            digests.formUnion(content.links)
            digests.formUnion(content.manifests.keys)
        }
        return digests
    }
}
