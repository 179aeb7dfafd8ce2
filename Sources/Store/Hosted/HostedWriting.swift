// What is pushed here and deleted here. Durable when it is answered, in this order: the content, the files that tell
// who has it (`HostedTree`), the rows. A kill between any two of them leaves what the files say.

import Glibc
import Logging
package import OCI

extension ContentStore {
    // MARK: Uploads

    /// Begins a blob's file.
    ///
    /// - Parameters:
    ///   - size: bytes, if anybody said; room is made for them now.
    ///   - algorithm: the one that it will probably be named by.
    /// - Throws: `.noSpace` if there is no room, `.hostedUnread`, or `.io`.
    package func beginUpload(
        size: Int64?, algorithm: Digest.Algorithm
    ) async throws(StoreError) -> UploadFile {
        guard isHostedKnown else { throw .hostedUnread }
        try checkDisk()
        let reservation = try await evictor.reserve(size ?? 0)
        let path = layout.upload(nextID())
        return try await DiskQueue.run { [health] () throws(StoreError) in
            do throws(StoreError) {
                return UploadFile(try Ingest.create(path, size: size), algorithm: algorithm, reservation: reservation)
            } catch {
                health.met(error)
                throw error
            }
        }
    }

    /// Makes room for so many bytes more, before they come.
    package func reserve(_ bytes: Int64, for upload: UploadFile) async throws(StoreError) {
        let missing = onDisk(upload.size + bytes) - upload.reservation.size
        guard missing > 0 else { return }
        upload.reservation.absorb(try await evictor.reserve(missing))
    }

    /// Puts bytes behind those that are there. Where nobody said how many will come, room is made in steps.
    package func append(_ bytes: [UInt8], to upload: UploadFile) async throws(StoreError) {
        let missing = onDisk(upload.size + Int64(bytes.count)) - upload.reservation.size
        if missing > 0 {
            do throws(StoreError) {
                upload.reservation.absorb(try await evictor.reserve(max(missing, Reservation.step)))
            } catch .noSpace {
                upload.reservation.absorb(try await evictor.reserve(missing))
            }
        }
        try await DiskQueue.run { [health] () throws(StoreError) in
            do throws(StoreError) {
                try upload.append(bytes)
            } catch {
                if case .io = error { health.met(error) }
                throw error
            }
        }
    }

    /// All that is here of an upload; of manifests, which are small.
    package func bytes(of upload: UploadFile) async throws(StoreError) -> [UInt8] {
        try await DiskQueue.run { () throws(StoreError) in try upload.readAll() }
    }

    /// Gives back the room that was made for what has not come.
    package func giveBackRest(of upload: UploadFile) async {
        // It throws nothing.
        try? await DiskQueue.run { () throws(StoreError) in upload.trim() }
    }

    // MARK: Blobs

    /// Hashes what is left to be hashed of an upload, and makes it durable.
    ///
    /// - Throws: `.digestMismatch` if it is not what it is said to be.
    package func seal(_ upload: UploadFile, as digest: Digest) async throws(StoreError) {
        let actual = try await told { () async throws(StoreError) in
            try await DiskQueue.run { () throws(StoreError) in try upload.finish(digest.algorithm) }
        }
        guard actual == digest else { throw .digestMismatch(expected: digest, actual: actual) }
    }

    /// Makes a sealed upload a blob of the repository. Call it in the repository's turn.
    ///
    /// - Throws: `.overQuota`, or what disk and database met: then the repository does not have it, and the upload has
    ///   ended all the same.
    package func host(
        _ upload: UploadFile, as digest: Digest, in name: RepositoryName, within quotas: [HostedQuota]
    ) async throws(StoreError) {
        defer { upload.discard() }
        guard isHostedKnown else { throw .hostedUnread }
        let size = upload.size
        try await told { () async throws(StoreError) in
            try await gate.turn(digest) { () async throws(StoreError) in
                let row = try await publish(digest, of: { upload.takeIngest() }) { () async throws(StoreError) in
                    try await link(digest, to: name) { () async throws(StoreError) in
                        try await database.host(
                            blob: digest, size: size, in: name, at: uses.stamp(now()), within: quotas)
                    }
                }
                upload.reservation.commit(size, as: row)
            }
        }
    }

    /// Gives the repository a blob that is stored already. That the pusher may see it there is the caller's affair.
    /// Call it in the repository's turn.
    ///
    /// - Parameter source: which repository is asked for it.
    /// - Returns: false if it is not there.
    package func mount(
        _ digest: Digest, from source: Repository, to name: RepositoryName, within quotas: [HostedQuota]
    ) async throws(StoreError) -> Bool {
        guard isHostedKnown else { throw .hostedUnread }
        return try await gate.turn(digest) { () async throws(StoreError) in
            let size: Int64?
            if source.isHosted {
                size = try await database.hosted(digest, asManifest: false, in: source.name)?.size
            } else {
                let knowledge = try await database.knowledge(of: digest, in: source)
                size = knowledge.isLinked ? knowledge.storedSize : nil
            }
            // What is mounted is promised: a file that has been lost is found out now.
            guard let size, try await open(digest, size: size) != nil else { return false }
            _ = try await link(digest, to: name) { () async throws(StoreError) in
                try await database.host(blob: digest, size: nil, in: name, at: uses.stamp(now()), within: quotas)
            }
            return true
        }
    }

    /// The file that says so, then the row; without the row the file goes again.
    private func link(
        _ digest: Digest, to name: RepositoryName, record: () async throws(StoreError) -> CountedRow
    ) async throws(StoreError) -> CountedRow {
        let isNew = try await DiskQueue.run { [tree] () throws(StoreError) in try tree.addLink(digest, to: name) }
        do throws(StoreError) {
            return try await record()
        } catch {
            if isNew { await undo { [tree] () throws(StoreError) in try tree.removeLink(digest, from: name) } }
            throw error
        }
    }

    // MARK: Manifests

    /// Makes a sealed upload a manifest, as which it was checked, and has these tags name it. Call it in the
    /// repository's turn.
    package func host(
        _ pushed: HostedManifest, _ upload: UploadFile, in name: RepositoryName, tags: [Tag],
        within quotas: [HostedQuota]
    ) async throws(StoreError) {
        defer { upload.discard() }
        guard isHostedKnown else { throw .hostedUnread }
        let manifest = pushed.manifest
        let size = upload.size
        try await told { () async throws(StoreError) in
            try await gate.turn(manifest.digest) { () async throws(StoreError) in
                let row = try await publish(manifest.digest, of: { upload.takeIngest() }) {
                    () async throws(StoreError) in
                    try await tell(pushed, in: name, tags: tags) { () async throws(StoreError) in
                        try await database.host(
                            pushed, in: name, tags: tags, at: uses.stamp(now()), within: quotas)
                    }
                }
                upload.reservation.commit(size, as: row)
                // It may have had another type here before.
                hot.drop(manifest.digest)
            }
        }
        for tag in tags { hot.drop(tag, of: Repository(hosted: name)) }
    }

    /// What the files said of a manifest and some tags before they were told otherwise.
    private struct Before: Sendable {
        let digest: Digest
        let name: RepositoryName
        let type: MediaType?
        var tags: [(tag: Tag, digest: Digest?)] = []

        func restore(in tree: HostedTree) throws(StoreError) {
            for (tag, digest) in tags { try tree.setTag(tag, digest, of: name) }
            try tree.setManifest(digest, type, in: name)
        }
    }

    /// The files that say so, then the rows; without the rows the files say again what they said.
    private func tell(
        _ pushed: HostedManifest, in name: RepositoryName, tags: [Tag],
        record: () async throws(StoreError) -> CountedRow
    ) async throws(StoreError) -> CountedRow {
        let (digest, type) = (pushed.digest, pushed.mediaType)
        let before = try await DiskQueue.run { [tree] () throws(StoreError) -> Before in
            var before = Before(digest: digest, name: name, type: try tree.manifest(digest, in: name))
            for tag in tags { before.tags.append((tag, try tree.tag(tag, of: name))) }
            do throws(StoreError) {
                try tree.setManifest(digest, type, in: name)
                for tag in tags { try tree.setTag(tag, digest, of: name) }
            } catch {
                // As far as such a disk takes it.
                try? before.restore(in: tree)
                throw error
            }
            return before
        }
        do throws(StoreError) {
            return try await record()
        } catch {
            await undo { [tree] () throws(StoreError) in try before.restore(in: tree) }
            throw error
        }
    }

    /// Has the tag name nothing. Call it in the repository's turn.
    ///
    /// - Returns: whether it named anything.
    package func unhost(_ tag: Tag, of name: RepositoryName) async throws(StoreError) -> Bool {
        guard isHostedKnown else { throw .hostedUnread }
        defer { hot.drop(tag, of: Repository(hosted: name)) }
        guard try await database.hostedTag(tag, of: name) != nil else { return false }
        try await DiskQueue.run { [tree] () throws(StoreError) in try tree.setTag(tag, nil, of: name) }
        try await database.setHosted(tag, nil, of: name, at: uses.stamp(now()))
        return true
    }

    /// Takes a blob, or a manifest and the tags that name it, from the repository; the content goes if nobody else may
    /// see it. Call it in the repository's turn.
    ///
    /// - Parameter isKept: asked when nobody finds it in memory any more: whoever was told that it is here, and is to
    ///   find it still, has been heard of by then.
    /// - Returns: whether the repository had it.
    package func unhost(
        _ digest: Digest, asManifest isManifest: Bool, in name: RepositoryName,
        unless isKept: @escaping @Sendable () -> Bool = { false }
    ) async throws(StoreError) -> Bool {
        guard isHostedKnown else { throw .hostedUnread }
        let tags = isManifest ? try await database.hostedTags(naming: digest, in: name) : []
        return try await gate.turn(digest) { () async throws(StoreError) in
            guard try await database.isHosted(digest, asManifest: isManifest, in: name) else { return false }
            hot.drop(digest)
            if isKept() { return false }
            try await DiskQueue.run { [tree] () throws(StoreError) in
                guard isManifest else { return try tree.removeLink(digest, from: name) }
                for tag in tags { try tree.setTag(tag, nil, of: name) }
                try tree.setManifest(digest, nil, in: name)
            }
            let isSeen = try await database.unhost(digest, asManifest: isManifest, in: name)
            for tag in tags { hot.drop(tag, of: Repository(hosted: name)) }
            if !isSeen { _ = try await remove(digest) }
            return true
        }
    }

    /// Without it the files would say at the next start what was refused now.
    private func undo(_ body: @escaping @Sendable () throws(StoreError) -> Void) async {
        do throws(StoreError) {
            try await DiskQueue.run(body)
        } catch {
            logger.error("a push that was refused could not be undone", metadata: ["error": "\(error)"])
        }
    }
}
