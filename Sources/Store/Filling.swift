// How a blob's file begins and goes on, and how it ends without being committed: kept, given up, or only passed on.

import Glibc
import Logging
package import OCI
import Synchronization

extension ContentStore {
    /// Bytes ahead of the slowest follower of what only passes: as much as can be had, or so little in memory.
    private static let windows: [Int64] = [64 << 20, 8 << 20], windowInMemory: Int64 = 8 << 20

    /// What an earlier fill has left of a digest, to be gone on with. From memory.
    package func partial(of digest: Digest) -> (size: Int64, extents: Extents)? {
        partials[digest].map { ($0.size, $0.extents) }
    }

    // MARK: Beginning

    /// Begins a blob's file, with room made and promised for it, or goes on with one of the same size that was kept.
    /// There is one writer a digest: the caller sees to that.
    ///
    /// - Parameter size: bytes as announced; nil if nobody said.
    /// - Throws: `.noSpace` or `.io`, and it may pass then; what was kept still is.
    package func ingest(_ digest: Digest, size: Int64?) async throws(StoreError) -> IngestWriter {
        try await told { () async throws(StoreError) in
            try checkDisk()
            if let kept = partials.take(digest) {
                if kept.size == size, let writer = try await resume(kept) { return writer }
                await partials.remove(kept)
            }
            return try await begin(digest, size: size)
        }
    }

    /// Begins a blob's file anew.
    func begin(_ digest: Digest, size: Int64?) async throws(StoreError) -> IngestWriter {
        let reservation = try await evictor.reserve(size ?? Reservation.step)
        let path = layout.ingest(nextID())
        return try await DiskQueue.run { [health] () throws(StoreError) in
            let ingest = try Ingest.create(path, size: size)
            return try IngestWriter(
                ingest, digest: digest, announced: size, reservation: reservation, health: health)
        }
    }

    /// A disk that has failed is not tried by every fill, but by `Upkeep`: a fill that has begun to write cannot be
    /// moved elsewhere, and its clients would pay for the trial.
    func checkDisk() throws(StoreError) {
        if health.has(.disk) { throw .io(operation: "write", path: layout.root, errno: EIO) }
    }

    /// What fails here is told where people look for it.
    func told<Value: Sendable>(
        _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        do throws(StoreError) {
            return try await body()
        } catch {
            // What is larger than all that may be stored would not fit into any room.
            if case .noSpace(let needed) = error, needed > capacity.snapshot.limit { throw error }
            health.met(error)
            throw error
        }
    }

    /// Begins a file for what cannot be kept: it has no name, at most `window` bytes of it stand ahead of the slowest
    /// follower, and nothing of it will be committed. Where not one block is to be had, or the disk fails, it is in
    /// memory.
    package func passing(_ digest: Digest, size: Int64?) async throws(StoreError) -> IngestWriter {
        for window in health.has(.disk) ? [] : Self.windows {
            let reservation: Reservation
            do throws(StoreError) {
                reservation = try await evictor.reserve(min(window, size ?? window))
            } catch .noSpace {
                continue
            }
            let path = layout.ingest(nextID())
            do throws(StoreError) {
                return try await DiskQueue.run { [health] () throws(StoreError) in
                    let ingest = try Ingest.createNameless(path)
                    return try IngestWriter(
                        ingest, digest: digest, announced: size, reservation: reservation, health: health,
                        window: window)
                }
            } catch {
                break  // a disk without room for a name, or one that fails
            }
        }
        let ingest = try Ingest.createInMemory("wharf-passing")
        return try IngestWriter(
            ingest, digest: digest, announced: size, reservation: Reservation(0, of: capacity), health: health,
            window: Self.windowInMemory)
    }

    /// Reserves one more step for a blob whose size nobody said, evicting if need be.
    package func grow(_ writer: IngestWriter) async throws(StoreError) {
        guard writer.announced == nil, writer.window == nil else { return }
        writer.reservation.absorb(try await evictor.reserve(Reservation.step))
    }

    /// nil if the file cannot be had any more, for whatever reason but room.
    private func resume(_ kept: Partials.Kept) async throws(StoreError) -> IngestWriter? {
        let path = layout.ingest(kept.file)
        do throws(StoreError) {
            let reservation = try await evictor.reserve(max(0, onDisk(kept.size) - kept.allocated))
            let writer = try await DiskQueue.run { [health] () throws(StoreError) in
                let ingest = try Ingest.reopen(path, extents: kept.extents, size: kept.size)
                return try IngestWriter(
                    ingest, digest: kept.digest, announced: kept.size, reservation: reservation, health: health,
                    resumed: kept.extents)
            }
            reservation.takeOver(partial: kept.allocated)
            return writer
        } catch .noSpace(let needed) {
            await partials.putBack(kept)
            throw .noSpace(needed: needed)
        } catch {
            logger.warning(
                "an unfinished blob cannot be gone on with",
                metadata: ["digest": "\(kept.digest)", "error": "\(error)"])
            return nil
        }
    }

    // MARK: Ending otherwise

    /// Writes down what has landed, so that a start after a kill goes on from there. It is taken stock first, then the
    /// disk is waited for, and the row comes last: what the row names is on the disk.
    package func checkpoint(_ writer: IngestWriter) async throws(StoreError) {
        guard let size = writer.announced, writer.canBeKept else { return }
        let extents = Partials.worth(writer.landing.extents, of: size)
        guard !extents.isEmpty else { return }
        // No `fsync` of the directory: should its entry get lost, so does nothing but the file, and its row at start.
        try await DiskQueue.run { () throws(StoreError) in try writer.syncData() }
        writer.expectRow()
        let row = PartialRow(
            digest: writer.digest, file: writer.file, size: size, extents: extents, keptAt: now())
        try await database.checkpoint(row) { writer.claimRow(of: extents.count) }
    }

    /// The fill ends unfinished: followers are told, and what has landed stays to be gone on with. Where that is not
    /// worth it (under 1 MiB, of unknown size, only passing) or cannot be, nothing stays.
    package func keep(_ writer: IngestWriter) async {
        writer.stop()
        guard writer.canBeKept, writer.landing.landed >= Partials.leastBytes else { return await discard(writer) }
        do throws(StoreError) {
            let keptAt = now()
            let kept = try await DiskQueue.run { () throws(StoreError) in
                try writer.syncData()
                return try writer.leave(at: keptAt)
            }
            guard let kept else { return await forgetRow(of: writer) }
            try await partials.keep(kept)
        } catch {
            logger.warning(
                "could not keep an unfinished blob", metadata: ["digest": "\(writer.digest)", "error": "\(error)"])
            await discard(writer)
        }
    }

    /// The fill ends, and nothing of it stays.
    package func discard(_ writer: IngestWriter) async {
        writer.breakOff()
        await forgetRow(of: writer)
    }

    /// The file is gone: so goes its row, if it has one.
    func forgetRow(of writer: IngestWriter) async {
        guard writer.hasRow else { return }
        do throws(StoreError) {
            try await database.forgetPartial(writer.digest, file: writer.file)
        } catch {
            logger.warning(
                "could not forget an unfinished blob", metadata: ["digest": "\(writer.digest)", "error": "\(error)"])
        }
    }
}

extension IngestWriter {
    /// Leaves the file where it is, with nothing in it but what has landed; nil if it has met another end.
    fileprivate func leave(at keptAt: Int64) throws(StoreError) -> Partials.Kept? {
        guard let size = announced, let ingest = takeIngest() else { return nil }
        let written = state.withLock { $0.extents }
        let extents = Partials.worth(written, of: size)
        // What is to be asked for again stays until it comes: a follower's socket may still hold its pages.
        let allocated = try ingest.keep(written)
        reservation.leave(partial: allocated)
        return Partials.Kept(
            digest: digest, file: file, size: size, extents: extents, keptAt: keptAt, allocated: allocated)
    }
}
